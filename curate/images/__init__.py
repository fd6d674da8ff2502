"""Images: checked, stored by content, packed, compared. The only package that imports PIL."""

"""Images: judged, kept by content, packed, compared. The only package that imports PIL."""

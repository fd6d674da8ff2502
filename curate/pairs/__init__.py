"""Pairs files: from raw rows to parts, their key columns, and the one reader of them."""

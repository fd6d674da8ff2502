"""Raw files as published: rows of every format, members of archives, media found by path."""

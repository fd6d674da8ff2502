"""A page to look at pairs and to label them: `curate browse`."""

"""Column functions: the drafts of many rows at once, for sources whose rows are regular."""

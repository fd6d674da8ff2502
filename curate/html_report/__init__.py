"""A mix as one HTML file that opens offline: facts, plots, decisions and sampled pairs with pictures."""

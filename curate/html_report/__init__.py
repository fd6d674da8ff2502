"""A mix as one HTML file that opens offline: facts, plots, findings and sampled pairs with their pictures."""

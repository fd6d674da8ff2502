"""What of benchmarks stands in the pairs: an index of their texts and images, a pass over the pairs, verdicts.

material    what a recipe wants kept out, as entries of texts and images
index       the index of these entries, built once and mapped into memory
grams       compiled: word n-grams of a text, looked up in the index
scan        the pass over one pairs file: a sketch
verdicts    from hits to findings about pairs
"""

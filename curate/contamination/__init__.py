"""Finds items of eval sets in pairs: an index of their texts and images, a scan of the pairs, decisions.

protected    what a recipe wants kept out, as items of texts and images
eval_sets    eval sets as protected items
collected    the texts of these items, each once; stock says which of them identify no item
index        the index of these items, built once and mapped into memory
grams        sizes and arrays of word n-grams; grams_kernels looks those of a text up in the index
scan, hits   the pass over one pairs file, and its sketch; hits_kernels compares, passage_kernels tells passages
decisions    from hits to decisions about pairs
strengths    what each strength finds; findable counts the items that can be found
"""

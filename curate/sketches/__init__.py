"""Sketches of texts, and what is read from them: which pairs may be near-duplicates, and which are.

    words      UTF-8 text -> words as 64-bit hashes
    texts      pairs files -> the buffers of their texts, as kernels read them
    shingles   words -> hashed word n-grams; their exact Jaccard similarity
    minhash    shingles -> 128 min-hashes a pair, cached beside the pairs files
    banding    a stated similarity and recall -> bands of min-hashes
    buckets    equal bands -> the pairs that must be compared
    near       the shingles of those, read again, and the decision

Modules with kernels import numba and take half a second: import them where the work begins.
"""

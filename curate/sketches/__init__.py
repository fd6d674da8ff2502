"""Sketches of texts, and what is read from them: which pairs may be near-duplicates, and which are.

    words      UTF-8 text -> words -> hashed word n-grams ("shingles")
    minhash    shingles -> 128 min-hashes a pair, cached beside the pairs files
    banding    a stated Jaccard similarity and recall -> bands of min-hashes
    buckets    equal bands -> pairs to be compared
    verify     the shingles of those pairs, read again, and the exact decision

Modules with kernels import numba and take half a second: import them where the work begins.
"""

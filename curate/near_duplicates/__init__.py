"""Which pairs are nearly the same: min-hash sketches, candidate pairs, exact similarity, the decision.

    minhash        shingles -> 128 min-hashes a pair, cached beside the pairs files (format: sketch_format)
    banding        a stated similarity and recall -> bands of min-hashes
    buckets        equal bands -> the pairs that must be compared
    shingle_sets   the shingles of those, read again
    decide         exact Jaccard similarity, and which of two pairs stays
    shared_by      how many pairs of other sources are nearly the same

Modules with kernels import numba and take half a second: import them where the work begins.
"""

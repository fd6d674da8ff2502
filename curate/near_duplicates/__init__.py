"""Which pairs are nearly the same: min-hash sketches, candidate pairs, exact similarity, the decision.

minhash         shingles -> 128 min-hashes a pair, cached beside the pairs files (format: sketch_format)
banding         a stated similarity and recall -> bands of min-hashes
buckets         equal bands -> the pairs that must be compared
search          pairs of many files -> those that are equal, and those in buckets
shingle_sets    the shingles of the latter, read again
bucket_kernels  the one comparison of two pairs, and the loops around it
decide          which of two near-duplicates stays
either_order    which pairs compare the same two replies, whichever is preferred
shared_by       which sets hold near-duplicates of each other's pairs
"""

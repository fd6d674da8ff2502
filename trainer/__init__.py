"""Reward models from mixes: read shards, train, score, ablate. `curate` only starts it as a subprocess."""

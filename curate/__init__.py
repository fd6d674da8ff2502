"""Preference data in, training shards out, with a reason for every lost row."""

import os

__version__ = "0.1.0"

# Arrow's allocator gives memory back after 10 ms and asks for it anew with the next batch: that was a third of the
# CPU time of reading and writing batches. It reads this when Arrow is loaded, here and in workers.
os.environ.setdefault("MIMALLOC_PURGE_DELAY", "10000")

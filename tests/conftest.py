"""Settings for every test."""

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest has a process for each core; read when torch is imported

# no deadlines: the machine may be busy, and a slow example is no wrong example
settings.register_profile("curate", deadline=None, derandomize=True)
settings.load_profile("curate")

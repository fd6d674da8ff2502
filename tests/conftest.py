"""Settings for every test."""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest has a process for each core; read when torch is imported

# no deadlines: the machine may be busy, and an example that is slow, to draw or to run, is no wrong example
settings.register_profile("curate", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("curate")

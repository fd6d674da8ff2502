"""Settings for every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

from curate.errors import CurateError

for name in ("COLUMNS", "LINES"):  # readline, which pytest imports, sets them for the workers of xdist
    os.environ.pop(name, None)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest has a process for each core; read when torch is imported

# no deadlines: the machine may be busy, and an example that is slow, to draw or to run, is no wrong example
settings.register_profile("curate", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("curate")


HINTS: set[str] = set()
"""Hints with commands, of the errors that the test which runs has provoked in this process."""


def pytest_sessionstart() -> None:
    """From now on every error notes its hint."""
    plain = CurateError.__init__

    def noted(self: CurateError, *given: str, **more: str) -> None:
        plain(self, *given, **more)
        if "curate " in self.hint:
            HINTS.add(self.hint)

    CurateError.__init__ = noted  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """A test has an error if a hint that it provoked names a command or an option that there is not."""
    hints = sorted(HINTS)
    HINTS.clear()
    if hints:
        from tests.support.hints import faults

        assert [fault for hint in hints for fault in faults(hint)] == []

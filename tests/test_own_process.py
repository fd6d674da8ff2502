"""Processes of our own leave pandas and collections of garbage out while they start."""

import gc
import subprocess
import sys
from collections.abc import Sequence

import pyarrow as pa

from curate.engines.local import Local

SCRIPT = """
import gc
import sys
import pyarrow as pa
from curate import own_process
own_process.loaded()
assert not gc.get_freeze_count(), "nothing is done in a program of someone else"
own_process.start()
assert not gc.isenabled()
own_process.loaded()
assert gc.isenabled()
assert pa.array(["x"]).to_numpy(zero_copy_only=False).tolist() == ["x"]
assert "pandas" not in sys.modules
assert pa.table({"a": [1]}).to_pandas()["a"].tolist() == [1]
assert len(sys.meta_path) == int(sys.argv[1])
"""


def test_arrow_looks_for_no_pandas_and_converts_to_it_still() -> None:
    finders = subprocess.run(
        [sys.executable, "-c", "import sys, pyarrow; print(len(sys.meta_path))"], capture_output=True, check=True
    )
    found = subprocess.run([sys.executable, "-c", SCRIPT, finders.stdout.decode()], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def _state(number: int) -> tuple[Sequence[int], bool, bool, bool]:
    return pa.array([number]).to_pylist(), "pandas" in sys.modules, gc.isenabled(), gc.get_freeze_count() > 0


def test_workers_load_no_pandas_and_collect_once_they_are_loaded() -> None:
    with Local(workers=2) as engine:
        states = list(engine.map(_state, [1, 2, 3]))
    assert states == [([number], False, True, True) for number in (1, 2, 3)]

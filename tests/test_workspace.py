"""Finished artefacts are whole, and one run at a time holds a workspace."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import WorkspaceError
from curate.workspace import Workspace, atomic, read_json, write_json


def test_atomic_publishes_whole_files(tmp_path):
    with atomic(tmp_path / "a" / "x") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a" / "x").exists()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x"]


def test_an_error_leaves_the_old_file_and_no_rubbish(tmp_path):
    write_json(tmp_path / "x", {"old": 1})
    with pytest.raises(OSError, match="disk"), atomic(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "disk full")
    assert read_json(tmp_path / "x") == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "lock.json").write_text('{"a": ')
    with pytest.raises(WorkspaceError, match=r"lock\.json: damaged") as caught:
        read_json(tmp_path / "lock.json")
    assert caught.value.hint == "delete it and run again"


HOLD = """
import sys, time
from pathlib import Path
from curate.workspace import Workspace
with Workspace(Path(sys.argv[1])).hold(wait="wait" in sys.argv):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(path: Path, *args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_runs_never_share_a_workspace(tmp_path):
    with hold(tmp_path) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError) as caught, Workspace(tmp_path).hold():
            pass
        assert str(caught.value).startswith(f"{tmp_path}: in use by pid {first.pid}")
        assert "--wait" in caught.value.hint
        with hold(tmp_path, "wait") as second:
            first.kill()  # the lock dies with its holder
            assert second.stdout.readline() == "held\n"
            second.communicate("\n")
    with Workspace(tmp_path).hold():
        pass


def test_whoever_holds_the_workspace_sweeps_what_a_killed_run_left(tmp_path):
    left = [tmp_path / name / "a" / ".part-00000.parquet.1.tmp" for name in ("pairs", "mixes", "cache", "raw")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text("half")
    finished = tmp_path / "pairs" / "a" / "part-00000.parquet"
    finished.write_text("whole")
    with Workspace(tmp_path).hold():
        assert [path.exists() for path in left] == [False, False, False, True], "raw files are not ours to sweep"
        assert finished.exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
import polars as pl
from curate.workspace import atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # then a file is full at 4 KiB, as a disk would be
values = np.arange(10_000)
try:
    with atomic(Path(sys.argv[2])) as temporary:
        if sys.argv[1] == "numpy":
            with open(temporary, "wb") as file:
                np.save(file, values)
        else:
            pl.DataFrame({"a": values * 7919 % 10_007}).write_parquet(temporary)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("library", ["numpy", "polars"])
def test_a_full_disk_is_known_as_one_whoever_writes(tmp_path, library):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, library, str(tmp_path / "x")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="no"), atomic(tmp_path / "x"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []

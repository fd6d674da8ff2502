"""How often a raw row changes room on its way to a pair: `python benchmarks/room_changes.py [SOURCE ...]`.

A *room* is a folder of curate/, or a file beside them. The first file of a source's samples is normalized, and the
rooms that run are followed: a call into another room is a change, and so is the return; a change is a climb where
the layer (of pyproject.toml) that it leads to is above the one it leaves. A change between the same two rooms
counts once, however often it happens. Rows that give no pair go elsewhere, so `errors` does not count.

With 42 modules beside 14 folders there were 34 changes with 14 climbs for hh_rlhf, 36 with 15 for rlaif_v and 38
with 15 for povid, by the same count.
"""

import argparse
import dataclasses
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from curate.engines.local import Local
from curate.hashing import Hashes
from curate.pairs.normalize import Job, locate, normalize_all
from curate.sources import get
from curate.workspace import Workspace

ROOT = Path(__file__).parent.parent
MOST, MOST_CLIMBS = 21, 9


def layers() -> Mapping[str, int]:
    """Return for each room the number of its layer, the lowest 0."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (listed,) = [one["layers"] for one in contracts if one.get("containers") == ["curate"]]
    rows = [re.findall(r"\w+", row) for row in reversed(listed)]
    return {room: number for number, row in enumerate(rows) for room in row}


class Trace:
    """The changes of room, in the order in which they first happen; a function for sys.setprofile."""

    def __init__(self) -> None:
        self.changes: dict[tuple[str, str], None] = {}
        self._room = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note where a call leads, and where a return leads back to."""
        if event not in ("call", "return"):
            return
        room = room_of(frame if event == "call" else frame.f_back)
        if not room or room == self._room:
            return
        if self._room:
            self.changes[self._room, room] = None
        self._room = room


def room_of(frame: FrameType | None) -> str:
    """Return the room of a function, or of the nearest caller that is of curate; empty without one."""
    while frame is not None:
        package, _, name = frame.f_globals.get("__name__", "").partition(".")
        if package == "curate" and not name.startswith("errors"):
            return str(name.partition(".")[0])
        frame = frame.f_back
    return ""


def changes(name: str) -> list[tuple[str, str]]:
    """Return the changes of room, each as (from, to), while one file of the source's samples is normalized."""
    source = get(name)
    options = source.options() if source.options else None
    job = Job(name=name, source=source, raw=ROOT / "samples" / name, options=options)
    with tempfile.TemporaryDirectory() as home:
        workspace, trace = Workspace(Path(home)), Trace()
        artefact = locate(job, workspace, Hashes(workspace.cache))
        artefact = dataclasses.replace(artefact, files=artefact.files[:1])
        sys.setprofile(trace)
        try:
            normalize_all([artefact], workspace, Local())
        finally:
            sys.setprofile(None)
    return list(trace.changes)


def main() -> None:
    """Print the changes and climbs of each source; exit 1 where they are too many."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sources", nargs="*", default=["hh_rlhf", "rlaif_v", "povid"])
    height, failed = layers(), False
    for name in parser.parse_args().sources:
        found = changes(name)
        climbs = [(left, entered) for left, entered in found if height[entered] > height[left]]
        failed |= len(found) > MOST or len(climbs) > MOST_CLIMBS
        way = [f"{left} {'^' if (left, entered) in climbs else '-'} {entered}" for left, entered in found]
        print(json.dumps({"source": name, "changes": len(found), "climbs": len(climbs), "way": way}))
    sys.exit(int(failed))


if __name__ == "__main__":
    main()

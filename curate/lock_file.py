"""The file lock.json of a mix: how it is read, and which files of the mix it records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.checksums import hash_file, read_record
from curate.errors import WorkspaceError

FIELDS: dict[str, type] = {
    "name": str, "fingerprint": str, "recipe": dict, "rows": int, "plan": dict, "funnel": dict, "sources": dict,
    "files": list, "decisions": list,
}  # fmt: skip
"""What every lock has, also one of an earlier version."""

AGAIN = "curate mix of its recipe, or curate ablate of its study, builds the mix again"


def read_lock(path: Path) -> dict[str, Any]:
    """The lock of a mix. Raises WorkspaceError where it is damaged, or is no lock."""
    lock = read_record(path, "the lock of a mix", AGAIN)
    for name, kind in FIELDS.items():
        if not isinstance(lock.get(name), kind):
            found = f"its {name} is no {kind.__name__}" if name in lock else f"it has no {name}"
            raise WorkspaceError(str(path), found, "the lock of a mix", AGAIN)
    return lock


def recorded(lock: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files of a mix that its lock records, by name: {name, xxh3} and more."""
    kinds = (lock["files"], lock["decisions"], [lock["review"]] if "review" in lock else [], lock.get("card", ()))
    return {str(entry["name"]): entry for entries in kinds for entry in entries}


def file_facts(directory: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """{name, xxh3} of files of a mix."""
    return [{"name": name, "xxh3": hash_file(directory / name)} for name in names]

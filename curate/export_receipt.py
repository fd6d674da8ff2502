"""The receipt of an export, `export.json`: what was exported, every pair accounted for, and the hash of each file.

It is written last.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.checksums import hash_file, read_record
from curate.errors import WorkspaceError

NAME = "export.json"
UNFINISHED = ".export"
"""The folder of the records of finished parts, while others are missing."""


def read(directory: Path) -> dict[str, Any] | None:
    """The receipt of a finished export; None where there is none. Raises WorkspaceError where it is damaged."""
    path = directory / NAME
    if not path.exists():
        return None
    hint = f"delete {directory} and export again"
    facts = read_record(path, "the receipt of an export", hint)
    if not isinstance(facts.get("files"), list) or not isinstance(facts.get("digest"), str):
        raise WorkspaceError(str(path), "it lists no files", "the receipt of an export", hint)
    return facts


def differing(directory: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """A line for each file of an export that is not as its receipt records it."""
    for entry in facts["files"]:
        path = directory / entry["name"]
        if not path.is_file():
            yield f"{path}: missing; expected xxh3 {entry['xxh3']}"
        elif (found := hash_file(path)) != entry["xxh3"]:
            yield f"{path}: xxh3 {found}; expected {entry['xxh3']}"

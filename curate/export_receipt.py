"""The receipt of an export, `export.json`: what was exported, every pair accounted for, and the hash of each file.

It is written last. Images in files of their own are named by their hash, so the receipt only counts them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curate.checksums import hash_file, read_record
from curate.errors import WorkspaceError

NAME = "export.json"
IMAGES = "images"
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
    there = images(directory)
    if len(there) < facts["images"]["files"]:
        yield f"{directory / IMAGES}: {len(there):,} images; expected {facts['images']['files']:,}"
    for path in there:
        if (found := hash_file(path)) != path.stem:
            yield f"{path}: xxh3 {found}; expected {path.stem}, as its name says"


def images(directory: Path) -> list[Path]:
    """The images of an export that are in files of their own."""
    return sorted(path for path in (directory / IMAGES).glob("*/*") if not path.name.startswith("."))

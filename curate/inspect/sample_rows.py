"""The row files of a file or folder without a manifest, and their first rows."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from curate.config import did_you_mean_path
from curate.errors import ConfigError, RawError
from curate.rawfiles import rows
from curate.rawfiles.bad_rows import BadRow
from curate.rawfiles.row_files import row_files
from curate.sources.base import Draft, Row, RowFile, Source

FIRST = 500
"""Rows that are read of all files together, the same number of each."""

DESCRIPTIONS = frozenset({
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json",
    "metadata.json", "meta.json",
    "croissant.json", "package.json",
})  # fmt: skip
"""Files beside rows that describe them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """First rows of files without a manifest.

    root    the folder that file patterns and media paths are relative to
    files   the patterns that find the row files
    rows    first rows of each file that could be read
    broken  rows that could not, by reason
    """

    root: Path
    files: tuple[str, ...]
    rows: tuple[Row, ...]
    broken: Counter[str]


def sample(path: Path, first: int = FIRST) -> Sample:
    """The first rows of a file, or of the row files in a folder.

    Raises ConfigError where nothing there holds rows, or where the files of a folder have different columns.
    """
    if not path.exists():
        hint = did_you_mean_path(path)
        raise ConfigError(str(path), "no such file or folder", "rows: JSON, CSV, Parquet or Arrow", hint)
    root, files = (path, _patterns(path)) if path.is_dir() else (path.parent, (path.name,))
    source = Source(repo=path.name, to_pairs=_no_pairs, files=files)
    found = row_files(source, root, None)
    each = max(first // len(found), 1)
    taken: list[Row] = []
    broken: Counter[str] = Counter()
    columns: dict[frozenset[str], str] = {}
    for file in found:
        own = list(_first_rows(root, file, each, broken))
        taken += own
        if own:
            columns.setdefault(frozenset(own[0]), own[0].file)
    _check_one_shape(path, columns)
    if not taken:
        reasons = ", ".join(f"{reason} {count}" for reason, count in broken.most_common(3))
        raise ConfigError(str(path), f"no row could be read ({reasons or 'there are none'})", "rows")
    return Sample(root=root, files=files, rows=tuple(taken), broken=broken)


def _no_pairs(_: Row) -> Iterator[Draft]:
    raise AssertionError("a sample makes no pairs")


def _patterns(folder: Path) -> tuple[str, ...]:
    """The patterns of the row files in a folder: the training split where the folder has splits."""
    if (folder / "state.json").is_file():
        return (".",)
    saved = sorted(path.parent.name for path in folder.glob("*/state.json"))
    if saved:
        return ("train",) if "train" in saved else tuple(saved)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if holds_rows(folder, path)]
    if not names:
        raise ConfigError(str(folder), "no row files", "JSON, CSV, Parquet or Arrow files")
    return _without_tests(list(dict.fromkeys(map(_pattern, names))))


def holds_rows(folder: Path, path: Path) -> bool:
    """Whether a path in a folder is, by its name, a file of rows."""
    name = path.relative_to(folder).as_posix()
    if (
        not path.is_file()
        or path.name in DESCRIPTIONS
        or any(part.startswith((".", "__")) for part in name.split("/"))
    ):
        return False
    try:
        rows.kind_of(name)
    except RawError:
        return False
    return True


def _pattern(name: str) -> str:
    """The name with a star for each number: `train-*-of-*.parquet`."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffixes = file.partition(".")
    return folder + slash + re.sub(r"\d+", "*", stem) + dot + suffixes


def _without_tests(patterns: Sequence[str]) -> tuple[str, ...]:
    """The files of the training split where they are named after splits; else all."""
    splits = {one: found[1].lower() for one in patterns if (found := SPLIT.search(one)) is not None}
    train = [one for one, split in splits.items() if split == "train"]
    return tuple(train if train and len(splits) == len(patterns) else patterns)


SPLIT = re.compile(r"(?:^|[/_.-])(train|test|validation|valid|val|dev|eval)(?=[/_.*-])", re.IGNORECASE)


def _first_rows(root: Path, file: RowFile, most: int, broken: Counter[str]) -> Iterator[Row]:
    name = file.path.relative_to(root).as_posix() + (f"!{file.member}" if file.member else "")
    part = rows.Slice(file=file, name=name, bytes=file.path.stat().st_size)
    for _, row in islice(rows.rows(part), most):
        if isinstance(row, BadRow):
            broken[row.reason] += 1
        else:
            yield row


def _check_one_shape(path: Path, columns: dict[frozenset[str], str]) -> None:
    """Files of one folder may lack columns of each other; files that share none are different data."""
    shapes = list(columns)
    for other in shapes[1:]:
        if not shapes[0] & other:
            both = f"{columns[shapes[0]]} and {columns[other]}"
            raise ConfigError(
                str(path), f"{both} have no column in common", "files of one kind", "name one file or folder"
            )

"""Items of eval sets: where their files are, and how they are read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from curate.errors import RawError, SkipRow
from curate.evalsets.base import EvalSet, Item, Options
from curate.rawfiles import rows as raw
from curate.sources.base import RowFile


class Questions(NamedTuple):
    """The items of a benchmark with their keys and the numbers of their rows, all in row order."""

    items: Sequence[Item]
    keys: Sequence[str]
    numbers: Sequence[int]


class Loaded(NamedTuple):
    """A benchmark's questions, without media, and the rows that gave none, by reason."""

    questions: Questions
    skipped: Counter[str]


def load(evalset: EvalSet, folder: Path, options: Options | None = None) -> Loaded:
    """Read the items of a benchmark from its raw files, without media. Raises RawError where there are none."""
    items, numbers = [], []
    skipped: Counter[str] = Counter()
    for number, item in read_items(evalset, folder, options or Options()):
        if isinstance(item, SkipRow):
            skipped[item.reason] += 1
            continue
        for media in item.media:
            media.data = None  # image bytes of a whole benchmark need not fit into memory
        items.append(item)
        numbers.append(number)
    if not items:
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.most_common(3)) or "no rows"
        raise RawError(str(folder), f"no item of {evalset.name}: {reasons}", f"the rows of {evalset.repo}")
    return Loaded(Questions(items, unique_keys(items), numbers), skipped)


def read_items(evalset: EvalSet, folder: Path, options: Options) -> Iterator[tuple[int, Item | SkipRow]]:
    """Every row by its number, from 1, over all files: its item with media as upstream has them, or why not."""
    number = 0
    for part in raw.slices(folder, row_files(evalset, folder, options)):
        for _, row in raw.rows(part):
            number += 1
            try:
                if row is None:
                    raise SkipRow(raw.NOT_JSON)
                yield number, evalset.to_item(row)
            except SkipRow as skip:
                yield number, skip


def row_files(evalset: EvalSet, folder: Path, options: Options) -> list[RowFile]:
    """The files with a benchmark's rows. Raises RawError where there are none."""
    hint = (
        f"curate fetch {evalset.name}; or put the files of {evalset.repo} there, or name their parent with --raw"
    )
    if not folder.is_dir():
        raise RawError(str(folder), "no such directory", f"the raw files of {evalset.name}", hint)
    patterns = evalset.layout(evalset.split_of(options))
    for pattern in patterns:
        paths = sorted(path for path in folder.glob(pattern) if path.is_file())
        if paths:
            return [RowFile(path=path) for path in paths]
    raise RawError(str(folder), f"no file matches {' or '.join(patterns)}", "", hint)


def unique_keys(items: Sequence[Item]) -> list[str]:
    """Keys of the items; the second of two items alike in everything but media gets `.2`, and so on."""
    seen: Counter[str] = Counter()
    out = []
    for item in items:
        key = item.key
        seen[key] += 1
        out.append(key if seen[key] == 1 else f"{key}.{seen[key]}")
    return out

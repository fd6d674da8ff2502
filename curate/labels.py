"""People's labels of pairs: a file of JSON lines to which rows are only ever appended.

    {"pair_id": "32 hex digits", "label": "flip", "note": "", "who": "ada", "when": "2026-01-31T12:00:00Z"}

label   agree: the chosen reply is the better one; flip: the rejected one is; tie: neither; bad: no pair to learn
        from; null: this person's label before it is withdrawn
note    a remark, perhaps empty
who     the name of the person who labelled
when    UTC

Of the rows of one person about one pair the last counts. Other keys are passed over, so that a review sheet may
have more.
"""

import codecs
import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import orjson

from curate.errors import ConfigError
from curate.statistics import Interval, wilson

Word = Literal["agree", "flip", "tie", "bad"]
WORDS: tuple[Word, ...] = get_args(Word)

MOST_BYTES = 256 << 20
"""The largest label file; a million labels take about 150 MB."""
MOST_NOTE = 4000  # characters
MOST_NAME = 100
PAIR_ID = re.compile(r"[0-9a-f]{32}")
EXPECTED = '{"pair_id": ..., "label": agree|flip|tie|bad, "note": ..., "who": ..., "when": ...}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One row of a label file. Raises ValueError for what may not be in one."""

    pair_id: str
    label: Word | None
    note: str = ""
    who: str
    when: str

    def __post_init__(self) -> None:
        for name in ("pair_id", "note", "who", "when"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is not a text")
        if not PAIR_ID.fullmatch(self.pair_id):
            raise ValueError(f"pair_id is {self.pair_id[:40]!r}; it has 32 hex digits")
        if self.label is not None and self.label not in WORDS:
            raise ValueError(f"label is {str(self.label)[:40]!r}; it is one of {', '.join(WORDS)}, or null")
        if not self.who.strip() or len(self.who) > MOST_NAME:
            raise ValueError(f"who has {len(self.who)} characters; a name has 1 to {MOST_NAME}")
        if len(self.note) > MOST_NOTE:
            raise ValueError(f"note has {len(self.note):,} characters, more than {MOST_NOTE:,}")


def now() -> str:
    """The time as labels have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_label(path: Path, label: Label) -> int:
    """Append a row and wait until it is on the disk; the number of bytes that were added.

    Processes that append at once do not mix their rows.
    """
    line = orjson.dumps(asdict(label)) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if _is_cut(file):
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return len(line)


def _is_cut(file: Any) -> bool:
    """Whether the last line has no end: the machine went down while it was written."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


def read_labels(path: Path) -> list[Label]:
    """The rows of a label file in their order. Raises ConfigError with the line of the first that is none."""
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ConfigError(str(path), f"has {size:,} bytes", f"at most {MOST_BYTES:,}")
        data = path.read_bytes()
    except FileNotFoundError:
        hint = "curate browse writes labels; --labels names the file"
        raise ConfigError(str(path), "no such file", "a label file", hint) from None
    except OSError as error:
        raise ConfigError(str(path), str(error.strerror).lower(), "a label file") from None
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: bytes, where: str) -> Label:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ConfigError(where, "UTF-16", "UTF-8", "save it as UTF-8") from None
        raise ConfigError(where, "not JSON", EXPECTED, "a line that was cut off may be deleted") from None
    missing = [
        name for name in ("pair_id", "label", "who", "when") if not isinstance(row, dict) or name not in row
    ]
    if missing:
        raise ConfigError(where, f"no {missing[0]}", EXPECTED)
    try:
        return Label(**{name: row[name] for name in Label.__slots__ if name in row})
    except ValueError as error:
        raise ConfigError(where, str(error), EXPECTED) from None


def latest(rows: Iterable[Label]) -> dict[str, dict[str, Label]]:
    """What each person says of each pair at last, by pair id and name; withdrawn labels have `label` None."""
    found: dict[str, dict[str, Label]] = {}
    for row in rows:
        found.setdefault(row.pair_id, {})[row.who] = row
    return found


def agreed(rows: Iterable[Label]) -> dict[str, Word]:
    """The label that most people gave each pair; a pair on which two labels are as frequent has none."""
    found: dict[str, Word] = {}
    for pair_id, by in latest(rows).items():
        ranked = Counter(one.label for one in by.values() if one.label is not None).most_common(2)
        if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]):
            found[pair_id] = ranked[0][0]
    return found


class Agreement(NamedTuple):
    """How often two people gave the same label to the pairs that both labelled; `kappa` is Cohen's, None without
    any spread."""

    left: str
    right: str
    shared: int
    same: int
    interval: Interval
    kappa: float | None


def agreements(rows: Iterable[Label]) -> list[Agreement]:
    """The agreement of every two people who labelled the same pairs, by their names."""
    both: dict[tuple[str, str], Counter[tuple[Word, Word]]] = {}
    for by in latest(rows).values():
        labels = sorted((who, one.label) for who, one in by.items() if one.label is not None)
        for (left, first), (right, second) in combinations(labels, 2):
            both.setdefault((left, right), Counter())[first, second] += 1
    return [_agreement(*names, counts) for names, counts in sorted(both.items())]


def _agreement(left: str, right: str, counts: Mapping[tuple[Word, Word], int]) -> Agreement:
    shared = sum(counts.values())
    same = sum(count for (first, second), count in counts.items() if first == second)
    sides = [
        [sum(count for words, count in counts.items() if words[side] == word) for word in WORDS] for side in (0, 1)
    ]
    chance = sum(a * b for a, b in zip(*sides, strict=True)) / shared**2
    kappa = None if chance == 1 else (same / shared - chance) / (1 - chance)
    return Agreement(left, right, shared, same, wilson(same, shared), kappa)

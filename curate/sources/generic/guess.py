"""From a few rows to the manifests that they may mean: adapter, column map, verdicts, each with a word on the
reading.

One reading: the rows say it. Several: people must say which; what decides is never a guess. The names that
publishers use are in `names`; a name alone is not enough where its values could be read two ways (0 and 1 as
verdicts).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from curate.errors import ConfigError
from curate.sources.base import Row
from curate.sources.generic import names
from curate.sources.generic.dialogue import is_dialogue
from curate.sources.generic.shapes import Column, columns_of
from curate.sources.generic.verdict_readings import verdict_tables
from curate.sources.generic.verdicts import KNOWN, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One manifest that may fit rows, without files, licence and media; `description` says how it differs."""

    adapter: str
    columns: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    used: frozenset[str] = frozenset()


def readings(rows: Sequence[Row]) -> list[Reading]:
    """The readings of the rows, at least one. Raises ConfigError where they hold no pairs that anyone could
    tell."""
    columns = columns_of(rows)
    found = [reading for part in (_chosen, _ranked, _judged) for reading in part(columns)]
    if not found:
        raise ConfigError("rows", _why_not(columns), "two replies and which is better", _has(columns))
    best = [reading for reading in found if reading.adapter == found[0].adapter]
    return [_completed(reading, columns) for reading in best]


def _has(columns: dict[str, Column]) -> str:
    tops = [name for name in columns if "." not in name]
    return f"the columns are {', '.join(tops[:20])}; map them in a manifest (curate/sources/generic says how)"


def _why_not(columns: dict[str, Column]) -> str:
    kinds = {column.kind for column in columns.values()}
    if "messages" in kinds and columns.get("label") is not None and columns["label"].kind == "bool":
        return "one reply and a label in each row (KTO): there is nothing to pair it with"
    if "messages" in kinds:
        return "one dialogue in each row: there is no second reply"
    return "no columns with two replies and a choice between them"


def _chosen(columns: dict[str, Column]) -> Iterator[Reading]:
    """Rows that say by the names of columns which reply is the better one."""
    sides = [
        (columns[good], columns[bad])
        for good in columns
        for bad in names.losers(good)
        if bad in columns and _is_reply(columns[good]) and _is_reply(columns[bad])
    ]
    for good, bad in sides[:1]:
        own = {"chosen": good.name, "rejected": bad.name}
        whole = good.kind in ("messages", "transcript") and _begins_with_user(good)
        for prompt in [None] if whole else _prompts(columns, {good.name, bad.name}):
            yield _reading(
                "preference", {**own, **_prompt(prompt)}, _prompt_description(prompt), **_media_replies(good)
            )


def _is_reply(column: Column) -> bool:
    return column.kind in ("text", "transcript", "message", "messages", "texts", "paths") and not (
        names.NO_REPLY & set(column.words)
    )


def _begins_with_user(column: Column) -> bool:
    return any(is_dialogue(value) for value in column.values)


def _prompts(columns: dict[str, Column], taken: set[str]) -> list[Any]:
    """The columns that may hold the prompt: the one with the best-known name, or all long texts; [None] for
    none."""
    free = {
        name: column
        for name, column in columns.items()
        if name not in taken and column.kind in ("text", "transcript", "messages")
    }
    if "instruction" in free and "input" in free:
        return [["instruction", "input"]]
    for name in names.PROMPTS:
        fitting = [column.name for column in free.values() if column.words[-1:] == (name,) or column.name == name]
        if fitting:
            return [min(fitting, key=lambda one: (one.count("."), len(one)))]
    texts = [
        column.name for column in free.values() if column.length >= 20 and not names.NO_PROMPT & set(column.words)
    ]
    return texts or [None]


def _prompt(found: Any) -> dict[str, Any]:
    return {} if found is None else {"prompt": found}


def _prompt_description(prompt: Any) -> str:
    return f"the prompt is {prompt}" if prompt is not None else "the prompt is what both begin with"


def _reading(adapter: str, columns: dict[str, Any], description: str = "", **more: Any) -> Reading:
    parts = [part for value in columns.values() for part in (value if isinstance(value, list) else [value])]
    used = frozenset(part for one in parts for part in (one, one.split(".")[0]))
    return Reading(adapter=adapter, columns=columns, description=description, more=more, used=used)


def _ranked(columns: dict[str, Column]) -> Iterator[Reading]:
    """A list of replies with a list of scores, or with a verdict about every two of them."""
    for replies in columns.values():
        if replies.kind not in ("texts", "paths") or not _some(names.REPLIES, replies) or _is_paths(replies):
            continue
        scores = [one for one in columns.values() if one.kind == "numbers" and _same_lengths(replies, one)]
        named = [one for one in scores if names.SCORES & set(one.words)] or scores
        for one in named:
            yield from _by_scores(columns, replies, one)
        if named:
            return
    several = names.numbered([column.name for column in columns.values() if column.kind in ("text", "paths")])
    for replies_of in several:
        count = len(replies_of)
        for verdicts in columns.values():
            if verdicts.kind == "numbers" and all(
                len(v or ()) == count * (count - 1) // 2 for v in verdicts.values
            ):
                yield from _by_verdicts(columns, replies_of, verdicts)
                return


def _media_replies(column: Column) -> dict[str, Any]:
    """What a manifest says of replies that are files."""
    if column.kind != "paths":
        return {}
    paths = [path for value in column.values for path in (value if isinstance(value, list) else [value]) if path]
    return {"replies": "videos" if all(VIDEO.search(path) for path in paths) else "images"}


VIDEO = re.compile(r"\.(?:mp4|webm|mov|avi|mkv|m4v)$", re.IGNORECASE)


def _is_paths(column: Column) -> bool:
    return column.kind == "paths" and any(isinstance(value, str) for value in column.values)


def _some(words: frozenset[str], column: Column) -> bool:
    return bool(words & set(column.words))


def _same_lengths(replies: Column, scores: Column) -> bool:
    both = [pair for pair in zip(replies.values, scores.values, strict=True) if None not in pair]
    return bool(both) and all(len(left) == len(right) for left, right in both)


def _by_scores(columns: dict[str, Column], replies: Column, scores: Column) -> Iterator[Reading]:
    lower = bool({"rank", "ranking", "ranks", "order"} & set(scores.words))
    known = lower or bool(names.SCORES & set(scores.words))
    more = _media_replies(replies)
    for prompt, down in product(_prompts(columns, {replies.name}), [lower] if known else [False, True]):
        own = {"responses": replies.name, "scores": scores.name, **_prompt(prompt)}
        description = f"{'lower' if down else 'higher'} {scores.name} is better"
        yield _reading("ranking", own, description, **more, **({"lower_is_better": True} if down else {}))


def _by_verdicts(columns: dict[str, Column], replies: list[str], verdicts: Column) -> Iterator[Reading]:
    values = {label(item) for row in verdicts.values for item in row or ()}
    for prompt, (table, description) in product(
        _prompts(columns, set(replies)), verdict_tables(values, names.first_number(replies))
    ):
        own = {"responses": replies, "preference": verdicts.name, **_prompt(prompt)}
        yield _reading("ranking", own, f"in {verdicts.name} {description}", verdicts=table)


def _judged(columns: dict[str, Column]) -> Iterator[Reading]:
    """Two replies side by side, and a column that says which is better; or a score for each."""
    sides = sorted(
        (
            (columns[first], columns[second])
            for first, second in names.couples(list(columns))
            if _comparable(columns, first, second)
        ),
        key=lambda pair: -(pair[0].length + pair[1].length) - 1000 * (pair[0].kind == "messages"),
    )
    if not sides:
        sides = [pair for column in columns.values() if (pair := _list_of_two(column)) is not None]
    for first, second in sides[:1]:
        whole = first.kind in ("messages", "transcript") and _begins_with_user(first)
        prompts = [None] if whole else _prompts(columns, {first.name, second.name})
        for prompt in prompts:
            own = {"response_a": first.name, "response_b": second.name, **_prompt(prompt)}
            found = [*_by_label(columns, own, first, second)] or [*_by_two_scores(columns, own)]
            found = [replace(one, more=one.more | _media_replies(first)) for one in found]
            if not found and not _labels(columns):
                yield _reading(
                    "preference",
                    {"chosen": first.name, "rejected": second.name, **_prompt(prompt)},
                    f"{first.name} is always the better one",
                )
                yield _reading(
                    "preference",
                    {"chosen": second.name, "rejected": first.name, **_prompt(prompt)},
                    f"{second.name} is always the better one",
                )
            yield from found


def _comparable(columns: dict[str, Column], first: str, second: str) -> bool:
    left, right = columns[first], columns[second]
    return left.kind == right.kind and _is_reply(left) and _is_reply(right)


def _list_of_two(column: Column) -> tuple[Column, Column] | None:
    """The two replies of a column that is always a list of two texts."""
    if column.kind != "texts" or not _some(names.REPLIES, column) or {len(v or ()) for v in column.values} != {2}:
        return None
    first, second = (
        Column(name=f"{column.name}.{at}", kind="text", values=tuple(value[at] for value in column.values))
        for at in (0, 1)
    )
    return first, second


def _labels(columns: dict[str, Column]) -> list[Column]:
    """The columns that may say which of two replies is better."""
    # a column for each of the two replies says something of one of them
    coupled = {name for couple in names.couples(list(columns)) for name in couple}
    return [
        column for column in columns.values()
        if column.kind in ("text", "number", "bool", "numbers", "texts") and 0 < len(_values(column)) <= 12
        and (_is_label(column, coupled) or _speaks_of_two(column))
    ]  # fmt: skip


def _is_label(column: Column, coupled: set[str]) -> bool:
    words = set(column.words)
    return bool(names.ANNOTATORS & words) or (bool(names.LABELS & words) and column.name not in coupled)


def _speaks_of_two(column: Column) -> bool:
    """Whether its values are words that can only be verdicts."""
    values = _values(column) if column.kind == "text" else set()
    return len(values) > 1 and values <= set(KNOWN)


def _values(column: Column) -> set[str]:
    values = [item for value in column.values for item in (value if isinstance(value, list) else [value])]
    return {label(value) for value in values if value is not None}


def _by_label(columns: dict[str, Column], own: dict[str, Any], first: Column, second: Column) -> Iterator[Reading]:
    base = names.first_number([first.name, second.name])
    sides = {first.name.lower(): "a", second.name.lower(): "b"}
    candidates = [
        (column, tables) for column in _labels(columns)
        if (tables := list(verdict_tables(_values(column), base, sides))) and column.name not in own.values()
    ]  # fmt: skip
    annotators = [pair for pair in candidates if names.ANNOTATORS & set(pair[0].words)]
    if len(annotators) > 1 and len(annotators) == len(candidates):
        values = set().union(*(_values(column) for column, _ in annotators))
        columns_of_votes = [column.name for column, _ in annotators]
        for table, description in verdict_tables(values, base, sides):
            yield _verdict_reading(
                own, columns_of_votes, table, f"{description}; the majority of {len(annotators)} decides"
            )
        return
    for column, tables in candidates:
        for table, description in tables:
            yield _verdict_reading(
                own,
                column.name,
                table,
                f"in {column.name} {description}" if description else f"{column.name} decides",
            )


def _verdict_reading(own: dict[str, Any], column: Any, table: Any, description: str) -> Reading:
    if isinstance(table, float):
        return _reading("scored", {**own, "preference": column}, description, threshold=table)
    return _reading("scored", {**own, "preference": column}, description, **({"verdicts": table} if table else {}))


def _by_two_scores(columns: dict[str, Column], own: dict[str, Any]) -> Iterator[Reading]:
    for first, second in names.couples(list(columns)):
        left, right = columns[first], columns[second]
        if left.kind == right.kind == "number" and names.SCORES & set(left.words):
            lower = bool({"rank", "ranking"} & set(left.words))
            more = {"lower_is_better": True} if lower else {}
            description = f"the {'lower' if lower else 'higher'} of {first} and {second} is better"
            yield _reading("scored", {**own, "score_a": first, "score_b": second}, description, **more)
            return


def _completed(reading: Reading, columns: dict[str, Column]) -> Reading:
    """The reading with all that its rows have beside prompt and replies: media, scores, groups; columns as
    JSON."""
    own, used = dict(reading.columns), set(reading.used)
    for ours, theirs in names.beside(reading.adapter, [name for name in columns if name not in used]):
        column = columns[theirs]
        if ours not in own and _fits(ours, column):
            own[ours] = theirs
            used |= {theirs, theirs.split(".")[0]}
    # verdicts are read only where their column is named
    ordered = {ours: theirs for ours, theirs in own.items() if ours != theirs or ours == "preference"}
    coded = [
        ours
        for ours, theirs in own.items()
        if isinstance(theirs, str) and theirs in columns and columns[theirs].coded
    ]
    optional = [
        ours for ours, theirs in ordered.items()
        if isinstance(theirs, str) and theirs in columns and not _always(columns[theirs])
    ]  # fmt: skip
    more = dict(reading.more)
    if coded:
        more["json"] = coded
    if optional:
        more["optional"] = optional
    return replace(reading, columns=ordered, more=more, used=frozenset(used))


def _always(column: Column) -> bool:
    return all(value is not None for value in column.values)


def _fits(ours: str, column: Column) -> bool:
    if ours in ("images", "videos"):
        return column.kind in ("text", "paths", "bytes", "object", "objects", "texts", "mixed")
    if ours in ("margin", "chosen_score", "rejected_score"):
        return column.kind == "number"
    if ours == "tools":
        return column.kind in ("objects", "text", "mixed")
    return column.kind in ("text", "number")

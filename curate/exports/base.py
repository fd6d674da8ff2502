"""What a format is: which pairs it can carry, how it writes them, and the settings to paste into its trainer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.exports.pair import PLACE, TAGS, Pair

Videos = Literal["frames", "drop"]
Images = Literal["files", "embed"]
Template = Literal["chatml", "llama3"]
Rule = Callable[[Pair], str | None]

TRAIN, VALIDATION = "train", "validation"
SPLITS = {TRAIN: "shard", VALIDATION: "holdout"}
"""The folder of each split in an export, and the beginning of the names of its files in a mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What is the same for all pairs of a mix: its name, whether any has media, whether messages have fields."""

    name: str
    media: bool
    fields: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the pairs of one shard are written: files of this beginning in this folder of the export in `root`.

    `first` is the number of the shard's first pair in its split.
    """

    root: Path
    split: str
    number: int
    first: int

    def file(self, suffix: str) -> Path:
        """The file `SPLIT/part-00000SUFFIX`."""
        return self.root / self.split / f"part-{self.number:05d}{suffix}"


@dataclass(slots=True, kw_only=True)
class Written:
    """The files that hold the pairs of one shard, and what the format must know of them at the end."""

    files: list[Path]
    facts: Any = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """One trainer's format, with the options of an export. The fields enter the identity of what is exported.

    videos    "frames": a video is its frames, images one after another; "drop": pairs with a video are left out
    margins   margins are written, those that a pair lacks as 0
    images    "files": images are files beside the data; "embed": they are in it
    template  how a prompt becomes one text, where the format has only texts
    """

    mix: Mixture
    videos: Videos = "frames"
    margins: bool = False
    images: Images = "files"
    template: Template = "chatml"

    name: ClassVar[str]
    about: ClassVar[str]
    version: ClassVar[int] = 1
    """Goes up when equal pairs give other bytes."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Which of the fields mean something to this format."""
    carries: ClassVar[frozenset[str]] = frozenset()
    """Which of RATINGS are written always."""

    def rules(self) -> Sequence[Rule]:
        """What a pair must be; the first that it is not is the reason why it is left out."""
        raise NotImplementedError

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """Write pairs to files, in bounded memory."""
        raise NotImplementedError

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """The texts of further files by name, the settings among them, given the facts of each split's parts."""
        raise NotImplementedError

    def fault(self, pair: Pair) -> str | None:
        """Why the pair is left out; None if it can be written."""
        if pair.videos and self.videos == "drop":
            return "videos"
        for rule in self._rules:
            if (found := rule(pair)) is not None:
                return found
        return None

    @cached_property
    def _rules(self) -> Sequence[Rule]:
        return self.rules()

    def without(self, pair: Pair) -> Iterator[str]:
        """What of a pair that is written is not."""
        for name, columns in self._unwritten:
            for column in columns:
                if pair.row.get(column) not in (None, USUAL.get(column)):
                    yield name
                    break

    @cached_property
    def _unwritten(self) -> Sequence[tuple[str, Sequence[str]]]:
        return [(name, columns) for name, columns in RATINGS.items() if name not in self.written]

    @property
    def written(self) -> frozenset[str]:
        """Which of RATINGS are written."""
        return self.carries | ({"margins"} if self.margins else set())


RATINGS = {
    "margins": ("margin",), "scores": ("chosen_score", "rejected_score"),
    "critiques": ("chosen_critique", "rejected_critique"), "weights": ("weight",),
}  # fmt: skip
"""Ratings of a pair by the columns that have them: what is counted where a format has no place for it."""

USUAL = {"weight": 1.0}
"""What a column has where a pair has nothing to lose; only weighted mixes have weights."""


# --------------------------------------------------------------------------------------------------------- rules


def no_media(pair: Pair) -> str | None:
    """Text alone."""
    return "videos" if pair.videos else "images" if pair.images else None


def media_in_prompt(pair: Pair) -> str | None:
    """No image in a reply."""
    return "images_in_replies" if pair.reply_images else None


def no_media_in_system(pair: Pair) -> str | None:
    """No image in a system turn."""
    found = pair.images and any(turn.role == "system" and PLACE in turn.tagged for turn in pair.prompt)
    return "images_in_system_turn" if found else None


def no_tools(pair: Pair) -> str | None:
    """No tools, no calls and no results of calls."""
    if pair.tools is not None:
        return "tool_calls"
    for turn in pair.turns:
        if turn.role == "tool" or (turn.fields and CALLS & turn.fields.keys()):
            return "tool_calls"
    return None


CALLS = {"tool_calls", "tool_call_id", "name"}


def no_reasoning(pair: Pair) -> str | None:
    """No reasoning beside the content of a turn."""
    for turn in pair.turns:
        if turn.fields and "reasoning_content" in turn.fields:
            return "reasoning"
    return None


def awaits_reply(pair: Pair) -> str | None:
    """The prompt ends with a turn that a reply follows."""
    return None if pair.prompt and pair.prompt[-1].role in ("user", "tool") else "prompt_ends_otherwise"


def known_roles(pair: Pair) -> str | None:
    """Roles that every trainer accepts."""
    return None if ROLES.issuperset([turn.role for turn in pair.turns]) else "roles"


ROLES = {"system", "user", "assistant", "tool"}


def replied(pair: Pair) -> str | None:
    """The replies begin with a turn of the assistant."""
    chosen, rejected = pair.chosen, pair.rejected
    begin = chosen and rejected and chosen[0].role == rejected[0].role == "assistant"
    return None if begin else "replies"


def one_reply(pair: Pair) -> str | None:
    """Each reply is one turn of the assistant."""
    return "several_reply_turns" if len(pair.chosen) > 1 or len(pair.rejected) > 1 else replied(pair)


def in_turns(pair: Pair) -> str | None:
    """At most one system turn, at the start, and then user and assistant in turns; results of tools are one turn
    of the user, but not the first."""
    roles = [turn.role for turn in pair.prompt]
    roles = roles[1:] if roles[:1] == ["system"] else roles
    if "tool" in roles[1:]:
        pairs = pairwise(roles)
        roles = roles[:1] + [
            "user" if role == "tool" else role for before, role in pairs if (before, role) != RESULTS
        ]
    due = ["user", "assistant"] * len(roles)
    return None if roles == due[: len(roles)] and len(roles) % 2 else "turn_order"


RESULTS = ("tool", "tool")


def no_tags(pair: Pair) -> str | None:
    """No text of its own that a trainer would take for the place of a medium."""
    for turn in pair.turns:
        texts = [turn.content] if isinstance(turn.content, str) else [x["text"] or "" for x in turn.content]
        texts += [*chain(*turn.calls)] if turn.fields else []
        if any("<" in text and any(tag in text for tag in TAGS) for text in texts):
            return "media_tags_in_text"
    return None


def other_replies(pair: Pair) -> str | None:
    """The replies differ by their texts or calls."""
    chosen, rejected = pair.chosen[0], pair.rejected[0]
    return "equal_replies" if chosen.tagged == rejected.tagged and chosen.calls == rejected.calls else None


def filled(pair: Pair) -> str | None:
    """No reply is empty."""
    return None if pair.chosen[0].tagged.strip() and pair.rejected[0].tagged.strip() else "empty_replies"


TEXT: tuple[Rule, ...] = (no_media, no_tools, no_reasoning, known_roles, awaits_reply)
"""The rules of formats of plain texts."""

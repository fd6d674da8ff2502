"""Calls of tools and their results, for trainers that have roles of their own for them.

A call loses its id: results are in the order of the calls instead.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import orjson

from curate.exports import base
from curate.exports.base import Format
from curate.exports.pair import Pair, Turn


def calls(turn: Turn) -> list[dict[str, Any]]:
    """The calls of a turn as `{name, arguments}`, the arguments as JSON has them. Raises ValueError for no
    JSON."""
    return [{"name": name, "arguments": orjson.loads(arguments)} for name, arguments in turn.calls]


def readable_calls(pair: Pair) -> str | None:
    """The arguments of each call are a JSON object."""
    for turn in pair.turns:
        try:
            objects = all(isinstance(call["arguments"], dict) for call in calls(turn))
        except ValueError:
            objects = False
        if not objects:
            return "tool_arguments_not_an_object"
    return None


def ordered(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns; results that follow several calls are in the order of these, where their ids say so."""
    ids: list[Any] = []
    for is_result, some in groupby(turns, lambda turn: turn.role == "tool"):
        run = list(some)
        if is_result:
            given = [turn.fields.get("tool_call_id") for turn in run]
            if len(set(ids)) == len(run) and set(given) == set(ids):
                run.sort(key=lambda turn: ids.index(turn.fields["tool_call_id"]))
        else:
            ids = [call.get("id") for call in run[-1].fields.get("tool_calls", ())]
        yield from run


def has_ids(pair: Pair) -> bool:
    """Whether any call or result has an id."""
    return any(
        "tool_call_id" in turn.fields or any("id" in call for call in turn.fields.get("tool_calls", ()))
        for turn in pair.turns
    )


class Dialogues(Format):
    """A dialogue whose user and assistant take turns, images as tags in its text, calls as turns of their own."""

    def rules(self) -> Sequence[base.Rule]:
        """What trainers with such dialogues skip, or would count wrongly."""
        return (
            base.media_in_prompt, base.no_reasoning, base.known_roles, base.in_turns, base.one_reply, base.no_tags,
            *((readable_calls,) if self.mix.fields else ()),
        )  # fmt: skip

    def without(self, pair: Pair) -> Iterator[str]:
        """As all, and the ids of calls."""
        yield from super().without(pair)
        if self.mix.fields and has_ids(pair):
            yield "ids_of_tool_calls"

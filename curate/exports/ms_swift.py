"""ms-swift: messages with the chosen reply, and `rejected_response`, as JSON Lines, or as Parquet with images.

An image stands as `<image>` in the text of its turn. ms-swift subtracts `margin` inside the loss wherever it is
there, so it is written on demand only; it deletes pairs whose replies are equal.

In a mix with tools a call is a turn `tool_call`, its result `tool_response`, and `rejected_response` is a list of
turns: all that follow the last turn of the user, since it takes the place of these.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from curate.exports import base
from curate.exports.base import Place, Written
from curate.exports.files import write_lines, write_table
from curate.exports.pair import Pair, Turn
from curate.exports.tools import Dialogues, calls, ordered
from curate.mixing import shard_schema


class MsSwift(Dialogues):
    """Reward models and DPO, text or images."""

    name, about = "ms-swift", "ms-swift: for rlhf_type rm and dpo, text or images"
    version = 2
    options = frozenset({"videos", "margins"})

    def rules(self) -> Sequence[base.Rule]:
        """What its loader deletes, and what its template would count wrongly."""
        return (*super().rules(), base.other_replies)

    def record(self, pair: Pair) -> dict[str, Any]:
        """The row of a pair."""
        row: dict[str, Any] = {
            "pair_id": pair.id,
            "messages": _messages((*pair.prompt, *pair.chosen)),
            "rejected_response": _rejected(pair) if self.mix.fields else pair.rejected[0].tagged,
        }
        row |= {"tools": pair.tools or "[]"} if self.mix.fields else {}
        row |= {"margin": pair.margin} if self.margins else {}
        if self.mix.media:
            row["images"] = [{"bytes": image.data, "path": image.key} for image in pair.images]
        return row

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One file."""
        records = map(self.record, pairs)
        if not self.mix.media:
            return Written(files=[write_lines(place.file(".jsonl"), records)])
        rejected = shard_schema.TEXT if self.mix.fields else pa.string()
        fields = [("pair_id", pa.string()), ("messages", shard_schema.TEXT), ("rejected_response", rejected)]
        fields += [("tools", pa.string())] if self.mix.fields else []
        fields += [("margin", pa.float64())] if self.margins else []
        schema = pa.schema([*fields, ("images", shard_schema.IMAGES.type)])  # its loader takes dicts, no features
        return Written(files=[write_table(place.file(".parquet"), schema, records)])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`train.sh`: the options about data."""
        ending = "parquet" if self.mix.media else "jsonl"
        lines = [
            "# in this directory: bash train.sh",
            "swift rlhf --rlhf_type rm --model MODEL --output_dir run \\",
            *([f"  --val_dataset validation/*.{ending} \\"] if "validation" in splits else []),
            f"  --dataset train/*.{ending}",
        ]
        return {"train.sh": "\n".join(lines) + "\n"}


def _messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns, each call as one of its own after the text beside it."""
    messages = []
    for turn in ordered(turns):
        if turn.tagged or not turn.calls:
            messages.append({"role": ROLES.get(turn.role, turn.role), "content": turn.tagged})
        messages += [{"role": "tool_call", "content": orjson.dumps(call).decode()} for call in calls(turn)]
    return messages


ROLES = {"tool": "tool_response"}


def _rejected(pair: Pair) -> list[dict[str, str]]:
    """What takes the place of all that follows the last turn of the user."""
    last = max(number for number, turn in enumerate(pair.prompt) if turn.role == "user")
    return _messages((*pair.prompt[last + 1 :], *pair.rejected))

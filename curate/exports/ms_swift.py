"""ms-swift: messages with the chosen reply, and `rejected_response`, as JSON Lines, or as Parquet with images.

An image stands as `<image>` in the text of its turn. ms-swift subtracts `margin` inside the loss wherever it is
there, so it is written on demand only; it deletes pairs whose replies are equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_lines, write_table
from curate.exports.pair import Pair
from curate.mixing import shard_schema


class MsSwift(Format):
    """Reward models and DPO, text or images."""

    name, about = "ms-swift", "ms-swift: for rlhf_type rm and dpo, text or images"
    options = frozenset({"videos", "margins"})

    def rules(self) -> Sequence[base.Rule]:
        """What its loader deletes, and what its template would count wrongly."""
        return (
            base.media_in_prompt, base.no_tools, base.no_reasoning, base.known_roles, base.in_turns,
            base.one_reply, base.other_replies, base.no_tags,
        )  # fmt: skip

    def record(self, pair: Pair) -> dict[str, Any]:
        """The row of a pair."""
        row: dict[str, Any] = {
            "pair_id": pair.id,
            "messages": [turn.message for turn in (*pair.prompt, *pair.chosen)],
            "rejected_response": pair.rejected[0].tagged,
        }
        row |= {"margin": pair.margin} if self.margins else {}
        if self.mix.media:
            row["images"] = [{"bytes": image.data, "path": image.key} for image in pair.images]
        return row

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One file."""
        records = map(self.record, pairs)
        if not self.mix.media:
            return Written(files=[write_lines(place.file(".jsonl"), records)])
        fields = [("pair_id", pa.string()), ("messages", shard_schema.TEXT), ("rejected_response", pa.string())]
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

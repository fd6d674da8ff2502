"""TRL: Parquet of conversations for RewardTrainer and DPOTrainer, with images for DPO of multimodal models.

TRL subtracts the column `margin` inside the loss wherever it is there, so it is written on demand only.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_table
from curate.exports.pair import Pair, Turn
from curate.mixing import shard_schema

SIDES = shard_schema.SIDES


class Trl(Format):
    """Conversations with image blocks and the column `images`; texts where the mix has no media."""

    name, about = "trl", "TRL: conversations with images (DPOTrainer of VLMs), texts where the mix has no media"
    options = frozenset({"videos", "margins"})

    @property
    def media(self) -> bool:
        """Whether there are blocks and a column of images."""
        return self.mix.media

    def rules(self) -> Sequence[base.Rule]:
        """TRL's loader reads images of prompts alone; roles are those that its templates know."""
        return (base.media_in_prompt, base.known_roles, base.awaits_reply, base.replied)

    def schema(self) -> pa.Schema:
        """The columns."""
        messages = shard_schema.message_type(fields=self.mix.fields, text=not self.media)
        fields = [pa.field("pair_id", pa.string()), *(pa.field(side, messages, nullable=False) for side in SIDES)]
        fields += [pa.field("margin", pa.float64())] if self.margins else []
        fields += [pa.field("tools", pa.string())] if self.mix.fields else []
        return shard_schema.with_features([*fields, *([shard_schema.IMAGES] if self.media else [])])

    def record(self, pair: Pair) -> dict[str, Any]:
        """The row of a pair."""
        row: dict[str, Any] = {"pair_id": pair.id, "margin": pair.margin, "tools": pair.tools}
        row |= {side: [self.message(turn) for turn in getattr(pair, side)] for side in SIDES}
        row["images"] = [{"bytes": image.data, "path": image.key} for image in pair.images]
        return row

    def message(self, turn: Turn) -> dict[str, Any]:
        """One message; the arguments of calls are JSON texts, since their types differ from row to row."""
        fields = dict(turn.fields)
        return {"role": turn.role, "content": turn.blocks if self.media else turn.tagged, **fields}

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One Parquet file."""
        return Written(files=[write_table(place.file(".parquet"), self.schema(), map(self.record, pairs))])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`train.py`: the datasets, and the trainer that takes them."""
        kind = "DPO" if self.media else "Reward"
        files = {split: f"{split}/*.parquet" for split in splits}
        evaluated = ", eval_dataset=data['validation']" if "validation" in splits else ""
        return {
            "train.py": f"# in this directory: python train.py\n"
            f"from datasets import load_dataset\n"
            f"from trl import {kind}Config, {kind}Trainer\n\n"
            f"data = load_dataset('parquet', data_files={orjson.dumps(files).decode()})\n"
            f"{kind}Trainer(\n"
            f"    model='MODEL', args={kind}Config(output_dir='run'), train_dataset=data['train']{evaluated},\n"
            f").train()\n"
        }


class TrlText(Trl):
    """Conversations of texts, without a column of images: its presence makes TRL's DPO a vision run."""

    name, about = "trl-text", "TRL: conversations of texts (RewardTrainer, DPOTrainer); pairs with media left out"
    options = frozenset({"margins"})

    @property
    def media(self) -> bool:
        """Never."""
        return False

    def rules(self) -> Sequence[base.Rule]:
        """Texts alone."""
        return (base.no_media, base.known_roles, base.awaits_reply, base.replied)

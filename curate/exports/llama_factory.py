"""LLaMA-Factory: ShareGPT conversations with a ranking, as JSON Lines, or as Parquet where pairs have images.

An image is `<image>` in the text of its turn. Their number must be that of `images`; the template counts those of
prompt and reply together, so a reply has none, and not those of the system turn. It skips what does not alternate:
here that has a reason instead. Images are files by default: those in Parquet are decoded by its converter and
encoded anew, JPEG with a loss, before training.

A turn that calls tools is `function_call`, the calls as JSON, in tags where there is text beside them; the result
is `observation`, one a turn; `tools` is a column. Its templates look for these tags and those of reasoning, so
texts of such a turn have none.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from curate.exports import base
from curate.exports.base import Place, Written
from curate.exports.files import save_images, write_lines, write_table
from curate.exports.pair import Pair, Turn
from curate.exports.tools import Dialogues, calls
from curate.mixing import shard_schema
from curate.text.inert import json_text

SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
CALL, END_OF_CALL = "<tool_call>", "</tool_call>"
READ = (CALL, END_OF_CALL, "<think>", "</think>")
"""What its templates look for in a turn with calls."""
TURN = pa.struct([("from", pa.string()), ("value", pa.string())])


class LlamaFactory(Dialogues):
    """Reward models and DPO, text or images."""

    name, about = "llama-factory", "LLaMA-Factory: rankings for stage rm and dpo, with dataset_info.json"
    version = 2
    options = frozenset({"videos", "images"})

    def rules(self) -> Sequence[base.Rule]:
        """What its converter skips, and what its template would count wrongly."""
        rules = (*super().rules(), base.no_media_in_system, one_result)
        return (*rules, no_tags_in_calls) if self.mix.fields else rules

    def record(self, pair: Pair, root: Path) -> dict[str, Any]:
        """The row of a pair; its images are written below `root`."""
        row: dict[str, Any] = {
            "pair_id": pair.id,
            "conversations": [_turn(turn) for turn in pair.prompt],
            "chosen": _turn(pair.chosen[0]),
            "rejected": _turn(pair.rejected[0]),
        }
        if self.mix.fields:
            row["tools"] = pair.tools or ""
        if self.mix.media:
            embedded = [{"bytes": image.data, "path": image.key} for image in pair.images]
            row["images"] = embedded if self.images == "embed" else save_images(root, pair.images)
        return row

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One file."""
        records = (self.record(pair, place.root) for pair in pairs)
        if not self.mix.media:
            return Written(files=[write_lines(place.file(".jsonl"), records)])
        fields = [pa.field("pair_id", pa.string()), pa.field("conversations", pa.list_(TURN))]
        fields += [pa.field("chosen", TURN), pa.field("rejected", TURN)]
        fields += [pa.field("tools", pa.string())] if self.mix.fields else []
        fields += [shard_schema.IMAGES if self.images == "embed" else pa.field("images", pa.list_(pa.string()))]
        return Written(files=[write_table(place.file(".parquet"), shard_schema.with_features(fields), records)])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`dataset_info.json`, and `train.yaml` with the options about data."""
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
        columns |= {"tools": "tools"} if self.mix.fields else {}
        columns |= {"images": "images"} if self.mix.media else {}
        names = {split: self.mix.name if split == "train" else f"{self.mix.name}_{split}" for split in splits}
        facts = {
            names[split]: {"file_name": split, "formatting": "sharegpt", "ranking": True, "columns": columns}
            for split in splits
        }
        lines = [
            "# in this directory: llamafactory-cli train train.yaml",
            "stage: rm",
            "model_name_or_path: MODEL",
            "template: TEMPLATE",
            "dataset_dir: .",
            *(["media_dir: ."] if self.mix.media and self.images == "files" else []),
            f"dataset: '{names['train']}'",
            *([f"eval_dataset: '{names['validation']}'"] if "validation" in names else []),
            "output_dir: run",
        ]
        return {"dataset_info.json": json_text(facts) + "\n", "train.yaml": "\n".join(lines) + "\n"}


def one_result(pair: Pair) -> str | None:
    """No result of a tool follows another."""
    roles = [turn.role for turn in pair.prompt]
    return "several_tool_results" if base.RESULTS in pairwise(roles) else None


def no_tags_in_calls(pair: Pair) -> str | None:
    """No text of a turn with calls has what templates look for there."""
    for turn in pair.turns:
        if turn.calls and any(tag in text for tag in READ for text in (turn.tagged, *chain(*turn.calls))):
            return "template_tokens_in_text"
    return None


def _turn(turn: Turn) -> dict[str, str]:
    if not turn.calls:
        return {"from": SPEAKERS[turn.role], "value": turn.tagged}
    called = orjson.dumps(calls(turn)).decode()
    return {
        "from": "function_call",
        "value": f"{turn.tagged}{CALL}{called}{END_OF_CALL}" if turn.tagged else called,
    }

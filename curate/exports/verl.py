"""verl: Parquet of strings for its reward model, and of prompts for reinforcement learning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_table
from curate.exports.pair import Pair, Turn
from curate.mixing.shard_schema import TEXT

CONTROL = {
    "chatml": ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>"),
}
"""The tokens of each template: inside of texts they would begin and end turns."""


class VerlRm(Format):
    """Pairs of a reward model: a rendered prompt and the texts of both replies."""

    name, about = "verl-rm", "verl: RMDataset, texts alone, prompts rendered by --template"
    options = frozenset({"template"})

    def rules(self) -> Sequence[base.Rule]:
        """Texts without tokens of the template; a reply is one text."""
        return (*base.TEXT, base.one_reply, self.no_control)

    def no_control(self, pair: Pair) -> str | None:
        """No text has a token of the template."""
        tokens = CONTROL[self.template]
        found = any("<|" in turn.tagged and any(one in turn.tagged for one in tokens) for turn in pair.turns)
        return "template_tokens_in_text" if found else None

    def record(self, pair: Pair) -> dict[str, Any]:
        """The row of a pair."""
        return {
            "pair_id": pair.id,
            "prompt": _chatml(pair.prompt) if self.template == "chatml" else _llama3(pair.prompt),
            "chosen": pair.chosen[0].tagged,
            "rejected": pair.rejected[0].tagged,
        }

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One Parquet file."""
        schema = pa.schema([(name, pa.string()) for name in ("pair_id", "prompt", "chosen", "rejected")])
        return Written(files=[write_table(place.file(".parquet"), schema, map(self.record, pairs))])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`data.py`: the datasets."""
        lines = [
            "# in this directory",
            "from glob import glob",
            "",
            "from transformers import AutoTokenizer",
            "from verl.utils.dataset import RMDataset",
            "",
            f"tokenizer = AutoTokenizer.from_pretrained('MODEL')  # prompts are rendered as {self.template}",
            *(f"{split} = RMDataset(sorted(glob('{split}/*.parquet')), tokenizer)" for split in splits),
        ]
        return {"data.py": "\n".join(lines) + "\n"}


def _chatml(turns: Sequence[Turn]) -> str:
    rendered = "".join(f"<|im_start|>{turn.role}\n{turn.tagged}<|im_end|>\n" for turn in turns)
    return f"{rendered}<|im_start|>assistant\n"


def _llama3(turns: Sequence[Turn]) -> str:
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    rendered = "".join(f"{head.format(turn.role)}{turn.tagged.strip()}<|eot_id|>" for turn in turns)
    return rendered + head.format("assistant")


class VerlRl(Format):
    """One row of each pair for reinforcement learning: its prompt, and the chosen reply as what is right."""

    name, about = "verl-rl", "verl: RLHFDataset, prompts with images, the chosen reply as ground truth"
    version = 2
    options = frozenset({"videos"})

    def rules(self) -> Sequence[base.Rule]:
        """Prompts that end with the user; `<image>` stands for an image only."""
        return (
            base.media_in_prompt, base.no_tools, base.no_reasoning, base.known_roles, base.awaits_reply,
            base.one_reply, base.no_tags,
        )  # fmt: skip

    def record(self, pair: Pair, number: int) -> dict[str, Any]:
        """The row of a pair; a reward model reads the prompt in `extra_info`, which verl passes on."""
        prompt = [turn.message for turn in pair.prompt]
        row: dict[str, Any] = {
            "data_source": pair.row["source"],
            "prompt": prompt,
            "ability": "preference",
            "reward_model": {"style": "model", "ground_truth": pair.chosen[0].tagged},
            "extra_info": {"index": number, "pair_id": pair.id, "prompt": prompt},
        }
        if self.mix.media:
            row["images"] = [{"bytes": image.data} for image in pair.images]
        return row

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One Parquet file."""
        fields = [
            ("data_source", pa.string()),
            ("prompt", TEXT),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            ("extra_info", pa.struct([("index", pa.int64()), ("pair_id", pa.string()), ("prompt", TEXT)])),
        ]
        fields += [("images", pa.list_(pa.struct([("bytes", pa.binary())])))] if self.mix.media else []
        records = (self.record(pair, number) for number, pair in enumerate(pairs, place.first))
        return Written(files=[write_table(place.file(".parquet"), pa.schema(fields), records)])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`train.sh`: the options about data."""
        names = {"train": "data.train_files", "validation": "data.val_files"}
        lines = ["# in this directory: bash train.sh", "python3 -m verl.trainer.main_ppo \\"]
        listed = 'printf "\'%s\'," "$PWD"/{}/*.parquet | sed s/,$//'  # quoted: a path may have spaces
        lines += [f'  {names[split]}="[$({listed.format(split)})]" \\' for split in splits]
        lines += ["  data.prompt_key=prompt data.image_key=images \\"] if self.mix.media else []
        return {"train.sh": "\n".join([*lines, "  actor_rollout_ref.model.path=MODEL"]) + "\n"}

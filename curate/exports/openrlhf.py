"""OpenRLHF: JSON Lines of message lists with texts as content, which it renders with `--data.apply_chat_template`.

`margin` is a number in every line: OpenRLHF reads it with `--model.margin_loss_enable` only, and takes none for 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_lines
from curate.exports.pair import Pair


class OpenRlhf(Format):
    """Reward models and DPO of texts."""

    name, about = "openrlhf", "OpenRLHF: JSON Lines for train_rm and train_dpo, texts alone"
    carries = frozenset({"margins"})

    def rules(self) -> Sequence[base.Rule]:
        """Messages of a role and a text; several turns of a reply are rendered together."""
        return (*base.TEXT, base.replied)

    def record(self, pair: Pair) -> dict[str, Any]:
        """The line of a pair."""
        return {
            "pair_id": pair.id,
            "prompt": [turn.message for turn in pair.prompt],
            "chosen": [turn.message for turn in pair.chosen],
            "rejected": [turn.message for turn in pair.rejected],
            "margin": pair.margin,
        }

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One file of JSON Lines."""
        return Written(files=[write_lines(place.file(".jsonl"), map(self.record, pairs))])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`train.sh`: the options about data."""
        lines = [
            "# in this directory: bash train.sh",
            "deepspeed --module openrlhf.cli.train_rm \\",
            "  --model.model_name_or_path MODEL --ckpt.output_dir run \\",
            *(["  --eval.dataset validation --eval.split train \\"] if "validation" in splits else []),
            "  --data.dataset train --data.dataset_split train \\",
            "  --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected \\",
            "  --data.apply_chat_template --data.max_len 4096",
        ]
        return {"train.sh": "\n".join(lines) + "\n"}

"""axolotl: JSON Lines of message lists for `rl: dpo`, which its `chat_template.default` renders.

It finds a reply in what the template made of it, and many templates strip replies, so they are written without
whitespace at their ends; it does the same at the end itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_lines
from curate.exports.pair import Pair, Turn


class Axolotl(Format):
    """DPO of texts."""

    name, about = "axolotl", "axolotl: JSON Lines for rl: dpo, texts alone"

    def rules(self) -> Sequence[base.Rule]:
        """Messages of a role and a text, and of each reply one."""
        return (*base.TEXT, base.one_reply, base.filled)

    def without(self, pair: Pair) -> Iterator[str]:
        """As all, and the whitespace at the ends of replies."""
        yield from super().without(pair)
        if any(turn.tagged != turn.tagged.strip() for turn in (pair.chosen[0], pair.rejected[0])):
            yield "whitespace_at_the_ends_of_replies"

    def record(self, pair: Pair) -> dict[str, Any]:
        """The line of a pair."""
        return {
            "prompt": [turn.message for turn in pair.prompt],
            "chosen": [_stripped(pair.chosen[0])],
            "rejected": [_stripped(pair.rejected[0])],
        }

    def write(self, pairs: Iterator[Pair], place: Place) -> Written:
        """One file of JSON Lines."""
        return Written(files=[write_lines(place.file(".jsonl"), map(self.record, pairs))])

    def finish(self, splits: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """`train.yaml`: the options about data."""
        keys = {"train": "datasets", "validation": "test_datasets"}
        lines = ["# in this directory: axolotl train train.yaml", "base_model: MODEL", "rl: dpo"]
        for split in splits:
            lines += [
                f"{keys[split]}:",
                f"  - path: {split}",
                "    ds_type: json",
                "    split: train",
                "    type: chat_template.default",
                "    field_messages: prompt",
                "    field_chosen: chosen",
                "    field_rejected: rejected",
            ]
        return {"train.yaml": "\n".join([*lines, "output_dir: run"]) + "\n"}


def _stripped(turn: Turn) -> dict[str, str]:
    return {"role": turn.role, "content": turn.tagged.strip()}

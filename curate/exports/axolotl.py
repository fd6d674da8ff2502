"""axolotl: JSON Lines of message lists for `rl: dpo`, which its `chat_template.default` renders.

It renders a reply after a user turn of its own, and takes what begins where the text of the reply is found first.
So a reply is left out that templates write before it ("user"), or that they change ("</think>"); and since many
templates strip replies, they are written without whitespace at their ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curate.exports import base
from curate.exports.base import Format, Place, Written
from curate.exports.files import write_lines
from curate.exports.pair import Pair, Turn

BEFORE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n[[dummy_message]]<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
    "<s>[INST] [[dummy_message]] [/INST]", "<bos><start_of_turn>user\n[[dummy_message]]<end_of_turn>\nmodel\n",
    "<|system|>\n<|user|>\n[[dummy_message]]<|end|>\n<|assistant|>\n", "### Instruction:\n\n### Response:\n",
    "USER: [[dummy_message]] ASSISTANT: ", "<|START_OF_TURN_TOKEN|><|USER_TOKEN|><|CHATBOT_TOKEN|>",
)  # fmt: skip
"""What common templates write before a reply."""
LEAST = 3
"""Characters of a reply that is unlikely to be found in what other templates write."""
LONGEST = max(map(len, BEFORE))
THINKING = ("<think>", "</think>")


def differ_stripped(pair: Pair) -> str | None:
    """The replies differ without the whitespace at their ends."""
    return "equal_replies" if _stripped(pair.chosen[0]) == _stripped(pair.rejected[0]) else None


def found_first(pair: Pair) -> str | None:
    """No reply whose text a template may write before it."""
    texts = [turn.tagged.strip() for turn in (pair.chosen[0], pair.rejected[0])]
    found = any(
        len(text) < LEAST or (len(text) < LONGEST and any(text in one for one in BEFORE)) for text in texts
    )
    return "reply_found_in_templates" if found else None


def no_thinking(pair: Pair) -> str | None:
    """No reply with the tags of reasoning, which templates of reasoning models cut out or write anew."""
    found = any(tag in turn.tagged for turn in (pair.chosen[0], pair.rejected[0]) for tag in THINKING)
    return "reasoning" if found else None


class Axolotl(Format):
    """DPO of texts."""

    name, about = "axolotl", "axolotl: JSON Lines for rl: dpo, texts alone"
    version = 2

    def rules(self) -> Sequence[base.Rule]:
        """Messages of a role and a text; each reply is one that can be found in the rendered text."""
        return (*base.TEXT, base.one_reply, base.filled, differ_stripped, no_thinking, found_first)

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

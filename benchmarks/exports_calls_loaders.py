"""The loaders of mixes with calls of tools, as those of exports_loaders.py."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from exports_loaders import SPLITS, Pair, factory_rows, files, tokenizer

CALL = "call"


def called(dialogues: Iterable[Iterable[tuple[str, Any]]], tools: Any) -> list[str]:
    """Dialogues of (role, text) and (CALL, {name, arguments}) turns, and the tools, as texts to compare."""
    return [json.dumps([*some], sort_keys=True) for some in (*dialogues, tools)]


def llama_factory_calls(model: str) -> dict[str, list[Pair]]:
    """`_load_single_dataset`, and every pair through the processor of pairs, by Qwen's template."""
    found = {}
    for split, rows in factory_rows().items():
        _encode(rows, model)
        found[split] = [
            {
                "texts": called((_factory_turns(row, side) for side in (0, 1)), json.loads(row["_tools"] or "[]")),
                "images": [],
            }
            for row in rows
        ]
    return found


def _encode(rows: Any, model: str) -> None:
    """Each pair as tokens: the calls and the tools are among those of the text that Qwen's template makes."""
    from llamafactory.data.processor import PairwiseDatasetProcessor
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    words = tokenizer(model)
    arguments = DataArguments(template="qwen", cutoff_len=4096)
    template = get_template_and_fix_tokenizer(words, arguments)
    processor = PairwiseDatasetProcessor(template=template, tokenizer=words, processor=None, data_args=arguments)
    encoded = processor.preprocess_dataset({name: list(rows[name]) for name in rows.column_names})
    assert len(encoded["chosen_input_ids"]) == len(rows), "the processor of pairs gives other rows"
    for row, chosen in zip(rows, encoded["chosen_input_ids"], strict=True):
        text = words.decode(chosen)
        roles = [turn["role"] for turn in (*row["_prompt"], row["_response"][0])]
        assert text.count('{"name": "') >= roles.count("function"), text
        assert ("# Tools" in text) == bool(row["_tools"]), text


def _factory_turns(row: Pair, side: int) -> Iterator[tuple[str, Any]]:
    names = {"user": "user", "assistant": "assistant", "observation": "result"}
    if row["_system"]:
        yield "system", row["_system"]
    for turn in (*row["_prompt"], row["_response"][side]):
        if turn["role"] != "function":
            yield names[turn["role"]], turn["content"]
            continue
        text, tag, rest = turn["content"].partition("<tool_call>")
        if tag and text:
            yield "assistant", text
        for call in json.loads(rest.removesuffix("</tool_call>") if tag else text):
            yield CALL, call


def ms_swift_calls(_model: str) -> dict[str, list[Pair]]:
    """`swift.dataset.load_dataset`, as its templates take both dialogues (`TemplateInputs`)."""
    from swift.dataset import load_dataset
    from swift.template.template_inputs import TemplateInputs

    found: dict[str, list[Pair]] = {}
    for split in SPLITS:
        rows, _ = load_dataset(files(split, "jsonl"), split_dataset_ratio=0, shuffle=False, strict=True)
        found[split] = []
        for row in rows:
            read = TemplateInputs.from_dict(row)
            assert read.rejected is not None
            assert read.rejected.tools == read.chosen.tools, "the rejected dialogue has other tools"
            dialogues = [_swift_turns(one) for one in (read.chosen, read.rejected)]
            found[split].append({"texts": called(dialogues, read.chosen.tools or []), "images": []})
    return found


def _swift_turns(inputs: Any) -> Iterator[tuple[str, Any]]:
    names = {"user": "user", "assistant": "assistant", "tool": "result"}
    if inputs.system:
        yield "system", inputs.system
    for turn in inputs.messages:
        if turn["role"] == "tool_call":
            yield CALL, json.loads(turn["content"])
        else:
            yield names[turn["role"]], turn["content"]

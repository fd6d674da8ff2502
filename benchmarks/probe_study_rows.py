"""The rows of the probe study: real preference sets as sources and held-out items, and two planted sources.

Texts are cut so that two cores can train on them: a prompt to its last 24 tokens, a reply to its first 32. Rows of
one prompt are all held out or all trained on. HH-RLHF is two sources, dialogues of one turn and of several.

    reversed   PandaLM's rows with the labels swapped: harmful to PandaLM's own held-out items
    longest    HH-RLHF's rows with the longer reply as the chosen one, whatever people chose
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import xxhash

Row = dict[str, str]
HELD_OUT = {"hh": 300, "pandalm": 300, "autoj": 300}
POOL = 200
"""The most rows of a source; a mix has 96 rows of three to five sources."""

PROMPT, REPLY = 24, 32


def write(real: Path, tokenizer: Any, project: Path) -> dict[str, dict[str, int]]:
    """Write raw files and manifests of all sources and eval sets into `project`; return their rows."""
    pools, items = split({name: list(rows(real)) for name, rows in READERS.items()})
    for name, found in pools.items():
        _write(project, name, [cut(row, tokenizer) for row in found[:POOL]], "manifests")
    for name, found in items.items():
        _write(project, f"{name}_items", [cut(row, tokenizer) for row in found], "manifests/evalsets")
    return {
        "sources": {name: len(found[:POOL]) for name, found in pools.items()},
        "items": {name: len(found) for name, found in items.items()},
    }


def split(read: dict[str, list[Row]]) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Sources and held-out items; the planted sources take rows that no other source has."""
    families = {"hh": ("hh_short", "hh_long"), "pandalm": ("pandalm",), "autoj": ("autoj",)}
    items = {}
    rest = {name: _shuffled(found) for name, found in read.items()}
    for name, members in families.items():
        found = _shuffled(row for member in members for row in read[member])
        held = _prompts(found, HELD_OUT[name])
        items[name] = [row for row in found if row["prompt"] in held]
        rest |= {member: [row for row in rest[member] if row["prompt"] not in held] for member in members}
    half = len(rest["pandalm"]) // 2
    rest["reversed"] = [swapped(row) for row in rest["pandalm"][half:]]
    rest["pandalm"] = rest["pandalm"][:half]
    rest["longest"] = [longer_first(row) for row in rest["hh_long"][POOL:]]
    return rest, items


def cut(row: Row, tokenizer: Any) -> Row:
    """The end of the prompt, and the beginnings of the replies."""

    def part(text: str, some: slice) -> str:
        return str(tokenizer.decode(tokenizer.encode(text)[some], skip_special_tokens=True)).strip()

    replies = {side: part(row[side], slice(REPLY)) or "." for side in ("chosen", "rejected")}
    return {"prompt": part(row["prompt"], slice(-PROMPT, None)), **replies}


def swapped(row: Row) -> Row:
    """The row with the other reply as the chosen one."""
    return row | {"chosen": row["rejected"], "rejected": row["chosen"]}


def longer_first(row: Row) -> Row:
    """The row with the longer reply as the chosen one."""
    return row if len(row["chosen"]) >= len(row["rejected"]) else swapped(row)


def _prompts(rows: Iterable[Row], least: int) -> set[str]:
    """The first prompts that have so many rows together."""
    count = Counter(row["prompt"] for row in rows)
    held: set[str] = set()
    for prompt in count:
        if sum(count[one] for one in held) >= least:
            break
        held.add(prompt)
    return held


def _shuffled(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: xxhash.xxh3_64_intdigest(json.dumps(row).encode()))


def _write(project: Path, name: str, rows: list[Row], manifests: str) -> None:
    (project / "raw" / name).mkdir(parents=True, exist_ok=True)
    (project / manifests).mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (project / "raw" / name / "rows.jsonl").write_text(text, encoding="utf-8")
    (project / manifests / f"{name}.yaml").write_text('adapter: preference\nfiles: ["*.jsonl"]\nlicense: other\n')


def _hh(real: Path, *, several: bool) -> Iterator[Row]:
    mark = "\n\nAssistant:"
    with gzip.open(real / "hh-rlhf" / "harmless-base_test.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            (prompt, _, chosen), (other, _, rejected) = (
                row[side].rpartition(mark) for side in ("chosen", "rejected")
            )
            if prompt == other and chosen != rejected and (prompt.count("\n\nHuman:") > 1) == several:
                question = prompt.rpartition("\n\nHuman:")[2]
                yield {"prompt": question.strip(), "chosen": chosen.strip(), "rejected": rejected.strip()}


def _autoj(real: Path) -> Iterator[Row]:
    for line in (real / "autoj_pairwise" / "autoj_pairwise.json").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield from _of_two(
            row["prompt"], row["response 1"], row["response 2"], {"0": 1, "1": 2}.get(str(row["label"]))
        )


def _pandalm(real: Path) -> Iterator[Row]:
    for row in json.loads((real / "pandalm_testset" / "testset-v1.json").read_text(encoding="utf-8")):
        [(vote, count), *_] = Counter(str(row[f"annotator{i}"]) for i in (1, 2, 3)).most_common()
        prompt = f"{row['instruction']}\n{row['input']}".strip()
        better = {"1": 1, "2": 2}.get(vote) if count > 1 else None
        yield from _of_two(prompt, str(row["response1"]), str(row["response2"]), better)


def _llmbar(real: Path) -> Iterator[Row]:
    for path in sorted((real / "llmbar").glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            yield from _of_two(row["input"], row["output_1"], row["output_2"], int(row["label"]))


def _dpo_en(real: Path) -> Iterator[Row]:
    for row in json.loads((real / "llamafactory_dpo_en" / "dpo_en_demo.json").read_text(encoding="utf-8")):
        prompt = row["conversations"][-1]["value"]
        yield {"prompt": prompt, "chosen": row["chosen"]["value"], "rejected": row["rejected"]["value"]}


def _of_two(prompt: str, first: str, second: str, better: int | None) -> Iterator[Row]:
    """A row where one of two replies is the better one."""
    if better is not None and first != second:
        row = {"prompt": prompt, "chosen": first, "rejected": second}
        yield row if better == 1 else swapped(row)


READERS: dict[str, Any] = {
    "hh_short": lambda real: _hh(real, several=False), "hh_long": lambda real: _hh(real, several=True),
    "pandalm": _pandalm, "autoj": _autoj, "llmbar": _llmbar, "dpo_en": _dpo_en,
}  # fmt: skip

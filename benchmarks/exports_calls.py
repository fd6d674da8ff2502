"""A mix of calls of tools for benchmarks/exports.py, and its dialogues as lines that loaders of any form can
give."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exports_calls_loaders import CALL

from curate.exports.pair import Turn

ROWS = 60
MANIFEST = """
adapter: preference
files: [rows.jsonl]
columns: {tools: functions}
optional: [tools]
license: mit
annotator: made up
"""
RECIPE = "name: calls\nsources: {calls: all}\nholdout: {rows_per_source: 6}\nsteps: []\n"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name} of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "time")
]


def write(place: Path) -> list[str | Path]:
    """Write rows, a manifest and a recipe; the options of `curate mix` that name them."""
    for folder in ("raw/calls", "manifests"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row(number)) for number in range(ROWS)]
    (place / "raw/calls/rows.jsonl").write_text("\n".join(lines) + "\n")
    (place / "manifests/calls.yaml").write_text(MANIFEST)
    (place / "calls.yaml").write_text(RECIPE)
    return ["--raw", place / "raw", "--manifests", place / "manifests"]


def row(number: int) -> dict[str, Any]:
    """A row: a call as chosen reply, as rejected reply, in the prompt with its result, with text beside,
    several."""
    city = f"City {number} \u00e9"
    question = [{"role": "user", "content": f"What is it like in {city}?"}]
    call = _calling(number, "weather", {"city": city})
    wrong = _calling(number, "time", {"city": city, "near": [number, None, True]})
    text = {"role": "assistant", "content": f"I cannot say anything about {city}."}
    result = {"role": "tool", "content": json.dumps({"degrees": number}), "tool_call_id": f"{number}a"}
    kind = number % 6
    if kind == 0:
        prompt, chosen, rejected = question, call, wrong
    elif kind == 1:
        prompt, chosen, rejected = question, text, wrong
    elif kind == 2:
        prompt, chosen, rejected = [*question, call, result], text, wrong
    elif kind == 3:
        prompt, chosen, rejected = [*question, call | {"content": "Let me look."}, result], call, text
    elif kind == 4:
        two = call | {"tool_calls": [*call["tool_calls"], *_calling(number, "time", {}, "b")["tool_calls"]]}
        second = {"role": "tool", "content": "noon", "tool_call_id": f"{number}b"}
        prompt, chosen, rejected = [*question, two, second, result], text, call  # results in another order
    else:
        system = {"role": "system", "content": "Be brief."}
        prompt, chosen, rejected = [system, *question], text, text | {"content": "No."}
    found: dict[str, Any] = {"prompt": prompt, "chosen": [chosen], "rejected": [rejected]}
    return found | ({"functions": json.dumps(TOOLS)} if kind != 5 else {})


def _calling(number: int, name: str, arguments: dict[str, Any], ending: str = "a") -> dict[str, Any]:
    call = {"type": "function", "id": f"{number}{ending}", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def lines(turns: Sequence[Turn]) -> Iterator[tuple[str, Any]]:
    """The turns as (role, text), each call as ("call", {name, arguments}), results in the order of their calls."""
    results: list[tuple[str, Any]] = []
    order: list[Any] = []
    for turn in (*turns, Turn("end", "", {})):
        if turn.role == "tool":
            results.append((turn.fields["tool_call_id"], turn.tagged))
            continue
        yield from (("result", text) for _, text in sorted(results, key=lambda one: order.index(one[0])))
        results = []
        made = turn.fields.get("tool_calls", ())
        order = [call["id"] for call in made]
        if turn.role != "end" and (turn.tagged or not made):
            yield turn.role, turn.tagged
        for call in made:
            yield CALL, {
                "name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])
            }  # fmt: skip

"""Sources with a planted signal: one whose labels follow a rule that can be learnt, one whose labels are a coin's.

The rule: of two replies the one with the better word of a dozen word pairs wins; each has to be learnt by itself,
so that a model which did not learn them is right about half the time. A benchmark like JudgeBench asks for it.
"""

import json
import random
from pathlib import Path

THINGS = [
    "apples",
    "bread",
    "cats",
    "doors",
    "eggs",
    "forks",
    "gates",
    "hills",
    "islands",
    "jars",
    "keys",
    "lamps",
]
WORDS = [
    ("gladly", "grimly"), ("fresh", "stale"), ("cheap", "dear"), ("today", "someday"), ("whole", "broken"),
    ("clean", "dusty"), ("kindly", "rudely"), ("quick", "slow"), ("warm", "cold"), ("full", "empty"),
    ("bright", "dull"), ("safe", "risky"),
]  # fmt: skip

MANIFEST = """
adapter: preference
files: ["*.jsonl"]
license: mit
"""
RECIPE = """
name: planted
about: A source to learn from, and one of noise
sources: {good: all, noise: all}
holdout: {rows_per_source: 60}
steps: [identical, exact_duplicates]
"""


def replies(draw: random.Random) -> tuple[str, str]:
    """(better, worse): the same sentence with either word of a pair."""
    topic, words = draw.choice(THINGS), draw.choice(WORDS)
    place = draw.choice(["{word}, the {thing}", "the {thing}, {word}", "the {word} {thing}"])
    return tuple(place.format(word=word, thing=topic) for word in words)


def pairs(count: int, seed: int, right: float) -> list[dict[str, str]]:
    """Pairs whose chosen reply is the better one with the chance `right`."""
    draw = random.Random(seed)
    out = []
    for i in range(count):
        better, worse = replies(draw)
        chosen, rejected = (better, worse) if draw.random() < right else (worse, better)
        out.append({"prompt": f"Question {seed}.{i}: what do you sell?", "chosen": chosen, "rejected": rejected})
    return out


def write(project: Path, good: int = 200, noise: int = 500, eval_items: int = 240) -> None:
    """Raw files, manifests, the benchmark and `planted.yaml` in a directory."""
    raw = project / "raw"
    for name, rows in {"good": pairs(good, 1, 1.0), "noise": pairs(noise, 2, 0.5)}.items():
        (raw / name).mkdir(parents=True)
        (raw / name / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (project / "manifests").mkdir(exist_ok=True)
        (project / "manifests" / f"{name}.yaml").write_text(MANIFEST)
    (raw / "judgebench" / "data").mkdir(parents=True)
    items = [
        {
            "pair_id": str(i), "source": "mmlu-pro-law", "question": row["prompt"],
            "response_A": row["chosen"], "response_B": row["rejected"], "label": "A>B",
        }
        for i, row in enumerate(pairs(eval_items, 3, 1.0))
    ]  # fmt: skip
    lines = "".join(json.dumps(item) + "\n" for item in items)
    (raw / "judgebench" / "data" / "gpt-0.jsonl").write_text(lines)
    (project / "planted.yaml").write_text(RECIPE)

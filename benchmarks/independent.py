"""The doctor's figures of three real sets, computed a second time by code that shares nothing with curate.

    python -m venv ENV && ENV/bin/pip install numpy scipy scikit-learn statsmodels
    ENV/bin/python benchmarks/independent.py --curate "python -m curate" [--real DIR] [--out FILE]

Raw files are read with json alone; AUCs are scikit-learn's, intervals statsmodels' (Wilson) at the effective size
of a jackknife that leaves out one cluster after the other, quantiles of t scipy's; agreement and overlap are
counted in dictionaries. Auto-J and PandaLM have ties, PandaLM's three annotators judge the same replies, LLMBar
has five files. Rulers of Markdown and words are not among them: they have no second definition to count by. Exit
status 1 where a figure differs by more than 1e-9.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LLMBAR = ("Natural", "Adversarial_GPTInst", "Adversarial_GPTOut", "Adversarial_Manual", "Adversarial_Neighbor")
ANNOTATORS = ("pandalm1", "pandalm2", "pandalm3")
ALIKE = 1e-9

COUNTS: Mapping[str, Callable[[str], int]] = {
    "longer": len,
    "line_breaks": lambda text: text.count("\n"),
    "digits": lambda text: sum(unicodedata.category(char) == "Nd" for char in text),
    "exclamations": lambda text: sum(char in "!\uff01" for char in text),
    "questions": lambda text: sum(char in "?\uff1f" for char in text),
}
"""Rulers with one plain definition; these sets have no other sign of exclamation or question."""


class Pair(NamedTuple):
    """A pair as read from raw: `better` is 0 or 1, or None for a tie."""

    prompt: str
    replies: tuple[str, str]
    better: int | None


def pairs_of(real: Path) -> dict[str, list[Pair]]:
    """The pairs of every source, without those of which a side is no text."""
    out: dict[str, list[Pair]] = {"autoj": [], "llmbar": [], **{name: [] for name in ANNOTATORS}}
    for line in (real / "autoj_pairwise/autoj_pairwise.json").read_text().splitlines():
        row = json.loads(line)
        replies = row["response 1"], row["response 2"]
        out["autoj"].append(Pair(row["prompt"], replies, {0: 0, 1: 1, 2: None}[row["label"]]))
    for row in json.loads((real / "pandalm_testset/testset-v1.json").read_text()):
        prompt = "\n".join(part for part in (row["instruction"], row["input"]) if part)
        for number, name in enumerate(ANNOTATORS, 1):
            better = {1: 0, 2: 1, 0: None}[row[f"annotator{number}"]]
            out[name].append(Pair(prompt, (row["response1"], row["response2"]), better))
    for name in LLMBAR:
        for row in json.loads((real / f"llmbar/{name}.json").read_text()):
            out["llmbar"].append(Pair(row["input"], (row["output_1"], row["output_2"]), int(row["label"]) - 1))
    return {
        name: [pair for pair in pairs if all(isinstance(reply, str) for reply in pair.replies)]
        for name, pairs in out.items()
    }


# --- one share and its interval


def share(hits: Sequence[float], of: Sequence[float], clusters: Sequence[str]) -> dict[str, float | None]:
    """The share of `hits` in `of`, the clusters that decide, and the interval."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for hit, one, cluster in zip(hits, of, clusters, strict=True):
        sums[cluster][0] += hit
        sums[cluster][1] += one
    kept = [(hit, one) for hit, one in sums.values() if one > 0]
    total_hits, total = sum(hit for hit, _ in kept), sum(one for _, one in kept)
    if not kept:
        return {"of": 0, "clusters": 0, "value": None, "low": None, "high": None}
    value, number = total_hits / total, len(kept)
    size = _effective_size(kept, value, total)
    wilson = import_module("statsmodels.stats.proportion").proportion_confint
    low, high = wilson(value * size, size, method="wilson")
    every, none = wilson(number, number, method="wilson"), wilson(0, number, method="wilson")
    ends = {"low": min(low, every[0]), "high": max(high, none[1])}
    return {"of": round(total), "clusters": number, "value": value, **ends}


def _effective_size(kept: Sequence[tuple[float, float]], value: float, total: float) -> float:
    number = len(kept)
    if number == 1:
        return 1.0
    hits = sum(hit for hit, _ in kept)
    left_out = [(hits - hit) / (total - one) for hit, one in kept]  # the share without one cluster after the other
    variance = ((number - 1) / number) ** 2 * sum((one - value) ** 2 for one in left_out)
    if not 0 < value < 1 or variance <= 1e-12 * value * (1 - value):
        return float(number)
    t = import_module("scipy.stats").t.ppf
    few = (
        t(0.975, min(max(round(total) - 1, 1), 1000)) / t(0.975, min(number - 1, 1000)) if number < total else 1.0
    )
    return max(value * (1 - value) / variance * few**2, 1.0)


# --- figures


def rulers(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, float | None]]]:
    """The figures of every ruler in COUNTS, and the share of ties."""
    prompts = [pair.prompt for pair in pairs]
    yield "ties", share([float(pair.better is None) for pair in pairs], [1.0] * len(pairs), prompts)
    labelled = [pair for pair in pairs if pair.better is not None]
    prompts = [pair.prompt for pair in labelled]
    ones = [1.0] * len(labelled)
    for name, count in COUNTS.items():
        chosen = [count(pair.replies[int(pair.better or 0)]) for pair in labelled]
        rejected = [count(pair.replies[1 - int(pair.better or 0)]) for pair in labelled]
        differ = [float(one != other) for one, other in zip(chosen, rejected, strict=True)]
        wins = [float(one > other) for one, other in zip(chosen, rejected, strict=True)]
        yield f"{name}: differs", share(differ, ones, prompts)
        yield f"{name}: wins", share(wins, differ, prompts)
        labels = [1] * len(chosen) + [0] * len(rejected)
        auc = float(import_module("sklearn.metrics").roc_auc_score(labels, [*chosen, *rejected]))
        found = share(_placements(chosen, rejected, auc), ones, prompts)
        assert found["value"] is not None
        assert abs(found["value"] - auc) < ALIKE
        yield f"{name}: auc", {**found, "value": auc}


def _placements(chosen: Sequence[int], rejected: Sequence[int], auc: float) -> list[float]:
    """DeLong's structural components of both sides, less the AUC: their mean is the AUC."""
    one, other = np.array(chosen), np.array(rejected)
    above = [float(((value > other) + 0.5 * (value == other)).mean()) for value in one]
    below = [float(((one > value) + 0.5 * (one == value)).mean()) for value in other]
    return [a + b - auc for a, b in zip(above, below, strict=True)]


Comparison = tuple[str, str, str]


def labels_of(pairs: Sequence[Pair]) -> dict[Comparison, int]:
    """The net votes for the lower reply of every comparison; an exact copy of a pair votes once."""
    seen = {
        (pair.prompt, pair.replies[pair.better], pair.replies[1 - pair.better])
        for pair in pairs
        if pair.better is not None and pair.replies[0] != pair.replies[1]
    }
    out: Counter[Comparison] = Counter()
    for prompt, chosen, rejected in seen:
        out[prompt, min(chosen, rejected), max(chosen, rejected)] += 1 if chosen < rejected else -1
    return dict(out)


def agreement(left: Sequence[Pair], right: Sequence[Pair]) -> dict[str, float | None]:
    """How often two sources prefer the same reply, by prompt."""
    one, other = labels_of(left), labels_of(right)
    both = [key for key in one if key in other]
    same = [float(one[key] * other[key] > 0) for key in both]
    decided = [float(one[key] * other[key] != 0) for key in both]
    found = share(same, decided, [prompt for prompt, *_ in both])
    ends = {"share": found["value"], "low": found["low"], "high": found["high"], "prompts": found["clusters"]}
    return {**ends, "shared": len(both), "agreeing": sum(same), "opposed": sum(decided) - sum(same)}


def overlap(left: Sequence[Pair], right: Sequence[Pair]) -> int:
    """How many pairs of `left` have the prompt and both replies, in either order, of a pair of `right`."""
    held = {(pair.prompt, frozenset(pair.replies)) for pair in right}
    return sum((pair.prompt, frozenset(pair.replies)) in held for pair in left)


# --- what curate says


def manifest(files: str, columns: str, verdicts: str) -> str:
    """A manifest with the generic adapter."""
    return f'adapter: scored\nfiles: ["{files}"]\ncolumns: {{{columns}}}\nverdicts: {{{verdicts}}}\n'


def reports(curate: Sequence[str], real: Path, folder: Path) -> tuple[Any, Any]:
    """What `curate doctor` and `curate overlap` print of the five sources."""
    scored = "response_a: response1, response_b: response2, prompt: [instruction, input]"
    sources = {
        "autoj": (
            manifest(
                "*.jsonl",
                "response_a: response 1, response_b: response 2, preference: label",
                '"0": a, "1": b, "2": tie',
            ),
            {"rows.jsonl": "autoj_pairwise/autoj_pairwise.json"},
        ),
        "llmbar": (
            manifest(
                "*.json",
                "prompt: input, response_a: output_1, response_b: output_2, preference: label",
                '"1": a, "2": b',
            ),
            {f"{name}.json": f"llmbar/{name}.json" for name in LLMBAR},
        ),
    } | {
        name: (
            manifest("*.json", f"{scored}, preference: annotator{number}", '"1": a, "2": b, "0": tie'),
            {"rows.json": "pandalm_testset/testset-v1.json"},
        )
        for number, name in enumerate(ANNOTATORS, 1)
    }
    (folder / "manifests").mkdir()
    for name, (text, files) in sources.items():
        (folder / "manifests" / f"{name}.yaml").write_text(text)
        for to, source in files.items():
            path = folder / "data" / "raw" / name / to
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((real / source).read_bytes())

    def run(*arguments: str) -> Any:
        done = subprocess.run([*curate, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    run("normalize", *sources, "--json")
    return run("doctor", *sources, "--json"), run("overlap", *sources, "--json")


def differences(
    pairs: Mapping[str, Sequence[Pair]], doctor: Any, overlapped: Any
) -> Iterator[tuple[str, Any, Any]]:
    """Every figure that both have: its name, the value here, the value there."""
    for name, own in pairs.items():
        there = doctor["sources"][name]
        yield f"{name}: pairs", len(own), there["pairs"]
        for title, found in rulers(own):
            ruler, _, what = title.partition(": ")
            reported = there["rulers"][ruler][what] if what else there[ruler]
            yield from ((f"{name}: {title}: {key}", value, reported[key]) for key, value in found.items())
    reported = {(row["left"], row["right"]): row for row in doctor["agreement"]}
    for left, right in combinations(ANNOTATORS, 2):
        for key, value in agreement(pairs[left], pairs[right]).items():
            yield f"agreement of {left} and {right}: {key}", value, reported[left, right][key]
    names = list(overlapped["pairs"])
    for i, left in enumerate(names):
        for j, right in enumerate(names):
            if i != j:
                there = overlapped["counts"]["exact"][i][j]
                yield f"overlap of {left} with {right}", overlap(pairs[left], pairs[right]), there


def main() -> None:
    """Compare, print the largest difference and what differs, and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--curate", default="python -m curate")
    parser.add_argument("--real", type=Path, default=Path("/work/shared/real"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pairs = pairs_of(options.real)
    with tempfile.TemporaryDirectory() as folder:
        doctor, overlapped = reports(shlex.split(options.curate), options.real, Path(folder))
    found = list(differences(pairs, doctor, overlapped))
    apart = [(name, here, there) for name, here, there in found if not _equal(here, there)]
    largest = max(abs(here - there) for _, here, there in found if here is not None and there is not None)
    facts = {"figures": len(found), "different": len(apart), "largest_difference": largest}
    print(json.dumps(facts), *(f"{name}: {here} here, {there} there" for name, here, there in apart), sep="\n")
    if options.out is not None:
        options.out.write_text(json.dumps(facts, indent=1) + "\n")
    sys.exit(bool(apart))


def _equal(here: float | None, there: float | None) -> bool:
    return here == there if here is None or there is None else abs(here - there) <= ALIKE


if __name__ == "__main__":
    main()

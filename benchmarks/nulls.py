"""How often tests and intervals are wrong where nothing is there to find: simulated, against what they promise.

    python benchmarks/nulls.py [--rounds 1000] [--out benchmarks/results/nulls.json]

compare    two models that are right as often, on every eval set, CLUSTERS items or groups of items each: how often
           any headline measure is significant at 5 % after correction, alone and in families of eval sets
intervals  how often a 95 % interval of the doctor holds the truth, by deciding clusters, the pairs of each, how
           alike these are, and neutral clusters beside them
baseline   how often two samples of one source raise any alarm: 14 rulers with and without effect, 12 faults
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import evalsets
from curate.analysis.baseline import worse
from curate.analysis.intervals import Clusters, Counted, share
from curate.analysis.rulers import RULERS, rulers
from curate.analysis.traits import TRAITS
from curate.evalsets.base import Options
from curate.evaluation import items, metrics
from curate.evaluation.items import KeyedItems

ROWS = Path(__file__).parents[1] / "tests" / "rows" / "evalsets"
CLUSTERS = 60
LEVEL = 0.05
FAMILIES = {"1": 1, "3": 3, "7": 7}
SEED = 16


def main() -> None:
    """Simulate and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/nulls.json"))
    given = parser.parse_args()
    found = {
        "rounds": given.rounds,
        "compare": compared(given.rounds),
        "intervals": list(covered(given.rounds)),
        "baseline": alarmed(max(given.rounds // 2, 1)),
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


# ------------------------------------------------------------------------------------------------ compare


def enlarged(name: str) -> KeyedItems:
    """The rows of an eval set that the tests have, repeated as items that have nothing to do with each other."""
    rows = items.load(evalsets.get(name), ROWS / name).items.items
    clusters = len({item.cluster for item in rows})
    some = [
        replace(item, id=f"{item.id}-{i}", cluster=f"{item.cluster}-{i}")
        for i in range(-(-CLUSTERS // clusters)) for item in rows
    ]  # fmt: skip
    return KeyedItems(some, [str(at) for at in range(len(some))], list(range(1, len(some) + 1)))


def random_scores(known: KeyedItems, draw: np.random.Generator) -> list[list[float]]:
    """Scores of a model that is often right; the replies of an item have much in common."""
    return [
        [float(score) + (i in item.correct) * 0.5 for i, score in enumerate(draw.normal(size=len(item.replies)))]
        for item in known.items
    ]


def compared(rounds: int) -> dict[str, Any]:
    """The share of rounds in which any headline is significant, by eval set alone and by family."""
    names = evalsets.names()
    sets = {name: enlarged(name) for name in names}
    draw = np.random.Generator(np.random.PCG64(SEED))
    alone, families = dict.fromkeys(names, 0), dict.fromkeys(FAMILIES, 0)
    for _ in range(rounds):
        deltas = {name: _headline(name, known, draw) for name, known in sets.items()}
        for name, own in deltas.items():
            alone[name] += _significant(own)
        for label, size in FAMILIES.items():
            some = draw.permutation(names)[:size]
            families[label] += _significant([delta for name in some for delta in deltas[name]])
    shares = {name: count / rounds for name, count in alone.items()}
    return {"alone": shares, "families": {label: count / rounds for label, count in families.items()}}


def _headline(name: str, known: KeyedItems, draw: np.random.Generator) -> list[metrics.Delta]:
    one, two = random_scores(known, draw), random_scores(known, draw)
    found = metrics.compare(evalsets.get(name), known, one, two, Options(), resamples=2, draws=2000)
    return [delta for delta in found if delta.headline]


def _significant(deltas: Sequence[metrics.Delta]) -> bool:
    return any(delta.corrected is not None and delta.corrected <= LEVEL for delta in metrics.corrected(deltas))


# ------------------------------------------------------------------------------------------------ intervals


def covered(rounds: int) -> Iterator[dict[str, Any]]:
    """The share of rounds in which the interval holds the truth, by setting."""
    draw = np.random.Generator(np.random.PCG64(SEED))
    for clusters in (60, 300, 1000, 5000):
        for pairs in (1, 6):
            for alike in (0.0, 0.3, 1.0) if pairs > 1 else (0.0,):
                for chance in (0.5, 0.7, 0.9):
                    for neutral in (0, 10_000):
                        held = sum(_holds(draw, clusters, pairs, alike, chance, neutral) for _ in range(rounds))
                        yield {
                            "clusters": clusters, "most_pairs": pairs, "alike": alike, "chance": chance,
                            "neutral": neutral, "held": held / rounds,
                        }  # fmt: skip


def _holds(
    draw: np.random.Generator, clusters: int, pairs: int, alike: float, chance: float, neutral: int
) -> bool:
    of = draw.integers(1, pairs + 1, clusters)
    if alike == 1:
        own = (draw.random(clusters) < chance).astype(float)
    elif alike:
        spread = 1 / alike - 1
        own = draw.beta(chance * spread, (1 - chance) * spread, clusters)
    else:
        own = np.full(clusters, chance)
    none = np.zeros(neutral)
    found = share(np.concatenate([draw.binomial(of, own), none]), np.concatenate([of, none]))
    return bool((found.low or 0.0) <= chance <= (found.high or 0.0))


# ------------------------------------------------------------------------------------------------ baseline


def alarmed(rounds: int) -> float:
    """The share of rounds in which an examination is worse than another one of the same source."""
    draw = np.random.Generator(np.random.PCG64(SEED))
    return sum(bool(worse(sampled(draw), sampled(draw), least=0.0)) for _ in range(rounds)) / rounds


def sampled(draw: np.random.Generator, prompts: int = 200) -> dict[str, Any]:
    """The rulers and faults of a sample: 1 to 5 pairs of each prompt, which share an effect."""
    groups = np.repeat(np.arange(prompts, dtype=np.uint64), draw.integers(1, 6, prompts))
    shared = draw.normal(size=prompts)[groups.astype(np.int64)]
    columns: dict[str, Any] = {}
    for at, name in enumerate(
        sorted(name.removeprefix("chosen_") for name in TRAITS if name.startswith("chosen_"))
    ):
        base = draw.normal(size=len(groups)) + shared
        for side, effect in (("chosen", 0.1 * at), ("rejected", 0.0)):
            values = np.clip(np.round(3 * (base + effect + draw.normal(size=len(groups)))), 0, None)
            columns[f"{side}_{name}"] = values.astype(np.int64)
    frame = pl.DataFrame(columns).with_columns(chosen_first=pl.lit(None, pl.Boolean))
    clusters = Clusters(groups)
    faults: Counted = {
        f"fault {at}": (shared + draw.normal(size=len(groups)) > at / 4, None) for at in range(12)
    }  # fmt: skip
    found = {
        name: {what: one.to_dict() for what, one in ruler.items()}
        for name, ruler in rulers(frame, clusters).items()
    }
    assert len(found) == len(RULERS) - 1
    shares = {name: one.to_dict() for name, one in clusters.shares(faults).items()}
    return {"sources": {"a": {"rulers": found, "faults": shares}}, "agreement": []}


if __name__ == "__main__":
    main()

"""The label audit on simulated worlds (audit_worlds.py), against what it has to reach, and its cost.

    python benchmarks/audit.py [--seeds 8] [--pairs 1000000] [--save]

--pairs N measures time and memory on N pairs of 256 features as well; 10,000 are always measured.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from audit_worlds import BAD, TASTE, Kind, World, auroc, world
from measure import facts, save, table

from curate.analysis import audit_noise
from curate.analysis.audit import Audited, AuditPairs, audit
from curate.arrays import F64

LABELS = tuple("abcdef")
RATES = (0.05, 0.1, 0.2, 0.3)
INJECTED, REVIEWED, TOP = 0.05, 200, 200
WIDTH = 256


def audited(made: World) -> Audited:
    """The audit of a world; every pair is a group of its own."""
    clusters = np.arange(len(made.source), dtype=np.uint64)
    return audit(
        AuditPairs(
            values=made.differences, rulers={"longer": made.longer[:, 0]}, source=made.source, labels=LABELS,
            clusters=clusters,
        )
    )  # fmt: skip


def top_precision(found: Audited, made: World) -> float:
    """The share of wrong labels among the TOP pairs most likely to be."""
    return float(made.wrong[np.argsort(-found.wrong)[:TOP]].mean())


def injected(found: Audited, made: World, seed: int) -> tuple[float, float]:
    """The AUROC at which labels reversed by us are found, and what the self-check gave on the labels before."""
    draw = np.random.Generator(np.random.PCG64(seed + 1000))
    reversed_ = draw.random(len(made.source)) < INJECTED
    again = World(np.where(reversed_[:, None], -made.differences, made.differences), made.source, made.wrong)
    return auroc(-audited(again).margin, reversed_), found.self_check


def reviewed(found: Audited, made: World, seed: int) -> float:
    """The calibration error of the chances after a review of REVIEWED pairs."""
    draw = np.random.Generator(np.random.PCG64(seed + 2000))
    chances = audit_noise.review_chances(found.wrong, REVIEWED)
    at = audit_noise.draw(chances, draw.permutation(len(chances)), draw.random())
    answers = made.wrong[at].astype(float)
    calibrated = audit_noise.calibrate(found.wrong[at], answers, chances[at], made.source[at]).apply(found.wrong)
    return audit_noise.calibration_error(calibrated, made.wrong)


def uniform(seed: int, rate: float) -> dict[str, float]:
    """The figures of one world with errors anywhere."""
    made = world(seed, "uniform", rate)
    found = audited(made)
    by_us, check = injected(found, made, seed)
    return {
        "auroc": auroc(-found.margin, made.wrong), "top": top_precision(found, made), "injected": by_us,
        "check": check, "off": abs(by_us - check), "calibration": reviewed(found, made, seed),
        "contrast": found.strata[0].contrast,
    }  # fmt: skip


def bad(seed: int) -> dict[str, float]:
    """The figures of a world with one bad source, 37 % of its labels wrong."""
    made = world(seed, "source", 0.1)
    found = audited(made)
    return {
        "auroc": auroc(found.wrong, made.wrong), "clean_e": max(np.delete(found.noise.rates, BAD).tolist()),
        "calibration": reviewed(found, made, seed), "found": _named(found, BAD, "noisy"),
    }  # fmt: skip


def longer(seed: int) -> dict[str, float]:
    """The figures of a world where 10 % of labels prefer the longer reply wrongly."""
    made = world(seed, "longer", 0.1)
    found = audited(made)
    return {
        "auroc": auroc(-found.margin, made.wrong), "without_rulers": auroc(found.wrong_without_rulers, made.wrong),
        "contrast": -found.strata[0].contrast, "calibration": reviewed(found, made, seed),
    }  # fmt: skip


def _named(found: Audited, number: int, expected: str) -> float:
    """Whether a source got its diagnosis and no other of 300 pairs or more got any but clean or unclear."""
    found_diagnoses = [one.diagnosis()[0] for one in found.sources.values()]
    rest = {name for i, name in enumerate(found_diagnoses) if i != number}
    return float(found_diagnoses[number] == expected and rest <= {"clean", "unclear"})


def diagnosed(seed: int, kind: Kind, number: int, expected: str, rate: float = 0.1) -> dict[str, float]:
    """Whether a world's one odd source is named."""
    return {"found": _named(audited(world(seed, kind, rate)), number, expected)}


def means(seeds: int, one: Callable[[int], dict[str, float]]) -> dict[str, dict[str, float]]:
    """For each figure its mean, least and largest over the seeds."""
    found = [one(seed) for seed in range(seeds)]
    return {
        name: {
            "mean": float(np.mean(values)), "low": float(min(values)), "high": float(max(values))
        }
        for name in found[0] if (values := [row[name] for row in found])
    }  # fmt: skip


def cost(pairs: int) -> dict[str, float]:
    """CPU seconds and peak memory in MB (10**6 bytes) of an audit of made-up float32 features."""
    draw = np.random.Generator(np.random.PCG64(5))
    values: Any = np.empty((pairs, WIDTH), np.float32)
    weights = draw.normal(size=WIDTH).astype(np.float32)
    for start in range(0, pairs, 1 << 14):
        block = draw.standard_normal((min(1 << 14, pairs - start), WIDTH), dtype=np.float32)
        noise = draw.standard_normal(len(block), dtype=np.float32) * 8
        values[start : start + len(block)] = block * np.sign(block @ weights + noise)[:, None]
    longer_by: F64 = np.round(values[:, 0] * 100).astype(np.float64)
    source = np.repeat(np.arange(6), np.diff(np.linspace(0, pairs, 7).astype(int)))
    made = AuditPairs(
        values=values, rulers={"longer": longer_by}, source=source, labels=LABELS,
        clusters=np.arange(pairs, dtype=np.uint64),
    )  # fmt: skip
    start_cpu, start_wall = time.process_time(), time.perf_counter()
    audit(made)
    return {
        "cpu_s": time.process_time() - start_cpu, "wall_s": time.perf_counter() - start_wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }  # fmt: skip


def worlds(seeds: int) -> dict[str, Any]:
    """The figures of all kinds of worlds."""
    found: dict[str, Any] = {f"uniform {rate:.0%}": means(seeds, partial(uniform, rate=rate)) for rate in RATES}
    found["one bad source"] = means(seeds, bad)
    found["longer is better 10%"] = means(seeds, longer)
    found["noise 60% of a source"] = means(seeds, lambda seed: diagnosed(seed, "source", BAD, "noisy", 0.2))
    found["other taste"] = means(seeds, lambda seed: diagnosed(seed, "taste", TASTE, "other taste"))
    found["columns swapped"] = means(seeds, lambda seed: diagnosed(seed, "swapped", TASTE, "columns swapped"))
    return found


Check = tuple[str, str, float, bool]


def checks(found: dict[str, Any], costs: dict[str, dict[str, float]]) -> Iterator[Check]:
    """What it has to reach: (what, expected, found, whether it does); means over the seeds."""
    for rate in RATES:
        row = found[f"uniform {rate:.0%}"]
        yield f"uniform {rate:.0%}: AUROC", ">= .87", row["auroc"]["mean"], row["auroc"]["mean"] >= 0.87
        yield (
            f"uniform {rate:.0%}: injected less self-check",
            "<= .02",
            row["off"]["mean"],
            row["off"]["mean"] <= 0.02,
        )
        yield (
            f"uniform {rate:.0%}: calibration error",
            "<= .06",
            row["calibration"]["mean"],
            (row["calibration"]["mean"] <= 0.06),
        )
    row = found["uniform 10%"]
    yield "uniform 10%: precision of the top 200", ">= .85", row["top"]["mean"], row["top"]["mean"] >= 0.85
    row = found["one bad source"]
    yield "one bad source: AUROC", ">= .95", row["auroc"]["mean"], row["auroc"]["mean"] >= 0.95
    yield "one bad source: e of clean ones", "<= .03", row["clean_e"]["mean"], row["clean_e"]["mean"] <= 0.03
    row = found["longer is better 10%"]
    yield "longer: contrast of strata", ">= .15", row["contrast"]["mean"], row["contrast"]["mean"] >= 0.15
    yield (
        "longer: AUROC without rulers",
        ">= .88",
        row["without_rulers"]["mean"],
        row["without_rulers"]["mean"] >= 0.88,
    )
    for name in ("one bad source", "noise 60% of a source", "other taste", "columns swapped"):
        share = found[name]["found"]["mean"]
        yield f"{name}: named, in share of worlds", ">= .8", share, share >= 0.8
    for pairs, one in costs.items():
        most = 10.0 if int(pairs) <= 10_000 else 600.0
        yield f"{int(pairs):,} x {WIDTH}: CPU s", f"<= {most:.0f}", one["cpu_s"], one["cpu_s"] <= most
        yield f"{int(pairs):,} x {WIDTH}: peak MB", "<= 4000", one["peak_mb"], one["peak_mb"] <= 4000


def main() -> None:
    """Simulate, print the table, and save it if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    costs = {str(pairs): cost(pairs) for pairs in (10_000, given.pairs) if pairs}
    found = worlds(given.seeds)
    rows = list(checks(found, costs))
    print(table([(what, expected, f"{value:.3f}", "yes" if met else "NO") for what, expected, value, met in rows],
                ("what", "expected", "found", "met")))  # fmt: skip
    if given.save:
        listed = [dict(zip(("what", "expected", "found", "met"), row, strict=True)) for row in rows]
        result = {**facts(), "seeds": given.seeds, "worlds": found, "costs": costs, "checks": listed}
        print(save("audit", json.loads(json.dumps(result, default=float))))


if __name__ == "__main__":
    main()

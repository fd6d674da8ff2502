"""The mixture search on simulated worlds: regret of its pick, and what its guard lets through.

    python benchmarks/search.py [--worlds 20] [--save]

Worlds of search_worlds.py, seeds 0, 1, ...: eight sources, the natural mix and 64 small runs, 1,250 items in four
domains. The design, the surface, the candidates and the rule that recommends are those of `curate search`; only
the runs are simulated. Full runs are of the same world, of worlds further and further from it (the proxy's
agreement falls), and of a null world; they are judged on other items, three runs each. Regret is in points below
the best mix.
"""

import argparse
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import measure
import numpy as np
from search_worlds import Measured, Null, World

from curate.ablation import mixture, probe, surface
from curate.ablation.effects import Effect, corrected
from curate.ablation.mixture import Bounds
from curate.ablation.search import CONFIRMED, Candidate, recommend
from curate.statistics import Interval

SOURCES, RUNS, ROWS, ITEMS, FULL_RUNS = 8, 64, 20_000, 1250, 3
LEAST_GAIN = 0.002
"""Within a fifth of a point a mix is called as good as the natural one."""

CASES = {"same world": 0.0, "40 % apart": 0.4, "80 % apart": 0.8, "another world": 1.0}


def bounds(world: World) -> Bounds:
    """Pools of at most two epochs; the natural mix has all sources in proportion."""
    natural = world.pools / world.pools.sum()
    labels = tuple(f"source{i}" for i in range(len(natural)))
    return Bounds(labels=labels, least=np.zeros(len(natural)), most=world.cap, natural=natural, have=world.cap)


def trial(seed: int, apart: float, *, null: bool = False) -> dict[str, Any]:
    """One search in one world; regrets and gains as shares of 1."""
    random = np.random.default_rng(seed)
    world = Null(random, SOURCES) if null else World(random, SOURCES)
    full = world.towards(World(random, SOURCES), apart) if apart else world
    within = bounds(world)
    natural = mixture.shares([within.own(ROWS)])
    shares = np.concatenate([natural, mixture.shares(mixture.design(within, RUNS, ROWS, seed))])
    proxy = Measured(random, world, ITEMS)
    fitted = surface.surface(shares, proxy(shares))
    mixes = surface.candidates(fitted, within, CONFIRMED, seed)
    arms = np.concatenate([natural, mixes])
    small = proxy(arms).mean(axis=1)
    other = Measured(random, full, ITEMS, seed_error=0.004 / math.sqrt(FULL_RUNS))
    trained = other(arms).mean(axis=1)
    errors = [other.paired_error(one, natural[0]) for one in mixes]
    candidates = _candidates(fitted(arms).mean(axis=1), small, trained, errors)
    tau = probe.kendall(small.tolist(), trained.tolist())
    chosen, _ = recommend(candidates, tau, probed=False)
    truth, best = full(arms), _best(full, within, seed)
    used = 0 if chosen is None else 1 + [one.name for one in candidates].index(chosen)
    drawn = mixture.draw(within, 200, seed + 2)
    return {
        "tau": 1.0 if null or not apart else probe.kendall(world(drawn).tolist(), full(drawn).tolist()),
        "natural": best - truth[0], "pick": best - truth[1], "recommended": chosen is not None,
        "after the guard": best - truth[used], "worse": bool(truth[used] < truth[0] - LEAST_GAIN),
        "predicted gain": candidates[0].predicted, "true gain": truth[1] - truth[0],
        "covered": [_covers(one, gain) for one, gain in zip(candidates, truth[1:] - truth[0], strict=True)],
    }  # fmt: skip


def _covers(one: Candidate, gain: float) -> bool:
    return bool(one.effect.interval.low <= gain <= one.effect.interval.high)


def _candidates(predicted: Any, small: Any, trained: Any, errors: Sequence[float]) -> list[Candidate]:
    normal = NormalDist()
    tested = []
    for value, error in zip(trained[1:], errors, strict=True):
        gain, half = float(value - trained[0]), normal.inv_cdf(0.975) * error
        tested.append(
            Effect(
                measure="mean", seeds=FULL_RUNS, value=float(value), other=float(trained[0]), difference=gain,
                interval=Interval(gain - half, gain + half), p=2 * (1 - normal.cdf(abs(gain) / error)), test="t",
                trials=None, clusters=ITEMS, gained=None, lost=None, error=error, freedom=math.inf,
                detectable=error,
            )
        )  # fmt: skip
    return [
        Candidate(
            name=f"candidate{i}", rows={}, predicted=float(predicted[i] - predicted[0]),
            small=float(small[i] - small[0]), effect=effect, parts=[],
        )
        for i, effect in enumerate(corrected(tested), 1)
    ]  # fmt: skip


def _best(world: World, within: Bounds, seed: int) -> float:
    """The best mix's worth: of many drawn ones, refined three times."""
    random = np.random.default_rng(seed + 1)
    mixes = mixture.draw(within, 6000, seed + 1, surface.WIDE)
    for step in (0.1, 0.03, 0.01):
        for _ in range(6):
            best = mixes[world(mixes).argmax()]
            near = mixture.fit(best + random.normal(0, step, (300, len(best))), within)
            mixes = np.concatenate([best[None], near])
    return float(world(mixes).max())


def summary(name: str, trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over worlds, regrets and gains in points."""
    points = ("natural", "pick", "after the guard", "predicted gain", "true gain")
    low = [one for one in trials if one["tau"] <= 0.25]
    return {
        "case": name, "worlds": len(trials), "tau": float(np.mean([one["tau"] for one in trials])),
        **{key: 100 * float(np.mean([one[key] for one in trials])) for key in points},
        "recommended": float(np.mean([one["recommended"] for one in trials])),
        "worse": float(np.mean([one["worse"] for one in trials])),
        "covered": float(np.mean([one["covered"] for one in trials])),
        "worlds of tau <= .25": len(low), "recommended there": sum(one["recommended"] for one in low),
    }  # fmt: skip


def main() -> None:
    """All cases, a table, and the results file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--worlds", type=int, default=20, help="worlds of each case, from seed 0")
    parser.add_argument("--save", action="store_true", help="write results/search.json")
    options = parser.parse_args()
    found = [summary(name, [trial(s, apart) for s in range(options.worlds)]) for name, apart in CASES.items()]
    nothing = [trial(s, 0.0, null=True) for s in range(5 * options.worlds)]
    found.append(summary("null world", nothing))
    names = ("case", "worlds", "tau", "natural", "pick", "after the guard", "recommended", "worse", "covered",
             "worlds of tau <= .25", "recommended there")  # fmt: skip
    rows = [[f"{one[key]:.2f}" if isinstance(one[key], float) else one[key] for key in names] for one in found]
    print(measure.table(rows, names))
    if options.save:
        print(measure.save("search", {**measure.facts(), "sources": SOURCES, "runs": RUNS, "cases": found}))


if __name__ == "__main__":
    main()

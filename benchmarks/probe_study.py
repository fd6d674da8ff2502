"""Do heads on frozen features rank mixes as training does? Kendall's tau over mixes of real rows, with its cost.

    python benchmarks/smollm2.py MODEL                       # SmolLM2-135M-Instruct, once
    python benchmarks/probe_study.py MODEL --real DIR        # resumable; writes results/probe_study.json

Twelve mixes of three to five sources (probe_study_rows.py) are trained as a probe of `curate ablate` and as LoRA
runs, and both are scored on the same held-out items. A run is done once; the same command goes on, `--until HH:MM`
(UTC) ends it between two runs, and whatever is done is reported with how many mixes it is over. `--lock FILE` is
held for a run at a time, so that other measurements get their turn.
"""

import argparse
import fcntl
import json
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np
import probe_study_rows
import torch
from transformers import AutoTokenizer

from curate import recipe, statistics, trainer_process
from curate.ablation import probe, probe_agreement, study
from curate.ablation.arms import Arm
from curate.ablation.eval_items import EvalItems
from curate.ablation.runs import Run
from curate.ablation.study import Prepared, Study
from curate.arrays import F64
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.inputs import Inputs
from curate.mixing.quotas import largest_remainder
from curate.workspace import Workspace
from trainer.score import Scorer

ROWS, MIXES, SEED = 96, 12, 18
PROBE = ("head_lr=1e-3", "epochs=16")
PROBE_SEEDS = 5
DRAWS = 2000
CITED = 8
"""The least number of mixes with full runs whose agreement is cited; of fewer the interval is nearly [-1, 1]."""

PRESET = """
head: {layers: 1}
lr: 1.0e-3
head_lr: 1.0e-3
batch_pairs: 8
epochs: 1.0
warmup: 0.1
max_length: 512
max_tokens: 1024
zero: 1
gradient_checkpointing: false
workers: 0
"""
FULL = ("bf16=true", "lora.rank=16")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""SmolLM2's own, without the system turn that it puts before every dialogue."""


def mixes(pools: Mapping[str, int]) -> list[Arm]:
    """Mixes of three to five sources, shares by a flat Dirichlet, with exact rows."""
    draw = np.random.Generator(np.random.PCG64(SEED))
    arms: list[Arm] = []
    names = sorted(pools)
    while len(arms) < MIXES:
        some = draw.choice(names, draw.integers(3, 6), replace=False)
        shares = [Fraction(float(share)) for share in draw.dirichlet(np.ones(len(some)))]
        rows = dict(zip(map(str, some), largest_remainder(ROWS, shares), strict=True))
        if all(0 < count <= pools[name] for name, count in rows.items()):
            quotas = tuple((name, rows.get(name, 0)) for name in names)
            arms.append(Arm(name=f"mix{len(arms) + 1:02d}", rows=quotas))
    return arms


def project(model: Path, real: Path, place: Path) -> dict[str, dict[str, int]]:
    """Raw files, manifests, recipe, preset and the model with a short template, made once; the rows of each."""
    facts = place / "rows.json"
    if not facts.exists():
        short = place / "model"
        short.mkdir(parents=True, exist_ok=True)
        for path in model.iterdir():
            (short / path.name).unlink(missing_ok=True)
            (short / path.name).symlink_to(path.absolute())
        (short / "chat_template.jinja").unlink(missing_ok=True)
        (short / "chat_template.jinja").write_text(TEMPLATE)
        rows = probe_study_rows.write(real, AutoTokenizer.from_pretrained(model), place)
        (place / "preset.yaml").write_text(f"model: {short.absolute()}{PRESET}")
        sources = "".join(f"  {name}: all\n" for name in sorted(rows["sources"]))
        (place / "probe_study.yaml").write_text(f"name: probe_study\nsources:\n{sources}")
        facts.write_text(json.dumps(rows))
    found: dict[str, dict[str, int]] = json.loads(facts.read_text())
    return found


def prepared(place: Path, rows: Mapping[str, Mapping[str, int]]) -> tuple[Prepared, Prepared]:
    """The same mixes as a probe and as full runs."""
    base = Study(
        title="probe_study", about="", recipe=recipe.load(place / "probe_study.yaml"), seeds=PROBE_SEEDS,
        arms=tuple(mixes(rows["sources"])), preset=str(place / "preset.yaml"), settings=PROBE, probe=True,
    )  # fmt: skip
    full = replace(base, seeds=2, settings=FULL, probe=False)
    inputs = Inputs(workspace=Workspace(place / "data"), raw=place / "raw", manifests=place / "manifests")
    names = [f"{name}_items" for name in rows["items"]]
    with Local(1) as engine:
        both = [study.prepare(one, inputs, names, engine, Quiet()) for one in (base, full)]
    return both[0], both[1]


class Quiet(Terminal):
    """Shows no plan: there is one for each mix."""

    def plan(self, plan: Any, basis: str) -> None:
        """Show nothing."""


class Costs:
    """CPU seconds of each piece of work, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count the block's CPU seconds, with those of finished children, once it has ended without error."""
        before = _cpu()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + _cpu() - before
        self._path.write_text(json.dumps(self.seconds))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Hold the lock, if there is one."""
    if lock is None:
        yield
        return
    with open(lock, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def work(probed: Prepared, full: Prepared, place: Path, costs: Costs) -> Iterator[Callable[[], None]]:
    """What is left to do, piece by piece: features and heads, then the LoRA runs, every mix's first seed first.

    The last eval set is scored when all mixes have the others.
    """

    for arm, runs in probed.runs.items():
        if any(not (run.folder / "result.json").exists() for run in runs):
            yield partial(_heads, replace(probed, runs={arm: runs}), place, costs)
    for seed in range(full.study.seeds):
        of_seed = [by_seed[seed] for by_seed in full.runs.values()]
        for some in (full.eval_sets[:-1], full.eval_sets[-1:]):
            for run in of_seed:
                if not (run.folder / "result.json").exists():
                    yield partial(_train, run, costs)
                for eval_set in some:
                    if not run.scores(eval_set).exists():
                        yield partial(_score, run, eval_set, costs)


def _heads(of_one: Prepared, place: Path, costs: Costs) -> None:
    """The heads of one mix; features that other mixes had are there already."""
    with costs.of("probe"):
        probe.carry_out(of_one, Workspace(place / "data"), say)


def _train(run: Run, costs: Costs) -> None:
    with costs.of(f"train {run.name}"), open(run.folder / "log.txt", "a", encoding="utf-8") as log:
        trainer_process.run(trainer_process.command(run.folder, 1), lambda line: print(line, file=log, flush=True))
    run.tidy()


def _score(run: Run, eval_set: EvalItems, costs: Costs) -> None:
    """As trainer.score does, in bf16, which takes half the time."""
    with costs.of(f"score {run.name} {eval_set.name}"):
        scorer = Scorer.load(run.folder / "final", 2048)
        scorer.model.to(torch.bfloat16)
        scorer.write(eval_set.file, run.scores(eval_set))


def say(text: str) -> None:
    """A line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


# --- the result


Right = Mapping[str, Mapping[str, F64]]
"""By mix and eval set, the share of seeds that decide each item rightly."""


def right(side: Prepared) -> tuple[Right, dict[str, int]]:
    """What the runs that are done decide, and how many seeds there are of each mix."""
    out: dict[str, dict[str, F64]] = {}
    seeds = {}
    for arm, runs in side.runs.items():
        for eval_set in side.eval_sets:
            done = [run.scores(eval_set) for run in runs if run.scores(eval_set).exists()]
            if done:
                credit = [
                    [trial.credit for trial in eval_set.trials(eval_set.scores(path).scores)] for path in done
                ]
                out.setdefault(arm, {})[eval_set.name] = np.array(credit, float).mean(axis=0)
                seeds[f"{arm} {eval_set.name}"] = len(done)
    return out, seeds


def agreement(a: Right, b: Right, sets: Sequence[str]) -> dict[str, Any] | None:
    """Mean Kendall's tau over eval sets between two rankings of mixes; bootstrap over mixes and items."""
    arms = [arm for arm in a if arm in b and all(name in a[arm] and name in b[arm] for name in sets)]
    if len(arms) < probe.LEAST_ARMS:
        return None
    x, y = ([np.array([side[arm][name] for arm in arms]) for name in sets] for side in (a, b))
    draw = np.random.Generator(np.random.PCG64(SEED))

    def tau(which: Any, items: Sequence[Any]) -> float:
        first, second = (
            np.stack([one[which][:, at].mean(axis=1) for one, at in zip(side, items, strict=True)], axis=1)
            for side in (x, y)
        )
        return probe.mean_tau(first, second)

    every = [slice(None)] * len(sets)
    draws = [
        tau(draw.integers(0, len(arms), len(arms)), [draw.integers(0, one.shape[1], one.shape[1]) for one in x])
        for _ in range(DRAWS)
    ]
    low, high = statistics.percentile(np.array(draws)) or (None, None)
    return {"mixes": len(arms), "tau": tau(slice(None), every), "low": low, "high": high}


def report(probed: Prepared, full: Prepared, rows: Any, costs: Costs) -> dict[str, Any]:
    """The whole result: tau per eval set and over all, accuracies, costs."""
    (heads, _), (trained, seeds) = right(probed), right(full)
    names = [one.name for one in full.eval_sets]
    done = [name for name in names if sum(name in found for found in trained.values()) >= probe.LEAST_ARMS]
    found = {name: agreement(heads, trained, [name]) for name in done}
    whole = agreement(heads, trained, done) if len(done) > 1 else None
    runs = [value for name, value in costs.seconds.items() if name.startswith("train ")]
    scored = [value for name, value in costs.seconds.items() if name.startswith("score ")]
    return {
        **measure.facts(),
        "what": f"LoRA runs of {ROWS} pairs; probes of the same, {PROBE_SEEDS} seeds, {', '.join(PROBE)}",
        "rows": rows, "mixes_planned": MIXES, "agreement": found | ({"all": whole} if whole else {}),
        "second_seed": _between_seeds(full, done),
        "seeds_of_full_runs": seeds,
        "accuracy": {
            side: {arm: {name: float(one.mean()) for name, one in sets.items()} for arm, sets in values.items()}
            for side, values in (("probe", heads), ("full", trained))
        },
        "mixes": {arm.name: dict(arm.rows) for arm in full.study.arms},
        "cpu_seconds": {
            "probe, all mixes": costs.seconds.get("probe"),
            "training, a run": float(np.mean(runs)) if runs else None,
            "scoring, a run and set": float(np.mean(scored)) if scored else None,
        },
    }  # fmt: skip


def cite(result: Mapping[str, Any]) -> None:
    """Write what `curate search` and `--probe` cite; no tau where fewer than CITED mixes have full runs."""
    whole = result["agreement"].get("all") or {"mixes": 0}
    enough = whole["mixes"] >= CITED
    figures = {name: whole[name] if enough else None for name in ("tau", "low", "high")}
    facts = {"model": "SmolLM2-135M", "mixes": whole["mixes"], "items": sum(result["rows"]["items"].values())}
    place = Path(probe_agreement.__file__).with_name(probe_agreement.FILE)
    place.write_text(json.dumps(facts | figures) + "\n", encoding="utf-8")


def _between_seeds(full: Prepared, sets: Sequence[str]) -> dict[str, Any] | None:
    """How well a second seed of the full runs agrees with the first: no proxy can be expected to agree better."""
    sides = [
        right(replace(full, runs={arm: runs[i : i + 1] for arm, runs in full.runs.items()}))[0] for i in (0, 1)
    ]
    return agreement(sides[0], sides[1], sets) if sets else None


def main() -> None:
    """Do what is left until the time is over, then report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="SmolLM2-135M-Instruct, as benchmarks/smollm2.py writes it")
    parser.add_argument("--real", type=Path, required=True, help="the folder with the real sets")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp/probe-study"))
    parser.add_argument("--until", help="HH:MM in UTC: no run begins later")
    parser.add_argument("--lock", type=Path, help="a file to lock for each run")
    options = parser.parse_args()
    place = options.dir.absolute()
    rows = project(options.model, options.real, place)
    probed, full = prepared(place, rows)
    costs = Costs(place / "costs.json")
    for piece in work(probed, full, place, costs):
        if options.until and f"{datetime.now(UTC):%H:%M}" >= options.until:
            say("the time is over")
            break
        with turn(options.lock):
            piece()
        say(json.dumps(costs.seconds))
    result = report(probed, full, rows, costs)
    print(measure.save("probe_study", result))
    cite(result)
    lines = [[name, one["mixes"], *(f"{one[key]:.2f}" for key in ("tau", "low", "high"))]
             for name, one in result["agreement"].items() if one]  # fmt: skip
    print(measure.table(lines, ["held-out items", "mixes", "tau", "low", "high"]), file=sys.stderr)


if __name__ == "__main__":
    main()

"""The probe: heads trained on features that are computed once, and their agreement with full runs."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from curate import statistics, trainer_process
from curate.ablation.effects import Effect
from curate.ablation.eval_items import title
from curate.ablation.findings import values
from curate.ablation.probe_agreement import published
from curate.ablation.report import Report
from curate.ablation.runs import Say
from curate.ablation.study import Prepared, Study
from curate.arrays import F64
from curate.errors import ConfigError
from curate.workspace import Workspace

COUNTS = ("head.", "loss.")
ALONE = {
    "model", "max_length", "min_pixels", "max_pixels", "max_frames", "max_frame_pixels", "head_lr",
    "batch_pairs", "epochs", "max_pairs", "max_steps", "weight_decay", "schedule", "warmup", "clip",
}  # fmt: skip
"""The settings in which arms of a probe may differ: those that a head and its features depend on."""

SEED = 1
LEAST_ARMS = 4
"""The least number of arms for which agreement of rankings is computed."""


def check(study: Study) -> None:
    """Raise ConfigError where arms differ by what a probe does not train."""
    for arm in study.arms:
        for setting in arm.settings:
            key = setting.partition("=")[0]
            if key not in ALONE and not key.startswith(COUNTS):
                hint = "head_lr is the rate of a probe" if key == "lr" else "leave --probe out"
                raise ConfigError(
                    "--probe", f"arm {arm.name} sets {key}", "settings of head, loss or features", hint
                )


def carry_out(prepared: Prepared, workspace: Workspace, say: Say) -> None:
    """Compute the missing features and train every head that is not trained yet, in one process."""
    runs = [run for run in prepared.every_run if not (run.folder / "result.json").exists()]
    if not runs:
        return
    items = [str(eval_set.file) for eval_set in prepared.eval_sets]
    configs = [str(run.folder / "config.yaml") for run in runs]
    places = ["--features", str(workspace.root / "features")]
    command = [sys.executable, "-m", "trainer.probe", *places, "--items", *items, "--runs", *configs]
    trainer_process.run(command, say)


def full_values(prepared: Prepared) -> dict[str, list[Effect]]:
    """The measures of those arms of a probe that have full runs too, over the seeds that are done."""
    out = {}
    for arm, runs in prepared.runs.items():
        full = [replace(run, folder=prepared.folder.parent / run.name) for run in runs]
        done = [run for run in full if all(run.scores(eval_set).exists() for eval_set in prepared.eval_sets)]
        if done:
            scores = {
                eval_set.name: [eval_set.scores(run.scores(eval_set)).scores for run in done]
                for eval_set in prepared.eval_sets
            }
            out[arm] = values(prepared.eval_sets, scores)
    return out


def agreement(probe: Report, full: Mapping[str, Sequence[Effect]]) -> dict[str, Any]:
    """Kendall's tau between the arms' values here and those of full runs.

    Over the arms that both have: for each measure, and the mean of it over measures, with the bootstrap over arms.
    """
    mine, other = (
        {arm: {(one.eval_set, one.measure): one.value for one in found} for arm, found in side.items()}
        for side in (probe.found.values, full)
    )
    arms = [arm for arm in mine if arm in other]
    columns = [c for c in probe.columns() if all(c in mine[arm] and c in other[arm] for arm in arms)]
    if len(arms) < LEAST_ARMS or not columns:
        return {"agreement": [], "arms": len(arms)}
    a, b = (np.array([[side[arm][c] for c in columns] for arm in arms]) for side in (mine, other))
    names = [title(*column) for column in columns]
    return {"agreement": [_agreement_row(name, a[:, i : i + 1], b[:, i : i + 1]) for i, name in enumerate(names)]
            + ([_agreement_row("all measures", a, b)] if len(names) > 1 else [])}  # fmt: skip


def _agreement_row(name: str, a: F64, b: F64) -> dict[str, Any]:
    tau = mean_tau(a, b)
    draw = np.random.Generator(np.random.PCG64(SEED))
    drawn = (draw.integers(0, len(a), len(a)) for _ in range(statistics.RESAMPLES))
    taus = np.array([mean_tau(a[at], b[at]) for at in drawn])
    interval = statistics.percentile(taus)
    low, high = interval or (math.nan, math.nan)
    return {"column": name, "tau": tau, "low": low, "high": high, "arms": len(a)}


def mean_tau(a: F64, b: F64) -> float:
    """The mean over columns of Kendall's tau-b between the rows of a and b; nan where no column has a ranking."""
    taus = [tau for i in range(a.shape[1]) if not math.isnan(tau := kendall(a[:, i].tolist(), b[:, i].tolist()))]
    return sum(taus) / len(taus) if taus else math.nan


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b (Kendall 1945), which takes ties into account; nan where one side is all ties."""
    agree = ties_a = ties_b = pairs = 0
    for i, j in combinations(range(len(a)), 2):
        first, second = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        pairs, agree = pairs + 1, agree + int(first * second)
        ties_a, ties_b = ties_a + (first == 0), ties_b + (second == 0)
    under = math.sqrt((pairs - ties_a) * (pairs - ties_b))
    return agree / under if under else math.nan


def agreement_text(found: Mapping[str, Any]) -> str:
    """The agreement in Markdown."""
    if not found["agreement"]:
        few = f"Only {found['arms']} arms have full runs" if found.get("arms") else "No arm has full runs"
        return f"{few}, so it is not known how well the probe agrees with them. {published().text()}"
    lines = [
        f"- {one['column']}: τ = {one['tau']:.2f}, [{one['low']:.2f}, {one['high']:.2f}] over {one['arms']} arms"
        for one in found["agreement"]
    ]
    return "Kendall's τ with the full runs of the same arms, 95 % by bootstrap over arms:\n\n" + "\n".join(lines)

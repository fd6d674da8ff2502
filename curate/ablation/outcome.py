"""From finished runs to their report: scores and costs read, arms compared."""

import json
from collections.abc import Sequence
from typing import Any

from curate.ablation.findings import find
from curate.ablation.report import Cost, Report
from curate.ablation.runs import Run
from curate.ablation.study import Prepared, facts


def outcome(prepared: Prepared) -> Report:
    """The report of a study whose runs are done."""
    study = prepared.study
    unscored = dict.fromkeys((exam.name for exam in prepared.exams), 0)
    answered: dict[str, dict[str, list[Any]]] = {}
    for arm, runs in prepared.runs.items():
        answered[arm] = {exam.name: [] for exam in prepared.exams}
        for run in runs:
            for exam in prepared.exams:
                answers = exam.scores(run.scores(exam))
                answered[arm][exam.name].append(answers.scores)
                unscored[exam.name] += answers.unscored
    return Report(
        facts=facts(prepared),
        arms=study.arms,
        exams=prepared.exams,
        found=find(study.arms, study.own(), prepared.exams, answered),
        costs={arm: cost(runs) for arm, runs in prepared.runs.items()},
        unscored=unscored,
    )


def cost(runs: Sequence[Run]) -> Cost:
    """What the runs of an arm took, by the trainer's own account."""
    results = [run.result for run in runs]
    flops = [result.get("flops") for result in results]
    return Cost(
        runs=len(runs),
        pairs=sum(result["pairs"] for result in results),
        dropped=sum(sum(reasons.values()) for result in results for reasons in result["dropped"].values()),
        tokens=sum(map(_tokens, runs)),
        seconds=sum(result["seconds"] for result in results),
        flops=sum(map(float, filter(None, flops))) if all(flops) else None,
    )


def _tokens(run: Run) -> int:
    """Tokens of all training steps."""
    with open(run.folder / "metrics.jsonl", encoding="utf-8") as lines:
        return sum(json.loads(line).get("tokens", 0) for line in lines)

"""From finished runs to their report: scores and costs read, arms compared."""

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

    def total(name: str) -> int | None:
        found = [result.get(name) for result in results]
        return None if None in found else sum(map(int, filter(None, found)))

    return Cost(
        runs=len(runs),
        pairs=total("pairs") or 0,
        dropped=sum(sum(reasons.values()) for result in results for reasons in result["dropped"].values()),
        tokens=total("tokens"),
        seconds=sum(result["seconds"] for result in results),
        flops=total("flops"),
    )

"""Makes the report of finished runs: reads scores and costs, compares arms."""

from collections.abc import Sequence
from typing import Any

from curate.ablation.findings import find
from curate.ablation.report import Cost, Report
from curate.ablation.runs import Run
from curate.ablation.study import Prepared, facts


def outcome(prepared: Prepared) -> Report:
    """The report of a study whose runs are done."""
    study = prepared.study
    unscored = dict.fromkeys((eval_set.name for eval_set in prepared.eval_sets), 0)
    scores: dict[str, dict[str, list[Any]]] = {}
    for arm, runs in prepared.runs.items():
        scores[arm] = {eval_set.name: [] for eval_set in prepared.eval_sets}
        for run in runs:
            for eval_set in prepared.eval_sets:
                found = eval_set.scores(run.scores(eval_set))
                scores[arm][eval_set.name].append(found.scores)
                unscored[eval_set.name] += found.unscored
    return Report(
        facts=facts(prepared),
        arms=study.arms,
        eval_sets=prepared.eval_sets,
        found=find(study.arms, study.own(), prepared.eval_sets, scores),
        costs={arm: cost(runs) for arm, runs in prepared.runs.items()},
        unscored=unscored,
    )


def cost(runs: Sequence[Run]) -> Cost:
    """The cost of an arm's runs, from the trainer's results."""
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

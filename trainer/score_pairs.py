"""Scores both replies of pairs: by a model or an ensemble, or by heads that did not see them.

    python -m trainer.score_pairs JOBS.json --images DIR --model MODEL [--max-tokens N] [--device N]
    python -m trainer.score_pairs JOBS.json --images DIR --config CONFIG --features ROOT --folds K

JOBS.json is a list of {pairs, out, rows, folds}: a Parquet file of pairs, the file of scores to write for it
(curate.pairs.scores), which of its rows are wanted (null: all), and with --folds the fold of each row. A model
leaves a file that is there whole as it is. With --folds one head is trained for each fold, on the features of the
wanted pairs of the others.
"""

import argparse
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from curate.checksums import published, usable
from curate.errors import TrainError
from curate.evalsets.itemfile import Question
from curate.evaluation import ensembles
from trainer import config, programs
from trainer.config import TrainConfig
from trainer.encode import Row
from trainer.features import FeatureCache
from trainer.logs import Progress, say
from trainer.media import Unusable
from trainer.probe import train_head
from trainer.readers import PairsReader, read_files
from trainer.score import ItemScores, Scorer
from trainer.scorers import EnsembleScorer, kind_of, load

SCORES = pa.schema(
    [("chosen", pa.float64()), ("rejected", pa.float64()), ("margin", pa.float64()), ("wrong", pa.float64()),
     ("problem", pa.large_string())]
)  # fmt: skip
AHEAD = 256  # pairs that are read before they are scored
EVERY = 2.0  # seconds between lines about progress

ScoreQuestions = Callable[[Sequence[Question]], Iterable[ItemScores]]


class Job(NamedTuple):
    """One file of pairs, and where its scores go."""

    pairs: Path
    out: Path
    rows: Sequence[int] | None = None
    folds: Sequence[int] | None = None


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a file."""
    listed = json.loads(path.read_text(encoding="utf-8"))
    return [Job(Path(one["pairs"]), Path(one["out"]), one["rows"], one["folds"]) for one in listed]


def question_of(row: Row) -> Question:
    """A pair as a question with two replies, the chosen one first."""
    question = Question(row.pair_id, row.prompt, (row.chosen, row.rejected))
    if row.tools is not None:
        return question._replace(problem="tools: pairs with tools are not scored")
    try:
        read = (medium.read() for medium in row.media)
        return question._replace(media=tuple(one if isinstance(one, bytes) else tuple(one) for one in read))
    except Unusable as error:
        return question._replace(problem=error.reason)


def questions_scorer(scorer: Scorer | EnsembleScorer) -> ScoreQuestions:
    """What scores questions: a model, or an ensemble's members whose scores are combined."""
    if isinstance(scorer, Scorer):
        return scorer.items
    return lambda questions: _combined(scorer, questions)


def _combined(scorer: EnsembleScorer, questions: Sequence[Question]) -> Iterator[ItemScores]:
    for question in questions:
        route = scorer.ensemble.route_of(kind_of(question.prompt + question.replies[0] + question.replies[1]))
        if route is None:
            yield ItemScores(question.item, [], "no_route: the ensemble has no members for its kind")
            continue
        members = scorer.ensemble.each[route]
        found = [next(iter(scorer.members[member.path].items([question]))) for member in members]
        problem = next((one.problem for one in found if one.problem is not None), None)
        scores = [] if problem else ensembles.combined(members, [list(one.scores) for one in found])
        yield ItemScores(question.item, scores, problem)


def score_file(job: Job, images: Path, score: ScoreQuestions, progress: Progress) -> None:
    """Write the scores of one file of pairs."""
    reader = read_files([job.pairs], images)
    wanted = set(range(len(reader)) if job.rows is None else job.rows)
    found: list[dict[str, Any]] = [{"problem": "not_wanted"}] * len(reader)
    places: deque[int] = deque()

    def questions() -> Iterator[Question]:
        for at, row in enumerate(reader.rows()):
            if at in wanted:
                places.append(at)
                yield question_of(row)

    stream = questions()
    while batch := list(islice(stream, AHEAD)):
        for one in score(batch):
            scores = one.scores if one.problem is None else None
            found[places.popleft()] = _row(scores, one.problem)
            progress.tick()
    _write(found, job.out)


def _row(scores: Sequence[float] | None, problem: str | None) -> dict[str, Any]:
    if scores is None:
        return {"problem": problem}
    chosen, rejected = scores
    return {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected}


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    whole = [{name: row.get(name) for name in SCORES.names} for row in rows]
    with published(path) as temporary:
        pq.write_table(pa.Table.from_pylist(whole, SCORES), temporary)


def cross_fit(run_config: TrainConfig, cache: FeatureCache, jobs: Sequence[Job], images: Path, folds: int) -> None:
    """Train a head for each fold and write what it gives the pairs of that fold.

    Raises TrainError where a fold has no other pair to learn from.
    """
    readers = [read_files([job.pairs], images) for job in jobs]
    for job, reader in zip(jobs, readers, strict=True):
        cache.add_pairs(_Wanted(reader, job.rows))
    pairs, unusable = cache.pairs(), cache.unusable
    places = [_places(job, reader.pair_ids()) for job, reader in zip(jobs, readers, strict=True)]
    fold_of = {pairs.index[name]: fold for some in places for _, name, fold in some if name in pairs.index}
    rewards: dict[int, tuple[float, float]] = {}
    for fold in range(folds):
        order = torch.tensor([row for row, own in fold_of.items() if own != fold], dtype=torch.long)
        judged = torch.tensor([row for row, own in fold_of.items() if own == fold], dtype=torch.long)
        if not len(order):
            raise TrainError(f"fold {fold + 1}", "no pair of other folds to learn from", "two groups or more")
        mixed = torch.randperm(len(order), generator=torch.Generator().manual_seed(run_config.seed))
        head = train_head(run_config, pairs, order[mixed])
        rewards |= _rewards(head, pairs.chosen, pairs.rejected, judged)
        say(f"head {fold + 1} of {folds}: {len(judged):,} pairs")
    for job, reader, some in zip(jobs, readers, places, strict=True):
        found: list[dict[str, Any]] = [{"problem": "not_wanted"}] * len(reader)
        for at, name, _ in some:
            scores = rewards.get(pairs.index.get(name, -1))
            found[at] = _row(scores, unusable.get(name, "no_features"))
        _write(found, job.out)


class _Wanted(PairsReader):
    """Some rows of a file of pairs."""

    def __init__(self, reader: PairsReader, rows: Sequence[int] | None) -> None:
        self._reader, self._wanted = reader, None if rows is None else set(rows)

    def pair_ids(self) -> list[str]:
        """The ids of these rows."""
        return [name for at, name in enumerate(self._reader.pair_ids()) if self._takes(at)]

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yield these rows."""
        return (row for at, row in enumerate(self._reader.rows(start), start) if self._takes(at))

    def _takes(self, at: int) -> bool:
        return self._wanted is None or at in self._wanted


def _places(job: Job, pair_ids: Sequence[str]) -> list[tuple[int, str, int]]:
    """Row, pair id and fold of each wanted pair of a job."""
    assert job.folds is not None
    rows = range(len(pair_ids)) if job.rows is None else job.rows
    return [(at, pair_ids[at], job.folds[at]) for at in rows]


@torch.no_grad()
def _rewards(head: Any, chosen: Tensor, rejected: Tensor, rows: Tensor) -> dict[int, tuple[float, float]]:
    device = next(head.parameters()).device
    sides = [head(side[rows].to(device)).tolist() if len(rows) else [] for side in (chosen, rejected)]
    if not all(math.isfinite(value) for side in sides for value in side):
        raise TrainError("rewards", "a score is not finite", "", "a lower head_lr may help")
    return dict(zip(rows.tolist(), zip(*sides, strict=True), strict=True))


def main(arguments: Sequence[str]) -> None:
    """Score the jobs that are not done yet."""
    parser = argparse.ArgumentParser(prog="python -m trainer.score_pairs")
    parser.add_argument("jobs", type=Path, help="JSON file of jobs")
    parser.add_argument("--images", type=Path, required=True, help="image store of the pairs")
    parser.add_argument("--model", type=Path, help="a reward model's directory, or an ensemble.yaml")
    parser.add_argument("--max-tokens", type=int, default=8192, help="tokens of one forward pass")
    parser.add_argument("--device", type=int, default=0, help="which GPU, where there are some; counted round")
    parser.add_argument("--config", type=Path, help="config.yaml of heads")
    parser.add_argument("--features", type=Path, help="where features are kept")
    parser.add_argument("--folds", type=int, default=0, help="heads to train")
    options = parser.parse_args(arguments)
    jobs = read_jobs(options.jobs)
    if options.model is None:
        run_config = config.read(options.config)
        cross_fit(run_config, FeatureCache(run_config, options.features), jobs, options.images, options.folds)
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(options.device % torch.cuda.device_count())
    left = [job for job in jobs if not usable(job.out)]
    if len(left) < len(jobs):
        say(f"{len(jobs) - len(left):,} of {len(jobs):,} parts are scored already")
    sizes = [pq.read_metadata(job.pairs).num_rows if job.rows is None else len(job.rows) for job in left]
    progress = Progress("scores", 0, sum(sizes), "pairs", EVERY)
    score = questions_scorer(load(options.model, options.max_tokens)) if left else lambda _: ()
    for job in left:
        score_file(job, options.images, score, progress)


if __name__ == "__main__":
    programs.run(main)

"""Cross-fitted scores by whole models: for each fold of pairs one is trained on the other folds and scores it.

<workspace>/runs/scores-NAME-<id>/fold-1/...           the run of a fold's model (curate.ablation.runs)
                                  fold-1/mix/          what it trains on: the scores of its model know what it saw
                                  fold-1/scores-<i>-<part>   what it gives the pairs of its fold in a part of pool
                                  i

Folds are those of heads: pairs that are linked by group or prompt, of any source, are in one. The same command
continues with the runs and parts that are missing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import schema, trainer_process
from curate.ablation.runs import Run, one_after_another
from curate.arrays import B8, I64
from curate.checksums import usable, write_record
from curate.engines.base import Engine
from curate.errors import ConfigError
from curate.hashing import fingerprint
from curate.images.store import ImageStore
from curate.inspect.targets import Target
from curate.mixing import select, shards
from curate.mixing.quotas import Plan
from curate.pairs import scores
from curate.pairs.files import column
from curate.pairs.keys import load_keys
from curate.recipe import ShardSettings
from curate.workspace import Workspace

SEED = 0

Jobs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """How many folds of pairs there are, and what is trained for each: a preset and settings over it."""

    folds: int
    preset: str
    settings: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As plain values, for receipts."""
        return {"preset": self.preset, "settings": list(self.settings), "folds": self.folds}


class FoldModels:
    """The runs of one name's scores: `folds` has the fold of every pair of each target, `wanted` which are
    scored."""

    def __init__(
        self,
        targets: Sequence[Target],
        name: str,
        workspace: Workspace,
        folds: Sequence[I64],
        wanted: Sequence[B8],
    ) -> None:
        self._targets, self._name, self._workspace = targets, name, workspace
        self._folds, self._wanted = folds, wanted
        self._number = max(int(own.max(initial=0)) for own in folds) + 1

    def folder(self, about: Mapping[str, Any]) -> Path:
        """Where the runs are, by these facts of how the models are trained."""
        pairs = [[target.pool.directory.name, *target.pool.parts] for target in self._targets]
        rows = [fingerprint(np.flatnonzero(own).tolist()) for own in self._wanted]
        return self._workspace.root / "runs" / f"scores-{self._name}-{fingerprint([about, pairs, rows])[:8]}"

    def train(
        self, place: Path, fit: CrossFit, engine: Engine, nproc: int, say: Callable[[str], None]
    ) -> list[Run]:
        """Train the models that are missing, one after another, each on the wanted pairs of the other folds.

        Raises ConfigError for wrong settings, or a fold without other pairs, TrainError from training.
        """
        runs = [Run(name=f"fold-{i + 1}", folder=place / f"fold-{i + 1}", items=()) for i in range(self._number)]
        for fold, run in enumerate(runs):
            mix = run.folder / "mix"
            paths = {"mix": mix, "out": run.folder, "images": self._workspace.images}
            where = [f"{key}={json.dumps(str(path), ensure_ascii=False)}" for key, path in paths.items()]
            trainer_process.prepare(fit.preset, ["eval_every_pairs=null", *fit.settings, *where])
            if not (mix / "lock.json").exists():
                self.write_mix(fold, mix, engine)
        one_after_another(runs, nproc, say)
        return runs

    def write_mix(self, fold: int, directory: Path, engine: Engine) -> None:
        """Write the wanted pairs of the other folds as shards that refer to the image store, in keyed order."""
        keys = [load_keys(target.pool.directory, target.pool.parts) for target in self._targets]
        chosen = pl.concat(
            frame.select(
                "id_hi", "id_lo", "copy", pool=pl.lit(i, pl.UInt16), entry=pl.lit(i, pl.UInt16),
                at=pl.int_range(pl.len(), dtype=pl.UInt32), repeat=pl.lit(0, pl.Int32),
            ).filter(wanted & (own != fold))
            for i, (frame, own, wanted) in enumerate(zip(keys, self._folds, self._wanted, strict=True))
        )  # fmt: skip
        if not chosen.height:
            raise ConfigError(f"fold {fold + 1}", "no pair of other folds to learn from", "two groups or more")
        mix = select.in_order(chosen, SEED, keys)
        selection = select.Selection(plan=Plan(lines=(), rows=mix.height), mix=mix, holdout=mix.clear(), counts=())
        pools = [(target.pool.directory, target.pool.parts) for target in self._targets]
        images = ImageStore(self._workspace.images)
        written = shards.write(selection, pools, images, ShardSettings(media="reference"), directory, engine)
        files = [asdict(one) for one in written]
        name = f"scores-{self._name}-fold-{fold + 1}"
        lock = {"name": name, "schema": schema.VERSION, "rows": mix.height, "files": files}
        write_record(directory / "lock.json", {**lock, "fingerprint": fingerprint(files)})

    def jobs(self, run: Run, fold: int) -> Jobs:
        """What `trainer.score_pairs` has left to score by a fold's model: parts with pairs of the fold."""
        found = []
        for i, target in enumerate(self._targets):
            for part, own in self._parts(i, target):
                rows = np.flatnonzero(own == fold)
                out = _scores_of(run, i, part)
                if len(rows) and not usable(out):
                    job = {"pairs": str(target.pool.directory / part), "out": str(out), "rows": rows.tolist()}
                    found.append({**job, "folds": None})
        return found

    def write_scores(self, runs: Sequence[Run], places: Sequence[Path]) -> None:
        """Write the scores of all pairs, each by its own fold's model, as the parts of the pools' scores."""
        for i, (target, place) in enumerate(zip(self._targets, places, strict=True)):
            for part, own in self._parts(i, target):
                frames = [
                    pl.read_parquet(_scores_of(run, i, part)).with_row_index("at").filter(own == fold)
                    for fold, run in enumerate(runs)
                    if (own == fold).any()
                ]
                empty = pl.DataFrame(schema={"at": pl.UInt32, **scores.SCORES})
                found = pl.concat([empty, *frames], how="vertical_relaxed")
                every = pl.DataFrame({"at": pl.int_range(len(own), dtype=pl.UInt32, eager=True)})
                whole = every.join(found, on="at", how="left", maintain_order="left")
                unwanted = pl.Series(own < 0)
                problem = pl.when(unwanted).then(pl.lit(scores.NOT_WANTED)).otherwise("problem")
                scores.write_part(whole.with_columns(problem=problem), place / part)

    def _parts(self, i: int, target: Target) -> list[tuple[str, I64]]:
        """Each part of a target with the fold of its pairs, -1 for those that are not wanted."""
        heights = [column(target.pool.directory / part, "pair_id").num_rows for part in target.pool.parts]
        own = np.where(self._wanted[i], self._folds[i], -1)
        return list(zip(target.pool.parts, np.split(own, np.cumsum(heights)[:-1]), strict=True))


def _scores_of(run: Run, pool: int, part: str) -> Path:
    return run.folder / f"scores-{pool}-{part}"

"""Folds of whole models: what each trains on and scores, and the scores that come of it, without any training."""

import json

import numpy as np
import polars as pl
import pytest

from curate.ablation.runs import Run
from curate.analysis import scoring
from curate.analysis.fold_models import FoldModels
from curate.build import build
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.inspect.targets import find
from curate.pairs import scores
from curate.pairs.keys import load_keys
from curate.recipe import load
from curate.workspace import Workspace
from tests.support import planted
from trainer.readers import MixReader

FOLDS = 3


class World:
    def __init__(self, project):
        planted.write(project, good=30, noise=30, eval_items=4)
        rows = (project / "raw" / "good" / "a.jsonl").read_text().splitlines()
        again = [json.dumps(json.loads(row) | {"chosen": "another reply altogether"}) for row in rows[:6]]
        (project / "raw" / "noise" / "z.jsonl").write_text("\n".join(again) + "\n")  # prompts of the other source
        inputs = Inputs(
            workspace=Workspace(project / "data"), raw=project / "raw", manifests=project / "manifests"
        )
        recipe = project / "planted.yaml"
        recipe.write_text(recipe.read_text().replace("60", "5"))
        with Local(1) as engine:
            build(load(project / "planted.yaml"), inputs, engine, Terminal())
        self.workspace = inputs.workspace
        self.targets = find([str(project / "planted.yaml")], inputs)
        self.keys = [load_keys(one.pool.directory, one.pool.parts) for one in self.targets]
        self.folds = scoring._folds(self.targets, FOLDS)
        self.wanted = [np.arange(frame.height) % 7 > 0 for frame in self.keys]
        self.models = FoldModels(self.targets, "mine", self.workspace, self.folds, self.wanted)

    def ids(self, chosen):
        """The pair ids of each target where a mask says so."""
        frames = [
            pl.concat(pl.read_parquet(one.pool.directory / part, columns=["pair_id"]) for part in one.pool.parts)
            for one in self.targets
        ]
        return [one for frame, mask in zip(frames, chosen, strict=True) for one in frame["pair_id"].filter(mask)]

    def prompts(self, chosen):
        """The prompts of both sources where a mask says so."""
        return {
            key for frame, mask in zip(self.keys, chosen, strict=True) for key in frame["prompt_key"].filter(mask)
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("folds"))


def test_a_fold_trains_on_the_wanted_pairs_of_the_others_and_on_no_prompt_of_its_own(world, tmp_path):
    every = set()
    for fold in range(FOLDS):
        with Local(1) as engine:
            world.models.write_mix(fold, tmp_path / str(fold), engine)
        found = MixReader(tmp_path / str(fold)).pair_ids()
        others = [pl.Series(w & (own != fold)) for w, own in zip(world.wanted, world.folds, strict=True)]
        assert sorted(found) == sorted(world.ids(others))
        assert found != sorted(found)
        learned, judged = world.prompts(others), world.prompts([pl.Series(own == fold) for own in world.folds])
        assert learned
        assert judged
        assert not learned & judged
        every |= judged
    assert every == {key for frame in world.keys for key in frame["prompt_key"]}
    both = [set(frame["prompt_key"]) for frame in world.keys]
    assert both[0] & both[1], "a prompt of both sources"


def test_each_pair_has_the_score_of_its_own_folds_model(world, tmp_path):
    runs = [Run(name=f"fold-{i + 1}", folder=tmp_path / f"fold-{i + 1}", items=()) for i in range(FOLDS)]
    jobs = [world.models.jobs(run, fold) for fold, run in enumerate(runs)]
    for fold, some in enumerate(jobs):
        for job in some:
            height = pl.read_parquet(job["pairs"], columns=["pair_id"]).height
            at = pl.Series(range(height)).is_in(job["rows"])
            frame = pl.DataFrame({"at": range(height)}).select(
                chosen=pl.when(at).then(fold + pl.col("at") / 100), rejected=pl.when(at).then(0.0),
                margin=pl.when(at).then(fold + pl.col("at") / 100), wrong=pl.lit(None, pl.Float64),
                problem=pl.when(~at).then(pl.lit("not_wanted")),
            )  # fmt: skip
            runs[fold].folder.mkdir(exist_ok=True)
            frame.write_parquet(job["out"])
    places = [tmp_path / target.label for target in world.targets]
    for place in places:
        place.mkdir()
    world.models.write_scores(runs, places)
    for target, place, own, wanted in zip(world.targets, places, world.folds, world.wanted, strict=True):
        frame = pl.concat(pl.read_parquet(place / part) for part in target.pool.parts)
        heights = [pl.read_parquet(place / part).height for part in target.pool.parts]
        at = np.concatenate([np.arange(height) for height in heights])
        assert frame["margin"].to_list() == [
            fold + row / 100 if want else None for fold, row, want in zip(own, at, wanted, strict=True)
        ]
        assert frame["problem"].to_list() == [None if want else scores.NOT_WANTED for want in wanted]


def test_other_pairs_settings_or_folds_are_other_runs(world):
    places = {world.models.folder({"folds": 3}), world.models.folder({"folds": 4})}
    fewer = [mask & (np.arange(len(mask)) > 2) for mask in world.wanted]
    places.add(FoldModels(world.targets, "mine", world.workspace, world.folds, fewer).folder({"folds": 3}))
    assert len(places) == 3
    assert world.models.folder({"folds": 3}) in places


def test_a_fold_without_other_pairs_is_refused(world, tmp_path):
    none = [np.zeros_like(mask) for mask in world.wanted]
    models = FoldModels(world.targets, "mine", world.workspace, world.folds, none)
    with Local(1) as engine, pytest.raises(ConfigError, match="fold 1: no pair of other folds to learn from"):
        models.write_mix(0, tmp_path, engine)

"""Scores of pairs, and the steps that read them: the holdout is never filtered, in-sample scores are refused."""

import json
from dataclasses import replace

import polars as pl
import pytest

from curate.ablation.arms import with_step
from curate.analysis import scoring
from curate.build import build
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.errors import ConfigError, CurateError, WorkspaceError
from curate.inputs import Inputs
from curate.inspect import render
from curate.inspect.targets import find
from curate.inspect.verify import verify_files
from curate.inspect.why import history_lines, pair_history
from curate.labels import Label, append_label
from curate.recipe import load
from curate.steps import build as build_step
from curate.steps import build_all
from curate.workspace import Workspace
from tests.support import planted
from trainer.readers import MixReader

ROWS, HELD = 60, 7


class World:
    """Two sources with scores from a file, and their mixes with and without steps."""

    def __init__(self, project):
        planted.write(project, good=ROWS, noise=ROWS)
        self.project, self.workspace = project, Workspace(project / "data")
        self.inputs = Inputs(workspace=self.workspace, raw=project / "raw", manifests=project / "manifests")
        text = (project / "planted.yaml").read_text()
        self.recipe = replace(
            load(project / "planted.yaml"),
            holdout=type(load(project / "planted.yaml").holdout)(rows_per_source=HELD),
        )
        assert "steps" in text or self.recipe.steps
        self.plain = self.mix()
        self.targets = find([str(project / "planted.yaml")], self.inputs)
        self.pairs = {
            target.label: pl.concat(pl.read_parquet(target.pool.directory / part) for part in target.pool.parts)
            for target in self.targets
        }
        # the margin of each pair is its place among all ids, so that every rank is known
        ids = sorted(pair_id for frame in self.pairs.values() for pair_id in frame["pair_id"])
        self.margin = {pair_id: float(place) for place, pair_id in enumerate(ids)}
        self.scored = self.from_file("mine", [{"pair_id": one, "margin": self.margin[one]} for one in ids[:-1]])

    def from_file(self, name, rows, provenance="external"):
        path = self.project / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return scoring.by_file(self.targets, path, name, provenance, lambda _: None)

    def mix(self, *steps):
        with Local(1) as engine:
            recipe = replace(self.recipe, steps=(*self.recipe.steps, *steps))
            return build(recipe, self.inputs, engine, Terminal())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("scored"))


def ids(mix, kind):
    return [one for path in sorted(mix.directory.glob(f"{kind}-*")) for one in pl.read_parquet(path)["pair_id"]]


def test_the_lowest_margins_of_each_source_go_and_the_holdout_stays_whole(world):
    mix = world.mix(("reward_margin", {"scores": "mine", "hardest": 0.25}))
    assert ids(mix, "holdout") == ids(world.plain, "holdout")
    assert len(ids(mix, "holdout")) == 2 * HELD
    dropped = set(ids(world.plain, "shard")) - set(ids(mix, "shard"))
    kept = ids(world.plain, "shard")
    for label, frame in world.pairs.items():
        own = [one for one in kept if one in set(frame["pair_id"]) and one in set(list(world.margin)[:-1])]
        lowest = sorted(own, key=world.margin.__getitem__)[: int(0.25 * len(own))]
        assert dropped & set(frame["pair_id"]) == set(lowest), label
        assert mix.lock["funnel"][label]["dropped"]["reward_margin/hardest"] == len(lowest) > 5
    assert list(dict.fromkeys(ids(mix, "shard"))) == [one for one in kept if one not in dropped]
    assert mix.lock["scores"]["reward_margin"]["good"]["provenance"] == "external"
    assert mix.lock["fingerprint"] != world.plain.lock["fingerprint"]
    assert "scores" not in world.plain.lock


def test_the_random_arm_has_exactly_the_size_and_other_pairs(world):
    _, filtered, drawn = with_step(world.recipe, "reward_margin: {scores: mine, hardest: 0.25}")
    mixes = [world.mix(arm.step) for arm in (filtered, drawn)]
    sizes = [{label: sum(one["dropped"].values()) for label, one in mix.lock["funnel"].items()} for mix in mixes]
    assert sizes[0] == sizes[1]
    assert len(ids(mixes[0], "shard")) == len(ids(mixes[1], "shard"))
    assert ids(mixes[0], "shard") != ids(mixes[1], "shard")
    assert ids(mixes[1], "holdout") == ids(world.plain, "holdout")
    assert set(mixes[1].lock["funnel"]["good"]["dropped"]) >= {"reward_margin/at_random"}


def test_an_audits_chances_drop_what_is_above_the_threshold(world):
    chances(world)
    mix = world.mix(("label_audit", {"scores": "chances", "above": 0.75}))
    dropped = set(ids(world.plain, "shard")) - set(ids(mix, "shard"))
    assert dropped == {one for one in ids(world.plain, "shard") if world.margin[one] % 10 >= 8}
    with pytest.raises(ConfigError, match="the scores 'mine' have no column wrong"):
        world.mix(("label_audit", {"scores": "mine"}))


def rows_of(mix, kind="shard"):
    return {
        row["pair_id"]: row
        for path in sorted(mix.directory.glob(f"{kind}-*"))
        for row in pl.read_parquet(path).to_dicts()
    }


def chances(world):
    """Scores with chances from 0 to .9, by the last digit of each pair's place."""
    rows = [{"pair_id": one, "margin": 0, "wrong": (place % 10) / 10} for one, place in world.margin.items()]
    world.from_file("chances", rows, "cross-fitted")
    return {row["pair_id"]: row["wrong"] for row in rows}


def test_an_audits_chances_are_weights_that_the_trainer_reads(world):
    wrong = chances(world)
    mix = world.mix(("label_audit", {"scores": "chances", "above": 0.75, "action": "weight"}))
    assert ids(mix, "shard") == ids(world.plain, "shard")
    assert ids(mix, "holdout") == ids(world.plain, "holdout")
    weights = {pair_id: row["weight"] for pair_id, row in rows_of(mix).items()}
    assert weights == {one: 1 - wrong[one] if wrong[one] > 0.75 else 1.0 for one in weights}
    assert set(weights.values()) == {1.0, 1 - 0.8, 1 - 0.9}
    assert {row["weight"] for row in rows_of(mix, "holdout").values()} == {1.0}
    reader = MixReader(mix.directory)
    assert reader.weights() == [weights[one] for one in ids(mix, "shard")] == [row.weight for row in reader.rows()]
    account = [mix.lock["funnel"][label] for label in ("good", "noise")]
    assert sum(one["weighted"] for one in account) == sum(weight < 1 for weight in weights.values()) > 10
    assert [one["dropped"] for one in account] == [
        world.plain.lock["funnel"][label]["dropped"] for label in ("good", "noise")
    ]
    sheet = pl.read_parquet(mix.directory / "review.parquet").filter(step="label_audit")
    assert set(sheet["reason"]) == {"weighted"}
    assert {one for one, weight in weights.items() if weight < 1} == set(sheet["pair_id"])
    printed = {
        one: ", weight 0.1" in ", ".join(render.facts({"pair": row, "at": "1"}))
        for one, row in rows_of(mix).items()
    }
    assert printed == {one: weight == 1 - 0.9 for one, weight in weights.items()}
    card = (mix.directory / "README.md").read_text()
    assert f"{sheet.height} pairs have a `weight` other than 1" in card
    assert "| `weight` | float64 |" in card


def test_weights_that_are_all_1_leave_the_shards_as_they_are(world):
    chances(world)
    mix = world.mix(("label_audit", {"scores": "chances", "above": 0.95, "action": "weight"}))
    assert [file["xxh3"] for file in mix.lock["files"]] == [file["xxh3"] for file in world.plain.lock["files"]]
    assert "weighted" not in mix.lock["funnel"]["good"]


def test_an_audits_chances_flip_but_for_pairs_that_people_flipped(world):
    wrong = chances(world)
    plain, step = rows_of(world.plain), ("label_audit", {"scores": "chances", "above": 0.75, "action": "flip"})
    found = [one for one in plain if wrong[one] > 0.75]
    labels = world.project / "labels.jsonl"
    append_label(labels, Label(pair_id=found[0], label="flip", who="ada", when="2026-01-31"))
    by_people = ("labels", {"file": str(labels)})
    for steps in ((step,), (by_people, step)):
        rows = rows_of(world.mix(*steps))
        turned = [one for one, row in rows.items() if row["chosen"] == plain[one]["rejected"]]
        assert turned == found
    with_drop = world.mix(by_people, (step[0], step[1] | {"action": "drop"}))
    assert set(plain) - set(rows_of(with_drop)) == set(found[1:])


@pytest.mark.parametrize("action", ["flip", "weight"])
def test_the_random_arm_treats_exactly_as_many_pairs(world, action):
    chances(world)
    arms = with_step(world.recipe, f"label_audit: {{scores: chances, above: 0.75, action: {action}}}")
    mixes = [world.mix(arm.step) for arm in arms[1:]]
    for label in ("good", "noise"):
        sheets = [
            pl.read_parquet(mix.directory / "review.parquet").filter(step="label_audit", source=label)
            for mix in mixes
        ]
        assert sheets[0].height == sheets[1].height > 3
        assert set(sheets[0]["pair_id"]) != set(sheets[1]["pair_id"])
    counts = [
        sum(one["flipped" if action == "flip" else "weighted"] for one in mix.lock["funnel"].values())
        for mix in mixes
    ]
    assert counts[0] == counts[1] > 10
    if action == "weight":
        assert sorted(MixReader(mixes[0].directory).weights()) == sorted(MixReader(mixes[1].directory).weights())


def test_in_sample_and_missing_scores_are_refused(world):
    world.from_file("trained", [{"pair_id": next(iter(world.margin)), "chosen": 2, "rejected": 1}], "in-sample")
    with pytest.raises(ConfigError, match="the scores 'trained' of good are in-sample; expected") as caught:
        world.mix(("reward_margin", {"scores": "trained"}))
    assert "curate score --folds 5" in caught.value.hint
    with pytest.raises(ConfigError, match="good has no scores 'none'; expected one of ") as caught:
        world.mix(("reward_margin", {"scores": "none"}))
    assert "curate score good --name none" in caught.value.hint
    with pytest.raises(ConfigError, match="good has no scores 'none'; expected one of ") as caught:
        world.mix(("label_audit", {"scores": "none"}))
    assert caught.value.hint.startswith("curate audit good --name none --preset PRESET makes them")
    world.from_file("plain", [{"pair_id": next(iter(world.margin)), "chosen": 2, "rejected": 1}])
    with pytest.raises(ConfigError, match="the scores 'plain' have no column wrong") as caught:
        world.mix(("label_audit", {"scores": "plain"}))
    assert caught.value.hint == "curate audit with a --name of its own writes such; name them here"


def test_scores_by_a_model_that_trained_on_the_pairs_are_in_sample(world, tmp_path):
    model = tmp_path / "run" / "final"
    model.mkdir(parents=True)
    assert scoring.training_of(model) == scoring.Training(mixes=(), directories=(), known=False)
    lock = (world.plain.directory / "lock.json").read_text()
    (tmp_path / "run" / "mix.lock.json").write_text(lock)
    (tmp_path / "run" / "config.yaml").write_text(f"mix: {world.plain.directory}\n")
    training = scoring.training_of(model)
    assert training.mixes == (f"{world.plain.lock['name']}@{world.plain.lock['fingerprint'][:8]}",)
    found = scoring._overlap(world.targets[0], training)
    own = set(world.pairs[world.targets[0].label]["pair_id"])
    assert found["overlap"] == len(own & set(ids(world.plain, "shard"))) > 0
    assert found["provenance"] == "in-sample"
    moved = replace(training, directories=(), known=False)
    assert scoring._overlap(world.targets[0], moved)["overlap"] is None


def test_why_shows_the_scores_and_verify_checks_them(world):
    pair_id = list(world.margin)[3]
    history = pair_history(pair_id, world.workspace, world.inputs.manifests)
    [mine] = [one for one in history["scores"] if one["name"] == "mine"]
    assert (mine["margin"], mine["provenance"], mine["by"]) == (3.0, "external", "file")
    assert "score     mine (external): margin 3" in history_lines(history)
    assert verify_files(world.workspace, None, world.inputs.raw).differing == []
    place = world.targets[0].pool.directory / "rewards" / "mine"
    [part] = place.glob("part-*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + b"x")
    try:
        assert any(
            "rewards/mine" in line for line in verify_files(world.workspace, None, world.inputs.raw).differing
        )
        with pytest.raises(WorkspaceError, match="rewards/mine"):
            world.mix(("reward_margin", {"scores": "mine", "hardest": 0.5}))
    finally:
        part.write_bytes(whole)


@pytest.mark.parametrize(
    ("step", "fields", "fault"),
    [
        ("reward_margin", {"scores": "x", "easiest": 0.2}, "easiest and drop_easiest: true go together"),
        ("reward_margin", {"scores": "x", "hardest": 0.0}, "nothing would be dropped"),
        ("reward_margin", {"scores": "x", "hardest": 1.0}, "a share from 0 to below 1"),
        ("label_audit", {"above": 1.0}, "a chance between 0 and 1"),
    ],
)
def test_faults_in_the_steps(step, fields, fault):
    with pytest.raises(ConfigError, match=fault):
        build_step(step, fields, "$")


def test_steps_that_read_scores_come_last():
    listed = [("label_audit", None), ("ties", None)]
    with pytest.raises(
        ConfigError, match="label_audit comes before ties; expected label_audit after all other"
    ) as caught:
        build_all(listed, "$")
    assert caught.value.hint == "list label_audit last"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"pair_id": "x", "margin": 1}, "32 hex digits"),
        ({"pair_id": "0" * 32, "chosen": 1}, "no score of both replies"),
        ({"pair_id": "0" * 32, "margin": 1, "wrong": 2}, "a chance from 0 to 1"),
        ({"pair_id": "0" * 32, "margin": 1}, "no line is about any of these pairs"),
        (
            {"chosen": 1, "rejected": 0},
            "no column pair_id among chosen, rejected; expected columns pair_id, and ch",
        ),
        ({"pair_id": "0" * 32, "chosen": 1e308, "rejected": -1e308}, "chosen less rejected is not finite"),
        (
            {"pair_id": "0" * 32, "chosen": 1, "rejected": 0, "margin": 2},
            "margin 2, but chosen less rejected is 1",
        ),
    ],
)
def test_faults_in_a_file_of_scores(world, row, fault):
    with pytest.raises(CurateError, match=fault):
        world.from_file("bad", [row])


def test_with_step_refuses_what_is_no_step_of_scores(world):
    with pytest.raises(ConfigError, match="ties reads no scores"):
        with_step(replace(world.recipe, steps=()), "ties")
    with pytest.raises(ConfigError, match="no step; expected a step that reads scores"):
        with_step(world.recipe, "[1]")

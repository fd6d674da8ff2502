"""Both replies of pairs are scored as the model scores them, or by heads that saw no pair of their fold."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from curate.checksums import usable
from tests.support.tiny_models import checkpoint
from tests.support.training import small_mix
from trainer import pair_features, score_pairs
from trainer.config import HeadConfig, TrainConfig
from trainer.features import FeatureCache
from trainer.logs import Progress
from trainer.model import build
from trainer.probe import train_head
from trainer.readers import read_files
from trainer.score import Scorer


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    mix = small_mix(tmp_path_factory.mktemp("pairs"), 12)
    [shard] = sorted(mix.glob("shard-*.parquet"))
    return shard, mix.parent.parent.parent / "images"


def train_config(**given):
    fields = {"mix": "", "out": "", "model": str(checkpoint("qwen2_vl")), "max_length": 400, "max_tokens": 900}
    return TrainConfig(**{**fields, "epochs": 2.0, "batch_pairs": 4} | given)


def test_a_model_scores_the_wanted_rows_and_ensembles_combine(pairs, tmp_path):
    shard, images = pairs
    built = (build(checkpoint("qwen2_vl"), HeadConfig(), seed=seed) for seed in (1, 2))
    models = [model.save_pretrained(tmp_path / str(number)) for number, model in enumerate(built)]
    members = "".join(f"- {{model: {path}, weight: 1}}\n" for path in models)
    (tmp_path / "both.yaml").write_text(f"members:\n{members}")
    rows = [1, 3]
    found = {}
    for name, model in (("one", models[0]), ("two", models[1]), ("both", tmp_path / "both.yaml")):
        jobs = tmp_path / "jobs.json"
        out = tmp_path / name / "part.parquet"
        jobs.write_text(json.dumps([{"pairs": str(shard), "out": str(out), "rows": rows, "folds": None}]))
        arguments = [str(jobs), "--images", str(images), "--model", str(model)]
        score_pairs.main(arguments)
        assert usable(out)
        found[name] = pq.read_table(out).to_pylist()
        before = out.stat().st_mtime_ns
        score_pairs.main(arguments)  # a part that is there is left as it is
        assert out.stat().st_mtime_ns == before
    assert [row["problem"] for row in found["one"]][:4] == ["not_wanted", None, "not_wanted", None]
    questions = [score_pairs.question_of(row) for row in read_files([shard], images).rows()]
    for at, one in zip(rows, Scorer.load(models[0], 8192).items([questions[at] for at in rows]), strict=True):
        row = found["one"][at]
        assert [row["chosen"], row["rejected"]] == pytest.approx(list(one.scores), abs=1e-6)
        assert row["margin"] == pytest.approx(row["chosen"] - row["rejected"])
        mean = (row["chosen"] + found["two"][at]["chosen"]) / 2
        assert found["both"][at]["chosen"] == pytest.approx(mean, abs=1e-6)


def test_heads_judge_only_pairs_that_they_did_not_see(pairs, tmp_path):
    shard, images = pairs
    config = train_config()
    cache = FeatureCache(config, tmp_path / "features")
    folds = [at % 2 for at in range(len(read_files([shard], images)))]
    job = score_pairs.Job(shard, tmp_path / "part.parquet", None, folds)
    score_pairs.cross_fit(config, cache, [job], images, 2)
    found = pq.read_table(job.out).to_pylist()
    features = cache.pairs()
    ids = read_files([shard], images).pair_ids()
    order = torch.tensor([features.index[ids[at]] for at in range(len(ids)) if folds[at] != 0])
    mixed = torch.randperm(len(order), generator=torch.Generator().manual_seed(config.seed))
    head = train_head(config, features, order[mixed])
    with torch.no_grad():
        expected = head(features.chosen[[features.index[ids[0]], features.index[ids[2]]]])
    assert [found[0]["chosen"], found[2]["chosen"]] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(row["margin"] is not None for row in found)


def test_differences_of_features_are_in_the_order_of_the_files(pairs, tmp_path):
    shard, images = pairs
    config = train_config(max_length=120)  # too short for some
    cache = FeatureCache(config, tmp_path / "features")
    reader = read_files([shard], images)
    cache.add_pairs(reader)
    ids = [*reversed(reader.pair_ids()), reader.pair_ids()[0]]
    pair_features.write_differences(cache, ids, tmp_path / "out.npy")
    values, features = np.load(tmp_path / "out.npy"), cache.pairs()
    assert values.dtype == np.float32
    for at, name in enumerate(ids):
        if name in features.index:
            row = features.index[name]
            assert values[at] == pytest.approx((features.chosen[row] - features.rejected[row]).numpy(), abs=1e-6)
        else:
            assert name in cache.unusable
            assert np.isnan(values[at]).all()
    empty = FeatureCache(config, tmp_path / "nothing")
    pair_features.write_differences(empty, ids, tmp_path / "none.npy")
    assert np.load(tmp_path / "none.npy").shape == (len(ids), 0)


def test_progress_is_reported_at_the_given_interval(capsys, monkeypatch):
    now = iter([0.0, 3.0, 4.0, 5.5])
    monkeypatch.setattr("trainer.logs.time.monotonic", lambda: next(now))
    progress = Progress("scores", 0, 3, "pairs", 2.0)
    for _ in range(3):
        progress.tick()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["scores: 1 of 3 pairs", "scores: 3 of 3 pairs"]


def test_pairs_with_tools_are_not_scored(pairs):
    shard, images = pairs
    row = next(iter(read_files([shard], images).rows()))
    assert score_pairs.question_of(row).problem is None
    assert score_pairs.question_of(replace(row, tools="[]")).problem == "tools: pairs with tools are not scored"

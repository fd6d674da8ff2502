"""Features are those of the model, computed once; heads trained on them repeat to the last bit."""

import json
import re
import weakref
from pathlib import Path

import pytest
import torch

from curate.build import build
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.errors import TrainError
from curate.evalsets import itemfile
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace
from tests.support import planted, tiny_models
from tests.support.questions import of_kind
from tests.support.trainer_shards import make
from tests.support.training import small_mix
from trainer import logs
from trainer.config import HeadConfig, LossConfig, TrainConfig
from trainer.encode import Encoder
from trainer.features import FeatureCache, PairFeatures
from trainer.model import RewardHead
from trainer.packing import pad
from trainer.probe import probe, train_head
from trainer.readers import MixReader


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    project = tmp_path_factory.mktemp("probe")
    planted.write(project, good=60, noise=20)
    row = {"prompt": "a very long question " * 60, "chosen": "yes", "rejected": "no"}
    (project / "raw" / "good" / "b.jsonl").write_text(json.dumps(row) + "\n")
    inputs = Inputs(workspace=Workspace(project / "data"), raw=project / "raw", manifests=project / "manifests")
    text = (project / "planted.yaml").read_text().replace("60", "5")
    (project / "planted.yaml").write_text(text)
    with Local(1) as engine:
        return MixReader(build(load(project / "planted.yaml"), inputs, engine, Terminal()).directory)


def probe_config(**given):
    return TrainConfig(
        **{"mix": "", "out": "", "model": "tiny/text", "max_length": 200, "max_tokens": 700} | given
    )


@pytest.fixture
def cache(mix, tmp_path):
    cache = FeatureCache(probe_config(model=str(tiny_models.checkpoint("text"))), tmp_path / "features")
    cache.add_pairs(mix)
    return cache


def test_features_are_the_models_own(cache, mix):
    pairs = cache.pairs()
    rows = {row.pair_id: row for row in mix.rows()}
    assert len(rows) == len(pairs.index) + 1
    for pair_id in list(pairs.index)[:3]:
        encoded = cache._encoder.pair(rows[pair_id])
        batch = pad(encoded.trees, cache.model.backbone)  # two plain forwards, where the cache packs
        with torch.no_grad():
            chosen, rejected = cache.model.features(batch)
        torch.testing.assert_close(pairs.chosen[pairs.index[pair_id]], chosen, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pairs.rejected[pairs.index[pair_id]], rejected, rtol=1e-4, atol=1e-5)
        assert pairs.lengths[pairs.index[pair_id]].tolist() == [encoded.chosen_length, encoded.rejected_length]


def test_a_pair_that_cannot_be_used_is_named(cache):
    assert list(cache.unusable.values()) == ["too_long"]


def test_nothing_is_computed_twice(cache, mix, monkeypatch):
    monkeypatch.setattr(FeatureCache, "model", property(lambda _: pytest.fail("the backbone was run again")))
    files = {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()}
    again = FeatureCache(cache._config, cache.folder.parent)
    again.add_pairs(mix)
    assert {path: path.stat().st_mtime_ns for path in again.folder.iterdir()} == files
    assert len(again.pairs().index) == len(mix.pair_ids()) - 1


def test_other_pixels_are_other_features(cache):
    checkpoint = str(tiny_models.checkpoint("text"))
    assert FeatureCache(probe_config(model=checkpoint, max_length=300), cache.folder.parent).folder != cache.folder
    assert FeatureCache(probe_config(model=checkpoint), cache.folder.parent).folder == cache.folder


def test_features_are_computed_in_the_precision_of_the_run(cache, mix):
    checkpoint, root = str(tiny_models.checkpoint("text")), cache.folder.parent
    assert FeatureCache(probe_config(model=checkpoint, bf16=False), root).folder == cache.folder, (
        "no GPU: fp32 as unset"
    )
    short = FeatureCache(probe_config(model=checkpoint, bf16=True), root)
    short.add_pairs(mix)
    exact, rounded = cache.pairs().chosen, short.pairs().chosen
    assert (exact.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)


def test_no_more_than_a_batch_is_decoded_at_a_time(tmp_path, monkeypatch, capsys):
    """A batch of 150 tokens holds two or three pairs, and 13 of 40 have an image: of 28 tensors few are alive."""
    alive, most = weakref.WeakSet(), 0
    encode = Encoder.pair

    def pair(self, row):
        nonlocal most
        made = encode(self, row)
        for tree in made.trees:
            for pixels in tree.media.values():
                alive.add(pixels)
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(Encoder, "pair", pair)
    monkeypatch.setattr(logs, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(logs, "REPORT_SECONDS", 0.0)
    images = small_mix(tmp_path, 45)
    checkpoint = str(tiny_models.checkpoint("qwen2_5_vl"))
    cache = FeatureCache(probe_config(model=checkpoint, max_pixels=12544, max_length=700, max_tokens=150),
                         tmp_path / "features")  # fmt: skip
    cache.add_pairs(MixReader(images, "shard"))
    assert len(cache.pairs().index) == 40
    assert 1 < most <= 8
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("features: ")]
    assert lines[0] == "features: 40 pairs to do"
    assert re.fullmatch(r"features: 1 of 40 pairs, [0-9,.]+/s, \d+ s left", lines[1])
    assert lines[-1] == "features: 40 pairs, part 1"


def separable(count=200, hidden=8):
    """Pairs whose better reply has the larger first feature."""
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(2, count, hidden, generator=draw)
    features[..., 0] *= 4
    chosen, rejected = features
    swap = chosen[:, 0] < rejected[:, 0]
    chosen[swap], rejected[swap] = rejected[swap], chosen[swap]
    lengths = torch.full((count, 2), 3)
    return PairFeatures({}, chosen, rejected, lengths, torch.zeros(count), torch.zeros(count, dtype=torch.bool))


@pytest.mark.parametrize("loss", [LossConfig(), LossConfig(center=0.01), LossConfig(length_norm=True)])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_head_learns_what_features_say(layers, loss):
    pairs = separable()
    config = probe_config(head=HeadConfig(layers=layers), loss=loss, head_lr=0.02, batch_pairs=16, epochs=8.0)
    head = train_head(config, pairs, torch.arange(150))
    with torch.no_grad():
        right = head(pairs.chosen[150:]) > head(pairs.rejected[150:])
    assert right.float().mean() > 0.8
    again = train_head(config, pairs, torch.arange(150))
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))


def test_limits_are_the_trainers():
    pairs = separable()
    one = train_head(probe_config(max_steps=1, warmup=0.0, epochs=9.0), pairs, torch.arange(200))
    same = train_head(probe_config(max_pairs=128, warmup=0.0, epochs=9.0), pairs, torch.arange(200))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))


def test_a_rate_of_zero_trains_nothing():
    still, moved = (
        train_head(probe_config(head_lr=rate, max_steps=2), separable(), torch.arange(200)) for rate in (0.0, None)
    )
    torch.manual_seed(0)
    drawn = RewardHead(separable().chosen.shape[1], probe_config().head)
    assert all(torch.equal(a, b) for a, b in zip(still.parameters(), drawn.parameters(), strict=True))
    assert not torch.equal(moved.layers[0].weight, drawn.layers[0].weight)


def test_weights_of_1_change_no_bit_and_pairs_of_weight_0_teach_nothing():
    pairs, order = separable(), torch.arange(150)
    pairs.chosen[:75], pairs.rejected[:75] = pairs.rejected[:75].clone(), pairs.chosen[:75].clone()
    config = probe_config(head_lr=0.02, batch_pairs=16, epochs=8.0)
    heads = [
        train_head(config, pairs, order, weights) for weights in (None, torch.ones(150), (order >= 75).float())
    ]
    same = zip(heads[0].parameters(), heads[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    with torch.no_grad():
        right = [(head(pairs.chosen[150:]) > head(pairs.rejected[150:])).float().mean() for head in heads]
    assert right[2] > 0.8 > right[0]


def test_a_probe_reads_the_weights_of_its_mix(tmp_path):
    rows = [{"prompt": f"Ask {i}", "chosen": "It is so.", "rejected": f"{i}"} for i in range(12)]
    itemfile.write(tmp_path / "items.jsonl", "own", of_kind("text")[:2])
    found = {}
    for weight, rate in ((0.0, 0.02), (None, 0.0), (None, 0.02)):
        out = tmp_path / f"{weight}-{rate}"
        mix = make(out / "mix", rows, weight=weight)
        run = probe_config(model=str(tiny_models.checkpoint("text")), mix=str(mix), out=str(out), head_lr=rate)
        probe([run], tmp_path / "features", [tmp_path / "items.jsonl"])
        found[weight, rate] = (out / "scores" / "items.jsonl").read_text()
    assert found[0.0, 0.02] == found[None, 0.0] != found[None, 0.02]


def test_a_loss_that_is_not_finite_is_an_error():
    pairs = separable()
    pairs.chosen[3] = float("nan")
    with pytest.raises(TrainError, match="step 1: the loss is nan"):
        train_head(probe_config(), pairs, torch.arange(200))


def test_the_fixture_is_where_it_says(mix):
    assert isinstance(mix.directory, Path)

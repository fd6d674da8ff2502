"""Weights of pairs: each multiplies its pair's loss, in every paradigm and layout, and 1 changes no bit."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from curate.errors import WorkspaceError
from tests.support.critiques import critic_encoder, critiqued_pairs
from tests.support.judges import judge_encoder, row, rows
from tests.support.questions import turn
from tests.support.shared_prefix import distance, gradients
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import fault, lock, text_mix
from trainer import config
from trainer.config import CriticConfig, HeadConfig
from trainer.encode import Encoder, Row
from trainer.model import build
from trainer.objective import outcome
from trainer.packing import pack, pad
from trainer.readers import MixReader
from trainer.setup import Run
from trainer.step_stats import StepStats

WEIGHTS = (0.25, 1.0, 0.5)


def naive_pairs():
    encoder = Encoder(checkpoint("text"), max_length=4096)
    replies = [("Yes.", "No, never."), ("A cat on a table.", "A dog."), ("Red", "Black")]
    made = [
        Row(pair_id=str(i), source="a", prompt=turn("user", f"Ask {i}?"),
            chosen=turn("assistant", good), rejected=turn("assistant", bad), margin=1.0)
        for i, (good, bad) in enumerate(replies)
    ]  # fmt: skip
    return encoder, [encoder.pair(row) for row in made]


def parts(paradigm: str, tmp_path: Path):
    """A run of the paradigm on the tiny text model, with three pairs."""
    if paradigm == "naive":
        encoder, pairs = naive_pairs()
    elif paradigm == "critic":
        encoder = critic_encoder(checkpoint("text"))
        pairs = critiqued_pairs(encoder)
    else:
        encoder = judge_encoder(checkpoint("text"), paradigm)
        pairs = [encoder.pair(row) for row in rows(False)[:3]]
    of = "generative" if paradigm in ("verdict", "reasoned") else paradigm
    made: Any = config.resolve("tiny_cpu", [f"paradigm={of}", "mix=none", f"out={tmp_path}", "model=tiny/text"])
    model = build(checkpoint("text"), HeadConfig(), paradigm=of)
    rest: dict[str, Any] = dict.fromkeys(field.name for field in fields(Run))
    return Run(**rest | {"config": made, "encoder": encoder, "model": model, "engine": model}), pairs


def losses(run, pairs, layout="shared", critic: CriticConfig | None = None):
    run = replace(run, config=replace(run.config, critic=critic)) if critic else run
    trees = [tree for pair in pairs for tree in pair.trees]
    if layout == "padded":
        batch = pad(trees, run.model.backbone)
    else:
        batch = pack(trees, run.model.backbone, share=layout == "shared")
    return outcome(run, batch, pairs).losses


@pytest.mark.parametrize("paradigm", ["naive", "critic", "verdict", "reasoned"])
def test_an_encoded_pair_has_the_weight_of_its_row(paradigm, tmp_path):
    run, _ = parts(paradigm, tmp_path)
    assert run.encoder.pair(row(weight=0.25)).weight == 0.25
    assert run.encoder.pair(row()).weight == 1.0


@pytest.mark.parametrize("paradigm", ["naive", "critic", "verdict", "reasoned"])
def test_a_weight_multiplies_its_pairs_loss_and_gradient(paradigm, tmp_path):
    run, pairs = parts(paradigm, tmp_path)
    preference = CriticConfig(critique_weight=0.0) if paradigm == "critic" else None
    alone = [gradients(run.model, losses(run, [pair], "unshared", preference).sum()) for pair in pairs]
    wanted = {name: sum(w * one[name] for w, one in zip(WEIGHTS, alone, strict=True)) for name in alone[0]}
    assert any(value.any() for value in wanted.values())
    if paradigm == "critic":  # critiques have their whole loss, whatever the weights
        text = CriticConfig(score_weight=0.0)
        whole = gradients(run.model, losses(run, pairs, "unshared", text).sum())
        wanted = {name: wanted[name] + whole[name] for name in wanted}
    weighted = [replace(pair, weight=weight) for pair, weight in zip(pairs, WEIGHTS, strict=True)]
    for layout in ("shared", "unshared", "padded"):
        found = gradients(run.model, losses(run, weighted, layout).sum())
        assert found.keys() == wanted.keys()
        far = {name: distance(found[name], wanted[name]) for name in wanted if "k_proj.bias" not in name}
        assert max(far.values()) < 1e-5, (layout, max(far, key=far.__getitem__))
        if paradigm != "critic":
            plain = losses(run, pairs, layout)
            assert torch.equal(losses(run, weighted, layout), plain * torch.tensor(WEIGHTS)), layout


def test_a_mix_without_weights_has_1_of_each_pair_and_another_type_is_a_fault(tmp_path):
    directory = text_mix(tmp_path)
    reader = MixReader(directory)
    assert reader.weights() == [1.0] * len(reader) == [row.weight for row in reader.rows()]
    [shard] = directory.glob("shard-*.parquet")
    table = pq.read_table(shard)
    pq.write_table(table.append_column("weight", pa.array(["x"] * len(table))), shard)
    lock(directory, [{"name": shard.name, "rows": len(table), "bytes": shard.stat().st_size}])
    assert "no column weight as in a shard" in fault(WorkspaceError, lambda: list(MixReader(directory).rows()))


def test_a_pair_of_weight_0_is_counted_and_a_filler_is_not(tmp_path):
    run, [pair, *_] = parts("naive", tmp_path)
    stats = StepStats()
    stats.add([replace(pair, weight=0.0), pair, run.encoder.filler()], [0.0, 0.5, 0.0], [1.0, -1.0, 0.0])
    assert (stats.pairs, stats.loss, stats.sources) == (2, 0.5, {pair.source: [2, 1, 0.0]})

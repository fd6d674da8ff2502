"""How often the chosen reply wins: strict, by source, and the same on any number of ranks."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.questions import QUESTIONS, loaded, scores
from tests.support.tiny_models import checkpoint
from trainer.encode import Encoder, Row
from trainer.score import score_items
from trainer.validation import ScoredPair, accuracy, count, score_pairs


def test_counts_are_strict_and_by_source():
    found = count(
        [
            ScoredPair("1", "b", 2.0, 1.0),
            ScoredPair("2", "a", 1.0, 1.0),
            ScoredPair("3", "b", 0.0, 3.0),
            ScoredPair("4", "a", 1, 0.5),
        ]
    )
    assert (found.pairs, found.right, found.ties, found.accuracy, found.margin) == (4, 2, 1, 0.5, -0.375)
    assert {name: dataclasses.astuple(one) for name, one in found.sources.items()} == {
        "a": (2, 1, 1, 0.25), "b": (2, 1, 0, -1.0),
    }  # fmt: skip


def pairs_of(encoder: Encoder) -> list:
    made = []
    for i, one in enumerate(QUESTIONS):
        if one.media:
            continue
        row = Row(
            pair_id=str(i), source="ab"[i % 2], prompt=one.prompt, chosen=one.replies[0], rejected=one.replies[1],
            margin=0.0 if one.item == "long" else None,
        )  # fmt: skip
        made.append(encoder.pair(row))
    return made


def test_accuracy_is_that_of_the_scores():
    model, encoder = loaded("text")
    model.train()
    expected = scores(score_items(model.eval(), encoder, QUESTIONS[:3], 1))
    model.train()
    for budget in (1, 10_000):
        found = score_pairs(model, pairs_of(encoder), budget)
        assert [(one.pair_id, one.source) for one in found] == [("0", "a"), ("1", "b"), ("2", "a")], (
            "no labelled tie"
        )
        for one, scored in zip(found, expected.values(), strict=True):
            assert (one.chosen, one.rejected) == pytest.approx(scored[:2].tolist(), abs=1e-5)
    assert model.training
    model.eval()
    right = sum(bool(scored[0] > scored[1]) for scored in expected.values())
    assert accuracy(model, pairs_of(encoder), 500).right == right
    assert accuracy(model, [], 500).pairs == 0


RANKS = """
import json, sys
from trainer import distributed
from trainer.config import TrainConfig
from trainer.model import build
from trainer.config import HeadConfig
from trainer.validation import score_pairs
from trainer.encode import Encoder, Row
from tests.support.questions import QUESTIONS

world = distributed.start()
config = TrainConfig(mix="", out="", model=sys.argv[1], zero=3)
filled = distributed.deepspeed_config(config, bf16=False)
kept = distributed.partitioned_load(filled)
model = build(sys.argv[1], HeadConfig())
engine = distributed.engine(model, model.head, config, filled)
encoder = Encoder(sys.argv[1], max_length=4096)
rows = [Row(pair_id=str(i), source="s", prompt=one.prompt, chosen=one.replies[0], rejected=one.replies[1],
            media=tuple()) for i, one in enumerate(QUESTIONS) if not one.media]
images = [one for one in QUESTIONS if one.media]
mine = [encoder.pair(row) for row in (rows if world.rank == 0 else rows[:1])]
if world.rank == 1:  # the other rank has images, and fewer pairs
    trees = encoder.dialogue(images[0].prompt, images[0].replies, images[0].media)
    mine = [mine[0].__class__("9", "s", trees, None, False, 1, 1)]
found = score_pairs(engine, mine, 1)
if world.chief:
    print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_ranks_keep_in_step_under_zero_3(tmp_path):
    (tmp_path / "ranks.py").write_text(RANKS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
               str(tmp_path / "ranks.py"), str(checkpoint("qwen2_5_vl"))]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env
    )  # fmt: skip
    try:
        out, stderr_text = process.communicate(timeout=900)
    finally:
        process.terminate()  # torchrun then ends the ranks, which would wait for each other for ever
        process.wait()
    assert process.returncode == 0, stderr_text[-3000:]
    found = {one[0]: one[2:] for one in json.loads(out.splitlines()[-1])}
    model, encoder = loaded("qwen2_5_vl")
    alone = scores(score_items(model, encoder, QUESTIONS, 1))
    for name, item in {"0": "pair", "1": "best of four", "2": "many", "3": "long", "9": "image"}.items():
        assert found[name] == pytest.approx(alone[item][:2].tolist(), abs=1e-5)

"""The critic paradigm: its loss and gradients, its runs, its models, and the critiques it writes."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from curate.errors import ConfigError, TrainError
from curate.evalsets.itemfile import Question
from tests.support.critiques import critic_encoder, critiqued_pairs, planted_mix, tied_checkpoint
from tests.support.questions import of_kind
from tests.support.tiny_models import checkpoint
from tests.support.training import curve, rows, small_mix, trained
from trainer import config
from trainer.backbones import BOTH_WAYS, Kind, quiet
from trainer.batch import Tree
from trainer.config import CriticConfig, HeadConfig, LoraConfig, LossConfig
from trainer.critic import Critic, read_instruction, saved_settings, settings_to_save
from trainer.encode import Encoder
from trainer.flops import forward_flops
from trainer.lm_head import is_tied
from trainer.logs import Metrics
from trainer.losses import joint_losses, pair_losses
from trainer.model import RewardModel, build, read_facts
from trainer.packing import dummy_image, pack, pad, unshared
from trainer.readers import MixReader
from trainer.score import Scorer, score_items
from trainer.validation import score_pairs

KINDS = get_args(Kind)
FAST = ("model=tiny/text", "eval_every_pairs=1000", "save_every_pairs=16", "batch_pairs=8")


def critic(kind: str) -> RewardModel:
    return build(checkpoint(kind), HeadConfig(), paradigm="critic", freeze_vision=False)


def trees_of(pairs) -> list[Tree]:
    return [tree for pair in pairs for tree in pair.trees]


# ------------------------------------------------------------------------------------------------------- the loss


def plain_losses(model: RewardModel, pairs) -> tuple[torch.Tensor, torch.Tensor]:
    """Bradley-Terry and cross-entropy of each pair, a sequence at a time, by no code of packing or of the head."""
    assert model.lm_head is not None
    scores, entropies = [], []
    for tree in unshared(trees_of(pairs)):
        hidden = model.backbone.hidden(pad([tree], model.backbone))[0]
        scores.append(model.head(hidden[-1:])[0])
        count = tree.targets[0]
        logits = hidden @ model.lm_head.weight.T
        wanted = -logits.log_softmax(-1)[
            range(len(hidden) - count - 1, len(hidden) - 1), tree.ids[0][len(hidden) - count :]
        ]
        entropies.append(wanted.mean() if count else hidden.sum() * 0)
    sides = torch.stack(scores).view(-1, 2)
    return functional.softplus(sides[:, 1] - sides[:, 0]), torch.stack(entropies).view(-1, 2).sum(1)


def gradients(model: RewardModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_two_losses(kind):
    model, settings = critic(kind), CriticConfig(score_weight=0.5, critique_weight=2.0)
    pairs = critiqued_pairs(critic_encoder(checkpoint(kind)))
    assert [sum(tree.targets[i] > 0 for tree in pair.trees for i in range(2)) for pair in pairs] == [2, 1, 0]
    assert all(pair.trees[0].shared for pair in pairs)
    scores, critiques = model(pack(trees_of(pairs), model.backbone), with_losses=True)
    scores, critiques = scores.view(-1, 2), critiques.view(-1, 2).sum(1)
    losses = joint_losses(pair_losses(scores[:, 0], scores[:, 1], LossConfig()), critiques, settings)
    found = gradients(model, losses.sum())
    better, entropy = plain_losses(model, pairs)
    torch.testing.assert_close(losses, 0.5 * better + 2 * entropy, rtol=1e-5, atol=1e-5)
    assert critiques[2] == 0 < critiques[1]
    one, other = (gradients(model, plain_losses(model, pairs)[number].sum()) for number in range(2))
    for name, value in found.items():
        torch.testing.assert_close(value, 0.5 * one[name] + 2 * other[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("tied", [False, True])
def test_the_cross_entropy_is_that_of_the_whole_language_model(tied):
    where = tied_checkpoint() if tied else checkpoint("text")
    model, pairs = build(where, HeadConfig(), paradigm="critic"), critiqued_pairs(critic_encoder(where))
    assert is_tied(model.lm_head, model.backbone) == tied
    with quiet():
        whole = AutoModelForCausalLM.from_pretrained(where)
    _, found = model(pack(trees_of(pairs[:1]), model.backbone), with_losses=True)
    tree = pairs[0].trees[0]
    wanted = []
    for number, ids in enumerate(tree.ids):
        labels = ids.clone()
        labels[: len(ids) - tree.targets[number]] = -100
        wanted.append(whole(input_ids=ids[None], labels=labels[None]).loss)
    assert found.tolist() == pytest.approx([loss.item() for loss in wanted], abs=1e-5)
    found.sum().backward()
    sum(wanted).backward()
    torch.testing.assert_close(model.lm_head.weight.grad, whole.lm_head.weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["text", "qwen2_5_vl"])
def test_every_layout_has_the_same_losses(kind):
    model = critic(kind)
    trees = trees_of(critiqued_pairs(critic_encoder(checkpoint(kind))))
    whole = model(pack(trees, model.backbone), with_losses=True)
    others = (
        pack(trees, model.backbone, share=False, dummy_image=dummy_image(model.backbone)),
        pad(trees, model.backbone),
        pad(trees, model.backbone, side="left"),
    )
    for batch in others:
        for found, wanted in zip(model(batch, with_losses=True), whole, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_critiques_that_begin_alike_are_targets_of_both_sides():
    model = critic("text")
    ids = (torch.tensor([1, 2, 3, 4, 5]), torch.tensor([1, 2, 3, 4, 6, 7]))
    batch = pack([Tree(ids, 4, {}, (3, 5)), Tree((ids[0],), 0, {}, (1,))], model.backbone)
    assert batch.targets.before.tolist() == [1, 2, 3, 0, 1, 2, 3, 5, 10]
    assert batch.targets.ids.tolist() == [3, 4, 5, 2, 3, 4, 6, 7, 5]
    assert batch.targets.branch.tolist() == [0] * 3 + [1] * 5 + [2]
    head = forward_flops(batch, model.backbone).lm_head
    assert head == 2 * model.lm_head.weight.numel() * 9


def test_losses_by_parts_are_those_at_once(monkeypatch):
    model, pairs = critic("text"), critiqued_pairs(critic_encoder(checkpoint("text")))
    batch = pack(trees_of(pairs), model.backbone)
    whole = model(batch, with_losses=True)[1]
    before = gradients(model, whole.sum())
    monkeypatch.setattr("trainer.lm_head.CHUNK", 4)
    parts = model(batch, with_losses=True)[1]
    torch.testing.assert_close(parts, whole)
    for name, value in gradients(model, parts.sum()).items():
        torch.testing.assert_close(value, before[name], rtol=1e-4, atol=1e-6)


def test_a_checkpoint_without_its_head_cannot_become_a_critic(tmp_path):
    naive = build(checkpoint("text"), HeadConfig()).save_pretrained(tmp_path)
    with pytest.raises(
        TrainError, match=r"no lm_head\.weight in its safetensors files; expected a whole language model"
    ):
        build(naive, HeadConfig(), paradigm="critic")


def test_a_critic_with_lora_keeps_the_head_of_its_base(tmp_path):
    pytest.importorskip("peft")
    encoder = critic_encoder(checkpoint("text"))
    model = build(checkpoint("text"), HeadConfig(), paradigm="critic", lora=LoraConfig(rank=2))
    trained_names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all("lora_" in name or name.startswith("head.") for name in trained_names)
    batch = pack(trees_of(critiqued_pairs(encoder)), model.backbone)
    scores, critiques = model(batch, with_losses=True)
    assert any(value.any() for name, value in gradients(model, critiques.sum()).items() if "lora_B" in name)
    again = RewardModel.from_pretrained(model.save_pretrained(tmp_path / "lora"))
    for found, wanted in zip(again(batch, with_losses=True), (scores, critiques), strict=True):
        assert torch.equal(found, wanted)
    merged = RewardModel.from_pretrained(again.merge_lora().save_pretrained(tmp_path / "merged"))
    torch.testing.assert_close(merged(batch, with_losses=True)[1], critiques)


# ----------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    return planted_mix(tmp_path_factory.mktemp("planted"), 140, 40)


def test_a_rule_that_only_critiques_tell_is_learned_by_a_critic_alone(planted, tmp_path):
    steps = ("model=tiny/text", "eval_every_pairs=1000", "batch_pairs=10", "epochs=2", "max_tokens=4000")
    naive = trained(planted, tmp_path / "naive", *steps)
    judge = trained(planted, tmp_path / "critic", *steps, "paradigm=critic", "critic.evaluate=given")
    accuracies = [
        json.loads((run / "result.json").read_text())["evals"]["holdout"]["accuracy"] for run in (naive, judge)
    ]
    assert accuracies[1] == 1.0
    assert accuracies[0] < 0.75
    first, *_, last = [row for row in rows(judge) if "critique_loss" in row]
    assert (first["critiques"], last["critiques"]) == (20, 20)
    assert last["critique_loss"] < 2 < 4 < first["critique_loss"]


def test_without_critiques_a_critic_is_naive_to_the_bit(tmp_path):
    mix = small_mix(tmp_path, 30)
    naive = trained(mix, tmp_path / "naive")
    judge = trained(mix, tmp_path / "critic", "paradigm=critic", "critic.evaluate=given")
    assert curve(judge) == curve(naive)
    assert (judge / "final/head.safetensors").read_bytes() == (naive / "final/head.safetensors").read_bytes()
    assert {row["critiques"] for row in rows(judge) if "loss" in row} == {0}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # DeepSpeed calls what torch deprecates
@pytest.mark.parametrize("zero", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_stopped_run_continues_to_the_same_curve_and_scores_after_its_own_critiques(
    planted, tmp_path, monkeypatch, zero
):
    start = tied_checkpoint() if zero else checkpoint("text")
    more = (
        *FAST,
        f"model={start}",
        "paradigm=critic",
        "max_steps=4",
        "eval_every_pairs=16",
        "critic.max_critique=5",
        f"zero={zero}",
    )
    whole = trained(planted, tmp_path / "whole", *more)
    write = Metrics.step

    def interrupt(metrics, row, done):
        write(metrics, row, done)
        if row["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Metrics, "step", interrupt)
        trained(planted, tmp_path / "halves", *more)
    again = trained(planted, tmp_path / "halves", *more)
    assert rows(again) == rows(whole)
    model = RewardModel.from_pretrained(whole / "final")
    assert model.paradigm == read_facts(whole / "final")["paradigm"] == "critic"
    assert is_tied(model.lm_head, model.backbone) == bool(zero)
    assert not torch.equal(model.lm_head.weight, build(start, HeadConfig(), paradigm="critic").lm_head.weight)
    evaluation = [row for row in rows(whole) if "eval" in row][-1]
    assert (evaluation["texts"], evaluation["text_tokens"] <= 5) == (2 * evaluation["pairs"], True)
    scorer = Scorer.load(whole / "final", 4096)
    assert scorer.writer is not None
    held = [scorer.writer.pair(row) for row in MixReader(planted, "holdout").rows()]
    found = score_pairs(scorer.model, held, 4096, scorer.writer)
    margins = [pair.chosen - pair.rejected for pair in found]
    assert sum(margins) / len(margins) == pytest.approx(evaluation["margin"], rel=1e-4, abs=1e-6)
    assert scorer.writer.take_counts().cut == evaluation["texts_cut"]


def test_an_instruction_that_changes_under_a_run_is_refused(planted, tmp_path):
    mine = tmp_path / "ask.txt"
    mine.write_text("Find faults.\n")
    more = (*FAST, "paradigm=critic", "max_steps=1", "critic.evaluate=given", f"critic.instruction={mine}")
    run = trained(planted, tmp_path / "run", *more)
    facts = read_facts(run / "final")["encoder"]
    assert saved_settings(run / "final", facts) == ("Find faults.", CriticConfig())
    (run / "result.json").unlink()
    mine.write_text("Praise it.")
    with pytest.raises(
        TrainError, match=r"ask\.txt: changed since the run began; expected the text of .*instruction"
    ):
        trained(planted, tmp_path / "run", *more)
    mine.write_text(" \n")
    with pytest.raises(TrainError, match=r"ask\.txt: empty; expected the text that asks for a critique"):
        read_instruction(str(mine))
    with pytest.raises(TrainError, match="No such file or directory"):
        read_instruction(str(tmp_path / "none"))


def test_settings_of_a_critic_need_the_paradigm():
    with pytest.raises(ConfigError, match="critic: found settings with paradigm naive; expected paradigm critic"):
        config.resolve("tiny_cpu", ["mix=a", "out=b", "critic.critique_weight=0.5"])
    with pytest.raises(ConfigError, match="max_critique: found 0; expected at least 1"):
        config.resolve("tiny_cpu", ["mix=a", "out=b", "paradigm=critic", "critic.max_critique=0"])


@pytest.mark.parametrize(
    ("lacking", "found"),
    [
        ({"max_critique": None}, "without instruction or max_critique"),
        ({"instruction": "x"}, "another instruction"),
    ],
)
def test_a_model_whose_settings_are_not_its_own_is_refused(lacking, found):
    with pytest.raises(TrainError, match=found):
        saved_settings(Path("m"), settings_to_save("Find faults.", CriticConfig(max_critique=7)) | lacking)


# ---------------------------------------------------------------------------------------------- written critiques


def slow_critiques(
    model: RewardModel, encoder, question: Question, limit: int
) -> tuple[list[list[int]], list[float]]:
    """Critiques and scores of an item's replies, a forward pass for every token."""
    texts, scores = [], []
    for tree in unshared(encoder.dialogue(question.prompt, question.replies, question.media)):
        ids, text = tree.ids[0], []
        for _ in range(limit):
            hidden = model.backbone.hidden(pad([dataclasses.replace(tree, ids=(ids,))], model.backbone))[0, -1]
            token = int((model.lm_head.weight @ hidden).argmax())
            if token in (encoder.end[0], encoder.tokenizer.eos_token_id):
                break
            text.append(token)
            ids = torch.cat([ids, torch.tensor([token])])
        ids = torch.cat([ids, torch.tensor(encoder.end)])
        scores.append(float(model(pack([dataclasses.replace(tree, ids=(ids,))], model.backbone))))
        texts.append(text)
    return texts, scores


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BOTH_WAYS])
def test_critiques_over_a_cache_are_those_of_whole_forward_passes(kind):
    model, encoder = critic(kind).eval(), critic_encoder(checkpoint(kind))
    questions = [of_kind(kind)[0], of_kind(kind)[-1], of_kind(kind)[1]]
    with torch.no_grad():
        slow = [slow_critiques(model, encoder, question, 6) for question in questions]
    longest = max(len(text) for texts, _ in slow for text in texts)
    assert longest == 6
    for budget in (1, 10**6):
        judge = Critic(encoder, CriticConfig(max_critique=6))
        judge.room = lambda _, budget=budget: budget
        found = list(score_items(model, encoder, questions, 1, judge))
        for one, (_, scores) in zip(found, slow, strict=True):
            assert one.scores == pytest.approx(scores, abs=1e-5)
        texts = [text for texts, _ in slow for text in texts]
        cut = sum(len(text) == 6 for text in texts)
        assert judge.take_counts() == (len(texts), cut, sum(map(len, texts)))


@pytest.mark.parametrize(
    ("end", "summary"), [(0, "0 tokens on average; 0 reached 3"), (1, "3 tokens on average; 6 reached 3")]
)
def test_a_critique_ends_where_its_turn_ends_or_at_the_limit(end, summary):
    model, encoder = critic("text").eval(), critic_encoder(checkpoint("text"))
    with torch.no_grad():
        model.lm_head.weight.zero_()  # so token 0, the first of equals, is written everywhere
    encoder.end = (end,)
    judge = Critic(encoder, CriticConfig(max_critique=3))
    list(score_items(model, encoder, of_kind("text")[:2], 4096, judge))
    assert judge.summary() == f"6 critiques of {summary}"


def test_a_saved_critic_scores_from_its_directory(tmp_path):
    encoder = critic_encoder(checkpoint("text"))
    model = critic("text")
    plain = Encoder(checkpoint("text"), max_length=4096)
    assert encoder.facts().keys() - plain.facts().keys() == {"instruction"}
    where = model.save_pretrained(
        tmp_path, encoder=settings_to_save(encoder.instruction, CriticConfig(max_critique=4))
    )
    scorer = Scorer.load(where, 4096)
    assert scorer.settings["max_critique"] == 4
    found = list(score_items(scorer.model, scorer.encoder, of_kind("text"), 4096, scorer.writer))
    wanted = list(
        score_items(model.eval(), encoder, of_kind("text"), 4096, Critic(encoder, CriticConfig(max_critique=4)))
    )
    assert found == wanted
    assert scorer.encoder.max_length == 32768 - 4
    model.save_pretrained(
        tmp_path, encoder=settings_to_save(encoder.instruction, CriticConfig(max_critique=32768))
    )
    with pytest.raises(TrainError, match="32768 positions; expected more than the 32768 of a critique"):
        Scorer.load(tmp_path, 4096)

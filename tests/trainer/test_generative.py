"""The generative paradigm: what a judge is asked and learns, its runs, its models, and its verdicts."""

import dataclasses
import json
import signal
from itertools import islice, permutations
from typing import get_args

import pytest
import torch
from transformers import AutoModelForCausalLM

from curate.errors import ConfigError, TrainError
from curate.schema import Block, Message
from tests.support.judges import BRIEF, circular_mix, judge_encoder, row, rows
from tests.support.questions import of_kind, question, turn
from tests.support.tiny_models import checkpoint
from tests.support.training import curve, small_mix, trained
from tests.support.training import rows as metrics_rows
from trainer import config
from trainer.backbones import Kind, quiet
from trainer.config import GenerativeConfig, HeadConfig, LoraConfig
from trainer.generative import Judge, chosen_first, read_prompt, saved_settings, settings_to_save
from trainer.lm_head import branch_means
from trainer.logs import Metrics
from trainer.media import Unusable
from trainer.merge import merge_model
from trainer.model import RewardModel, build, read_facts
from trainer.packing import dummy_image, pack, pad, unshared
from trainer.probe import probe
from trainer.readers import MixReader
from trainer.score import Scorer, score_items
from trainer.steps import Steps
from trainer.validation import score_pairs
from trainer.writers import WriterOptions

KINDS = get_args(Kind)
REASONED = ("generative.form=reasoned", "generative.max_text=6")


def judge(kind: str) -> RewardModel:
    return build(checkpoint(kind), HeadConfig(), paradigm="generative", freeze_vision=False)


def text_of(encoder, ids) -> str:
    return encoder.tokenizer.decode(ids)


# ------------------------------------------------------------------------------------------------ what is asked


def test_a_pair_is_one_turn_and_its_answer_one_digit():
    encoder = judge_encoder(checkpoint("text"), prompt=BRIEF)
    for number in range(20):
        pair = encoder.pair(row(number))
        (tree,) = pair.trees
        first = chosen_first(0, row(number))
        replies = ("A cat.", "A dog, and a table.")[:: 1 if first else -1]
        prompt = f"What is shown?\n1 {replies[0]}\n2 {replies[1]}\nBetter?"
        assert text_of(encoder, tree.ids[0]) == (
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n{1 if first else 2}"
        )
        assert tree.targets == (1,)
        assert (pair.chosen_length, pair.rejected_length) == (4, 10)
    assert 3 < sum(chosen_first(0, row(number)) for number in range(20)) < 17


def test_the_order_turns_round_with_every_epoch_and_differs_by_the_seed():
    firsts = [[chosen_first(0, row(number, epoch=epoch)) for number in range(50)] for epoch in range(3)]
    assert firsts[0] == firsts[2] == [not first for first in firsts[1]]
    assert firsts[0] != [chosen_first(1, row(number)) for number in range(50)]


def test_steps_know_the_epoch(tmp_path):
    mix = MixReader(circular_mix(tmp_path, 10, 2))
    encoder = judge_encoder(checkpoint("text"), prompt=BRIEF)

    def answers(start):
        steps = Steps(reader=mix, encoder=encoder, pairs=4, max_tokens=4000, start=start, stop=24)
        pairs = [pair for step in steps for micro in step.micro for pair in micro]
        return [(pair.pair_id, text_of(encoder, pair.trees[0].ids[0][-1:])) for pair in pairs]

    whole = answers(0)
    assert {(name, "12".replace(digit, "")) for name, digit in whole[:8]} == {*whole[8:16]}
    assert sorted(whole[:8]) == sorted(whole[16:])
    assert answers(12) == whole[12:], "a run that continues asks in the same orders"


def test_reasoning_is_what_the_critiques_say_of_the_replies_in_their_order():
    encoder = judge_encoder(checkpoint("text"), "reasoned", prompt=BRIEF)
    number = next(number for number in range(9) if not chosen_first(0, row(number)))
    (tree,) = encoder.pair(row(number)).trees
    answer = tree.ids[0][len(tree.ids[0]) - tree.targets[0] :]
    assert text_of(encoder, answer) == (
        "<think>Reply 1: Wrong.\n\nReply 2: Right: it is a cat.</think><answer>2</answer><|im_end|>"
    )
    assert answer[-len(encoder.after) - 1] == encoder.digits[1]
    one_sided = row(number, rejected_critique=" ")
    (tree,) = encoder.pair(one_sided).trees
    assert "<think>Reply 2: Right: it is a cat.</think>" in text_of(encoder, tree.ids[0])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"chosen_critique": None, "rejected_critique": ""}, "no_reasoning"),
        ({"chosen_critique": "so </think> it is"}, "tag_in_reasoning"),
        ({"margin": 0.0}, "tie"),
        ({"prompt": turn("user", "What?", 1)}, "media_mismatch"),
        ({"chosen": turn("assistant", "word " * 9000)}, "too_long"),
    ],
)
def test_pairs_without_an_answer_are_counted_by_their_reason(changed, reason):
    with pytest.raises(Unusable) as caught:
        judge_encoder(checkpoint("text"), "reasoned").measure(row(**changed))
    assert caught.value.reason == reason


def test_a_dialogue_is_named_by_roles_and_texts_are_no_placeholders():
    encoder = judge_encoder(checkpoint("text"), prompt=BRIEF)
    call = Block("tool_call", '{"name": "look", "arguments": {}}')
    prompt = (
        Message("system", (Block("text", "Be kind."),)), Message("user", (Block("text", "Ask {reply_1}"),)),
        Message("assistant", (call,)), Message("tool", (Block("text", "seen"),)),
    )  # fmt: skip
    pair = encoder.unanswered(
        row(prompt=prompt, chosen=turn("assistant", "{reply_2}"), tools='[{"name": "look"}]')
    )
    text = text_of(encoder, pair.trees[0].ids[0])
    assert (
        '<|im_start|>user\nTools: [{"name": "look"}]\n\nSystem: Be kind.\n\nUser: Ask {reply_1}\n\nAssistant: '
        '(tool call: {"name": "look", "arguments": {}})\n\n\nTool: seen\n1 {reply_2}\n2 A dog, and a table.\n'
    ) in text


def test_media_of_replies_go_with_them():
    encoder = judge_encoder(checkpoint("qwen2_vl"), prompt=BRIEF)
    images = [row(image=True).media[0], *(one.media[0] for one in (row(image=True),))]
    pictured = (Message("assistant", (Block("image", None), Block("text", "A cat."))),)
    pair = encoder.unanswered(row(prompt=turn("user", "Draw it."), chosen=pictured, media=tuple(images[:1])))
    assert [len(tree.ids) for tree in pair.trees] == [1, 1], "orders whose images are in replies share nothing"
    assert all(tree.media["image_grid_thw"].shape == (1, 3) for tree in pair.trees)
    shared = encoder.unanswered(row(image=True))
    assert [len(tree.ids) for tree in shared.trees] == [2]
    assert shared.trees[0].shared > 4


def test_a_prompt_needs_each_place_once(tmp_path):
    mine = tmp_path / "ask.txt"
    mine.write_text("{question} {reply_1} {reply_1}")
    with pytest.raises(TrainError, match=r"ask\.txt: \{reply_1\} 2 times; expected a text with each of"):
        read_prompt(str(mine), "verdict")
    facts = settings_to_save(BRIEF, GenerativeConfig(form="reasoned", samples=3))
    assert saved_settings(tmp_path, facts) == (BRIEF, GenerativeConfig(form="reasoned", samples=3))
    with pytest.raises(TrainError, match="another prompt than the model was trained with"):
        saved_settings(tmp_path, facts | {"prompt": "x"})


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("generative.samples=3", "samples: found 3; expected 1: a verdict is read from probabilities"),
        ("generative.max_text=0", "max_text: found 0; expected at least 1"),
        ("head.layers=3", "head: found settings with paradigm generative; expected none: it has no head"),
        ("loss.center=0.1", "loss: found settings with paradigm generative"),
        ("head_lr=0.1", "head_lr: found settings with paradigm generative"),
        ("critic.critiques=2", "critic: found settings with paradigm generative; expected paradigm critic"),
    ],
)
def test_settings_that_a_judge_has_not(setting, fault):
    with pytest.raises(ConfigError, match=fault):
        config.resolve("tiny_cpu", ["mix=a", "out=b", "paradigm=generative", setting])
    with pytest.raises(ConfigError, match="max_steps: found 0; expected at least 1"):
        config.resolve("tiny_cpu", ["mix=a", "out=b", "max_steps=0"])


# ------------------------------------------------------------------------------------------------------- the loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["verdict", "reasoned"])
def test_loss_and_gradients_are_those_of_plain_cross_entropy(kind, form):
    encoder, model = judge_encoder(checkpoint(kind), form), judge(kind)
    pairs = [encoder.pair(one) for one in rows(encoder.layout is not None)]
    trees = [tree for pair in pairs for tree in pair.trees]
    plain = []
    for tree in trees:
        hidden = model.backbone.hidden(pad([tree], model.backbone))[0]
        logits = (hidden @ model.lm_head.weight.T)[-tree.targets[0] - 1 : -1].log_softmax(-1)
        plain.append(-logits[range(tree.targets[0]), tree.ids[0][-tree.targets[0] :]].mean())
    torch.stack(plain).sum().backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for batch in (
        pack(trees, model.backbone),
        pack(trees, model.backbone, share=False),
        pad(trees, model.backbone),
    ):
        model.zero_grad()
        logits, losses = model(batch, with_losses=True)
        torch.testing.assert_close(losses, torch.stack(plain), rtol=1e-5, atol=1e-5)
        assert not logits.requires_grad
        losses.sum().backward()
        for name, gradient in wanted.items():
            found = model.get_parameter(name).grad
            torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("form", ["verdict", "reasoned"])
def test_fillers_have_an_answer_too(form):
    encoder, model = judge_encoder(checkpoint("text"), form), judge("text")
    filler = encoder.filler()
    (tree,) = filler.trees
    _, losses = model(pack([tree], model.backbone), with_losses=True)
    assert (filler.weight, tree.targets, len(losses)) == (0.0, (len(tree.ids[0]) - 1,), 1)


# ------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize("kind", KINDS)
def test_a_verdict_is_that_of_the_whole_language_model(kind):
    """Scores of every two replies in both orders, from logits of one plain forward for each."""
    model, encoder = judge(kind).eval(), judge_encoder(checkpoint(kind))
    first, second = encoder.digits
    some_questions = [of_kind(kind)[0], of_kind(kind)[-1], of_kind(kind)[1]]
    with torch.no_grad():
        for budget in (1, 100_000):
            writer = Judge(encoder, GenerativeConfig(), max_tokens=budget)
            found = list(score_items(model, encoder, some_questions, budget, writer))
            for one, item in zip(found, some_questions, strict=True):
                orders = list(permutations(range(len(item.replies)), 2))
                preferred = {}
                trees = unshared(encoder.dialogue(item.prompt, item.replies, item.media))
                for order, tree in zip(orders, trees, strict=True):
                    hidden = model.backbone.hidden(pad([tree], model.backbone))[0, -1]
                    logits = model.lm_head.weight @ hidden
                    preferred[order] = float(logits[first] - logits[second])
                replies = range(len(item.replies))
                scores = [
                    sum(preferred[i, j] - preferred[j, i] for j in replies if j != i) / 2 / len(replies)
                    for i in replies
                ]
                assert one.scores == pytest.approx(scores, abs=1e-5)
                assert [(order.first, order.second) for order in one.judged.orders] == orders


def test_replies_in_another_order_have_the_same_scores():
    model, encoder = judge("text").eval(), judge_encoder(checkpoint("text"))
    item = question("three", 5, (1, 8, 3))
    turned = item._replace(replies=item.replies[::-1])
    alike = item._replace(replies=item.replies[:1] * 2)
    found = list(score_items(model, encoder, [item, turned, alike], 4096, Judge(encoder, GenerativeConfig())))
    assert found[0].scores == pytest.approx(found[1].scores[::-1], abs=1e-6)
    assert found[2].scores == pytest.approx([0, 0], abs=1e-6), (
        "equal replies are a tie, whatever is preferred by its place"
    )
    assert sum(found[0].scores) == pytest.approx(0, abs=1e-6)


def test_a_judge_that_always_says_one_is_counted_as_such():
    model, encoder = judge("text").eval(), judge_encoder(checkpoint("text"))
    first, _ = encoder.digits
    pairs = [encoder.unanswered(row(number)) for number in range(3)]
    with torch.no_grad():
        hidden = model.backbone.hidden(pack(pairs[0].trees, model.backbone)).flatten(0, 1)
        model.lm_head.weight.zero_()
        model.lm_head.weight[first] = hidden[pack(pairs[0].trees, model.backbone).pool].mean(0)
    found = score_pairs(model, pairs, 4096, Judge(encoder, GenerativeConfig()))
    assert [[order.verdicts for order in pair.orders] for pair in found] == [[(1,), (1,)]] * 3
    with torch.no_grad():
        model.lm_head.weight.zero_()  # token 0, the first of equals, is most probable everywhere
    found = score_pairs(model, pairs, 4096, Judge(encoder, GenerativeConfig()))
    assert [[order.verdicts for order in pair.orders] for pair in found] == [[(None,), (None,)]] * 3
    assert [(pair.chosen, pair.rejected) for pair in found] == [(0.0, 0.0)] * 3


def test_an_item_of_one_reply_can_not_be_judged():
    encoder = judge_encoder(checkpoint("text"))
    writer = Judge(encoder, GenerativeConfig())
    (found,) = score_items(judge("text"), encoder, [question("one", 1, (1,))], 4096, writer)
    assert found.problem == "one_reply"


@pytest.mark.parametrize("kind", ["text", "qwen2_5_vl", "internvl"])
def test_sampled_texts_are_those_of_whole_forward_passes(kind):
    """Three samples of either order, over a cache and in company, as drawn one forward pass at a time."""
    model, encoder = judge(kind).eval(), judge_encoder(checkpoint(kind), "reasoned")
    settings = GenerativeConfig(form="reasoned", max_text=5, samples=3)
    writer = Judge(encoder, settings, seed=5)
    some_questions = [of_kind(kind)[0], of_kind(kind)[-1]]
    found = list(score_items(model, encoder, some_questions, 10_000, writer))
    for one, item in zip(found, some_questions, strict=True):
        trees = unshared(encoder.dialogue(item.prompt, item.replies, item.media))
        wanted = []
        for tree in trees:
            keys = list(writer.sampling.keys(tree.ids))
            wanted.append(tuple(slow_text(model, encoder, tree, writer, key) for key in keys))
        assert one.judged.texts == tuple(wanted)
        assert len({*wanted[0]}) == 3
    assert writer.take_counts().written == 12


@torch.no_grad()
def slow_text(model, encoder, tree, writer, key) -> str:
    ids, text = tree.ids[0], []
    for step in range(writer.limit):
        hidden = model.backbone.hidden(pad([dataclasses.replace(tree, ids=(ids,))], model.backbone))[0, -1:]
        (token,) = writer.sampling.choose(model.lm_head(hidden), [key], step)
        if token in (encoder.end[0], encoder.tokenizer.eos_token_id):
            break
        text.append(token)
        ids = torch.cat([ids, torch.tensor([token])])
    return text_of(encoder, text)


# ----------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def circle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circle")
    (folder / "brief.txt").write_text(BRIEF)
    return circular_mix(folder, 300, 40, critiques=True)


def brief(mix) -> str:
    return f"generative.prompt={mix.parents[3] / 'brief.txt'}"


def test_a_rule_about_two_replies_is_learned_by_a_judge_alone(circle, tmp_path):
    """Paper beats rock, rock beats scissors, scissors beat paper: the best of scores is right in two of three."""
    steps = (
        "model=tiny/text", "eval_every_pairs=10000", "save_every_pairs=10000", "batch_pairs=16", "epochs=4",
        "max_tokens=4000", "lr=3e-3",
    )  # fmt: skip
    naive = trained(circle, tmp_path / "naive", *steps)
    judged = trained(circle, tmp_path / "judge", *steps, "paradigm=generative", brief(circle))
    found = [json.loads((run / "result.json").read_text())["evals"]["holdout"] for run in (naive, judged)]
    assert found[0]["accuracy"] < 0.75
    assert found[1]["accuracy"] == 1.0
    orders = {"pairs": 40, "right_first": 1, "right_second": 1, "consistent": 1, "ties": 0, "position_bias": 0}
    more = {"accuracy": 1, "accuracy_without_ties": 1, "verdicts": 80, "unread": 0}
    assert found[1]["orders"] == orders | more
    last = [row for row in metrics_rows(judged) if "loss" in row][-1]
    assert (last["accuracy"], last["sources"]["test"]["accuracy"]) == (1.0, 1.0)
    assert read_facts(judged / "final")["encoder"]["prompt"] == BRIEF


@pytest.mark.parametrize("form", ["verdict", "reasoned"])
def test_the_margin_of_a_step_is_the_log_odds_of_the_right_digit(circle, tmp_path, form):
    more = ("model=tiny/text", "paradigm=generative", f"generative.form={form}", "generative.max_text=4", "lr=0")
    run = trained(circle, tmp_path / "run", *more, "max_steps=1", "batch_pairs=16", "max_tokens=9000")
    model, encoder = RewardModel.from_pretrained(run / "final"), judge_encoder(run / "model", form)
    margins = []
    for one in islice(MixReader(circle).rows(), 16):
        (tree,) = encoder.pair(one).trees
        at = len(tree.ids[0]) - 1 - len(encoder.after)
        right = int(tree.ids[0][at])
        with torch.no_grad():
            logits = model.lm_head.weight @ model.backbone.hidden(pad([tree], model.backbone))[0, at - 1]
        margins.append(float(logits[right] - logits[sum(encoder.digits) - right]))
    step = next(row for row in metrics_rows(run) if "loss" in row)
    assert step["margin"] == pytest.approx(sum(margins) / 16, abs=1e-5)
    assert step["accuracy"] == sum(margin > 0 for margin in margins) / 16


@pytest.mark.filterwarnings("ignore::FutureWarning")  # DeepSpeed calls what torch deprecates
@pytest.mark.parametrize(("zero", "form"), [(0, ()), pytest.param(1, (), marks=pytest.mark.slow), (3, REASONED)])
def test_a_stopped_run_continues_to_the_same_curve(tmp_path, monkeypatch, zero, form):
    mix = small_mix(tmp_path / "mix", critiques=True)
    more = ("paradigm=generative", "max_tokens=4000", f"zero={zero}", "max_steps=3", *form)
    whole = trained(mix, tmp_path / "whole", *more)
    write = Metrics.step

    def interrupt(metrics, row, done):
        write(metrics, row, done)
        if row["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Metrics, "step", interrupt)
        trained(mix, tmp_path / "halves", *more)
    again = trained(mix, tmp_path / "halves", *more)
    assert metrics_rows(again) == metrics_rows(whole)
    assert len(curve(whole)) > 6
    scorer = Scorer.load(whole / "final", 4096)
    held = [scorer.writer.pair(one) for one in MixReader(mix, "holdout").rows()]
    margins = [pair.chosen - pair.rejected for pair in score_pairs(scorer.model, held, 4096, scorer.writer)]
    evaluation = [row for row in metrics_rows(whole) if "eval" in row][-1]
    assert sum(margins) / len(margins) == pytest.approx(evaluation["margin"], rel=1e-4, abs=1e-6)


def test_a_judge_without_training_is_its_checkpoint(circle, tmp_path):
    run = trained(circle, tmp_path / "run", "model=tiny/text", "paradigm=generative", "max_steps=0", brief(circle))
    assert json.loads((run / "result.json").read_text())["step"] == 0
    scorer = Scorer.load(run / "final", 4096)
    assert scorer.model.paradigm == read_facts(run / "final")["paradigm"] == "generative"
    assert not (run / "final/head.safetensors").exists()
    with quiet():
        whole = AutoModelForCausalLM.from_pretrained(run / "final")
    assert torch.equal(whole.lm_head.weight, scorer.model.lm_head.weight)
    (tree,) = scorer.encoder.unanswered(row()).trees
    with torch.no_grad():
        logits = whole(input_ids=tree.ids[0][None]).logits[0, -1]
        found = scorer.model(pack([tree], scorer.model.backbone))[0]
    torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-5)


def test_a_judge_with_lora_survives_saving_and_merging(tmp_path):
    pytest.importorskip("peft")
    model = build(checkpoint("text"), HeadConfig(), paradigm="generative", lora=LoraConfig(rank=2))
    assert all("lora_" in name for name, p in model.named_parameters() if p.requires_grad)
    encoder = judge_encoder(checkpoint("text"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    batch = pack(encoder.unanswered(row()).trees, model.backbone)
    kept = settings_to_save(encoder.prompt, GenerativeConfig())
    where = model.save_pretrained(tmp_path / "lora", encoder=kept)
    again = RewardModel.from_pretrained(where)
    assert torch.equal(again(batch), model.eval()(batch))
    merge_model(where, tmp_path / "merged")
    torch.testing.assert_close(RewardModel.from_pretrained(tmp_path / "merged")(batch), model(batch))
    assert Scorer.load(tmp_path / "merged", 4096).encoder.prompt == encoder.prompt


def test_a_probe_trains_reward_heads_only(tmp_path):
    where = ("mix=a", f"out={tmp_path}", "paradigm=generative")
    with pytest.raises(TrainError, match="paradigm generative; expected naive: a probe trains reward heads"):
        probe([config.resolve("tiny_cpu", where)], tmp_path, [])


def test_options_that_a_model_has_not_are_refused(tmp_path):
    encoder = judge_encoder(checkpoint("text"))
    kept = settings_to_save(encoder.prompt, GenerativeConfig())
    where = judge("text").save_pretrained(tmp_path, encoder=kept)
    with pytest.raises(TrainError, match="a judge whose verdict is read from probabilities; expected a critic"):
        Scorer.load(where, 4096, WriterOptions(samples=3))
    with pytest.raises(TrainError, match="a generative model, which reads no critiques; expected a critic"):
        Scorer.load(where, 4096, WriterOptions(given=True))
    with pytest.raises(TrainError, match="--samples: found 0; expected at least 1"):
        Scorer.load(where, 4096, WriterOptions(samples=0))


def test_an_image_for_ranks_without_one_changes_nothing():
    """What a rank without images adds to stay in step with the others is neither scored nor attended to."""
    encoder, model = judge_encoder(checkpoint("qwen2_vl"), "reasoned"), judge("qwen2_vl").eval()
    settings = GenerativeConfig(form="reasoned", max_text=4)
    trees = [encoder.unanswered(row()).trees]
    alone, ranked = (Judge(encoder, settings, ranks=ranks)(model, trees) for ranks in (1, 2))
    assert alone == ranked
    assert Judge(encoder, settings, ranks=2)(model, []) == []
    read = judge_encoder(checkpoint("qwen2_vl"))
    alone, ranked = (Judge(read, GenerativeConfig(), ranks=ranks)(model, trees) for ranks in (1, 2))
    assert alone[0].scores == pytest.approx(ranked[0].scores, abs=1e-6)
    assert Judge(read, GenerativeConfig(), ranks=2)(model, []) == []
    assert dummy_image(model.backbone) is not None
    assert branch_means(torch.ones(3), torch.tensor([0, 0, 2]), 3).tolist() == [1, 0, 1]

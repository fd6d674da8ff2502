"""GRPO by TRL with each of the three rewards: the reward rises, and a scorer that breaks ends the run."""

import pytest
from grpo import sums, train

from curate.errors import TrainError
from tests.support.questions import saved
from tests.support.tiny_models import checkpoint
from trainer.reward import CurateReward
from trainer.score import ItemScores, Scorer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def trained_rewards(reward, steps=25):
    """The mean reward of the first five steps and of the last five."""
    rows = train(checkpoint("text"), [reward], sums(32), steps=steps, rate=3e-3)
    values = [row["reward"] for row in rows]
    assert len(values) == steps
    return sum(values[:5]) / 5, sum(values[-5:]) / 5, rows


def test_a_rule():
    before, after, rows = trained_rewards(CurateReward(match=lambda _, reply: reply.count("e") >= 2))
    assert after > before + 0.15
    assert rows[-1]["curate_rule/right"] > rows[0]["curate_rule/right"]


def test_a_reward_model():
    before, after, _ = trained_rewards(CurateReward(saved("text")))
    assert after > before + 0.3


def test_both():
    before, after, _ = trained_rewards(CurateReward(saved("text"), match=lambda _, reply: reply.count("e") >= 2))
    assert after > before + 0.15
    assert after <= 1


def test_a_scorer_that_breaks_ends_the_run(monkeypatch):
    reward = CurateReward(saved("text"))
    monkeypatch.setattr(Scorer, "items", lambda _self, questions: (_broken(one) for one in questions))
    with pytest.raises(TrainError, match="100% of 16 completions have no reward: broken"):
        trained_rewards(reward, 3)


def _broken(question):

    return ItemScores(question.item, [], "broken: as a test")


def test_a_model_of_nan_ends_the_run():
    reward = CurateReward(saved("text"))
    head = reward._scorer.model.head.layers[0]
    kept = head.weight.data.clone()
    head.weight.data.fill_(float("nan"))
    with pytest.raises(TrainError, match="finite numbers"):
        trained_rewards(reward, 3)
    head.weight.data.copy_(kept)

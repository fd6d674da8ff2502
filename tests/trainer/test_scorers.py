"""Ensembles score new replies as their file says, each modality by its own members."""

import functools
import tempfile
from pathlib import Path

import pytest
import yaml

from curate.errors import TrainError
from tests.support.questions import png, turn
from tests.support.serving import running
from tests.support.tiny_models import checkpoint
from trainer.config import HeadConfig
from trainer.dialogues import Scored
from trainer.model import build
from trainer.remote import Remote
from trainer.reward import CurateReward
from trainer.score import Scorer
from trainer.scorers import encoders, load, open_scorer
from trainer.serve import loaded

_HOLDER = tempfile.TemporaryDirectory(prefix="curate-members-")
TEXT = [*turn("user", "Well?"), *turn("assistant", "Yes.")]
IMAGE = [*turn("user", "Who?", 1), *turn("assistant", "No.")]
MEDIA = (png(56, 56, 0),)


@functools.cache
def member(kind: str, seed: int) -> Path:
    return build(checkpoint(kind), HeadConfig(), seed=seed).save_pretrained(Path(_HOLDER.name) / f"{kind}-{seed}")


def written(tmp_path: Path, facts: dict) -> Path:
    path = tmp_path / "ensemble.yaml"
    path.write_text(yaml.safe_dump(facts))
    return path


def alone(model: Path, dialogue, media=()) -> float:
    [found] = Scorer.load(model, 8192).score([dialogue], [media])
    assert found.score is not None
    return found.score


def one(model: Path, **more) -> dict:
    return {"model": str(model), **more}


def test_the_weighted_mean_of_standardised_scores(tmp_path):
    first, second = member("qwen2_vl", 1), member("qwen2_vl", 2)
    members = [one(first, weight=0.25, mean=0.5, std=2.0), one(second, weight=0.75, mean=-1.0, std=0.5)]
    scorer = load(written(tmp_path, {"scale": "standardised", "members": members}), 8192)
    for dialogue, media in ((TEXT, ()), (IMAGE, MEDIA)):
        expected = (
            0.25 * (alone(first, dialogue, media) - 0.5) / 2 + 0.75 * (alone(second, dialogue, media) + 1) / 0.5
        )
        assert scorer.score([dialogue], [media])[0].score == pytest.approx(expected, abs=1e-5)
    assert len(encoders(scorer)) == 2


def test_routes_keep_modalities_apart(tmp_path):
    text, image = member("text", 1), member("qwen2_vl", 1)
    path = written(tmp_path, {"routes": {"text": [one(text)], "image": [one(image)]}})
    found = load(path, 8192).score([IMAGE, TEXT, IMAGE], [MEDIA, (), MEDIA])
    assert [each.score for each in found] == [
        pytest.approx(alone(model, dialogue, media), abs=1e-6)
        for model, dialogue, media in ((image, IMAGE, MEDIA), (text, TEXT, ()), (image, IMAGE, MEDIA))
    ]
    only = load(written(tmp_path, {"routes": {"text": [one(text)]}}), 8192)
    fine, none = only.score([TEXT, IMAGE], [(), MEDIA])
    assert fine.problem is None
    assert none == Scored(None, "no_route: the ensemble has no members for its kind")


def test_a_problem_of_a_member_is_one_of_the_ensemble(tmp_path):
    path = written(tmp_path, {"members": [one(member("qwen2_vl", 1)), one(member("text", 1))]})
    fine, failed = load(path, 8192).score([TEXT, IMAGE], [(), MEDIA])
    assert fine.problem is None
    assert failed.problem.startswith("image_unsupported")


def test_a_score_file_scores_nothing_new(tmp_path):
    path = written(tmp_path, {"members": [one(member("text", 1)), {"scores": "b.jsonl"}]})
    with pytest.raises(TrainError, match="a score file as a member"):
        load(path, 8192)


def test_served_and_as_a_reward(tmp_path):
    path = written(tmp_path, {"members": [one(member("text", 1)), one(member("text", 2))]})
    [expected] = load(path, 8192).score([TEXT])
    with running(loaded(path, 4096, 100)) as server:
        assert isinstance(open_scorer(server.url), Remote)
        assert CurateReward(server.url)(["Yes."], ["Well?"]) == [pytest.approx(expected.score, abs=1e-6)]
        assert CurateReward(path)(["Yes."], ["Well?"]) == [pytest.approx(expected.score, abs=1e-6)]
        _, body, _ = server.post("/score", {"prompt": "Well?", "replies": ["very " * 200]})
        assert body["problems"][0].startswith("too_long")

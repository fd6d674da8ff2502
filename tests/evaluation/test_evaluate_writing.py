"""Models that write, evaluated: verdicts in both orders by hand and by a judge, critiques drawn and given."""

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from curate import evalsets
from curate.cli import app
from curate.errors import ConfigError, RawError
from curate.evalsets import itemfile
from curate.evaluation import items, score_file, verdicts
from tests.evaluation.test_score_model import judgebench
from tests.support.critiques import critic_encoder
from tests.support.judges import judge_encoder
from tests.support.paths import ROWS
from tests.support.questions import of_kind, saved
from tests.support.tiny_models import checkpoint
from trainer import generative, score
from trainer.batch import Tree
from trainer.config import CriticConfig, GenerativeConfig, HeadConfig
from trainer.critic import Critic, settings_to_save
from trainer.model import build
from trainer.packing import pack
from trainer.sampling import Sampling
from trainer.score import Scorer, score_items
from trainer.writers import WriterOptions

EVAL_ROWS = ROWS / "evalsets"
NAME = "vl_rewardbench"


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def judged_file(path: Path, verdicts_of: list[tuple[list, list]]) -> Path:
    """Scores of VL-RewardBench's rows by verdicts: with the right reply first, and with the wrong one first."""
    keyed = items.load(evalsets.get(NAME), EVAL_ROWS / NAME).items
    lines = []
    for key, item, (forward, backward) in zip(keyed.keys, keyed.items, verdicts_of, strict=True):
        [right], [wrong] = item.correct, item.wrong
        for first, second, found in ((right, wrong, forward), (wrong, right, backward)):
            judged = [{"second": second, "verdicts": found, "published": [one or 2 for one in found]}]
            about = {"benchmark": NAME, "item": key, "candidate": first}
            lines.append({**about, "score": float(found.count(1)), "judged": judged})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


RIGHT, WRONG, FIRST, SECOND, NONE = ([1], [2]), ([2], [1]), ([1], [1]), ([2], [2]), ([None], [None])
SAID = [RIGHT, RIGHT, RIGHT, WRONG, FIRST, SECOND, NONE]


def test_verdicts_in_both_orders_are_counted(tmp_path):
    path = judged_file(tmp_path / "a.jsonl", SAID)
    done = run("-e", NAME, "--scores", path, "--raw", EVAL_ROWS, "--json")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["results"]
    assert found["orders"] == {
        "pairs": 7, "accuracy": 3 / 7, "accuracy_without_ties": 0.75,
        "right_first": 4 / 7, "right_second": 4 / 7, "consistent": 4 / 7, "ties": 3 / 7,
        "position_bias": 0.0, "verdicts": 14, "unread": 2,
    }  # fmt: skip
    done = run("-e", NAME, "--scores", path, "--raw", EVAL_ROWS)
    line = next(line for line in done.output.splitlines() if "a.jsonl" in line and "57.14" in line)
    assert re.findall(r"[+\d.]+", line)[-10:] == [
        "7", "42.86", "75.00", "42.86", "57.14", "57.14", "57.14", "+0.00", "14", "2",
    ]  # fmt: skip


def test_the_published_rule_shows_the_right_reply_first(tmp_path):
    """Right where the first verdict is 1: three items, and the judge that always says 1; unread is 2."""
    path = judged_file(tmp_path / "a.jsonl", SAID)
    done = run("-e", NAME, "--scores", path, "--raw", EVAL_ROWS, "--rule", "r1_reward", "--json")
    (found,) = json.loads(done.stdout)["results"]
    overall = next(measure for measure in found["measures"] if measure["name"] == "overall")
    assert (overall["right"], overall["trials"], overall["ties"]) == (4, 7, 0)


def test_a_rule_needs_verdicts_on_pairs(tmp_path):
    path = tmp_path / "plain.jsonl"
    keyed = items.load(evalsets.get(NAME), EVAL_ROWS / NAME).items
    lines = [{"benchmark": NAME, "item": key, "candidate": i, "score": i} for key in keyed.keys for i in (0, 1)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run("-e", NAME, "--scores", path, "--raw", EVAL_ROWS, "--rule", "r1_reward")
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == f"--rule: no verdicts on {NAME}; expected a generative model, or its score file"
    four = items.load(evalsets.get("rewardbench2"), EVAL_ROWS / "rewardbench2").items
    judged = {0: {(0, 1): verdicts.PairVerdicts((1,), (1,))}}
    with pytest.raises(
        ConfigError, match="r1_reward, and rewardbench2 has items of 4 replies; expected eval sets"
    ):
        verdicts.published_scores("rewardbench2", four, judged, [[0.0] * 4])


@pytest.mark.parametrize(
    "cell",
    [
        [{"second": 0, "verdicts": [1], "published": [1]}],
        [{"second": 2, "verdicts": [1], "published": [1]}],
        [{"second": 1, "verdicts": [3], "published": [1]}],
        [{"second": 1, "verdicts": [1], "published": [None]}],
        [{"second": 1, "verdicts": [1]}, {"second": 1, "verdicts": [1]}],
        ["x"],
    ],
)
def test_a_damaged_column_is_an_error_with_its_place(cell):
    with pytest.raises(RawError, match=r"^a:1: judged .*; expected"):
        verdicts.read_cell(cell, 0, 2, "a:1")


def test_a_column_of_another_program_is_left_alone():
    assert verdicts.read_cell("yes", 0, 2, "a:1") == verdicts.read_cell(None, 0, 2, "a:1") == {}


def judge_directory(where: Path, form: str = "verdict") -> Path:
    encoder = judge_encoder(checkpoint("text"), form)
    settings = generative.settings_to_save(encoder.prompt, GenerativeConfig(form=form, max_text=4))
    return build(checkpoint("text"), HeadConfig(), paradigm="generative").save_pretrained(where, encoder=settings)


def test_a_judge_is_evaluated_like_any_model(tmp_path):
    judgebench(tmp_path / "raw", 12)
    model = judge_directory(tmp_path / "judge")
    more = ("-e", "judgebench", "--raw", tmp_path / "raw", "--workspace", tmp_path / "data", "--json")
    done = run("--model", model, *more)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["results"]
    lines = [json.loads(line) for line in Path(found["scores"]).read_text().splitlines()]
    assert len(lines) == 24
    assert {len(line["judged"]) for line in lines} == {1}
    keyed = items.load(evalsets.get("judgebench"), tmp_path / "raw/judgebench").items
    read = score_file.read(Path(found["scores"]), {"judgebench": keyed})
    assert verdicts.counts(keyed, read.judged["judgebench"]).row() == found["orders"]
    assert found["orders"]["verdicts"] == 24
    for (first, second), item in zip(read.scores["judgebench"], keyed.items, strict=True):
        assert first == pytest.approx(-second, abs=1e-6), item.id
    again = run("--compare", model, found["scores"], *more)
    assert [one["p"] for one in json.loads(again.stdout)["compare"] if one["headline"]] == [1.0]


def test_a_judge_is_a_member_of_an_ensemble(tmp_path):
    """The mean of a judge and a naive model, by their own score files."""
    judgebench(tmp_path / "raw", 6)
    more = ("-e", "judgebench", "--raw", tmp_path / "raw", "--workspace", tmp_path / "data", "--json")
    members = judge_directory(tmp_path / "judge"), saved("text")
    alone = [json.loads(run("--model", one, *more).stdout)["results"][0]["scores"] for one in members]
    done = run("--ensemble", "mean", *more, *members)
    assert done.exit_code == 0, done.output
    keyed = items.load(evalsets.get("judgebench"), tmp_path / "raw/judgebench").items
    whole = json.loads(done.stdout)["results"][0]["scores"]
    first, second, joint = (
        score_file.read(Path(path), {"judgebench": keyed}).scores["judgebench"] for path in (*alone, whole)
    )
    for one, other, mean in zip(first, second, joint, strict=True):
        assert mean == pytest.approx([(a + b) / 2 for a, b in zip(one, other, strict=True)])


def test_samples_have_scores_of_their_own(tmp_path):
    judgebench(tmp_path / "raw", 4)
    model = judge_directory(tmp_path / "judge", "reasoned")
    more = ("-e", "judgebench", "--raw", tmp_path / "raw", "--workspace", tmp_path / "data", "--json")
    one, three = (run("--model", model, *more, *extra) for extra in ((), ("--samples", "3")))
    files = [Path(json.loads(done.stdout)["results"][0]["scores"]) for done in (one, three)]
    assert files[1].parent.name == f"{files[0].parent.name}-3"
    texts = [
        [len(judged["texts"]) for line in path.read_text().splitlines() for judged in json.loads(line)["judged"]]
        for path in files
    ]
    assert texts == [[1] * 8, [3] * 8]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--samples", "2"), "--samples: given without a model; expected --model DIR, or --compare with models"),
        (("--given-critiques",), "--given-critiques: given without a model"),
    ],
)
def test_options_of_writing_need_a_model(tmp_path, options, fault):
    done = run("-e", NAME, "--scores", judged_file(tmp_path / "a.jsonl", SAID), "--raw", EVAL_ROWS, *options)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(fault)


# ------------------------------------------------------------------------------------------------------- critiques


def critic_directory(where: Path) -> Path:
    encoder = critic_encoder(checkpoint("text"))
    settings = settings_to_save(encoder.instruction, CriticConfig(max_critique=4))
    return build(checkpoint("text"), HeadConfig(), paradigm="critic").save_pretrained(where, encoder=settings)


def test_given_critiques_are_scored(tmp_path):
    """Through an items file and the scorer, as by the encoder of pairs; an item without critiques says so."""
    model = critic_directory(tmp_path / "critic")
    critiqued = of_kind("text")[0]._replace(critiques=("Right.", "Wrong, and too long."))
    itemfile.write(
        tmp_path / "a.parquet",
        "x",
        [critiqued, of_kind("text")[1], critiqued._replace(item="half", critiques=("a", None))],
    )
    score.main([str(model), str(tmp_path / "a.parquet"), "--out", str(tmp_path / "out"), "--given-critiques"])
    lines = [json.loads(line) for line in (tmp_path / "out/a.jsonl").read_text().splitlines()]
    assert [line.get("unscored") for line in lines] == [None, None, "no_critique", "no_critique"]
    scorer = Scorer.load(model, 4096, WriterOptions(given=True))
    trees = scorer.encoder.item(critiqued)
    text = scorer.encoder.tokenizer.decode(trees[0].ids[1])
    assert text.endswith("Wrong, and too long.<|im_end|>")
    plain = Scorer.load(model, 4096)
    written = next(one.scores for one in plain.items([critiqued]))
    assert [line["score"] for line in lines[:2]] != pytest.approx(written, abs=1e-4)


@torch.no_grad()
def slow_score(model, encoder, ids, sampling) -> float:
    """The mean score after the critiques of a branch, each drawn token by token by whole forward passes."""
    scores = []
    for key in sampling.keys([ids]):
        whole = ids
        for step in range(4):
            hidden = model.backbone.hidden(pack([Tree((whole,), 0, {})], model.backbone))[0, -1:]
            (token,) = sampling.choose(model.lm_head(hidden), [key], step)
            if token in (encoder.end[0], encoder.tokenizer.eos_token_id):
                break
            whole = torch.cat([whole, torch.tensor([token])])
        whole = torch.cat([whole, torch.tensor(encoder.end)])
        scores.append(float(model(pack([Tree((whole,), 0, {})], model.backbone))))
    return sum(scores) / len(scores)


def test_several_critiques_are_averaged(tmp_path):
    """The mean is that of single draws, and does not depend on what is scored beside it."""
    model = Scorer.load(critic_directory(tmp_path / "critic"), 4096).model
    encoder, some_questions = critic_encoder(checkpoint("text")), of_kind("text")[:3]

    def scored(samples, questions, seed=0):
        writer = Critic(encoder, CriticConfig(max_critique=4, critiques=samples), seed=seed)
        return [one.scores for one in score_items(model, encoder, questions, 4096, writer)]

    together = scored(5, some_questions)
    (tree,) = encoder.dialogue(some_questions[0].prompt, some_questions[0].replies, some_questions[0].media)
    sampling = Sampling(samples=5)
    assert together[0] == pytest.approx([slow_score(model, encoder, ids, sampling) for ids in tree.ids], abs=1e-5)
    for one, question in zip(together, some_questions, strict=True):
        assert scored(5, [question])[0] == pytest.approx(one, abs=1e-5)
    assert scored(5, some_questions, seed=1)[0] != pytest.approx(together[0], abs=1e-6)
    assert scored(1, some_questions[:1], seed=1) == scored(1, some_questions[:1]), (
        "one critique is the most probable one"
    )

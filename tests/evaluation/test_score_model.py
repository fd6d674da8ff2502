"""A model's scores: of every layout alike, resumed after a kill, and none missing without a word."""

import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from curate import evalsets
from curate.cli import app
from curate.errors import ConfigError, RawError, TrainError, WorkspaceError
from curate.evalsets import itemfile
from curate.evalsets.itemfile import ItemFile, Question
from curate.evaluation import items, score_model
from curate.evaluation.items import LoadedEvalSet
from curate.hashing import Hashes
from curate.installation import install_command
from curate.workspace import Workspace
from tests.support.paths import ROOT, ROWS
from tests.support.questions import QUESTIONS, loaded, of_kind, png, question, saved, scores
from trainer.encode import Encoder
from trainer.model import RewardModel
from trainer.packing import pad
from trainer.score import ItemScores, ScoreWriter, score_items

EVAL_ROWS = ROWS / "evalsets"
KINDS = ("qwen2_5_vl", "internvl", "text")


# --- layouts


@pytest.mark.parametrize("kind", KINDS)
def test_batch_size_padding_side_and_packing_change_no_score(kind):
    model, encoder = loaded(kind)
    questions = of_kind(kind)
    alone = scores(score_items(model, encoder, questions, max_tokens=1))
    for budget in (200, 700, 100_000):
        packed = scores(score_items(model, encoder, questions, budget))
        for item, expected in alone.items():
            torch.testing.assert_close(packed[item], expected, rtol=0, atol=1e-5)
    trees = [tree for one in questions for tree in encoder.dialogue(one.prompt, one.replies, one.media)]
    for side in ("left", "right"):
        with torch.no_grad():
            padded = model(pad(trees, model.backbone, side=side))
        torch.testing.assert_close(padded, torch.cat(list(alone.values())), rtol=0, atol=1e-5)
    spread = torch.cat(list(alone.values())).unique()
    assert len(spread) == sum(len(one.replies) for one in questions), "the scores tell replies apart"


@settings(max_examples=15)
@given(st.permutations(of_kind("text")), st.integers(1, 400))
def test_company_changes_no_score(order, budget):
    model, encoder = loaded("text")
    alone = scores(score_items(model, encoder, of_kind("text"), max_tokens=1))
    results = list(score_items(model, encoder, order, budget))
    assert [one.item for one in results] == [one.item for one in order]
    for item, found in scores(results).items():
        torch.testing.assert_close(found, alone[item], rtol=0, atol=1e-5)


# --- items that cannot be scored


def test_what_can_not_be_scored_says_why():
    model = RewardModel.from_pretrained(saved("qwen2_5_vl"))
    encoder = Encoder(saved("qwen2_5_vl"), max_length=150)
    broken = QUESTIONS[4]._replace(item="broken", media=(b"no image",))
    flat = question("flat", 1, (1, 2), ((1000, 4),))
    lost = QUESTIONS[4]._replace(item="lost", media=(), problem="image_missing: a.png")
    results = list(score_items(model, encoder, [QUESTIONS[3], broken, lost, flat, QUESTIONS[0]], 10_000))
    assert [one.item for one in results] == ["long", "broken", "lost", "flat", "pair"]
    reasons = [one.problem and one.problem.partition(":")[0] for one in results]
    assert reasons == ["too_long", "not_an_image", "image_missing", "image_refused", None]
    assert [len(one.scores) for one in results] == [0, 0, 0, 0, 2]


def test_a_diverged_model_is_an_error():
    model = RewardModel.from_pretrained(saved("text"))
    torch.nn.init.constant_(model.head.layers[-1].weight, float("nan"))
    with pytest.raises(TrainError, match=r"pair: scores \[nan, nan\]; expected finite numbers"):
        list(score_items(model, Encoder(saved("text"), max_length=500), QUESTIONS[:1], 100))


# --- the items file


def test_items_survive_their_file(tmp_path):
    video = question("video", 1, (1, 2))._replace(media=((b"frame 1", b"frame 2"), b"image"))
    lost = question("lost", 1, (1,))._replace(problem="image_missing: x")
    wanted = [*QUESTIONS, video, lost]
    itemfile.write(tmp_path / "a.parquet", "vl_rewardbench", iter(wanted))
    file = ItemFile(tmp_path / "a.parquet")
    assert (file.benchmark, len(file), list(file)) == ("vl_rewardbench", len(wanted), wanted)


def test_a_file_that_is_no_items_file(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(RawError, match=r"a\.parquet: not an items file"):
        ItemFile(tmp_path / "a.parquet")


def loaded_of(name: str, folder: Path) -> LoadedEvalSet:
    return items.load(evalsets.get(name), folder)


def items_of(name: str, folder: Path, root: Path) -> list[Question]:
    place = Workspace(root)
    path = score_model.items_file(loaded_of(name, folder), place, Hashes(place.cache))
    return list(ItemFile(path))


def test_media_come_from_folders_and_archives(tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(EVAL_ROWS / "vl_rewardbench", folder)
    rows = json.loads((folder / "data.json").read_text())
    pictures = {row["image"]: png(60, 40, i) for i, row in enumerate(rows) if row.get("image")}
    held, packed, missing = sorted(pictures)[:2], sorted(pictures)[2:-1], sorted(pictures)[-1]
    for path in held:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(pictures[path])
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for path in packed:
            archive.writestr(path, pictures[path])
    found = items_of("vl_rewardbench", folder, tmp_path)
    for row, one in zip(rows, found, strict=True):
        missing_image = row["image"] == missing
        assert one.problem == (f"image_missing: {missing}" if missing_image else None)
        assert one.media == (() if missing_image else (pictures[row["image"]],))
    (folder / missing).write_bytes(pictures[missing])
    assert all(one.problem is None for one in items_of("vl_rewardbench", folder, tmp_path)), "a file of its own"


def test_a_video_is_its_frames_in_order(tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(EVAL_ROWS / "mm_rlhf_rewardbench", folder)
    rows = [json.loads(line) for line in (folder / "mm_reward_bench.jsonl").read_text().splitlines()]
    at, row = next((i, row) for i, row in enumerate(rows) if row.get("video"))
    (folder / "images" / row["video"]).mkdir(parents=True)
    for number in (1, 2, 10):
        (folder / "images" / row["video"] / f"frame_{number}.png").write_bytes(b"%d" % number)
    found = items_of("mm_rlhf_rewardbench", folder, tmp_path)[at]
    assert found.media == ((b"1", b"2", b"10"),)


# --- a stopped scoring


ITEM_SCORES = [ItemScores(f"item {i}", (float(i), -float(i))) for i in range(4)]


def test_a_score_writer_keeps_whole_items(tmp_path):
    path = tmp_path / "a.jsonl"
    with ScoreWriter(path, "x", {"dtype": "float32"}) as writer:
        assert writer.done == set()
        for one in ITEM_SCORES[:3]:
            writer.add(one)
    part = tmp_path / "a.jsonl.part"
    part.write_bytes(part.read_bytes() + b'{"benchmark": "x", "item": "item 3", "cand')
    with ScoreWriter(path, "x", {"dtype": "float32"}) as writer:
        assert writer.done == {"item 0", "item 1"}, "the last item may be incomplete"
        for one in [ITEM_SCORES[2], ItemScores("item 3", (), "too_long: 9 tokens")]:
            writer.add(one)
        writer.publish()
    assert not part.exists()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["item"], one.get("candidate"), one.get("score")) for one in lines] == [
        ("item 0", 0, 0.0), ("item 0", 1, 0.0), ("item 1", 0, 1.0), ("item 1", 1, -1.0),
        ("item 2", 0, 2.0), ("item 2", 1, -2.0), ("item 3", None, None),
    ]  # fmt: skip
    assert lines[-1]["unscored"] == "too_long: 9 tokens"


def test_a_score_writer_of_other_settings_is_begun_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    for dtype, done in (("float32", set()), ("bfloat16", set()), ("bfloat16", {"item 0"})):
        with ScoreWriter(path, "x", {"dtype": dtype}) as writer:
            assert writer.done == done
            writer.add(ITEM_SCORES[0])
            writer.add(ITEM_SCORES[1])


def test_two_runs_do_not_write_one_score_file(tmp_path):
    in_use = pytest.raises(WorkspaceError, match=r"a\.jsonl\.part: in use by another run")
    with ScoreWriter(tmp_path / "a.jsonl", "x", {}), in_use:
        ScoreWriter(tmp_path / "a.jsonl", "x", {})


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def judgebench(folder: Path, rows: int) -> None:
    (folder / "judgebench").mkdir(parents=True)
    with (folder / "judgebench/gpt-0.jsonl").open("w") as file:
        for i in range(rows):
            row = {
                "pair_id": f"{i}", "source": "livebench-math", "question": f"What is {i}?",
                "response_A": f"It is {i}." * (i % 7), "response_B": f"{i * i}",
                "label": "A>B" if i % 3 else "B>A",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")


def test_a_killed_scoring_goes_on_and_is_evaluated(tmp_path, monkeypatch, capfd):
    """kill -9 in the middle; then curate evaluate takes what is there, does the rest, and prints the metrics."""
    monkeypatch.chdir(ROOT)
    judgebench(tmp_path / "raw", 300)
    model, place = saved("text"), Workspace(tmp_path / "data")
    hashes = Hashes(place.cache)
    items = score_model.items_file(loaded_of("judgebench", tmp_path / "raw/judgebench"), place, hashes)
    folder = place.scores / score_model.model_id(model, hashes)
    part = folder / f"{items.stem}.jsonl.part"
    command = [sys.executable, "-m", "trainer.score", model, items, "--out", folder, "--max-tokens", "1"]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE)
    while process.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > 60):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    process.stderr.close()
    before = part.read_bytes().splitlines()

    arguments = ("-e", "judgebench", "--raw", tmp_path / "raw", "--workspace", tmp_path / "data", "--json")
    done = run("--model", model, *arguments)
    assert done.exit_code == 0, done.output
    assert "of 300 items are scored already" in capfd.readouterr().err
    (found,) = json.loads(done.stdout)["results"]
    path = Path(found["scores"])
    assert (path, found["model"], part.exists()) == (folder / f"{items.stem}.jsonl", str(model), False)
    written = path.read_bytes().splitlines()
    assert len(written) == 600
    assert written[:50] == before[1:51], "what was there is not scored again"
    expected = [score for one in score_items(*loaded("text"), ItemFile(items), 1) for score in one.scores]
    assert [json.loads(line)["score"] for line in written] == pytest.approx(expected, abs=1e-5)

    done = run("--compare", model, path, *arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [(one["model"], one["scores"]) for one in result["results"]] == [
        (str(model), str(path)), (None, str(path)),
    ]  # fmt: skip
    headline = [delta for delta in result["compare"] if delta["headline"]]
    assert [(delta["gained"], delta["lost"], delta["corrected"]) for delta in headline] == [(0, 0, 1.0)]
    assert "scored already" not in capfd.readouterr().err, "a finished score file is taken as it is"


# --- what may be wrong with the command


def test_without_the_trainer_there_is_one_line(tmp_path, monkeypatch):
    model = saved("text")
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    done = run("--model", model, "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path)
    assert isinstance(done.exception, TrainError)
    assert str(done.exception) == "trainer: torch not installed; expected the trainer's libraries"
    assert done.exception.hint == install_command("trainer")


def test_a_directory_without_a_model(tmp_path):
    shutil.copytree(saved("text"), tmp_path / "run/best")
    done = run("--model", tmp_path / "run", "-e", "judgebench", "--raw", EVAL_ROWS, "--workspace", tmp_path)
    assert isinstance(done.exception, ConfigError)
    assert (
        str(done.exception) == f"{tmp_path}/run: no reward_config.json; expected the directory of a reward model"
    )
    assert done.exception.hint == f"did you mean {tmp_path}/run/best?"


def test_another_model_is_another_folder(tmp_path):
    hashes = Hashes(tmp_path)
    copy = shutil.copytree(saved("text"), tmp_path / "elsewhere")
    assert score_model.model_id(copy, hashes) == score_model.model_id(saved("text"), hashes)
    (copy / "head.safetensors").write_bytes(b"other")
    assert score_model.model_id(copy, hashes) != score_model.model_id(saved("text"), hashes)

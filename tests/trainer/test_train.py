"""The training loop in one process: exact steps, resume, what is on disk, and every fault in one line."""

import json
import math
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from curate import schema, trainer_process
from curate.errors import TrainError, WorkspaceError
from curate.installation import install_command
from tests.support.training import curve, rows, settings, small_mix, trained
from trainer import checkpoint, config, train
from trainer.distributed import World
from trainer.encode import Encoder
from trainer.logs import Metrics
from trainer.model import RewardModel, build
from trainer.packing import pad
from trainer.readers import MixReader
from trainer.score import Scorer
from trainer.validation import accuracy

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    return small_mix(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def run(mix, tmp_path_factory):
    """A whole run: five steps of eight pairs, evaluated and saved every second step."""
    return trained(mix, tmp_path_factory.mktemp("run") / "r", "head.dropout=0.1")


# ------------------------------------------------------------------------------------------------------ numbers


def plain_steps(
    mix: Path, model_dir: Path, rates: list[float], length_norm: bool
) -> tuple[RewardModel, list[float]]:
    """The same steps without our machinery: two padded rows a pair, one batch, torch's mean, clip and AdamW."""
    run_config = config.resolve("tiny_cpu", settings(mix, Path("out")))
    model = build(model_dir, run_config.head, freeze_vision=False, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0)
    encoder, numbers = Encoder(model_dir, max_length=2048, max_pixels=12544), []
    pairs = [encoder.pair(row) for row in MixReader(mix, "shard").rows()]
    for step, rate in enumerate(rates):
        trees = [tree for pair in pairs[8 * step : 8 * step + 8] for tree in pair.trees]
        ties = torch.tensor([pair.tie for pair in pairs[8 * step : 8 * step + 8]])
        scores = model(pad(trees, model.backbone)).view(-1, 2)
        if length_norm:
            lengths = [[p.chosen_length, p.rejected_length] for p in pairs[8 * step : 8 * step + 8]]
            scores = scores / torch.log(torch.tensor(lengths) + 1)
        loss = (functional.softplus(scores[:, 1] - scores[:, 0]) * ~ties).mean()
        loss.backward()
        numbers += [loss.item(), clip_grad_norm_(model.parameters(), 1.0).item()]
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    return model, numbers


@pytest.mark.parametrize(("zero", "length_norm"), [(0, True), (1, False)])
def test_steps_are_those_of_plain_torch(mix, tmp_path, zero, length_norm):
    more = (f"zero={zero}", f"loss.length_norm={str(length_norm).lower()}")
    run = trained(mix, tmp_path, "max_steps=2", "max_tokens=400", *more)
    rates = [row["lr"] for row in rows(run) if "lr" in row]
    middles = [(step - 0.5) / 2 for step in (1, 2)]
    assert rates == pytest.approx([5e-4 * (1 + math.cos(math.pi * (at - 0.05) / 0.95)) for at in middles])
    model, numbers = plain_steps(mix, run / "model", rates, length_norm)
    assert curve(run)[:4] == pytest.approx(numbers, rel=1e-5, abs=1e-6)
    final = RewardModel.from_pretrained(run / "final").state_dict()
    for name, value in model.state_dict().items():
        if (
            name != "head.layers.1.bias"
        ):  # a constant of all scores: its gradient is noise, and Adam makes much of it
            torch.testing.assert_close(final[name], value, rtol=0, atol=1e-4)  # a tenth of the learning rate


def test_layouts_and_sharing_give_the_same_curve(mix, tmp_path):
    plain = trained(mix, tmp_path / "plain", "layout=padded", "max_steps=3")
    alone = trained(mix, tmp_path / "alone", "share_prefix=false", "max_steps=3")
    packed = trained(mix, tmp_path / "packed", "max_steps=3", "gradient_checkpointing=true")
    assert curve(alone) == pytest.approx(curve(plain), rel=1e-4, abs=1e-6)
    assert curve(packed) == pytest.approx(curve(plain), rel=1e-4, abs=1e-6)


# --------------------------------------------------------------------------------------------- what is on disk


def test_a_run_directory(run, mix):
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "best", "checkpoints", "config.yaml", "final", "metrics.jsonl", "mix.lock.json", "model",
        "result.json", "tb",
    ]  # fmt: skip
    assert (run / "mix.lock.json").read_bytes() == (mix / "lock.json").read_bytes()
    assert (run / "checkpoints/latest").read_text() == "step-00000005"
    assert sorted(path.name for path in (run / "checkpoints").glob("step-*")) == ["step-00000004", "step-00000005"]


def test_metrics(run):
    steps = [row for row in rows(run) if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5]
    assert [row["consumed"] for row in steps] == [8, 16, 24, 32, 40] == [row["pairs"] for row in steps]
    assert steps[0].keys() == {
        "step", "pairs", "consumed", "lr", "grad_norm", "loss", "accuracy", "margin", "tokens", "mfu", "sources",
    }  # fmt: skip
    assert steps[0]["mfu"] is None  # no peak is known for a CPU
    for row in steps:
        sources = row["sources"].values()
        right = sum(source["pairs"] * source["accuracy"] for source in sources)
        assert row["accuracy"] == pytest.approx(right / sum(source["pairs"] for source in sources))
    assert [(row["eval"], row["step"]) for row in rows(run) if "eval" in row] == [
        ("holdout", 2), ("holdout", 4), ("holdout", 5),
    ]  # fmt: skip
    board = EventAccumulator(str(run / "tb")).Reload()
    assert [(x.step, x.value) for x in board.Scalars("train/loss")] == [
        (row["step"], pytest.approx(row["loss"])) for row in steps
    ]
    assert {"train/sources/a/accuracy", "eval/holdout/accuracy"} <= set(board.Tags()["scalars"])


def test_result_and_models(run, mix):
    result = json.loads((run / "result.json").read_text())
    evals = [row for row in rows(run) if "eval" in row]
    assert (result["step"], result["pairs"], result["dropped"], result["mix"]["name"]) == (5, 40, {}, "r")
    assert result["tokens"] == sum(row["tokens"] for row in rows(run) if "loss" in row)
    assert result["evals"]["holdout"]["margin"] == evals[-1]["margin"]
    best = max(evals, key=lambda row: row["accuracy"])  # the first of equals
    assert (result["best_accuracy"], result["best_step"]) == (best["accuracy"], best["step"])
    for name, row in (("final", evals[-1]), ("best", best)):
        model = RewardModel.from_pretrained(run / name)
        encoder = Encoder(run / name, max_length=2048, max_pixels=12544)
        pairs = [encoder.pair(one) for one in MixReader(mix, "holdout").rows()]
        assert accuracy(model, pairs, 4096).margin == pytest.approx(row["margin"], rel=1e-5, abs=1e-6)


def test_a_model_is_scored_with_the_bounds_it_was_trained_with(mix, tmp_path):
    run = trained(mix, tmp_path, "model=tiny/qwen2_5_vl", "max_steps=1", "max_frames=2", "max_frame_pixels=3136")
    encoder = json.loads((run / "result.json").read_text())["encoder"]
    assert (encoder["max_frames"], encoder["images"]["frame_size"]["longest_edge"]) == (2, 3136)
    again = Scorer.load(run / "final", 1000).settings["encoder"]
    assert again | {"max_length": 0} == encoder | {"max_length": 0}


def test_named_sets_are_evaluated_too(mix, tmp_path):
    pairs = f"eval_sets={{part: {mix / 'holdout-00000.parquet'}, other: {mix}}}"
    run = trained(mix, tmp_path, pairs, "max_steps=1")
    margins = {row["eval"]: row["margin"] for row in rows(run) if "eval" in row}
    assert margins.keys() == {"holdout", "part", "other"}
    assert margins["part"] == margins["other"] == margins["holdout"]


def test_long_pairs_are_dropped_and_counted(mix, tmp_path):
    run = trained(mix, tmp_path, "max_length=60")
    result = json.loads((run / "result.json").read_text())
    assert result["dropped"].keys() == {"a", "b"}
    assert result["consumed"] == 40 == result["pairs"] + sum(x["too_long"] for x in result["dropped"].values())


# ------------------------------------------------------------------------------------------------------- resume


class At:
    """Does something just after a step's row was written."""

    def __init__(self, monkeypatch, number, act):
        write = Metrics.step

        def step(metrics, row, done):
            write(metrics, row, done)
            if row["step"] == number:
                act()

        monkeypatch.setattr(Metrics, "step", step)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_a_checkpoint_and_the_run_continues_to_the_same_curve(
    run, mix, tmp_path, monkeypatch, capsys, number, code
):
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        At(patch, 2, lambda: signal.raise_signal(number))
        trained(mix, tmp_path, "head.dropout=0.1")
    assert end.value.code == code
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert (tmp_path / "checkpoints/latest").read_text() == "step-00000003"  # the step at hand is finished
    with open(tmp_path / "metrics.jsonl", "a") as file:  # as a kill would leave it
        file.write('{"step": 4, "loss": 7.0}\n{"step": 5, "lo')
    trained(mix, tmp_path, "head.dropout=0.1")
    assert rows(tmp_path) == rows(run)
    for name in ("model.safetensors", "head.safetensors"):
        assert (tmp_path / "final" / name).read_bytes() == (run / "final" / name).read_bytes()
    capsys.readouterr()
    trained(mix, tmp_path, "head.dropout=0.1")
    assert capsys.readouterr().err.startswith(f"already trained: {tmp_path}; 5 steps, 40 pairs, 0 dropped, ")


def test_a_window_of_steps_continues_to_the_same_curve(mix, tmp_path, monkeypatch):
    window = ("balance_steps=3", "save_every_pairs=8")
    whole = trained(mix, tmp_path / "whole", *window)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        At(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        trained(mix, tmp_path / "run", *window)
    assert rows(trained(mix, tmp_path / "run", *window)) == rows(whole)
    assert [row["consumed"] for row in rows(whole) if "loss" in row] == [8, 16, 24, 32, 40]
    assert curve(whole) != curve(trained(mix, tmp_path / "plain", "save_every_pairs=8"))


def test_checkpoints_by_the_clock(run, mix, tmp_path):
    made = trained(mix, tmp_path, "head.dropout=0.1", "save_every_minutes=1e-6", "keep_checkpoints=9")
    assert [path.name for path in sorted((made / "checkpoints").glob("step-*"))] == [
        f"step-{step:08}" for step in range(1, 6)
    ]
    assert rows(made) == rows(run)
    assert trained(mix, tmp_path, "head.dropout=0.1", "save_every_minutes=60") == made, "no other run"


def test_a_full_disk_leaves_the_checkpoint_before(mix, tmp_path, monkeypatch):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reference = trained(mix, tmp_path / "reference")
    with monkeypatch.context() as patch, pytest.raises(WorkspaceError) as caught:
        At(patch, 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard)))
        try:
            trained(mix, tmp_path / "run")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder = tmp_path / "run/checkpoints"
    assert str(caught.value).startswith(f"{folder / 'step-00000004'}: ") or "best" in str(caught.value)
    assert "no space left" in str(caught.value)
    assert caught.value.hint.startswith("free some space and run the same command again")
    assert ([x.name for x in folder.glob("*step*")], (folder / "latest").read_text()) == (
        ["step-00000002"], "step-00000002",
    )  # fmt: skip
    assert rows(trained(mix, tmp_path / "run")) == rows(reference)


def test_what_a_kill_between_two_renames_leaves_is_undone(tmp_path):
    (tmp_path / ".best.old").mkdir()
    (tmp_path / "final").mkdir()
    (tmp_path / ".final.old").mkdir()
    with checkpoint.hold(tmp_path, ALONE):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "best", "final"]


def test_one_trainer_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LOCK_SECONDS", 1)
    with checkpoint.hold(tmp_path, ALONE), pytest.raises(WorkspaceError, match="another trainer is running in it"):
        checkpoint.hold(tmp_path, ALONE).__enter__()


def test_a_damaged_or_missing_checkpoint(run, tmp_path, mix):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "result.json").unlink()
    (copy / "config.yaml").unlink()
    newest = copy / "checkpoints/step-00000005"
    whole = newest / "mp_rank_00_model_states.pt"
    whole.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(TrainError, match=r"step-00000005: damaged \(.+\); expected a checkpoint"):
        trained(mix, copy, "head.dropout=0.1")
    shutil.rmtree(newest)
    with pytest.raises(TrainError, match="step-00000005: missing, though `latest` names it"):
        trained(mix, copy, "head.dropout=0.1")


# ------------------------------------------------------------------------------------------------------- faults


def error_lines(capsys, path) -> tuple[int, str]:
    code = train.main([str(path)])
    return code, capsys.readouterr().err.splitlines()[-2:]


def test_a_loss_that_is_no_number_stops_before_the_weights_change(mix, tmp_path, capsys):
    path = config.write(
        config.resolve("tiny_cpu", settings(mix, tmp_path, "lr=1e30", "clip=0", "save_every_pairs=8"))
    )
    code, (error, hint) = error_lines(capsys, path)
    ids = {row.pair_id for row in MixReader(mix, "shard").rows()}
    named = error.partition(" in pairs ")[2].partition(" and ")[0].partition(";")[0].split(", ")
    assert code == 1
    assert error.startswith("error: step 2: the loss is nan in pairs ")
    assert error.endswith("; checkpoint step-00000001 is kept")
    assert hint.startswith("hint: a lower lr or clip may help; curate why PAIR")
    assert set(named) <= ids
    assert (tmp_path / "checkpoints/latest").read_text() == "step-00000001"


def test_a_mix_of_another_schema(mix, tmp_path, capsys):
    other = tmp_path / "mix"
    shutil.copytree(mix, other)
    lock = json.loads((other / "lock.json").read_text())
    (other / "lock.json").write_text(json.dumps(lock | {"schema": 99}))
    path = config.write(config.resolve("tiny_cpu", settings(other, tmp_path / "run")))
    assert error_lines(capsys, path) == (1, [
        f"error: {other}/lock.json: a mix of schema 99; expected schema {schema.VERSION}",
        "hint: build the mix again with curate mix",
    ])  # fmt: skip


def test_a_model_without_a_chat_template(mix, run, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(run / "model", bare)
    (bare / "chat_template.jinja").unlink()
    path = config.write(config.resolve("tiny_cpu", settings(mix, tmp_path / "run", f"model={bare}")))
    code, lines = error_lines(capsys, path)
    assert code == 1
    assert any(line.startswith(f"error: {bare}: no chat template") for line in lines)


def test_bf16_wants_fp32_weights(mix, tmp_path):
    with pytest.raises(TrainError, match="zero: found 0 with bf16") as caught:
        trained(mix, tmp_path, "bf16=true")
    assert caught.value.hint == "zero=1"


# ------------------------------------------------------------------------------------------ the starter's watch

REPORT = """\
step 3 (6%): loss 0.5
[W1121 16:10:11.1 ProcessGroupGloo.cpp:1] something of torch's
this process lost the others
E1121 16:10:11.2 12 torch/distributed/elastic/multiprocessing/api.py:1] failed (exitcode: -9)
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "torch/distributed/run.py", line 1, in main
    run(args)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
trainer.train FAILED
------------------------------------------------------------
Failures:
[1]:
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 122)
  traceback : Signal 15 (SIGTERM) received by PID 122
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-21_16:10:11
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 123)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 123
============================================================"""


def watched(text: str, code: int) -> tuple[list[str], TrainError]:
    lines: list[str] = []
    watch = trainer_process._Watch(lines.append)
    for line in text.splitlines():
        watch.take(line)
    watch.flush()
    return lines, watch.failure(code)


def test_forty_lines_of_torchrun_become_one():
    lines, error = watched(REPORT, 1)
    assert lines == ["step 3 (6%): loss 0.5", "this process lost the others"]
    assert str(error) == "process 1 of the trainer: was killed (SIGKILL)"
    assert error.hint == (
        "out of memory? try a smaller max_tokens; the same command continues from the last checkpoint"
    )


def test_the_trainers_own_error_comes_before_torchruns():
    lines, error = watched("error: step 2: the loss is nan\nhint: lower it\nerror: x: later\n" + REPORT, 1)
    assert (str(error), error.hint) == ("step 2: the loss is nan", "lower it")
    assert "error" not in " ".join(lines)


def test_an_unforeseen_error_shows_its_traceback():
    trace = ["Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "ZeroDivisionError: no"]
    lines, error = watched("\n".join(trace), 1)
    assert lines == trace
    assert str(error) == "the trainer: ended with exit code 1"


def test_a_killed_process():
    assert str(watched("step 1", -9)[1]) == "the trainer: was killed (SIGKILL)"


def test_missing_libraries(monkeypatch):
    trainer_process.check_installed()
    monkeypatch.setattr(trainer_process, "LIBRARIES", ("torch", "no_such_library"))
    with pytest.raises(TrainError, match=r"^trainer: no_such_library not installed; expected") as caught:
        trainer_process.check_installed()
    assert caught.value.hint == install_command("trainer")

"""Several processes, real kills: the single-process curve under ZeRO, a killed rank, kill -9 of the whole run."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from curate import trainer_process
from curate.cli import app
from curate.errors import TrainError
from tests.support.training import curve, rows, settings, small_mix, trained
from trainer.encode import Encoder
from trainer.model import RewardModel
from trainer.readers import MixReader
from trainer.validation import accuracy


@pytest.fixture(scope="module")
def mix(tmp_path_factory):
    return small_mix(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def alone(mix, tmp_path_factory):
    """The run of one process that all others must repeat."""
    return trained(mix, tmp_path_factory.mktemp("alone") / "r")


def start(mix: Path, out: Path, processes: int, *more: str, say=lambda _: None) -> Path:
    """The run as `curate train --nproc` starts it."""
    trainer_process.prepare("tiny_cpu", settings(mix, out, *more))
    trainer_process.run(trainer_process.command(out, processes), say)
    return out


def holdout_margin(run: Path, mix: Path) -> float:
    model, encoder = (
        RewardModel.from_pretrained(run / "final"),
        Encoder(run / "final", max_length=2048, max_pixels=12544),
    )
    return accuracy(model, [encoder.pair(row) for row in MixReader(mix, "holdout").rows()], 4096).margin


def ranks_of(out: Path) -> dict[int, int]:
    """Process ids of a run's trainers by their rank."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = ((path / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        rank = [int(x[5:]) for x in environment if x.startswith(b"RANK=")]
        if f"{out}/config.yaml".encode() in words and rank and b"torch.distributed.run" not in words:
            found[rank[0]] = int(path.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
def test_a_killed_process_is_one_line_and_the_run_goes_on_with_the_curve_of_one(mix, alone, tmp_path, zero):
    """Two processes, one text-only micro-batch beside one with images; rank 1 dies after a checkpoint."""
    lines = []

    def listen(line):
        lines.append(line)
        if line.startswith("step 2: holdout"):
            os.kill(ranks_of(tmp_path)[1], signal.SIGKILL)

    with pytest.raises(TrainError) as caught:
        start(mix, tmp_path, 2, f"zero={zero}", say=listen)
    assert str(caught.value) == "process 1 of the trainer: was killed (SIGKILL)"
    assert not [line for line in lines if "Traceback" in line or "torch" in line]
    continued = start(mix, tmp_path, 2, f"zero={zero}", say=lines.append)
    assert [line for line in lines if re.match("starting|continuing after step [1-4]:", line)][1:]
    assert curve(continued) == pytest.approx(curve(alone), rel=1e-4, abs=1e-5)
    assert holdout_margin(continued, mix) == pytest.approx(holdout_margin(alone, mix), rel=1e-3, abs=1e-5)


def test_tasks_of_a_slurm_step_train_together(mix, alone, tmp_path):
    """`srun -n 2 python -m trainer.train CONFIG`: two processes that have Slurm's variables alone.

    Each measures half of the pairs before the first step, and then those alone that it computes.
    """
    trainer_process.prepare("tiny_cpu", settings(mix, tmp_path, "zero=2", "measure_first=true"))
    slurm = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "localhost",
             "SLURM_JOB_ID": str(os.getpid())}  # fmt: skip
    environment = {**trainer_process.ENVIRONMENT, **os.environ, **slurm}
    tasks = [
        subprocess.Popen(
            trainer_process.command(tmp_path, 1), stderr=subprocess.PIPE, text=True,
            env={**environment, "SLURM_PROCID": number, "SLURM_LOCALID": number},
        )
        for number in "01"
    ]  # fmt: skip
    output = [task.communicate()[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], output
    assert "2 processes on cpu, ZeRO-2" in output[0]
    assert "lengths, this rank's part: 20 pairs to do" in output[0]
    assert "8 pairs a step on 2 processes: some wait for others; balance_steps=16 evens them out" in output[0]
    assert curve(tmp_path) == pytest.approx(curve(alone), rel=1e-4, abs=1e-5)


CRITIC = ("paradigm=critic", "critic.max_critique=6")


@pytest.fixture(scope="module")
def critiqued(tmp_path_factory):
    return small_mix(tmp_path_factory.mktemp("critiqued"), critiques=True)


@pytest.fixture(scope="module")
def lone_critic(critiqued, tmp_path_factory):
    """A critic's run of one process, which scores after critiques that it writes."""
    return trained(critiqued, tmp_path_factory.mktemp("critic") / "r", *CRITIC)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
def test_a_critic_that_was_killed_goes_on_with_the_curve_of_one_process(critiqued, lone_critic, tmp_path, zero):
    """Two processes, which hold out five pairs together, some with images, and write critiques in step."""

    def kill(line):
        if line.startswith("step 2: holdout"):
            os.kill(ranks_of(tmp_path)[1], signal.SIGKILL)

    with pytest.raises(TrainError, match="process 1 of the trainer: was killed"):
        start(critiqued, tmp_path, 2, *CRITIC, f"zero={zero}", say=kill)
    continued = start(critiqued, tmp_path, 2, *CRITIC, f"zero={zero}")
    assert curve(continued) == pytest.approx(curve(lone_critic), rel=1e-4, abs=1e-5)
    steps, wanted = ([row for row in rows(run) if "loss" in row] for run in (continued, lone_critic))
    assert [row["critiques"] for row in steps] == [row["critiques"] for row in wanted]
    assert [row["critique_loss"] for row in steps] == pytest.approx([row["critique_loss"] for row in wanted])


JUDGES = {
    "verdict": ("paradigm=generative", "max_tokens=1500"),
    "reasoned": ("paradigm=generative", "max_tokens=1500", "generative.form=reasoned", "generative.max_text=6"),
}


@pytest.mark.slow
@pytest.mark.parametrize("zero", [2, 3])
@pytest.mark.parametrize("form", ["verdict", "reasoned"])
def test_a_judge_that_was_killed_goes_on_with_the_curve_of_one_process(critiqued, tmp_path, zero, form):
    """Two processes, which answer in both orders in step, some about images."""
    alone = trained(critiqued, tmp_path / "alone", *JUDGES[form])

    def kill(line):
        if line.startswith("step 2: holdout"):
            os.kill(ranks_of(tmp_path / "two")[1], signal.SIGKILL)

    more = (*JUDGES[form], f"zero={zero}")
    with pytest.raises(TrainError, match="process 1 of the trainer: was killed"):
        start(critiqued, tmp_path / "two", 2, *more, say=kill)
    continued = start(critiqued, tmp_path / "two", 2, *more)
    assert curve(continued) == pytest.approx(curve(alone), rel=1e-4, abs=1e-5)
    found, wanted = ([row["orders"] for row in rows(run) if "eval" in row] for run in (continued, alone))
    assert found == wanted


@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_two_processes_give_the_curve_of_one(mix, alone, tmp_path, zero):
    run = start(mix, tmp_path, 2, f"zero={zero}", "gradient_checkpointing=true")
    assert curve(run) == pytest.approx(curve(alone), rel=1e-4, abs=1e-5)
    assert holdout_margin(run, mix) == pytest.approx(holdout_margin(alone, mix), rel=1e-3, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [1, 2, 3])
def test_bf16_is_near_and_its_model_scores_as_evaluated(mix, alone, tmp_path, zero):
    run = start(mix, tmp_path, 2, f"zero={zero}", "bf16=true")
    losses = [[row["loss"] for row in rows(one) if "loss" in row] for one in (run, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    assert RewardModel.from_pretrained(run / "final").head.layers[0].weight.dtype is torch.float32
    assert holdout_margin(run, mix) == pytest.approx(
        [row for row in rows(run) if "eval" in row][-1]["margin"], abs=0.02
    )


@pytest.mark.slow
def test_lora_under_zero_3(mix, tmp_path):
    more = ("freeze_vision=true", "lora.rank=4")
    one, two = trained(mix, tmp_path / "1", "zero=1", *more), start(mix, tmp_path / "2", 2, "zero=3", *more)
    assert curve(two) == pytest.approx(curve(one), rel=1e-4, abs=1e-5)
    assert holdout_margin(two, mix) == pytest.approx(holdout_margin(one, mix), rel=1e-3, abs=1e-5)


@pytest.mark.slow
def test_a_checkpoint_of_other_processes_is_refused(mix, tmp_path):
    run = start(mix, tmp_path, 2, "zero=2", "max_steps=2")
    (run / "result.json").unlink()
    with pytest.raises(TrainError) as caught:
        start(mix, tmp_path, 1, "zero=2", "max_steps=2")
    assert str(caught.value).endswith(
        "step-00000002: written by 2 processes, and this run has 1; expected the same number"
    )
    assert caught.value.hint == "--nproc 2"


@pytest.mark.slow
def test_the_lines_for_several_machines(mix, tmp_path):
    """What is printed parses: two torchruns on one machine meet each other and train as one process does."""
    out = tmp_path / "a run"
    arguments = [str(mix), "-p", "tiny_cpu", "--out", str(out), "--nodes", "2"]
    given = [x for x in settings(mix, out) if not x.startswith(("mix=", "out="))]
    refused = CliRunner().invoke(app, ["train", *arguments, *given])
    assert str(refused.exception).startswith(
        "--nodes: 2 machines, and this command starts processes on one; expected"
    )
    done = CliRunner().invoke(app, ["train", *arguments, "--nproc", "1", "--prepare", *given])
    assert done.exit_code == 0, done.output
    comments, lines = done.stdout.splitlines()[::2], done.stdout.splitlines()[1::2]
    assert [line.split(":")[0] for line in comments] == ["# torchrun", "# deepspeed", "# Slurm"]
    assert [shlex.split(line)[-1] for line in lines] == [f"{out}/config.yaml"] * 3
    assert "--num_nodes 2 --num_gpus 1" in lines[1]
    assert shlex.split(lines[2])[:5] == ["srun", "--nodes", "2", "--ntasks-per-node", "1"]
    environment = {**trainer_process.ENVIRONMENT, **os.environ, "HEAD": "localhost"}
    nodes = [
        subprocess.Popen(["sh", "-c", lines[0].replace(":29500", f":{20_000 + os.getpid() % 10_000}")],
                         stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]  # fmt: skip
    output = [node.communicate()[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], output
    assert "2 processes on cpu" in "".join(output)


COMMAND = [sys.executable, "-m", "curate", "train"]


def wait_for(out: Path, step: int, process: subprocess.Popen) -> None:
    """Until the run has written this step."""
    path = out / "metrics.jsonl"
    while not path.exists() or f'"step": {step},' not in path.read_text():
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [(signal.SIGKILL, -9, 1), (signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 2)],
)
def test_the_command_continues_after_a_kill(mix, tmp_path, number, code, processes):
    """kill -9 of `curate train` takes its trainers along; Ctrl-C leaves a checkpoint and exits 130."""
    alone = trained(mix, tmp_path / "alone", "epochs=6", "save_every_pairs=8")
    out = tmp_path / "run"
    command = [*COMMAND, str(mix), "-p", "tiny_cpu", "--out", str(out), "--json", "--nproc", str(processes)]
    command += [
        x for x in settings(mix, out, "epochs=6", "save_every_pairs=8") if not x.startswith(("mix=", "out="))
    ]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(out, 4, first)
    first.send_signal(number)
    output = first.communicate()[1]
    assert first.returncode == code
    if number != signal.SIGKILL:
        assert (out / "checkpoints/latest").read_text() >= "step-00000004"
    if number == signal.SIGINT:
        assert output.splitlines()[-1] == "stopped; what is finished is kept, the same command continues"
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "continuing after step" in again.stderr
    assert json.loads(again.stdout)["step"] == 30
    if processes == 1:
        assert rows(out) == rows(alone)
    assert curve(out) == pytest.approx(curve(alone), rel=1e-4, abs=1e-5)

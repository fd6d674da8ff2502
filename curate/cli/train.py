"""curate train."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from curate import trainer_process
from curate.cli import completion
from curate.cli.options import A_MIX, WORKSPACE, JsonOption, WorkspaceOption
from curate.cli.output import data, say, show_text
from curate.errors import ConfigError
from curate.inspect.artefacts import Mix, find_mix
from curate.workspace import Workspace, read_json

STARTERS = {
    "torchrun": "torchrun: on every machine, with HEAD=the name of one of them",
    "deepspeed": "deepspeed: on one machine; hostfile has a line `NAME slots=GPUS` for each",
    "slurm": "Slurm: in an allocation, or as the last line of a batch script",
}

SET_BY_COMMAND = {"mix": "the mix as the first argument", "out": "--out DIR"}
"""Settings of the trainer that this command sets itself, and how a user sets them."""

MixOrRecipeArgument = Annotated[
    str | None,
    typer.Argument(
        autocompletion=completion.any_of(completion.mixes, completion.recipes),
        metavar="MIX|RECIPE",
        help=A_MIX,
        show_default=False,
    ),
]
SettingsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE...", help="Settings over the preset, e.g. lr=1e-5 head.layers=3.", show_default=False
    ),
]
TrainPresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME",
        help="tiny_cpu, basereward_1b, _3b, _7b, _32b, or a YAML file.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Run directory, or that of the merged model.  [default: WORKSPACE/runs/MIX-PRESET, MODEL-merged]",
    ),
]
NprocOption = Annotated[int, typer.Option("--nproc", min=1, help="Processes on this machine, one per GPU.")]
NodesOption = Annotated[
    int,
    typer.Option("--nodes", min=1, help="Machines, with --nproc on each; with --prepare, since it starts none."),
]
PrepareRunOption = Annotated[
    bool,
    typer.Option("--prepare", help="Write the run's config and print the command that trains; start nothing."),
]
MergeOption = Annotated[
    Path | None,
    typer.Option(
        "--merge",
        metavar="MODEL",
        help="Train nothing: merge the adapter of a LoRA model (RUN/final) into its base, as one whole model.",
        show_default=False,
    ),
]


def train(
    mix: MixOrRecipeArgument = None,
    settings: SettingsArgument = None,
    preset: TrainPresetOption = None,
    out: RunOption = None,
    nproc: NprocOption = 1,
    nodes: NodesOption = 1,
    prepare: PrepareRunOption = False,
    merge: MergeOption = None,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Train a reward model on a finished mix.

    A stopped run continues from its last checkpoint, to the same loss curve; a finished one is not trained again.
    Ctrl-C and SIGTERM write a checkpoint first. On several machines, --prepare --nodes N prints the lines that
    start it by torchrun, deepspeed or Slurm.
    """
    if merge is not None:
        if mix or preset or prepare or nproc > 1 or nodes > 1:
            raise typer.BadParameter("--merge goes with --out only: it trains nothing")
        _merge(merge, out, as_json=as_json)
        return
    if nodes > 1 and not prepare:
        machines = f"{nodes} machines, and this command starts processes on one"
        raise ConfigError("--nodes", machines, "--prepare as well, which prints the lines that start it on each")
    if mix is None:
        raise typer.BadParameter("name the mix to train on, or a LoRA model with --merge")
    place = Workspace(workspace)
    found = find_mix(mix, place)
    found.check("shard", "holdout")
    run = (out or place.root / "runs" / f"{found.lock['name']}-{Path(preset or 'run').stem}").absolute()
    trainer_process.check_installed()
    trainer_process.prepare(preset, _settings(found, run, place, settings or []))
    if prepare:
        _show_commands(run, nodes, nproc, as_json=as_json)
    else:
        _train(found, run, nproc, as_json=as_json)


def _train(mix: Mix, run: Path, nproc: int, *, as_json: bool) -> None:
    """Start the trainer in a run directory that is prepared, and print its result."""
    command = trainer_process.command(run, nproc)
    say(f"training on {mix.title} into {run}")
    say(f"running: {shlex.join(command)}")
    trainer_process.run(command, say)
    if as_json:
        data(read_json(run / "result.json"))


def _show_commands(run: Path, nodes: int, nproc: int, *, as_json: bool) -> None:
    """Print the command that trains, or for several machines a line for each starter, as JSON by its name."""
    lines = trainer_process.commands(run, nodes, nproc) if nodes > 1 else {}
    command = shlex.join(trainer_process.command(run, nproc))
    if as_json:
        data(lines or {"command": command})
        return
    for name, line in lines.items():
        show_text(f"# {STARTERS[name]}")
        show_text(line)
    if not lines:
        show_text(command)


def _merge(model: Path, out: Path | None, *, as_json: bool) -> None:
    """Make a whole model of a LoRA model, by default beside it."""
    target = (out or model.absolute().with_name(f"{model.absolute().name}-merged")).absolute()
    trainer_process.run_module("trainer.merge", [str(model), "--out", str(target)])
    if as_json:
        data({"model": str(target)})


def _settings(mix: Mix, run: Path, place: Workspace, settings: list[str]) -> list[str]:
    """The user's settings and those of this command, paths quoted as YAML reads them.

    Raises ConfigError for a setting of the user that this command sets itself.
    """
    for setting in settings:
        if (key := setting.partition("=")[0]) in SET_BY_COMMAND:
            raise ConfigError(setting, f"{key} is not a setting here", SET_BY_COMMAND[key])

    def quoted(path: Path) -> str:
        return json.dumps(str(path.absolute()), ensure_ascii=False)

    images = [f"images={quoted(place.images)}"] if place.images.is_dir() else []
    return [*images, *settings, f"mix={quoted(mix.directory)}", f"out={quoted(run)}"]

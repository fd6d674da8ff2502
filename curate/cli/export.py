"""curate export."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from curate import engines, trainer_process
from curate.cards import model_facts
from curate.cli import completion
from curate.cli.options import A_MIX, WORKSPACE, JsonOption, WorkersOption, WorkspaceOption
from curate.cli.output import data, progress, say, show_table, show_text
from curate.errors import ConfigError
from curate.exports import run
from curate.exports.base import Format
from curate.exports.formats import FORMATS
from curate.inspect.artefacts import Mix, find_mix
from curate.workspace import Workspace


class Target(StrEnum):
    """What a model is exported for."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"


Name = StrEnum("Name", {name.upper().replace("-", "_"): name for name in FORMATS})  # type: ignore[misc]
"""The formats of mixes."""

OF_MIXES = {
    "videos": "--videos", "margins": "--margins", "images": "--images", "template": "--template",
    "workers": "--workers",
}  # fmt: skip


SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|MIX",
        help=f"A reward model's directory, RUN/best. {A_MIX}",
        show_default=False,
        autocompletion=completion.mixes,
    ),
]
TargetOption = Annotated[
    Target | None,
    typer.Option(
        "--for", help="A model: what loads it; what it would score wrongly is refused.", show_default=False
    ),
]
FormatOption = Annotated[
    Name | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help=f"A mix: the trainer that loads it: {', '.join(FORMATS)}.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="A new directory, or that of a killed export.  [default: MODEL-TARGET, WORKSPACE/exports/MIX-FORMAT]",
    ),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results", metavar="FILE", help="A model, for its card: what `curate evaluate --json` printed for it."
    ),
]
VideosOption = Annotated[
    Literal["frames", "drop"] | None,
    typer.Option("--videos", help="A mix: videos as frames, or pairs with videos left out.  [default: frames]"),
]
MarginsOption = Annotated[
    bool | None,
    typer.Option(
        "--margins",
        help="A mix: write margins for a trainer that subtracts them in the loss wherever it finds them (TRL, "
        "ms-swift), 0 where a pair has none.",
    ),
]
ImagesOption = Annotated[
    Literal["files", "embed"] | None,
    typer.Option(
        "--images",
        help="A mix for llama-factory: images as files, or inside of Parquet, which it encodes anew.  "
        "[default: files]",
    ),
]
TemplateOption = Annotated[
    Literal["chatml", "llama3"] | None,
    typer.Option("--template", help="A mix for verl-rm: how prompts become one text.  [default: chatml]"),
]


def export(
    subject: SubjectArgument,
    target: TargetOption = None,
    form: FormatOption = None,
    out: OutOption = None,
    results: ResultsOption = None,
    videos: VideosOption = None,
    margins: MarginsOption = None,
    images: ImagesOption = None,
    template: TemplateOption = None,
    *,
    workspace: WorkspaceOption = WORKSPACE,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a reward model as vLLM or transformers load it, or a mix as a trainer's own loader takes it.

    A model (--for), with a card. For transformers, TRL and vLLM alike: text models with a head of one layer. For
    vLLM alone: heads of several layers and Qwen-VL backbones, with a plugin that is written beside them. Scores
    are compared before it is done.

    A mix (--to), with the settings to paste into the trainer, and its holdout for validation. What a format cannot
    carry is counted by reason. A killed export continues with the same command.
    """
    given = {"videos": videos, "margins": margins, "images": images, "template": template, "workers": workers}
    if (target is None) == (form is None):
        found = "neither --for nor --to" if target is None else "both --for and --to"
        raise ConfigError(subject, found, "--for transformers or vllm for a model, --to FORMAT for a mix")
    if target is not None:
        _refuse({OF_MIXES[name]: value for name, value in given.items()}, f"--for {target}", "a mix with --to")
        _model(Path(subject), target, out, results, as_json)
    elif form is not None:
        _refuse({"--results": results}, f"--to {form}", "a model with --for")
        options = {name: value for name, value in given.items() if name != "workers" and value is not None}
        place = Workspace(workspace)
        mix = find_mix(subject, place)
        wanted = _format(mix, str(form), options)
        _mix(mix, wanted, out or _default(place, mix, wanted), place, workers, as_json)


def _refuse(given: Mapping[str, object], beside: str, about: str) -> None:
    """Raise ConfigError for an option that nothing would read."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(name, f"means nothing beside {beside}", about)


def _model(model: Path, target: Target, out: Path | None, results: Path | None, as_json: bool) -> None:
    found = model_facts.read(model, results)
    place = (out or model.absolute().with_name(f"{model.absolute().name}-{target.value}")).absolute()
    trainer_process.run_module("trainer.export", [str(model), "--for", target.value, "--out", str(place)])
    model_facts.write_card(found, place)
    say(f"its card: {place / 'README.md'}")
    if as_json:
        data({"model": str(place)})


def _format(mix: Mix, name: str, options: Mapping[str, object]) -> Format:
    """The format with its options. Raises ConfigError for one that means nothing to it."""
    kind = FORMATS[name]
    others = {OF_MIXES[option]: value for option, value in options.items() if option not in kind.options}
    takes = ", ".join(OF_MIXES[option] for option in sorted(kind.options)) or "no options"
    _refuse(others, f"--to {name}", takes)
    return kind(mix=run.mixture(mix), **options)  # type: ignore[arg-type]


def _default(place: Workspace, mix: Mix, form: Format) -> Path:
    return place.exports / f"{mix.lock['name']}-{mix.lock['fingerprint'][:8]}-{form.name}"


def _mix(mix: Mix, form: Format, out: Path, place: Workspace, workers: int | None, as_json: bool) -> None:
    with (
        engines.open_engine("local", place.root, workers) as engine,
        progress(f"exporting {mix.title}", 0) as listen,
    ):
        done = run.export(mix, form, out, place, engine, listen)
    if as_json:
        data({"directory": str(out), "fresh": done.fresh, **done.facts})
        return
    show_table(run.account(done))
    for name in done.facts["settings"]:
        if not name.endswith(".json"):
            show_text(f"{name}:\n{(out / name).read_text(encoding='utf-8')}")
    say(f"{'exported' if done.fresh else 'up to date'}: {out}")

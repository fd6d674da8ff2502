"""curate export."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from curate import trainer_process
from curate.cards import model_facts
from curate.cli.options import JsonOption
from curate.cli.output import data, say


class Target(StrEnum):
    """What a model is exported for."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A reward model's directory, RUN/best.", show_default=False)
    ],
    target: Annotated[
        Target,
        typer.Option("--for", help="What loads it; what it would score wrongly is refused.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new directory.  [default: MODEL-TARGET]")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="FILE", help="For its card: what `curate evaluate --json` printed for it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a reward model as vLLM or transformers load it, with a card.

    For transformers, TRL and vLLM alike: text models with a head of one layer. For vLLM alone: heads of several
    layers and Qwen-VL backbones, with a plugin that is written beside them. Scores are compared before it is done.
    """
    found = model_facts.read(model, results)
    place = (out or model.absolute().with_name(f"{model.absolute().name}-{target.value}")).absolute()
    trainer_process.run_module("trainer.export", [str(model), "--for", target.value, "--out", str(place)])
    model_facts.write_card(found, place)
    say(f"its card: {place / 'README.md'}")
    if as_json:
        data({"model": str(place)})

"""The part of curate evaluate about models that write: critics, and judges of two replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from curate.errors import ConfigError
from curate.evaluation.score_model import Writing
from curate.evaluation.verdicts import Rule


@dataclass(frozen=True, slots=True)
class WritingOptions:
    """How critiques and verdicts are written and read, where not as the model's directory says."""

    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=1,
            help="Critiques of each reply, or verdicts in each order: drawn, then averaged or by majority.  "
            "[default: the model's own, mostly one]",
        ),
    ] = None
    given_critiques: Annotated[
        bool,
        typer.Option(
            "--given-critiques", help="A critic: score after the eval set's own critiques (upper bound)."
        ),
    ] = False
    rule: Annotated[
        Rule,
        typer.Option(
            "--rule",
            help="A judge: read verdicts strictly and in both orders, or as R1-Reward's code, right reply first.",
        ),
    ] = "strict"

    def check(self, models: Sequence[object]) -> None:
        """Raise ConfigError for options of models that write where no model is run."""
        for option, given in (("--samples", self.samples), ("--given-critiques", self.given_critiques)):
            if given and not models:
                raise ConfigError(option, "given without a model", "--model DIR, or --compare with models")
        if self.samples and self.given_critiques:
            raise ConfigError("--samples", "given with --given-critiques", "one of them")

    @property
    def writing(self) -> Writing:
        """What the scorer gets."""
        return Writing(self.samples, self.given_critiques)

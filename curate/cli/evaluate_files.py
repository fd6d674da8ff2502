"""The options of `curate evaluate` about files: what is written, and what a file of scores may lack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from curate.evaluation import item_files


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What is written beside the metrics, and what a file of scores may lack."""

    allow_unscored: Annotated[
        bool,
        typer.Option("--allow-unscored", help="Count items without a score (too long, image refused) as wrong."),
    ] = False
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out items of which a file has nothing, and say so.")
    ] = False
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            metavar="FILE",
            dir_okay=False,
            help="Only write a score file (.jsonl, .csv) without scores: a line for each reply.",
        ),
    ] = None
    per_item: Annotated[
        Path | None,
        typer.Option(
            "--per-item",
            metavar="FILE",
            dir_okay=False,
            help="Write for each item (.jsonl, .csv) what it earns; with --compare, who earns more.",
        ),
    ] = None

    def check(self) -> None:
        """Raise ConfigError for a file of a kind that cannot be written."""
        for option, path in (("--template", self.template), ("--per-item", self.per_item)):
            if path is not None:
                item_files.check_suffix(option, path)

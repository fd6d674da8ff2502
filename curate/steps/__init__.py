"""The steps that a recipe may name: one file per step."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeGuard

from curate import config
from curate.contamination.protected import Library
from curate.errors import ConfigError
from curate.near_duplicates.banding import Banding
from curate.steps.base import CorpusStep, RowStep, ScoreStep, Step
from curate.steps.decontaminate import Bound, Decontaminate
from curate.steps.empty_reply import EmptyReply
from curate.steps.exact_duplicates import ExactDuplicates
from curate.steps.formatting_only import FormattingOnly
from curate.steps.identical import Identical
from curate.steps.image_duplicates import ImageDuplicates
from curate.steps.label_audit import LabelAudit
from curate.steps.label_conflicts import LabelConflicts
from curate.steps.labels import Labels
from curate.steps.language import Language
from curate.steps.length import Length
from curate.steps.licenses import Licenses
from curate.steps.media_mismatch import MediaMismatch
from curate.steps.near_dedup import NearDedup
from curate.steps.prompt_echo import PromptEcho
from curate.steps.refusal import Refusal
from curate.steps.require import Require
from curate.steps.reward_margin import RewardMargin
from curate.steps.ties import Ties
from curate.steps.truncation import Truncation
from curate.steps.turn_structure import TurnStructure

STEPS: dict[str, type[RowStep] | type[CorpusStep] | type[ScoreStep]] = {
    "decontaminate": Decontaminate,
    "empty_reply": EmptyReply,
    "exact_duplicates": ExactDuplicates,
    "formatting_only": FormattingOnly,
    "identical": Identical,
    "image_duplicates": ImageDuplicates,
    "label_audit": LabelAudit,
    "label_conflicts": LabelConflicts,
    "labels": Labels,
    "language": Language,
    "length": Length,
    "licenses": Licenses,
    "media_mismatch": MediaMismatch,
    "near_dedup": NearDedup,
    "prompt_echo": PromptEcho,
    "refusal": Refusal,
    "require": Require,
    "reward_margin": RewardMargin,
    "ties": Ties,
    "truncation": Truncation,
    "turn_structure": TurnStructure,
}


def build(name: str, value: Any, where: str) -> Step:
    """The step of that name with the fields that a recipe gives it: a mapping, or nothing for the defaults.

    `where` is the path of the value. Raises ConfigError, also where the step needs what this machine lacks.
    """
    if name not in STEPS:
        hint = config.did_you_mean(name, STEPS, f"steps: {', '.join(STEPS)}")
        raise ConfigError(where, f"no step is called {name!r}", "the name of a step", hint)
    step: Step = config.build(value, STEPS[name], where)
    if is_row_step(step):
        try:
            step.scorer()
        except ConfigError as error:
            raise ConfigError(f"{where}.{error.where}", error.found, error.expected, error.hint) from None
    return step


def build_all(listed: Iterable[tuple[str, Any]], where: str) -> list[tuple[str, Step]]:
    """The steps of a recipe by name, in its order; `where` is the recipe.

    Raises ConfigError as `build`, and where a step that is about training alone comes before another one.
    """
    made = [(name, build(name, value, f"{where}.steps.{name}")) for name, value in listed]
    late = ""
    for name, step in made:
        if late and not is_after_holdout(step):
            found, hint = f"{late} comes before {name}", f"list {late} last"
            raise ConfigError(f"{where}.steps", found, f"{late} after all other steps", hint)
        late = name if is_after_holdout(step) else late
    return made


def bind(listed: Iterable[tuple[str, Step]], library: Library, where: str) -> list[tuple[str, Step]]:
    """The steps with the files that they name, found in the library; what these hold is part of their identity.

    Raises ConfigError where such a file is not there.
    """
    return [(name, _bound(step, library, f"{where}.steps.{name}")) for name, step in listed]


def _bound(step: Step, library: Library, where: str) -> Step:
    if isinstance(step, Decontaminate):
        return step.bind(library, where)
    return step.bind(where) if isinstance(step, Labels) else step


def check_eval_sets(listed: Iterable[tuple[str, Step]], where: str, manifests: Path | None) -> None:
    """Raise ConfigError, with the closest names, for an unknown eval set that a step names."""
    for name, step in listed:
        if isinstance(step, Decontaminate):
            step.check_names(f"{where}.steps.{name}", manifests)


def bandings(listed: Iterable[tuple[str, Step]]) -> dict[str, Banding]:
    """How the steps that look for near-duplicates do it, by their names."""
    return {name: step.banding for name, step in listed if isinstance(step, NearDedup)}


def shares(listed: Iterable[tuple[str, Step]]) -> dict[str, float]:
    """How much of a document the steps that look for items of eval sets want to find, by their names."""
    wanted = {name: step.wanted for name, step in listed if isinstance(step, Decontaminate)}
    return wanted | {name: step.share for name, step in listed if isinstance(step, Bound)}


def is_row_step(step: Step) -> TypeGuard[RowStep]:
    """Whether it judges one pair at a time."""
    return hasattr(step, "reason")


def is_score_step(step: Step) -> TypeGuard[ScoreStep]:
    """Whether it reads scores."""
    return hasattr(step, "find")


def is_after_holdout(step: Step) -> bool:
    """Whether what it decides does not hold for pairs that are held out."""
    return bool(getattr(step, "after_holdout", False))


def is_corpus_step(step: Step) -> TypeGuard[CorpusStep]:
    """Whether it judges pairs against each other."""
    return hasattr(step, "decide")


def identity(part: Any) -> dict[str, Any]:
    """Return all that a step's decisions or a scorer's scores depend on, as JSON values: version, fields, scorer.

    Fields that hold a place are left out; the scorer identifies what is there by content. So are fields `added`
    to a step that was there before, while they have their default: what it decides is what it decided.
    """
    fields = [(field, getattr(part, field.name)) for field in dataclasses.fields(part)]
    kept = {
        field.name: value
        for field, value in fields
        if "place" not in field.metadata and not ("added" in field.metadata and value == field.default)
    }
    values = {"version": part.version, **kept}
    scorer = part.scorer() if is_row_step(part) else None
    return values if scorer is None else {**values, "scorer": identity(scorer)}

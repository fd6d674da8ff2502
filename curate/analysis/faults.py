"""Faults: what may be wrong with a pair, each a yes or no."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from curate.analysis.agreement import is_labelled
from curate.engines.base import Engine, Listener
from curate.inspect.targets import Target
from curate.screening.row_steps import PoolReasons, reasons_of_pools
from curate.steps.base import RowStep
from curate.steps.empty_reply import EmptyReply
from curate.steps.formatting_only import FormattingOnly
from curate.steps.identical import Identical
from curate.steps.language import Language
from curate.steps.media_mismatch import MediaMismatch
from curate.steps.prompt_echo import PromptEcho
from curate.steps.refusal import Refusal
from curate.steps.ties import Ties
from curate.steps.truncation import Truncation
from curate.steps.turn_structure import TurnStructure

MANY = 20
"""Prompts about one image that are too many; question sets ask 5 to 15 questions about a picture."""

STEPS: Mapping[str, RowStep] = {
    "identical": Identical(),
    "formatting_only": FormattingOnly(),
    "empty_reply": EmptyReply(),
    "prompt_echo": PromptEcho(),
    "refusal": Refusal(),
    "turn_structure": TurnStructure(),
    "media_mismatch": MediaMismatch(),
    "ties": Ties(),
}
"""The steps whose reasons are faults, with their defaults."""

LANGUAGE, TOKENS = "language", "truncation"
REPEATED, CONTRADICTED, OVERUSED = "repeated", "contradicted", "image_reused"

KNOWN = (
    "identical/identical", "formatting_only/invisible", "formatting_only/whitespace", "formatting_only/markdown",
    "empty_reply/empty",
    "empty_reply/placeholder", "prompt_echo/echo_chosen", "prompt_echo/echo_rejected", "refusal/refusal_chosen",
    "turn_structure/prompt_empty", "turn_structure/system_not_first", "turn_structure/roles_do_not_alternate",
    "turn_structure/prompt_not_ending_with_user", "turn_structure/reply_not_assistant",
    "media_mismatch/placeholder_left", "media_mismatch/count", "ties/tie",
)  # fmt: skip
"""All reasons of STEPS; each is counted in every pair, so that a fault of no pair is reported as 0."""


def reasons_of(
    targets: Sequence[Target], engine: Engine, tokenizer: str | None, *, languages: bool, listen: Listener | None
) -> Iterator[PoolReasons]:
    """Yield what STEPS find in each target's pool, with languages and token counts where they are wanted."""
    steps = dict(STEPS)
    if languages:
        steps[LANGUAGE] = Language(keep=("en",))
    if tokenizer is not None:
        steps[TOKENS] = Truncation(max_length=1, tokenizer=tokenizer)
    return reasons_of_pools([target.pool for target in targets], steps, engine, listen)


def of_steps(found: PoolReasons) -> pl.DataFrame:
    """Return for each of KNOWN whether a pair has that fault."""
    faults = {name: pl.zeros(found.keys.height, pl.Boolean, eager=True) for name in KNOWN}
    for step in STEPS:
        for (reason,), some in found.reasons[step].group_by("reason"):
            name = f"{step}/{reason}"
            assert name in faults, f"{name} is not in KNOWN"
            faults[name] = faults[name].scatter(some["at"], True)
    return pl.DataFrame(faults)


def truncated(pairs: pl.DataFrame, lengths: Sequence[int], *, tokens: bool) -> pl.DataFrame:
    """Return for each length whether different replies are equal once cut there, as the step does."""
    unit = "tokens" if tokens else "chars"
    longer = pl.max_horizontal(f"chosen_{unit}", f"rejected_{unit}")
    shared = pl.col(f"shared_{unit}")
    prompt = pl.col(f"prompt_{unit}").cast(pl.Int64)
    no_media = (pl.col("reply_media") == 0) & (pl.col("chosen_key") != pl.col("rejected_key"))
    return pairs.select(
        (((shared >= length - prompt) | (shared == longer)) & no_media).alias(
            truncation_name(length, tokens=tokens)
        )
        for length in lengths
    )


def is_fault(column: str) -> bool:
    """Return whether a column of that name is a fault."""
    return column in KNOWN or column in (REPEATED, CONTRADICTED, OVERUSED) or column.startswith("truncation/")


def truncation_name(length: int, *, tokens: bool) -> str:
    """Return the name of the fault."""
    return f"truncation/{length}_{'tokens' if tokens else 'chars'}"


def between_pairs(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return for each frame of keys whether a pair repeats one of its frame, and whether any pair contradicts it.

    A pair repeats an earlier one that is the same; a pair that prefers the rejected reply contradicts it. A tie
    prefers neither: it contradicts nothing, and nothing contradicts it.
    """
    marked = pl.concat(
        frame.select(
            pl.lit(number, pl.UInt32).alias("number"),
            "prompt_key",
            "chosen_key",
            "rejected_key",
            labelled=is_labelled(),
        ).with_row_index("at")
        for number, frame in enumerate(frames)
    )
    chosen, rejected = pl.col("chosen_key"), pl.col("rejected_key")
    replies = marked.filter(pl.col("prompt_key").is_duplicated()).with_columns(
        low=pl.min_horizontal(chosen, rejected), high=pl.max_horizontal(chosen, rejected)
    )
    both = (chosen < rejected).filter("labelled").n_unique().over("prompt_key", "low", "high") > 1
    earlier = pl.int_range(pl.len()).over("number", "prompt_key", "chosen_key", "rejected_key") > 0
    opposed = both & (chosen != rejected) & pl.col("labelled")
    found = replies.select("number", "at", repeated=earlier, contradicted=opposed)
    return [
        pl.DataFrame(
            {
                name: pl.zeros(frame.height, pl.Boolean, eager=True).scatter(
                    found.filter(pl.col("number") == number, pl.col(name))["at"], True
                )
                for name in (REPEATED, CONTRADICTED)
            }
        )
        for number, frame in enumerate(frames)
    ]


def overused(images: pl.Series, prompts: pl.Series) -> pl.Series:
    """Return whether a pair has an image that MANY different prompts or more share."""
    used = pl.DataFrame({"image": images, "prompt": prompts}).with_row_index("at")
    each = used.explode("image").drop_nulls("image")
    often = each.group_by("image").agg(pl.col("prompt").n_unique()).filter(pl.col("prompt") >= MANY)
    at = each.join(often.select("image"), on="image", how="semi")["at"].unique()
    return pl.zeros(len(images), pl.Boolean, eager=True).scatter(at, True)

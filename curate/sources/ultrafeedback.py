"""UltraFeedback: 64k prompts with four replies each, rated by GPT-4.

BaseReward's two sets are two pairings of this one: Ultra-Hard is the widest-margin pair of a prompt (the
highest score against the lowest), Ultra-All every two replies of unequal score. The paper gives neither the score
it used nor its rule for ties [inference: one pair a prompt, from 63k pairs for 63,967 prompts], so the
score is an option and replies of one score are ordered by the hash of their content, never by position.

Each reply was made under its own `custom_system_prompt` ("principle"). Those are instructions to the writer, not
part of the question: they never enter the prompt. Before commit 40b4365 about 2,600 replies had an
`overall_score` of 10 where the critique gave 1: the aspect ratings show it, and the publisher's repair
(OpenBMB/UltraFeedback, src/data_annotation/fix_overall_score_issue.py) is applied here too, see `overall`.
truthful_qa rows are an eval set; decontaminate against it.

Evidence: the publisher's README and repair script, huggingface/trl (examples/datasets/ultrafeedback.py), and a
training script with the paths of BaseReward's first author, whose file is called
ultra_headest_63k.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from curate.arrays import series
from curate.arrow_compute import pc
from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text, user
from curate.sources.by_columns.base import Dialogues, DraftColumns, Misfit, RowBatch, kept, not_blank, present
from curate.sources.by_columns.rankings import widest
from curate.sources.ranking import Pairing, pairings

PAIRINGS: dict[str, Pairing] = {"ultra_hard": "best_vs_worst", "ultra_all": "all_unequal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which pairs a ranking gives, and by which of upstream's scores.

    `mean_rating` is the mean of the aspect ratings that are numbers ("N/A" is none).
    """

    pairing: Literal["ultra_hard", "ultra_all"] = "ultra_hard"
    score: Literal["overall_score", "fine-grained_score", "mean_rating"] = "overall_score"


def to_pairs(row: Row, options: Options) -> Iterator[Draft]:
    """The pairs of one ranking; a reply without a score takes no part in it.

    Skips: `completions_not_a_list`, `fewer_than_two_replies`, `all_tied`.
    """
    question = text(row, "instruction")
    rated = _rated(row["completions"], options.score)
    texts = [text(completion, "response") for completion, _ in rated]
    keys = [f"{content}\0{completion['model']}" for content, (completion, _) in zip(texts, rated, strict=True)]
    source = row.get("source")
    for better, worse in pairings([score for _, score in rated], PAIRINGS[options.pairing], keys):
        (best, high), (worst, low) = rated[better], rated[worse]
        yield Draft(
            prompt=user(question),
            chosen=reply(texts[better]),
            rejected=reply(texts[worse]),
            margin=high - low,
            chosen_score=high,
            rejected_score=low,
            chosen_critique=_critique(best),
            rejected_critique=_critique(worst),
            category=source if isinstance(source, str) else None,
            extra={"chosen_model": best["model"], "rejected_model": worst["model"]},
        )


def _rated(completions: Any, score: str) -> list[tuple[Row, float]]:
    if not isinstance(completions, list):
        raise SkipRow("completions_not_a_list", type(completions).__name__)
    out = []
    for entry in completions:
        if not isinstance(entry, dict):
            raise SkipRow("completions_not_a_list", type(entry).__name__)
        completion = Row(entry)
        found = SCORES[score](completion)
        if found is not None:
            out.append((completion, found))
    return out


def overall(completion: Row) -> float | None:
    """The overall score from 1 to 10, None where there is none that can be trusted.

    A 10 beside a mean aspect rating of at most 2 of 5 is a 1 that was misread. Up to 4 the publisher had such a
    reply judged again: without `fine-grained_score`, which that repair added, its 10 is no score.
    """
    score = _float(completion["overall_score"])
    if score != 10:
        return score
    mean = _mean_rating(completion.get("annotations"))
    if mean is not None and mean <= 2:
        return 1.0
    return None if mean is not None and mean <= 4 and "fine-grained_score" not in completion else score


def _mean_rating(annotations: Any) -> float | None:
    """The mean over the aspects that carry a number; each aspect is {Rating, Rationale, ...}."""
    if not isinstance(annotations, Mapping):
        return None
    ratings = [_float(aspect.get("Rating")) for aspect in annotations.values() if isinstance(aspect, Mapping)]
    numbers = [rating for rating in ratings if rating is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _float(value: Any) -> float | None:
    """Ratings are text such as "4", sometimes "N/A"; scores are numbers or null."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


SCORES: Mapping[str, Callable[[Row], float | None]] = {
    "overall_score": overall,
    "fine-grained_score": lambda completion: _float(completion["fine-grained_score"]),
    "mean_rating": lambda completion: _mean_rating(completion["annotations"]),
}


def _critique(completion: Row) -> str | None:
    critique = completion.get("critique")
    return critique if isinstance(critique, str) and critique.strip() else None


FILES = ("evol_instruct", "false_qa", "flan", "sharegpt", "truthful_qa", "ultrachat")

ROWS = 63_967


def derived_pairs(options: Options) -> int | None:
    """At most one pair a prompt for `ultra_hard`; `ultra_all` depends on how many scores are equal."""
    return ROWS if options.pairing == "ultra_hard" else None


READ = {"response": pa.string(), "critique": pa.string(), "model": pa.string(), "overall_score": pa.float64()}
UNREAD = ("annotations", "custom_system_prompt", "principle", "fine-grained_score")
COMPLETION = pa.struct([*READ.items(), *((name, pa.null()) for name in UNREAD)])
TYPES = {"source": pa.string(), "instruction": pa.string(), "completions": pa.list_(COMPLETION)}


def columns(batch: RowBatch, options: Options) -> DraftColumns:
    """`to_pairs` by columns, of rankings with one best and one worst reply, none of which may be misread."""
    if (options.pairing, options.score) != ("ultra_hard", "overall_score"):
        raise Misfit
    question, rankings = batch.texts("instruction"), batch.column("completions")
    if not pa.types.is_list(rankings.type):
        raise Misfit
    replies = RowBatch(columns=pa.RecordBatch.from_struct_array(rankings.values), file=batch.file)
    scores, odd = replies.numbers("overall_score")
    texts, models, critiques = (replies.texts(name) for name in ("response", "model", "critique"))
    plain = present(scores, texts, models) & ~odd & ~present(pc.index_in(scores, pa.array([10.0])))
    fits, ends = widest(rankings, scores, plain, present(question))
    of_replies = {"text": texts, "score": scores, "model": models, "critique": not_blank(critiques)}
    sides = [{name: column.take(at) for name, column in of_replies.items()} for at in ends]
    chosen, rejected = sides
    return DraftColumns(
        fits=fits,
        prompt=Dialogues.of_texts("user", kept(question, fits)),
        chosen=Dialogues.of_texts("assistant", chosen["text"]),
        rejected=Dialogues.of_texts("assistant", rejected["text"]),
        margin=pc.subtract(chosen["score"], rejected["score"]),
        chosen_score=chosen["score"],
        rejected_score=rejected["score"],
        chosen_critique=chosen["critique"],
        rejected_critique=rejected["critique"],
        category=kept(batch.texts("source"), fits),
        extra=[
            {"chosen_model": better, "rejected_model": worse}
            for better, worse in zip(*(series(side["model"]).to_list() for side in sides), strict=True)
        ],
    )


SOURCE = Source(
    repo="openbmb/UltraFeedback",
    files=tuple(f"{name}.jsonl" for name in FILES),
    options=Options,
    license="mit",
    annotator="gpt-4",
    paper="arXiv:2310.01377",
    rows=ROWS,
    derived_pairs=derived_pairs,
    version=2,
    reads=("source", "instruction", "completions"),
    to_pairs=to_pairs,
    columns=columns,
    types=TYPES,
)

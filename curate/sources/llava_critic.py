"""LLaVA-Critic-113k: two replies about an image, and a judge's verdict in prose.

Question, replies and verdict have to be read out of text that follows one of three templates: brackets ("The first
response: [...]", also Response 1/2 and A/B), Arena ("<|The Start of Assistant A's Answer|>", verdict `[[A>>B]]`)
and LLaVA-Bench ("[Assistant 1] ... [End of Assistant 1]", verdict a line of two scores). What fits none, or fits
in more than one way, is skipped; a residue of such rows is known [T], its size is not, hence the higher max_skip.
"Equally good" is a pair with margin 0.

Both configs are read: `pairwise` has only the bracket template, the rows of the other two are in `pointwise`,
among judgements of a single reply ("Final Score: 80"), which are skips `one_response`. Evidence: a public
converter of revision 7aa893ac (data/sources/image_llava_critic.py), which reads the three templates and the
single scores there.

Unverified upstream: who preferred (some verdicts follow the labels of older sets), so `annotator` is null; how
many rows of `pointwise` hold two replies, hence no number of pairs.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, user, with_media
from curate.sources.images import required_media
from curate.sources.messages import turns

QUESTION = re.compile(r"Question:[ ]*\[")
BRACKETS = tuple(
    (re.compile(rf"\][ ]*\n\s*{first}:[ ]*\["), re.compile(rf"\][ ]*\n\s*{second}:[ ]*\["))
    for first, second in (
        ("The first response", "The second response"),
        ("Response 1", "Response 2"),
        ("Response A", "Response B"),
    )
)
BRACKETS_END = re.compile(r"\]\s*(?:ASSISTANT:\s*)?\Z")
BETTER = re.compile(r"The better response:\s*\[\s*(?:Response )?(first|second|1|2|A|B)\s*\]", re.IGNORECASE)
EQUAL = re.compile(r"\b(?:two|both) responses are equally good\b", re.IGNORECASE)

ARENA = (
    "<|User Prompt|>",
    "<|The Start of Assistant A's Answer|>",
    "<|The End of Assistant A's Answer|>",
    "<|The Start of Assistant B's Answer|>",
    "<|The End of Assistant B's Answer|>",
)
ARENA_VERDICT = re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A)\]\]")

BENCH = ("[Question]", "[Assistant 1]", "[End of Assistant 1]", "[Assistant 2]", "[End of Assistant 2]")
BENCH_SCORES = re.compile(r"\s*(\d+(?:\.\d+)?)[ ,]+(\d+(?:\.\d+)?)[ ]*(?:\n|\Z)")
FINAL_SCORE = re.compile(r"\bFinal Score:\s*\d")


class Judged(NamedTuple):
    """A question, two replies, the winner (0, 1; None: a tie), the text of the verdict, and scores if given."""

    question: str
    replies: tuple[str, str]
    winner: int | None
    verdict: str
    scores: tuple[float, float] | None = None


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the side of a tie that is called chosen is the first."""
    dialogue = turns(row["conversations"])
    if [turn.role for turn in dialogue] != ["user", "assistant"]:
        raise SkipRow("not_one_question_and_verdict", ", ".join(turn.role for turn in dialogue)[:80])
    human, judge = (turn.content[0].text or "" for turn in dialogue)
    judged = read(human.strip().removeprefix("<image>").removesuffix("<image>").strip(), judge)
    best = judged.winner or 0
    scores = judged.scores
    prompt, media = with_media(user(judged.question), required_media(row["image"]))
    yield Draft(
        prompt=prompt,
        chosen=reply(judged.replies[best]),
        rejected=reply(judged.replies[1 - best]),
        media=media,
        margin=0.0 if judged.winner is None else abs(scores[0] - scores[1]) if scores else None,
        chosen_score=scores[best] if scores else None,
        rejected_score=scores[1 - best] if scores else None,
        category=row.get("source"),
        extra={"id": row["id"], "verdict": judged.verdict},
    )


def read(human: str, judge: str) -> Judged:
    """Read one judgement by the template that the question follows.

    Skips: `one_response`, `template_unknown`, `responses_ambiguous`, `verdict_unparsable`, `verdict_ambiguous`.
    """
    if parts := bracketed(human):
        return Judged(parts[0], (parts[1], parts[2]), *_better(judge))
    if parts := between(human, ARENA):
        return Judged(parts[0], (parts[1], parts[3]), *_arena(judge))
    if parts := between(human, BENCH):
        return Judged(parts[0], (parts[1], parts[3]), *_scored(judge))
    raise SkipRow("one_response" if FINAL_SCORE.search(judge) else "template_unknown", human[:80])


def bracketed(text: str) -> list[str]:
    """Question and replies in brackets; nothing if some are missing. Skips: `responses_ambiguous`."""
    end = BRACKETS_END.search(text)
    families = [[list(head.finditer(text)) for head in heads] for heads in BRACKETS]
    heads = [[list(QUESTION.finditer(text)), *family] for family in families if all(family)]
    if end is None or not heads or not heads[0][0]:
        return []
    if len(heads) > 1 or any(len(found) > 1 for found in heads[0]):
        raise SkipRow("responses_ambiguous", "a heading comes more than once")
    question, first, second = (found[0] for found in heads[0])
    if not question.end() <= first.start() < first.end() <= second.start():
        raise SkipRow("responses_ambiguous", "headings out of order")
    if "The better response:" in text[question.end() : end.start()]:
        raise SkipRow("responses_ambiguous", "a verdict among the replies")
    return [
        text[question.end() : first.start()],
        text[first.end() : second.start()],
        text[second.end() : end.start()],
    ]


def between(text: str, markers: tuple[str, ...]) -> list[str]:
    """The texts between the markers, stripped; nothing if one is missing. Skips: `responses_ambiguous`."""
    if not all(marker in text for marker in markers):
        return []
    ends = [0]
    for marker in markers:
        if text.count(marker) > 1 or text.index(marker) < ends[-1]:
            raise SkipRow("responses_ambiguous", marker)
        ends.append(text.index(marker) + len(marker))
    return [text[end : text.index(marker)].strip() for end, marker in zip(ends[1:], markers[1:], strict=False)]


def _better(judge: str) -> tuple[int | None, str]:
    verdicts = {found.lower() for found in BETTER.findall(judge)}
    equal = EQUAL.search(judge)
    if len(verdicts) + bool(equal) != 1:
        raise SkipRow("verdict_ambiguous" if verdicts else "verdict_unparsable", judge[:80])
    if equal:
        return None, equal[0].lower()
    verdict = verdicts.pop()
    return (0 if verdict in ("first", "1", "a") else 1), verdict


def _arena(judge: str) -> tuple[int | None, str]:
    verdicts = set(ARENA_VERDICT.findall(judge))
    if len(verdicts) != 1:
        raise SkipRow("verdict_ambiguous" if verdicts else "verdict_unparsable", judge[-80:])
    verdict = verdicts.pop()
    return (None if "=" in verdict else 0 if verdict.startswith("A") else 1), verdict


def _scored(judge: str) -> tuple[int | None, str, tuple[float, float]]:
    line = BENCH_SCORES.match(judge)
    if line is None:
        raise SkipRow("verdict_unparsable", judge[:80])
    first, second = float(line[1]), float(line[2])
    winner = None if first == second else 0 if first > second else 1
    return winner, line[0].strip(), (first, second)


SOURCE = Source(
    repo="lmms-lab/llava-critic-113k",
    files=("pairwise/train-*.parquet", "pointwise/train-*.parquet"),
    license="apache-2.0",
    modality="image",
    paper="arXiv:2410.02712",
    rows=112_936,
    max_skip=0.75,  # most rows of pointwise judge one reply
    version=2,
    reads=("id", "source", "conversations", "image"),
    to_pairs=to_pairs,
)

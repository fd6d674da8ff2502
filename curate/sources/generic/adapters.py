"""The three generic adapters: frozen values that are called with a row, so that they travel to workers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from curate.errors import SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row
from curate.sources.generic.columns import Reader, as_number, is_null
from curate.sources.generic.dialogue import (
    Dialogue,
    Replies,
    common_start,
    is_dialogue,
    prompt_of,
    reply_of,
    same_text,
    split,
)
from curate.sources.generic.verdicts import Vote, VoteTable
from curate.sources.ranking import Pairing, pairings


def _draft(prompt: Dialogue, chosen: Dialogue, rejected: Dialogue, reader: Reader, row: Row) -> Draft:
    return Draft(
        prompt=prompt.messages,
        chosen=chosen.messages,
        rejected=rejected.messages,
        media=[*prompt.media, *chosen.media, *rejected.media],
        tools=reader.tools(row),
        category=reader.label(row, "category"),
        group=reader.label(row, "group"),
        annotator=reader.label(row, "annotator"),
        license=reader.label(row, "license"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One pair a row, its sides known; a list of rejected texts gives one pair for each."""

    reader: Reader
    replies: Replies = "text"

    def __call__(self, row: Row) -> Iterator[Draft]:
        """Skips: `prompt_missing` (two texts without a prompt), `prompt_not_in_dialogue`, `margin_negative`,
        `margin_contradicts_scores`, those of `dialogue`."""
        read = self.reader
        chosen, rejected = read.required(row, "chosen"), read.required(row, "rejected")
        if isinstance(rejected, list) and rejected and all(isinstance(text, str) for text in rejected):
            for text in rejected:
                yield self._pair(row, chosen, text)
        else:
            yield self._pair(row, chosen, rejected)

    def _pair(self, row: Row, chosen: Any, rejected: Any) -> Draft:
        read = self.reader
        draft = _draft(*self._sides(row, chosen, rejected), read, row)
        draft.chosen_score, draft.rejected_score = (
            read.number(row, "chosen_score"),
            read.number(row, "rejected_score"),
        )
        draft.margin = _margin(read.number(row, "margin"), draft.chosen_score, draft.rejected_score)
        draft.chosen_critique = read.text(row, "chosen_critique")
        draft.rejected_critique = read.text(row, "rejected_critique")
        return draft

    def _sides(self, row: Row, chosen: Any, rejected: Any) -> tuple[Dialogue, Dialogue, Dialogue]:
        given = self.reader.maybe(row, "prompt")
        if is_dialogue(chosen) and is_dialogue(rejected):
            sides = split(chosen, rejected, self.reader, row)
            if given is not None and not same_text(chosen, given):
                raise SkipRow("prompt_not_in_dialogue")
            return sides
        if (
            is_dialogue(chosen) and not isinstance(chosen, str) and given is None
        ):  # ms-swift: the other reply alone
            chosen, given = chosen[-1:], chosen[:-1]
        if given is None:
            if not isinstance(chosen, str) or not isinstance(rejected, str):
                raise SkipRow("prompt_missing", "chosen and rejected begin with the assistant")
            given, chosen, rejected = common_start(chosen, rejected)
        prompt = prompt_of(given, self.reader, row)
        return prompt, reply_of(chosen, "chosen", self.replies), reply_of(rejected, "rejected", self.replies)


def _margin(margin: float | None, chosen: float | None, rejected: float | None) -> float | None:
    """The margin, by the scores where it is not given. Skips: `margin_negative`, `margin_contradicts_scores`."""
    difference = None if chosen is None or rejected is None else chosen - rejected
    if margin is None:
        margin, difference = difference, None
    if margin is None:
        return None
    if margin < 0:
        raise SkipRow("margin_negative", f"{margin:g}")
    if difference is not None and (difference < 0 or (margin == 0 and difference > 0)):
        raise SkipRow("margin_contradicts_scores", f"margin {margin:g}, scores {chosen:g} and {rejected:g}")
    return margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One pair a row from two responses: by their scores, or by verdicts. A tie keeps the first as chosen."""

    reader: Reader
    by_verdict: bool
    verdicts: VoteTable
    lower_is_better: bool
    replies: Replies = "text"

    def __call__(self, row: Row) -> Iterator[Draft]:
        """Skips: `verdict_unknown` and kin, `score_a_not_a_number`, those of `dialogue`."""
        read = self.reader
        prompt, first, second = self._sides(row)
        if self.by_verdict:
            verdict, split_votes = self._verdict(row)
            best, worst = (second, first) if verdict.side == "b" else (first, second)
            draft = _draft(prompt, best, worst, read, row)
            draft.margin, draft.extra = 0.0 if verdict.side == "tie" else verdict.margin, split_votes
        else:
            scores = [as_number(read.required(row, name), name) for name in ("score_a", "score_b")]
            better = scores[1] < scores[0] if self.lower_is_better else scores[1] > scores[0]
            best, worst = (second, first) if better else (first, second)
            draft = _draft(prompt, best, worst, read, row)
            _score(draft, *sorted(scores, reverse=not self.lower_is_better), lower_is_better=self.lower_is_better)
        yield draft

    def _sides(self, row: Row) -> tuple[Dialogue, Dialogue, Dialogue]:
        """Prompt and the two responses, which may be whole dialogues (arena votes)."""
        first, second = (self.reader.required(row, f"response_{side}") for side in ("a", "b"))
        if is_dialogue(first) and is_dialogue(second):
            return split(first, second, self.reader, row)
        prompt = prompt_of(self.reader.required(row, "prompt"), self.reader, row)
        left, right = (
            reply_of(side, name, self.replies) for side, name in ((first, "response_a"), (second, "response_b"))
        )
        return prompt, left, right

    def _verdict(self, row: Row) -> tuple[Vote, Mapping[str, Any] | None]:
        value = self.reader.required(row, "preference")
        return self.verdicts.majority(value) if isinstance(value, list) else (self.verdicts.read(value), None)


def _score(draft: Draft, high: float, low: float, *, lower_is_better: bool) -> None:
    """Set the margin; and the scores, where they mean what ours mean: more is better."""
    draft.margin = abs(high - low)
    if not lower_is_better:
        draft.chosen_score, draft.rejected_score = high, low


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The pairs of k responses: by their scores, or by a verdict about every two of them."""

    reader: Reader
    pairing: Pairing
    lower_is_better: bool
    verdicts: VoteTable | None = None
    replies: Replies = "text"

    def __call__(self, row: Row) -> Iterator[Draft]:
        """Skips: `responses_not_a_list`, `scores_do_not_fit`, those of `pairings` and of `dialogue`."""
        read = self.reader
        prompt = prompt_of(read.required(row, "prompt"), read, row)
        responses = read.required(row, "responses")
        if not isinstance(responses, list):
            raise SkipRow("responses_not_a_list", type(responses).__name__)
        if self.verdicts is not None:
            yield from self._by_verdicts(row, prompt, responses, self.verdicts)
            return
        replies, scores = self._rated(row, responses)
        texts = ["\0".join((*map(_key, reply.messages), *map(repr, reply.media))) for reply in replies]
        worth = [-score for score in scores] if self.lower_is_better else scores
        # equal replies are no pair, whatever their scores; of best and worst only the two would be compared
        same = [
            (winner, loser)
            for winner, loser in pairings(worth, self.pairing, texts)
            if texts[winner] != texts[loser]
        ]
        if not same:
            raise SkipRow("replies_identical", f"{len(replies)} replies")
        for winner, loser in same:
            draft = _draft(prompt, replies[winner], replies[loser], read, row)
            _score(draft, scores[winner], scores[loser], lower_is_better=self.lower_is_better)
            yield draft

    def _rated(self, row: Row, responses: list[Any]) -> tuple[list[Dialogue], list[float]]:
        """The replies that have a score, with it; a reply or a score that is null costs that reply only."""
        given = self.reader.required(row, "scores")
        if not isinstance(given, list):
            raise SkipRow("scores_not_a_list", type(given).__name__)
        if len(responses) != len(given):
            raise SkipRow("scores_do_not_fit", f"{len(responses)} responses, {len(given)} scores")
        rated = [
            (response, score)
            for response, score in zip(responses, given, strict=True)
            if response is not None and not _unrated(score)
        ]
        replies = [reply_of(response, "responses", self.replies) for response, _ in rated]
        return replies, [as_number(score, "scores") for _, score in rated]

    def _by_verdicts(
        self, row: Row, prompt: Dialogue, responses: list[Any], verdicts: VoteTable
    ) -> Iterator[Draft]:
        values = self.reader.required(row, "preference")
        couples = list(combinations(range(len(responses)), 2))
        if not isinstance(values, list) or len(values) != len(couples):
            found = len(values) if isinstance(values, list) else type(values).__name__
            raise SkipRow("verdicts_do_not_fit", f"{len(responses)} responses, {found} verdicts")
        replies = [reply_of(response, "responses", self.replies) for response in responses]
        for (first, second), value in zip(couples, values, strict=True):
            verdict = verdicts.read(value)
            best, worst = (second, first) if verdict.side == "b" else (first, second)
            draft = _draft(prompt, replies[best], replies[worst], self.reader, row)
            draft.margin = 0.0 if verdict.side == "tie" else verdict.margin
            yield draft


def _unrated(score: Any) -> bool:
    return is_null(score) or (
        isinstance(score, str) and score.strip().lower() in ("", "n/a", "na", "none", "null", "nan")
    )


def _key(turn: Message) -> str:
    return f"{turn.role}\0" + "\0".join(f"{block.type}{block.text or ''}" for block in turn.content)

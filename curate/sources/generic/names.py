"""The names that publishers give to columns of preference data, and what they mean."""

import re
from collections.abc import Iterator, Sequence

WINNER_LOSER = (
    ("chosen", "rejected"), ("accepted", "rejected"), ("preferred", "dispreferred"), ("preferred", "rejected"),
    ("better", "worse"), ("good", "bad"), ("positive", "negative"), ("pos", "neg"), ("win", "lose"),
    ("winner", "loser"), ("winning", "losing"), ("w", "l"), ("j", "k"),
)  # fmt: skip
"""Words that say which of two columns is the better reply; `_j` and `_k` are those of Stack Exchange pairs."""

FIRST_SECOND = (
    ("a", "b"), ("A", "B"), ("1", "2"), ("0", "1"), ("left", "right"), ("first", "second"), ("one", "two"),
)  # fmt: skip
"""Words that only tell two columns apart."""

PROMPTS = (
    "prompt", "question", "query", "instruction", "conversations", "conversation", "messages", "context",
    "input", "post",
    "history", "problem", "task", "text", "article", "document", "dialogue",
)  # fmt: skip
"""Names of a prompt, the best known first."""

REPLIES = frozenset({
    "response", "responses", "completion", "completions", "generation", "generations", "answer", "answers",
    "reply",
    "replies", "output", "outputs", "candidate", "candidates", "text", "summary", "summaries", "prediction",
    "predictions",
})  # fmt: skip
SCORES = frozenset({
    "score", "scores", "rating", "ratings", "reward", "rewards", "rank", "ranking", "ranks", "votes", "upvotes",
    "quality",
})  # fmt: skip
LABELS = frozenset({
    "label", "labels", "preference", "preferences", "preferred", "winner", "better", "best", "choice",
    "verdict", "vote",
    "judgment", "judgement", "decision", "gold", "score",
})  # fmt: skip
ANNOTATORS = frozenset({"annotator", "annotators", "rater", "judge", "worker"})
NO_REPLY = frozenset({
    "model", "models", "score", "scores", "rating", "ratings", "reward", "id", "ids", "name", "type", "source",
    "critique",
    "reason", "rationale", "tokens", "length", "feedback", "image", "images", "video", "license", "index",
    "avg", "prompt",
    "meta", "info", "note", "policy",
})  # fmt: skip
NO_PROMPT = NO_REPLY | {"gold", "reference", "explanation", "label", "scenario", "category", "passages"}

BESIDE = {
    "system": ("system", "system_prompt"),
    "images": (
        "images",
        "image",
        "img",
        "imgs",
        "picture",
        "pictures",
        "pics",
        "pic",
        "photo",
        "photos",
        "image_path",
    ),
    "videos": ("videos", "video", "video_path"),
    "tools": ("tools", "functions"),
    "category": ("category", "scenario", "task_type", "subset"),
    "group": ("group", "prompt_id", "question_id", "group_id", "post_id", "instruction_id"),
    "annotator": ("annotator",),
    "license": ("license", "licence"),
}
SIDES_BESIDE = {
    "margin": ("margin", "score_margin", "preference_strength"),
    "chosen_score": ("chosen_score", "score_chosen", "chosen_rating", "rating_chosen", "chosen_reward",
    "reward_chosen"),
    "rejected_score": (
        "rejected_score", "score_rejected", "rejected_rating", "rating_rejected", "rejected_reward",
        "reward_rejected",
    ),
    "chosen_critique": ("chosen_critique", "critique_chosen"),
    "rejected_critique": ("rejected_critique", "critique_rejected"),
}  # fmt: skip


def losers(name: str) -> Iterator[str]:
    """The names that the worse reply may have if the column `name` holds the better one."""
    for good, bad in WINNER_LOSER:
        yield from _swapped(name, good, bad)
    if not name.startswith(("rejected", "chosen")):  # POVID, ms-swift: X, and rejected_X
        yield f"rejected_{name}"
        if name == "messages":
            yield "rejected_response"


def couples(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names that are alike but for a word that counts or letters them."""
    there = set(names)
    for name in names:
        for first, second in FIRST_SECOND:
            for other in _swapped(name, first, second):
                if other in there:
                    yield name, other


def _swapped(name: str, word: str, other: str) -> Iterator[str]:
    """The name with one occurrence of the word, as a word of its own, replaced by the other."""
    pattern = re.compile(
        rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])" if not word.isdigit() else rf"(?<!\d){word}(?!\d)"
    )
    underscored = name.replace("_", " ").replace("-", " ").replace(".", " ")
    for match in pattern.finditer(underscored):
        yield name[: match.start()] + other + name[match.end() :]


def numbered(names: Sequence[str]) -> Iterator[list[str]]:
    """Runs of at least three names that count: `prediction 1`, `prediction 2`, ..."""
    runs: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if (found := re.fullmatch(r"(.*?)(\d+)", name)) is not None:
            runs.setdefault(found[1], []).append((int(found[2]), name))
    for run in runs.values():
        counted = sorted(run)
        if len(counted) >= 3 and [number for number, _ in counted] == list(
            range(counted[0][0], counted[0][0] + len(counted))
        ):
            yield [name for _, name in counted]


def first_number(names: Sequence[str]) -> int | None:
    """The number in the first of several names that count; positions in a list count from 0. None if they do
    not."""
    found = re.findall(r"\d+", names[0])
    return int(found[-1]) if found else None


def beside(adapter: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(our name, theirs) of the columns beside prompt and replies that an adapter reads."""
    known = {**BESIDE, **(SIDES_BESIDE if adapter == "preference" else {})}
    there = {name.lower(): name for name in names}
    for ours, theirs in known.items():
        for spelling in theirs:
            if spelling in there:
                yield ours, there[spelling]
                break

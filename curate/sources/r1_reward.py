"""R1-Reward-RL: pairs that were hard for GPT-4o, drawn from MM-RLHF, RLAIF-V, VLFeedback, POVID and WildVision.

Both replies exist only inside the judge's prompt, the JSON text `message`; the preferred one is a number in
`answer`. The image path in `message` is one of the author's machine, so the column `image` alone counts.

Evidence: the template and a row in the publisher's README (yfzhang114/r1_reward, README.md), and the card: 48,296
rows of 245 kB each on average, so images are inside.

Unverified upstream: the encoding of `image` (base64 presumed [I]), the licence, how the prompt ends [T]. The
replies are cut at headings, and white space at their end cannot be distinguished from the template's.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from curate.errors import SkipRow
from curate.sources.base import Draft, Row, Source, reply, text, user, with_media
from curate.sources.images import media_of

HEADING = re.compile(r"#+[ \t]*\[Response ([12])\][ \t]*:?[ \t]*\n?")
FOOTER = re.compile(r"#+[ \t]*\**[ \t]*Output Format")
ANSWER = re.compile(r"<answer>\s*([12])\s*</answer>")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row, chosen by `answer`."""
    prompt_text, paths = read_message(row["message"])
    replies = read_replies(prompt_text)
    winner = read_answer(row["answer"])
    media = media_of(row["image"])
    if len(paths) != len(media):
        raise SkipRow("image_count_differs", f"{len(paths)} in message, {len(media)} in image")
    prompt, media = with_media(user(text(row, "question")), media)
    yield Draft(
        prompt=prompt,
        chosen=reply(replies[winner]),
        rejected=reply(replies[1 - winner]),
        media=media,
        extra={"image_paths": paths} if paths else None,
    )


def read_message(message: Any) -> tuple[str, list[str]]:
    """The text of the judge's prompt, and the paths of the media in it.

    Skips: `message_not_json`, `message_not_a_chat`.
    """
    if isinstance(message, str):
        try:
            message = json.loads(message)
        except ValueError as error:
            raise SkipRow("message_not_json", str(error)) from None
    try:
        parts = [part for turn in message for part in _parts(turn["content"])]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        paths = [str(part.get(part["type"])) for part in parts if part["type"] != "text"]
        return "".join(texts), paths
    except (TypeError, KeyError, AttributeError) as error:
        raise SkipRow("message_not_a_chat", repr(error)[:80]) from None


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def read_replies(prompt: str) -> tuple[str, str]:
    """Response 1 and Response 2 out of the judge's prompt.

    Skips: `response_1_missing`, `response_2_missing`, `responses_ambiguous` where a heading comes twice or the two
    are out of order (a reply that quotes the template cannot be distinguished from the template).
    """
    headings = list(HEADING.finditer(prompt))
    numbers = [heading[1] for heading in headings]
    for number in ("1", "2"):
        if number not in numbers:
            raise SkipRow(f"response_{number}_missing")
    if numbers != ["1", "2"]:
        raise SkipRow("responses_ambiguous", f"headings {', '.join(numbers)}")
    first, second = headings
    return prompt[first.end() : second.start()].rstrip(), prompt[
        second.end() : _end(prompt, second.end())
    ].rstrip()


def _end(prompt: str, start: int) -> int:
    """Where the second reply ends: before the last output instructions that name the answer tag, if any."""
    footers = [f.start() for f in FOOTER.finditer(prompt, start) if "<answer>" in prompt[f.end() :]]
    return footers[-1] if footers else len(prompt)


def read_answer(answer: Any) -> int:
    """0 where Response 1 is preferred, 1 where Response 2 is. Skips: `answer_unreadable`."""
    first = answer[0] if isinstance(answer, list | tuple) and answer else answer
    found = ANSWER.fullmatch(first.strip()) if isinstance(first, str) else None
    if found is None:
        raise SkipRow("answer_unreadable", repr(answer)[:80])
    return int(found[1]) - 1


SOURCE = Source(
    repo="yifanzhang114/R1-Reward-RL",
    files=("data/train-*.parquet",),
    modality="image",
    paper="arXiv:2505.02835",
    rows=48_296,
    reads=("question", "message", "answer", "image"),
    to_pairs=to_pairs,
)

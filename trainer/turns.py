"""What a chat template writes between the texts of turns, and dialogues that it has rendered, split by that."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.media import Unusable

Turn = tuple[str, str]  # role, text
ENDS = re.compile(r"(?:\s*(?:<\|[a-z_]+\|>|</s>|<eos>|<end_of_turn>))+\s*$")  # of a turn, as models write it
TEXTS = ("curate-one", "curate-two", "curate-three", "curate-four")  # of the turns that are rendered to find it


class NotRendered(Unusable):
    """Raised for a string that the template did not render, or that could be several dialogues.

    Reasons: `not_templated`, `several_replies`.
    """


@dataclass(frozen=True, slots=True)
class TurnTexts:
    """What a template writes before the first turn, between two turns, and after the last one, which is a reply.

    `starts` maps the role of the first turn to what is before its text, `between` two roles to what is between.
    """

    starts: dict[str, str]
    between: dict[tuple[str, str], str]
    end: str

    @classmethod
    def of(cls, render: Callable[[Sequence[Turn]], str]) -> "TurnTexts":
        """Find out by rendering; what a template refuses to render (a system turn, say) is left out.

        Raises Unusable for a template that renders no dialogue of user and assistant.
        """
        plain = _gaps(render, ("user", "assistant", "user", "assistant"))
        if plain is None:
            raise Unusable("template_refuses", "a dialogue of user and assistant")
        starts, between = {"user": plain[0]}, {("user", "assistant"): plain[1], ("assistant", "user"): plain[2]}
        system = _gaps(render, ("system", "user", "assistant"))
        if system is not None:
            starts, between = starts | {"system": system[0]}, between | {("system", "user"): system[1]}
        return cls(starts, between, plain[-1])

    def split(self, text: str, *, trusted: bool = False) -> list[Turn]:
        """Split a rendered dialogue that ends with a reply; the end of its last turn may be missing.

        Whatever else looks like the template's is part of a text. A second reply is refused unless the string is
        `trusted`: the first reply could contain what looks like the next turns. Raises NotRendered.
        """
        turns, last = self._split(text.removesuffix(self.end) if self.end else text)
        if not trusted and sum(role == "assistant" for role, _ in [*turns, last]) > 1:
            raise NotRendered("several_replies", "the string contains more than one turn of the assistant")
        return [*turns, last]

    def split_prompt(self, text: str) -> list[Turn]:
        """Split a rendered prompt, up to where the reply begins. Raises NotRendered."""
        turns, (role, rest) = self._split(text)
        if role != "assistant" or rest.strip():
            raise NotRendered("not_templated", "the prompt does not end where the assistant's turn begins")
        return turns

    def _split(self, text: str) -> tuple[list[Turn], Turn]:
        """The turns before the last one, and the last one."""
        fitting = [role for role, start in self.starts.items() if text.startswith(start)]
        if not fitting:
            start = self.starts["user"]
            raise NotRendered("not_templated", f"the string begins with {text[:40]!r}, a dialogue with {start!r}")
        role = max(fitting, key=lambda one: len(self.starts[one]))
        rest = text.removeprefix(self.starts[role])
        turns: list[Turn] = []
        while True:
            [following] = [pair for pair in self.between if pair[0] == role]
            before, gap, after = rest.partition(self.between[following])
            if not gap:
                break
            turns.append((role, before))
            role, rest = following[1], after
        if role != "assistant":
            raise NotRendered("not_templated", f"nothing follows the turn of the {role}")
        return turns, (role, rest)


def without_end(reply: str) -> str:
    """A reply that was decoded with its special tokens, without those that end it."""
    return ENDS.sub("", reply)


def _gaps(render: Callable[[Sequence[Turn]], str], roles: Sequence[str]) -> list[str] | None:
    """What is before, between and after the texts of turns with these roles; None if they cannot be rendered."""
    texts = TEXTS[: len(roles)]
    try:
        rest = render(list(zip(roles, texts, strict=True)))
    except Unusable:
        return None
    gaps = []
    for text in texts:
        gap, found, rest = rest.partition(text)
        if not found:
            return None
        gaps.append(gap)
    return [*gaps, rest]

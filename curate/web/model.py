"""What the server needs of a model; the trainer provides it."""

from collections.abc import Sequence
from typing import Protocol

from curate.schema import Message

Media = Sequence[bytes | tuple[bytes, ...]]


class Scored(Protocol):
    """The score of a reply, or why it has none."""

    @property
    def score(self) -> float | None:
        """None if there is a problem."""
        ...

    @property
    def problem(self) -> str | None:
        """A word, a colon and details."""
        ...


class Model(Protocol):
    """Scores dialogues, and splits what its chat template has rendered."""

    @property
    def name(self) -> str:
        """What /v1/models calls it."""
        ...

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media]) -> Sequence[Scored]:
        """Score the last message of each dialogue. It is called from one thread at a time."""
        ...

    def split(self, text: str, *, trusted: bool) -> Sequence[Message] | str:
        """The messages of a rendered dialogue, or why there are none; of several replies only if `trusted`."""
        ...

    def prompt(self, text: str) -> Sequence[Message] | str:
        """The messages of a rendered prompt, or of a text without special tokens that a user says."""
        ...

    def reply(self, text: str) -> Message:
        """The message of a reply that was decoded, perhaps with the tokens that end it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special ones included. Raises ValueError for ids that it does not have."""
        ...

"""Serve the scores of a model over HTTP: `python -m trainer.serve MODEL`, which `curate serve` starts."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.schema import Block, Message
from curate.web.run import serve
from curate.web.settings import Settings, read_token
from trainer import programs
from trainer.dialogues import RENDERED, Media, Scored
from trainer.encode import Encoder
from trainer.logs import say
from trainer.media import Unusable
from trainer.score import Scorer
from trainer.scorers import EnsembleScorer, encoders, load
from trainer.turns import without_end


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded model or ensemble as the server uses it; rendered texts are those of `encoder`'s template."""

    name: str
    scorer: Scorer | EnsembleScorer
    encoder: Encoder

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media]) -> list[Scored]:
        """Score the last message of each dialogue."""
        return self.scorer.score(dialogues, media)

    def split(self, text: str, *, trusted: bool) -> Sequence[Message] | str:
        """The messages of a rendered dialogue, or why there are none."""
        try:
            *prompt, last = self.encoder.split(text, trusted=trusted)
        except Unusable as error:
            return f"{error.reason}: {error.detail}"
        return [*prompt, self.reply(last.content[0].text or "")]

    def prompt(self, text: str) -> Sequence[Message] | str:
        """The messages of a rendered prompt, or of a text that a user says."""
        return self.encoder.turns_of(Message(RENDERED, (Block("text", text),)))

    def reply(self, text: str) -> Message:
        """The message of a reply, without the tokens that end it."""
        return Message("assistant", (Block("text", without_end(text)),))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids. Raises ValueError for ids that the tokenizer does not have."""
        tokenizer: Any = self.encoder.tokenizer
        if not all(0 <= one < len(tokenizer) for one in ids):
            raise ValueError(f"token ids from 0 to {len(tokenizer) - 1}")
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def loaded(model: Path, max_tokens: int, max_length: int | None = None) -> ServedModel:
    """Load a model or an ensemble to serve; dialogues of more than `max_length` tokens are refused."""
    scorer = load(model, max_tokens)
    own = encoders(scorer)
    for encoder in own:
        if max_length is not None:
            encoder.max_length = min(encoder.max_length, max_length)
    return ServedModel(str(model), scorer, own[0])


def main(arguments: Sequence[str]) -> None:
    """Serve one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.serve", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model, or the file of an ensemble")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--max-tokens", type=int, default=8192)
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--queue", type=int, default=1024)
    parser.add_argument("--max-body", type=int, default=32)
    parser.add_argument("--max-images", type=int, default=64)
    parser.add_argument("--fallback", type=float, default=0.0)
    parser.add_argument("--multi-turn", action="store_true")
    given = parser.parse_args(arguments)
    settings = Settings(
        host=given.host, port=given.port, token=read_token(given.token_file), queue=given.queue,
        body_bytes=given.max_body << 20, images=given.max_images, fallback=given.fallback,
        multi_turn=given.multi_turn,
    )  # fmt: skip
    logging.getLogger("curate").addHandler(_Lines())
    say(f"loading {given.model}")
    serve(loaded(given.model, given.max_tokens, given.max_length), settings)


class _Lines(logging.Handler):
    """Prints what the server reports as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        say(record.getMessage())


if __name__ == "__main__":
    programs.run(main)

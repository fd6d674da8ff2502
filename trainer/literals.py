"""Texts that contain tokens of the template, such as `<|im_end|>`: they are encoded as those characters.

A tokenizer would read such a text as the end of a turn, a role or an image. So each special token in a message is
broken by MARK before the template is applied; what is still whole in the rendered text is the template's own.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from trainer.media import Unusable

MARK = "\ufdd0"
"""A code point that Unicode keeps out of texts; a message that contains it is refused."""


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # batches of one need no threads of its own


class Literals:
    """Marks and encodes the texts of messages. `specials` are the tokenizer's special tokens as texts."""

    def __init__(self, tokenizer: Any) -> None:
        tokens = tokenizer.added_tokens_decoder.values()
        self.specials = tuple(token.content for token in tokens if token.special)
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        longest_first = sorted(filter(None, self.specials), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def mark(self, value: Any) -> Any:
        """Break the special tokens in every text of a message or a description of tools. Raises Unusable."""
        if isinstance(value, str):
            if MARK in value:
                raise Unusable("noncharacter_in_text", "U+FDD0")
            return self._pattern.sub(lambda found: f"{found[0][:1]}{MARK}{found[0][1:]}", value)
        if isinstance(value, Mapping):
            return {self.mark(key): self.mark(each) for key, each in value.items()}
        return list(map(self.mark, value)) if isinstance(value, list) else value

    def found_in(self, text: str) -> bool:
        """Whether a text contains a special token."""
        return self._pattern.search(text) is not None

    def joined(self, blocks: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        """Join blocks of text that only together contain a special token: the template joins them anyway."""
        out: list[dict[str, str]] = []
        for block in blocks:
            if out and block["type"] == out[-1]["type"] == "text" and self._meet(out[-1]["text"], block["text"]):
                out[-1] = {"type": "text", "text": out[-1]["text"] + block["text"]}
            else:
                out.append(block)
        return out

    def _meet(self, left: str, right: str) -> bool:
        apart = len(self._pattern.findall(left)) + len(self._pattern.findall(right))
        return len(self._pattern.findall(left + right)) != apart

    def encode(self, text: str) -> list[int]:
        """Encode a rendered text; what was marked becomes the tokens of its characters.

        Raises Unusable("template_token_in_text") for a tokenizer that encodes a text in its parts otherwise.
        """
        if MARK not in text:
            return self._ids(self._backend, text)
        if not self._by_parts:
            raise Unusable("template_token_in_text", "a text contains a special token of the tokenizer")
        ids: list[int] = []
        plain = ""
        for part in re.split(f"({self._pattern.pattern})", text):
            if MARK not in part:
                plain += part
                continue
            ids += self._ids(self._backend, plain) + self._ids(self._characters, part.replace(MARK, ""))
            plain = ""
        return ids + self._ids(self._backend, plain)

    def encode_text(self, text: str) -> list[int]:
        """Encode a text of a message alone, as characters."""
        return self.encode(self.mark(text))

    @staticmethod
    def _ids(backend: Tokenizer, text: str) -> list[int]:
        """A batch of one: `encode` would hold the interpreter lock, and no other thread could decode meanwhile."""
        [found] = backend.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = found.ids
        return ids

    @cached_property
    def _characters(self) -> Tokenizer:
        """The same tokenizer, for which special tokens in a text are characters."""
        copy = Tokenizer.from_str(self._backend.to_str())
        copy.encode_special_tokens = True
        return copy

    @cached_property
    def _by_parts(self) -> bool:
        """Whether a text around a special token has the tokens of its parts: some tokenizers add a space first."""
        special = next(iter(self.specials), "")
        whole = self._ids(self._backend, f"one two{special}three")
        return whole == [
            token for part in ("one two", special, "three") for token in self._ids(self._backend, part)
        ]

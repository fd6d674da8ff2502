"""The documents of an index: every text of the items once, with the items that have it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
import xxhash

from curate.contamination.protected import ProtectedItem
from curate.contamination.stock import is_stock
from curate.images.decode import BadImage
from curate.images.store import PackWriter

PROMPT, REPLY, TEXT = 0, 1, 2
"""Kinds of documents."""

QUOTED = 0.4
"""More of a reply is in its own prompt where it is quoted from there."""

DOCUMENTS: dict[str, Any] = {
    "kind": pl.UInt8,
    "words": pl.UInt32,
    "text": pl.String,
    "entries": pl.List(pl.UInt32),
    "parts": pl.List(pl.UInt16),
    "pictures": pl.UInt32,
    "stock": pl.Boolean,
    "quoted": pl.Boolean,
}
"""`parts` says which prompt, reply or text of the item it is; `pictures` how many different ones it is about;
`stock` whether it is a reply that is given to many questions, `quoted` whether much of it is in its prompt."""


class Collected:
    """The items read so far: every text once; images go to the writer, and are only counted without one."""

    def __init__(self, writer: PackWriter | None) -> None:
        self._writer = writer
        self.entries: list[tuple[str, str, int, int]] = []
        self.numbers: dict[tuple[int, int], int] = {}
        self.texts: list[tuple[int, str]] = []
        self.holders: list[list[int]] = []
        self.parts: list[list[int]] = []
        self.contexts: list[int] = []
        self.lengths: list[int] = []
        self.pictures: list[set[str]] = []
        self.images: list[tuple[str, int]] = []

    def add(self, item: ProtectedItem) -> None:
        """Take one more item."""
        number = len(self.entries)
        keys = list(self._pictures(item, number))
        # items of one id are about the same picture, where the pictures themselves are not here
        about = ",".join(keys) if keys else item.key.partition("#")[0] if item.pictures else ""
        documents: list[int] = []
        for kind, texts in ((PROMPT, item.prompts), (REPLY, item.replies), (TEXT, item.texts)):
            for part, text in enumerate(texts):
                documents.append(self._text(kind, text, number, part, documents[0] if documents else None))
        for document in documents:
            self.pictures[document].add(f"{item.of}:{about}" if about else "")
        self.entries.append((item.of, item.key, item.pictures, len(keys)))

    def _text(self, kind: int, text: str, number: int, part: int, context: int | None) -> int:
        from curate.contamination.grams_kernels import whole_of  # numba

        data = np.frombuffer(text.encode(errors="replace"), np.uint8)
        key = (kind, int(whole_of(data, 0, len(data))))
        if key not in self.numbers:
            self.numbers[key] = len(self.texts)
            self.texts.append((kind, text))
            for column in (self.holders, self.parts):
                column.append([])
            self.contexts.append(self.numbers[key] if context is None else context)
            self.pictures.append(set())
        document = self.numbers[key]
        self.holders[document].append(number)
        self.parts[document].append(part)
        return document

    def _pictures(self, item: ProtectedItem, number: int) -> Iterable[str]:
        for data in item.images:
            try:
                key = (
                    xxhash.xxh3_128_hexdigest(data)
                    if self._writer is None
                    else self._writer.put(data, strict=True).key
                )
            except BadImage:
                continue  # an eval set may have images that we would not train on
            self.images.append((key, number))
            yield key

    def frames(self) -> dict[str, pl.DataFrame]:
        """The tables of the index."""
        schema: dict[str, Any] = {"of": pl.String, "key": pl.String, "pictures": pl.UInt32, "images": pl.UInt32}
        return {
            "entries": pl.DataFrame(self.entries, schema=schema, orient="row"),
            "documents": pl.DataFrame(
                {
                    "kind": [kind for kind, _ in self.texts],
                    "words": self.lengths,
                    "text": [text for _, text in self.texts],
                    "entries": self.holders,
                    "parts": self.parts,
                    "pictures": [len(pictures - {""}) for pictures in self.pictures],
                    "stock": [kind != PROMPT and is_stock(text) for kind, text in self.texts],
                    "quoted": [kind == REPLY and self._is_quoted(at) for at, (kind, _) in enumerate(self.texts)],
                },
                schema=DOCUMENTS,
            ),
            "images": pl.DataFrame(self.images, schema={"key": pl.String, "entry": pl.UInt32}, orient="row"),
        }

    def _is_quoted(self, document: int) -> bool:
        from curate.contamination.grams_kernels import share_of  # numba

        own, prompt = (
            np.frombuffer(self.texts[number][1].encode(errors="replace"), np.uint8)
            for number in (document, self.contexts[document])
        )
        return bool(self.contexts[document] != document and share_of(own, prompt) > QUOTED)

    def facts(self) -> dict[str, Any]:
        """What is in the index, by set: its items, and how many of them lack pictures."""
        frame = self.frames()["entries"]
        some = frame.group_by("of", maintain_order=True).agg(
            entries=pl.len(), without_pictures=(pl.col("images") < pl.col("pictures")).sum()
        )
        return {"documents": len(self.texts), "images": len(self.images), "sets": some.to_dicts()}

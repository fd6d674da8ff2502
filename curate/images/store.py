"""The content-addressed image store: packs of image bytes that all sources share."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from curate.checksums import published
from curate.images.decode import MAX_PIXELS, BadImage, ImageFacts, check, check_structure
from curate.images.packs import INDEX, Packs
from curate.workspace import atomic

PACK_BYTES = 512 * 2**20
"""A pack that has grown to this size is closed and a new one begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """An image that the store has already."""

    key: str
    bytes: int


class ImageStore(Packs):
    """Images by key, over all packs that were published when it was opened or last refreshed.

    Safe for threads; a copy sent to another process opens the store anew.
    """

    def writer(self, *, pack_bytes: int = PACK_BYTES) -> "PackWriter":
        """A context in which images are added; they are published together when it ends well."""
        return PackWriter(self, pack_bytes)


class _Pack:
    """A pack that is still being written, under a temporary name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".pack.tmp", dir=folder)
        self.path, self.size = Path(name), 0
        self.file: BinaryIO = os.fdopen(handle, "wb")
        self.images: list[ImageFacts] = []

    def put(self, data: bytes | memoryview, facts: ImageFacts) -> None:
        self.file.write(data)
        self.size += len(data)
        self.images.append(facts)

    def publish(self) -> None:
        """Give the pack its name, then its index. Where the same pack is there already, it is the same bytes."""
        name = xxhash.xxh3_128_hexdigest("".join(image.key for image in self.images).encode())
        with atomic(self.path.with_name(f"{name}.pack")) as temporary:
            self.path.replace(temporary)
        with published(self.path.with_name(f"{name}.parquet")) as temporary:
            pq.write_table(self._table(), temporary, compression="zstd")

    def _table(self) -> pa.Table:
        lengths = [image.bytes for image in self.images]
        columns = {
            name: [getattr(image, name) for image in self.images] for name in INDEX.names if name not in SPAN
        }
        columns |= {"offset": np.cumsum([0, *lengths[:-1]]).tolist(), "length": lengths}
        return pa.table({name: columns[name] for name in INDEX.names}, schema=INDEX)


SPAN = ("offset", "length")


class PackWriter:
    """Adds images to the store: nothing is visible until the block has ended well, nothing stays after an error.

    Safe for many writers at once, each with a store of its own.
    """

    def __init__(self, store: ImageStore, pack_bytes: int) -> None:
        self._store, self._pack_bytes = store, pack_bytes
        self._packs: list[_Pack] = []
        self._pixels: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for pack in self._packs:
                pack.file.close()
            if kind is None:
                for pack in self._packs:
                    pack.publish()
        finally:
            for pack in self._packs:
                pack.path.unlink(missing_ok=True)
        self._store.refresh()

    def put(
        self, data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS, strict: bool = False
    ) -> ImageFacts | KnownImage:
        """Keep the image; `strict` decodes it, else its structure is checked. Raises BadImage.

        One that the store or this writer has already is not checked again, but decoded once where that is asked.
        The outcome does not depend on what is in the store: a known image must be within `max_pixels` too.
        """
        key = xxhash.xxh3_128_hexdigest(data)
        pixels = self._pixels.get(key) or self._store.pixels(key)
        if pixels is not None:
            if pixels > max_pixels:
                raise BadImage("image_too_large", f"{pixels} pixels, limit {max_pixels}")
            if strict and key not in self._pixels:
                check(bytes(data), max_pixels=max_pixels)
                self._pixels[key] = pixels
            return KnownImage(key=key, bytes=len(data))
        facts = (
            check(bytes(data), max_pixels=max_pixels) if strict else check_structure(data, max_pixels=max_pixels)
        )
        if not self._packs or self._packs[-1].size >= self._pack_bytes:
            self._packs.append(_Pack(self._store.folder))
        self._packs[-1].put(data, facts)
        self._pixels[key] = facts.width * facts.height
        return facts

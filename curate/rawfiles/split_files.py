"""Split files: the parts of a split archive in order, and one seekable file over them."""

import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import RawError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PART = re.compile(
    r"(?P<head>.+\.(?:zip|tar|tgz|part)(?:[._-]?part)?[._-]?)(?P<part>(?!(?:gz|xz|bz)$)[a-z]{1,2}|\d{1,4})",
    re.IGNORECASE,
)
"""The name of one part of a split archive: images.zip_aa, images.zip_a, images.zip.001, videos.part.aa."""


def split_parts(path: Path) -> list[Path]:
    """All parts of the split archive that the file belongs to, in order; the file alone where it is whole.

    Raises RawError where a part is missing between the first possible one and the last one present.
    """
    found = PART.fullmatch(path.name)
    if found is None:
        return [path]
    head, width, digits = found["head"], len(found["part"]), found["part"].isdigit()
    siblings = (PART.fullmatch(other.name) for other in path.parent.iterdir())
    there = {other["part"] for other in siblings if other and other["head"] == head}
    names = sorted(part for part in there if len(part) == width and part.isdigit() == digits)
    first = "a" * width if not digits else str(min(int(names[0]), 1)).zfill(width)
    for wanted, name in zip(_part_names(first), names, strict=False):
        if wanted != name:
            expected = f"all parts from {first} to {names[-1]}"
            raise RawError(str(path.parent), f"{head}{wanted} is missing", expected, "fetch the source again")
    return [path.with_name(head + name) for name in names]


def _part_names(first: str) -> Iterator[str]:
    """001, 002, ... or aa, ab, ..., az, ba, ..."""
    if first.isdigit():
        yield from (str(number).zfill(len(first)) for number in range(int(first), 10_000))
        return
    for number in range(26 ** len(first)):
        yield "".join(chr(97 + number // 26**place % 26) for place in reversed(range(len(first))))


class SplitFile(io.RawIOBase):
    """One seekable read-only file over the parts of a split one (or over a whole one: one part)."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._handles: list[int] = []
        for part in parts:
            self._handles.append(os.open(part, os.O_RDONLY))
        sizes = [os.fstat(handle).st_size for handle in self._handles]
        self._starts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        self.size, self._position = sum(sizes), 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position over all parts."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position over all parts; it may be past the end."""
        position = offset + (0, self._position, self.size)[whence]
        if position < 0:
            raise ValueError(f"seek to {position}")
        self._position = position
        return position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer from the position; fewer bytes only at the end of the last part."""
        view = memoryview(buffer).cast("B")
        data = self.pread(len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def pread(self, length: int, offset: int) -> bytes:
        """The bytes at the offset, without moving; fewer only at the end. Safe for threads."""
        pieces = []
        part = bisect_right(self._starts, offset) - 1
        while length > 0 and part < len(self._handles):
            piece = os.pread(self._handles[part], length, offset - self._starts[part])
            pieces.append(piece)
            length, offset = length - len(piece), offset + len(piece)
            if not piece and offset < self._starts[part + 1]:
                break  # the part is shorter than it was when it was opened
            part += offset >= self._starts[part + 1]
        return b"".join(pieces)

    def close(self) -> None:
        """Close all parts."""
        while self._handles:
            os.close(self._handles.pop())
        super().close()

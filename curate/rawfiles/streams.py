"""The bytes of a row file: from disk or an archive, decompressed, as UTF-8; files without rows are named."""

import codecs
import gzip
import io
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard
from isal import igzip
from isal.igzip_lib import IsalError

from curate.engines.base import tick
from curate.errors import RawError
from curate.rawfiles import archives
from curate.rawfiles.foreign import refuse_foreign
from curate.sources.base import RowFile

CHUNK = 1 << 20
HEAD_BYTES = 1024
ZSTD_FEED = 8192  # decompressed at once: even of a bomb so little gives no more than 256 MB
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
DAMAGED: tuple[type[Exception], ...] = (
    gzip.BadGzipFile,
    cast(type[Exception], IsalError),  # its stub calls the class an instance
    zstandard.ZstdError,
)


def encoding_of(name: str, head: bytes) -> str:
    """The encoding of a text file by its first bytes: utf-8, utf-16-le or utf-16-be.

    Raises RawError for UTF-32, and for UTF-16 without a byte-order mark.
    """
    if head.startswith(UTF32) or head[:4].count(0) == 3:
        found = "UTF-32 text"
    elif head[:2] in UTF16:
        return UTF16[head[:2]]
    elif 0 in head[:2]:
        found = "UTF-16 text without a byte-order mark, or no text"
    else:
        return "utf-8"
    raise RawError(
        name, found, "UTF-8", f"iconv -t UTF-8 {name.rsplit('/', 1)[-1]} > utf8.txt, -f names its encoding"
    )


def head_of(path: Path) -> bytes:
    """The first bytes of a file on disk."""
    with open(path, "rb") as stream:
        return stream.read(HEAD_BYTES)


@contextmanager
def unpacked(file: RowFile, packed: str, start: int = 0, length: int | None = None) -> Iterator[Iterator[bytes]]:
    """The file's bytes piece by piece, decompressed where `packed` is gz or zst; or `length` of them from `start`.

    What is read from disk is ticked, before any decompression. Reading raises EOFError where compressed data end
    too early, and one of DAMAGED where they are damaged.
    """
    raw: BinaryIO = archives.read_member(file.path, file.member) if file.member else open(file.path, "rb")  # noqa: SIM115 - closed by the with below
    with raw:
        if start:
            raw.seek(start)
        pieces = _counted(raw, length)
        if packed == "gz":
            pieces = _chunks(cast(BinaryIO, igzip.IGzipFile(fileobj=as_stream(pieces))))
        yield _frames(as_stream(pieces)) if packed == "zst" else pieces


@contextmanager
def utf8(
    name: str, file: RowFile, packed: str, start: int = 0, length: int | None = None
) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """(the first bytes, all bytes piece by piece) of the file's text as UTF-8 without a byte-order mark.

    The first bytes are those of the file, or of the part from `start`. Raises RawError for a file without rows.
    """
    with unpacked(file, packed, start, length) as pieces:
        head = b""
        while len(head) < HEAD_BYTES and (piece := next(pieces, b"")):
            head += piece
        if not start:
            refuse_foreign(name, head[:HEAD_BYTES], "rows")
            encoding = encoding_of(name, head)
            if encoding != "utf-8":
                recoded = _recoded(itertools.chain([head[2:]], pieces), encoding)
                head, pieces = next(recoded, b""), recoded
            head = head.removeprefix(codecs.BOM_UTF8)
        yield head[:HEAD_BYTES], itertools.chain([head] if head else [], pieces)


def as_stream(pieces: Iterator[bytes]) -> BinaryIO:
    """Pieces, none of which is empty, as a stream."""
    return io.BufferedReader(_Pieces(pieces), CHUNK)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _counted(stream: BinaryIO, length: int | None) -> Iterator[bytes]:
    left = sys.maxsize if length is None else length
    while left and (data := stream.read(min(CHUNK, left))):
        left -= len(data)
        tick(bytes=len(data))
        yield data


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _recoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Text of another encoding as UTF-8; what cannot be decoded becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for piece in itertools.chain(pieces, [b""]):
        if text := decoder.decode(piece, final=not piece):
            yield text.encode()


def _frames(stream: BinaryIO) -> Iterator[bytes]:
    """The content of zstd frames, one after another. Raises EOFError where the last one is not finished.

    The reader of `zstandard` takes a file that is cut between two blocks for a whole one.
    """
    frame: Any = None
    while packed := stream.read(ZSTD_FEED):
        while packed:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if data := frame.decompress(packed):
                yield data
            packed = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError

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
def unpacked(file: RowFile, packed: str, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed where `packed` is gz or zst; or `length` of its bytes on disk from `start`.

    What is read from disk is ticked, before any decompression. Reading raises EOFError where compressed data end
    too early, and one of DAMAGED where they are damaged.
    """
    raw: BinaryIO = archives.read_member(file.path, file.member) if file.member else open(file.path, "rb")  # noqa: SIM115 - closed by the with below
    with raw:
        if start:
            raw.seek(start)
        counted = _buffered(_counted(raw, length))
        if packed == "gz":
            yield cast(BinaryIO, igzip.IGzipFile(fileobj=counted))
        else:
            yield _buffered(_frames(counted)) if packed == "zst" else counted


@contextmanager
def utf8(
    name: str, file: RowFile, packed: str, start: int = 0, length: int | None = None
) -> Iterator[io.BufferedReader]:
    """The file's text as UTF-8 without a byte-order mark. Raises RawError for a file that holds no rows."""
    with unpacked(file, packed, start, length) as stream:
        if start:
            yield _buffered(_pieces(b"", stream))
            return
        head = stream.read(HEAD_BYTES)
        refuse_foreign(name, head, "rows")
        encoding = encoding_of(name, head)
        if encoding == "utf-8":
            yield _buffered(_pieces(head.removeprefix(codecs.BOM_UTF8), stream))
        else:
            yield _buffered(_recoded(_pieces(head[2:], stream), encoding))


def _buffered(pieces: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Pieces(pieces), CHUNK)


class _Pieces(io.RawIOBase):
    """The bytes of an iterator, none of which is empty, as a stream."""

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


def _pieces(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """What was read already, and the rest of its stream."""
    if head:
        yield head
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

"""Members of an archive (zip, tar, either of them split into parts), listed strictly and without extraction."""

import io
import re
import stat
import struct
import tarfile
import unicodedata
import zlib
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from curate.errors import RawError
from curate.rawfiles.foreign import refuse_foreign
from curate.rawfiles.split_files import SplitFile, split_parts

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STORED, DEFLATED, TAR = 0, 8, 255


class Member(NamedTuple):
    """One member: where its local header (zip) or its data (tar) begins, and how it is packed."""

    name: bytes
    offset: int
    packed: int
    size: int
    crc: int
    method: int


def entries(file: SplitFile, where: str) -> Iterator[Member]:
    """The files in an archive (no directories, no links, no sparse files) with clean relative names, as they come.

    Raises RawError where it is cut, corrupt, compressed as a whole, or has a member that points outside, and
    where members of a zip share bytes: so does a small file grow without end.
    """
    head = file.pread(512, 0)
    refuse_foreign(where, head, "a zip or tar")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        found = _zip_entries(file, where)
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise RawError(
            where, "a compressed tar", "zip or plain tar", "unpack it: its members cannot be found by offset"
        )
    else:
        found = _tar_entries(file, where)
    for entry in found:
        yield entry._replace(name=_clean(entry.name, where))


def _clean(name: bytes, where: str) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts or re.match(rb"[A-Za-z]:/", name):
        text = name.decode(errors="replace")
        raise RawError(
            where, f"member {text!r} points outside", "relative paths", "repack it, or drop it from media"
        )
    return b"/".join(parts)


def _broken(where: str, what: str) -> RawError:
    return RawError(where, what, "a whole archive", "delete it and fetch the source again")


def _zip_entries(file: SplitFile, where: str) -> Iterator[Member]:
    count, start, size, shift = _zip_directory(file, where)
    directory = file.pread(size, start)
    position, spans = 0, array("Q")
    for _ in range(count):
        if directory[position : position + 4] != b"PK\x01\x02" or position + 46 > size:
            raise _broken(where, "the zip directory is corrupt")
        fields = struct.unpack_from("<4x6H3I5H2I", directory, position)
        lengths = fields[9:12]
        named = position + 46
        name = _utf8(directory[named : named + lengths[0]]).replace(b"\\", b"/")
        extra = directory[named + lengths[0] : named + lengths[0] + lengths[1]]
        position = named + sum(lengths)
        full, packed, offset = _zip64(extra, (fields[8], fields[7], fields[15]), where)
        entry = Member(name, offset + shift, packed, full, fields[6], fields[3])
        if entry.offset + packed > start:
            raise _broken(where, f"member {name.decode()!r} reaches past the end of the archive")
        if fields[2] & 1 or entry.method not in (STORED, DEFLATED):
            found = "encrypted" if fields[2] & 1 else f"compressed by method {entry.method}"
            raise RawError(
                where, f"member {name.decode()!r} is {found}", "stored or deflated", "repack the archive"
            )
        spans.extend((entry.offset, entry.offset + packed))
        if not (name.endswith(b"/") or stat.S_ISLNK(fields[14] >> 16)):
            yield entry
    _check_apart(np.frombuffer(spans, np.uint64).reshape(-1, 2), where)


def _check_apart(spans: npt.NDArray[np.uint64], where: str) -> None:
    """Raise RawError where two members [begin, end] of an archive overlap."""
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if (spans[1:, 0] < spans[:-1, 1]).any():
        raise _broken(where, "members share bytes of the archive")


def _zip_directory(file: SplitFile, where: str) -> tuple[int, int, int, int]:
    """(members, begin and size of the central directory, how far all offsets are off: data before the archive)."""
    begin = max(0, file.size - 66_000)
    tail = file.pread(file.size - begin, begin)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or found + 22 > len(tail):
        raise _broken(where, "cut: the zip has no directory at its end")
    count, size, offset = struct.unpack_from("<10xHII", tail, found)
    end = begin + found
    locator = file.pread(20, end - 20) if end >= 20 else b""
    if locator.startswith(b"PK\x06\x07"):
        (there,) = struct.unpack_from("<8xQ", locator)
        record = file.pread(56, there)
        if not record.startswith(b"PK\x06\x06") or len(record) < 56:
            raise _broken(where, "the zip64 directory is corrupt")
        count, size, offset = struct.unpack_from("<32xQQQ", record)
        end = there
    start = end - size
    if start < 0 or start < offset:
        raise _broken(where, "the zip directory is corrupt")
    return count, start, size, start - offset


def _zip64(extra: bytes, values: tuple[int, int, int], where: str) -> tuple[int, int, int]:
    """The 64-bit values from the extra field, for those that are marked as too large for 32 bits."""
    position, out = 0, list(values)
    wanted = [i for i, value in enumerate(values) if value == 0xFFFFFFFF]
    while wanted and position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1 and length >= 8 * len(wanted) and position + 4 + length <= len(extra):
            for i, value in zip(wanted, struct.unpack_from(f"<{len(wanted)}Q", extra, position + 4), strict=True):
                out[i] = value
            return out[0], out[1], out[2]
        position += 4 + length
    if wanted:
        raise _broken(where, "the zip directory is corrupt")
    return values


def _utf8(name: bytes) -> bytes:
    """Decode a name as UTF-8, which many writers use without the flag for it, and else as code page 437."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437").encode()
    return name


HEADER_BYTES = 1 << 20
"""The longest header of a tar member, its long name and PAX records included."""
MALFORMED = (tarfile.TarError, ValueError, OverflowError, LookupError, RecursionError)
"""What tarfile raises for a header that is none, or for a chain of them without an end."""


class _HeaderReader:
    """The archive as tarfile reads it: a header that states a size beyond HEADER_BYTES is refused, not read."""

    def __init__(self, file: SplitFile) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, length: int) -> bytes:
        if not 0 <= length <= HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {length:,} bytes")
        return self._file.read(length) or b""


def _tar_entries(file: SplitFile, where: str) -> Iterator[Member]:
    """Read a tar with tarfile's header parser, but not its loop, which takes a corrupt header for the end."""
    try:
        tar = tarfile.TarFile(fileobj=cast(BinaryIO, _HeaderReader(file)))
    except MALFORMED as error:
        hint = "fetch the source again, or let the media pattern name only archives and directories"
        raise RawError(where, f"neither a zip nor a tar ({error})", "an archive or a directory", hint) from None
    tar.offset = 0
    while file.pread(512, begin := tar.offset) != bytes(512):
        file.seek(begin)
        try:
            info = tarfile.TarInfo.fromtarfile(tar)
        except MALFORMED as error:
            raise _broken(where, f"the tar is cut or corrupt at byte {begin} ({error})") from None
        if info.size < 0 or tar.offset <= begin:
            raise _broken(where, f"the tar is corrupt at byte {begin}: a member of {info.size:,} bytes")
        if info.isreg() and not info.issparse():
            if info.offset_data + info.size > file.size:
                raise _broken(where, f"cut within member {info.name!r}")
            name = _utf8(info.name.encode(errors="surrogateescape"))
            yield Member(name, info.offset_data, info.size, info.size, 0, TAR)


def data_offset(file: SplitFile, entry: Member) -> int:
    """Where the member's data begin, -1 where its local header is damaged."""
    if entry.method == TAR:
        return entry.offset
    header = file.pread(30, entry.offset)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        return -1
    name, extra = struct.unpack_from("<HH", header, 26)
    return entry.offset + 30 + int(name) + int(extra)


def read_whole(file: SplitFile, entry: Member) -> bytes | None:
    """The member's bytes, None where they are not what the archive's index promises."""
    start = data_offset(file, entry)
    data = file.pread(entry.packed, start) if start >= 0 else b""
    if entry.method == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size + 1)
        except zlib.error:
            return None
    intact = len(data) == entry.size and (entry.method == TAR or zlib.crc32(data) == entry.crc)
    return data if intact else None


class MemberStream(io.RawIOBase):
    """A member as a stream that is never held whole; it closes the archive. Raises RawError on damage."""

    def __init__(self, file: SplitFile, entry: Member, where: str) -> None:
        self._file, self._entry, self._where = file, entry, where
        self._next = data_offset(file, entry)
        self._left = entry.packed
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == DEFLATED else None
        self._crc = self._given = 0
        if self._next < 0:
            raise self._damaged()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Some bytes, none at the end; then length and checksum are right."""
        view = memoryview(buffer).cast("B")
        data = self._pull(len(view))
        self._crc, self._given = zlib.crc32(data, self._crc), self._given + len(data)
        entry = self._entry
        if self._given > entry.size:
            raise self._damaged()
        if not data and (self._given != entry.size or (entry.method != TAR and self._crc != entry.crc)):
            raise self._damaged()
        view[: len(data)] = data
        return len(data)

    def _pull(self, wanted: int) -> bytes:
        if self._inflater is None:
            return self._packed(wanted)
        data = b""
        while not (data or self._inflater.eof):
            packed = self._inflater.unconsumed_tail or self._packed(1 << 18)
            try:
                data = self._inflater.decompress(packed, wanted)
            except zlib.error:
                raise self._damaged() from None
            if not (packed or data):
                break
        return data

    def _packed(self, wanted: int) -> bytes:
        data = self._file.pread(min(wanted, self._left), self._next)
        self._next, self._left = self._next + len(data), self._left - len(data)
        return data

    def _damaged(self) -> RawError:
        return _broken(f"{self._where}!{self._entry.name.decode(errors='replace')}", "the member is damaged")

    def close(self) -> None:
        """Close the archive."""
        self._file.close()
        super().close()


def composed(name: str) -> str:
    """The name in NFC: macOS writes names decomposed (NFD), rows and other systems mostly composed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def members(path: Path, pattern: str) -> list[str]:
    """Sorted names of the members that match the glob pattern, component by component from the end.

    Raises RawError where the archive is damaged.
    """
    with closing(_open(path)) as file:
        names = sorted(entry.name.decode() for entry in entries(file, str(path)))
    return [name for name in names if PurePosixPath(composed(name)).match(composed(pattern))]


def read_member(path: Path, member: str) -> BinaryIO:
    """The member as a stream. Raises RawError where it is missing; reading raises it where it is damaged."""
    file = _open(path)
    try:
        wanted = member.encode()
        for entry in entries(file, str(path)):
            if entry.name == wanted:
                return io.BufferedReader(MemberStream(file, entry, str(path)), 1 << 18)
        raise RawError(str(path), f"no member {member!r}", "a name that the archive lists")
    except BaseException:
        file.close()
        raise


def _open(path: Path) -> SplitFile:
    try:
        return SplitFile(split_parts(path))
    except FileNotFoundError:
        raise RawError(str(path), "no such file", "an archive", "fetch the source again") from None

"""The structure of image files, seen without decoding a pixel: headers, chunks, and whether the end is there."""

import struct
from typing import NamedTuple

END = b"\xff\xd9"
FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive: the frames with 8 bits that nearly every JPEG has."""
TABLES = (0xC4, 0xC8, 0xCC)
"""Markers between those of frames that begin none."""
EXIF, SCAN = 0xE1, 0xDA


class Jpeg(NamedTuple):
    """What the header says; `tagged` is whether there may be EXIF data."""

    width: int
    height: int
    components: int
    tagged: bool


def walk_jpeg(data: bytes | memoryview) -> Jpeg | None:
    """The header of a JPEG of a usual kind that has its end; None for any other bytes.

    From segment to segment up to the first scan, then the mark of the end, which cannot be in a scan.
    """
    frame, tagged, position, size = None, False, 2, len(data)
    while position + 10 <= size and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        length = data[position + 2] << 8 | data[position + 3]
        if marker == SCAN:
            return frame._replace(tagged=tagged) if frame and _ends(data, position + 2) else None
        if length < 2 or marker in range(0xD0, 0xDA):
            return None
        if marker in FRAMES:
            frame = _frame(data, position)
        elif marker in range(0xC0, 0xD0) and marker not in TABLES:
            return None
        tagged |= marker == EXIF
        position += 2 + length
    return None


def _frame(data: bytes | memoryview, at: int) -> Jpeg | None:
    height, width = data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8]
    usual = data[at + 4] == 8 and data[at + 9] in (1, 3, 4)
    return Jpeg(width, height, data[at + 9], False) if usual and width and height else None


def _ends(data: bytes | memoryview, scan: int) -> bool:
    return data[-2:] == END or END in bytes(data[scan:])


def late_exif(data: bytes) -> bytes:
    """The EXIF data of a PNG, which may be after the pixels; empty where there is none."""
    position, name = 8, b""
    while name != b"IEND" and position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"eXIf":
            return data[position + 8 : position + 8 + length]
        position += length + 12
    return b""


def is_cut(data: bytes) -> bool:
    """Whether the end that the format promises is not there."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[data.rfind(b"\xff\xda") :]  # a thumbnail in the header has an end too
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"RIFF"):
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0").endswith(b";")
    return len(data) < 64

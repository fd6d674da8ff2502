"""The structure of a JPEG: its header and where it ends, seen without decoding a pixel."""

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

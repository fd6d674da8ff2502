"""Images of the blend, each a pure function of its name; they are drawn once into a directory.

p/000012.jpg      a photograph or a drawing: photographs 640 wide as in COCO, drawings 1.6 times as large as drawn
c/.., l/.., o/..  a copy of p/.. encoded or scaled anew; a look-alike of it (a drawing with other values); another
b/<fault>/..      the bytes of p/.. made unreadable
e/<set>/<name>    an image of an eval set, and ec/.. a copy of it
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import drawings
import numpy as np
import xxhash
from PIL import Image

PHOTO_WIDTH, SCALE = 640, 1.6
FAULTS = {"cut": "image_truncated", "flipped": "image_damaged", "html": "image_not_downloaded"}
"""What is done to the bytes, and the reason that normalize gives."""

CHUNK = 64


def plain(number: int) -> str:
    """The name of the image of that number."""
    png = not _is_photo(number) and number // 10 % 5 < 2
    return f"p/{number:08d}.{'png' if png else 'jpg'}"


def photo(number: int) -> str:
    """The name of a photograph."""
    return plain(number // 3 * 10 + number % 3)


def drawing(number: int, *, png: bool = False) -> str:
    """The name of a drawing; with png, of one that is kept as PNG."""
    return plain((number // 2 * 5 + number % 2 if png else number) * 10 + 3 + number % 7)


def variant(letter: str, name: str) -> str:
    """The name of what is made of `p/..`: `c` a copy, `l` a look-alike, `o` another image."""
    return f"{letter}{name[1:]}"


def _is_photo(number: int) -> bool:
    return drawings.kind(number) == "photo"


def bytes_of(name: str) -> bytes:
    """The image of that name."""
    kind, _, rest = name.partition("/")
    if kind == "b":
        fault, _, rest = rest.partition("/")
        return _broken(bytes_of(f"p/{rest}"), fault)
    if kind in ("e", "ec"):
        number = xxhash.xxh3_64_intdigest(rest.encode()) % 1_000_000
        data = _encoded(_drawn(number, "e"), png=False)
        return drawings.copied(data, number)[1] if kind == "ec" else data
    number = int(Path(rest).stem)
    if kind == "c":
        return drawings.copied(bytes_of(f"p/{rest}"), number)[1]
    return _encoded(_drawn(number, kind), png=rest.endswith("png"))


def _drawn(number: int, kind: str) -> Image.Image:
    """Each kind has figures, words and scenery of its own; a look-alike has the template of `p`."""
    seed = {"p": 1, "l": 1, "o": 2, "e": 3}[kind]
    draw = drawings.KINDS[number % len(drawings.KINDS)]
    template = np.random.default_rng([seed, number % len(drawings.KINDS), number // 10 % drawings.TEMPLATES])
    image = draw(np.random.default_rng([seed, number, 5 if kind == "l" else 4]), template)
    scale = PHOTO_WIDTH / image.width if _is_photo(number) else SCALE
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, *, png: bool) -> bytes:
    return drawings.encoded(image, "PNG" if png else "JPEG", 92)


def _broken(data: bytes, fault: str) -> bytes:
    if fault == "html":
        return b"<!DOCTYPE html><html><body>403 Forbidden</body></html>" * 40
    if fault == "cut":
        return data[: len(data) // 2]
    middle = len(data) // 2  # of a PNG: a checksum will tell
    return data[:middle] + bytes([data[middle] ^ 0x5A]) + data[middle + 1 :]


def draw(names: Sequence[str], directory: Path, pool: Executor) -> int:
    """Draw these images into the directory; their bytes."""
    unique = sorted(set(names))
    chunks = [unique[at : at + CHUNK] for at in range(0, len(unique), CHUNK)]
    return sum(pool.map(_draw, chunks, [directory] * len(chunks)))


def _draw(names: Sequence[str], directory: Path) -> int:
    size = 0
    for name in names:
        path, data = directory / name, bytes_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        size += len(data)
    return size

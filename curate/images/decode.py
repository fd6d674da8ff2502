"""Decodes images: whether bytes are an image to train on, and a small one of it for pages.

Sizes and pixels are those of the upright image, as its EXIF orientation says; bytes stay as received. This module
and `pixels` alone import PIL, and the trainer's.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg
import xxhash
from PIL import Image, UnidentifiedImageError

from curate.errors import SkipRow
from curate.images.structure import is_cut, late_exif, walk_jpeg

MAX_PIXELS = 100_000_000
"""Larger images are taken for bombs: above any photograph in a preference set, 300 MB when decoded to RGB."""


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What PIL may try: no format that runs other programs (EPS) or that no dataset ships."""


class BadImage(SkipRow):
    """The bytes are no image to train on.

    Reasons: `not_an_image`, `image_truncated`, `image_damaged`, `image_animated` (several frames or pages),
    `image_too_large` (more than max_pixels).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What its header says of an image.

    key           32 hex digits, xxh3-128 of the bytes as received; `bytes` is their number
    width, height pixels of the upright image
    format, mode  PIL's names: JPEG, PNG, ...; RGB, L, CMYK, P, ...
    """

    key: str
    bytes: int
    width: int
    height: int
    format: str
    mode: str


def check_structure(data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Facts from the header of an image that is whole by its structure; nothing is decoded where that can be seen.

    JPEG by its markers, PNG by its chunks and their checksums, WebP by its size; any other image, and one in which
    something is not as usual, by `check`. Raises BadImage.
    """
    if data[:3] == JPEG_BEGINS:
        found = walk_jpeg(data)
        if found is not None:
            _check_size(found.width, found.height, max_pixels)
            size = (found.width, found.height)
            try:
                size = upright_size(bytes(data)) if found.tagged else size
                return _facts(data, *size, "JPEG", MODES[found.components])
            except PIL_ERRORS:
                pass
    whole = bytes(data)
    chunked = whole.startswith(b"\x89PNG") or (whole[8:12] == b"WEBP" and not is_cut(whole) and any(whole[-32:]))
    return _check_with_pil(whole, max_pixels, decode=False) if chunked else check(whole, max_pixels=max_pixels)


def check(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode the whole image, at reduced scale where the format allows, and return its facts.

    The size is judged from the header before anything is decoded. Raises BadImage.
    """
    try:
        if data.startswith(JPEG_BEGINS):
            facts = _check_jpeg(data, max_pixels)
            if facts is not None:
                return facts
        return _check_with_pil(data, max_pixels)
    except MemoryError:
        raise BadImage("image_too_large", f"{len(data)} bytes that need more memory than there is") from None


JPEG_BEGINS = b"\xff\xd8\xff"
MODES = {1: "L", 3: "RGB", 4: "CMYK"}
"""PIL's mode of a JPEG by the number of its components."""
JPEG_MODES = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}
HARMLESS = ("Invalid SOS parameters", "Unknown Adobe color transform")
"""libjpeg's warnings about header fields that do not touch a pixel; PIL then has the last word."""


def _check_jpeg(data: bytes, max_pixels: int) -> ImageFacts | None:
    """Facts from a strict decode at 1/8 (it walks the whole stream), None where libjpeg-turbo cannot judge."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height, max_pixels)
    try:
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True, min_height=32, min_width=36)
    except ValueError as error:
        if any(word in str(error) for word in HARMLESS):
            return None
        cut = "remature end of JPEG file" in str(error) or is_cut(data)
        raise BadImage("image_truncated" if cut else "image_damaged", str(error)) from None
    if b"Exif" in data[:HEADER] or b"tiff:Orientation" in data[:HEADER]:
        try:
            width, height = upright_size(data)
        except PIL_ERRORS:
            return None
    return _facts(data, width, height, "JPEG", JPEG_MODES.get(space, "RGB"))


def _check_with_pil(data: bytes, max_pixels: int, *, decode: bool = True) -> ImageFacts:
    with unguarded():
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size, max_pixels)
                if image.format != "MPO" and getattr(image, "is_animated", False):
                    raise BadImage("image_animated", f"{image.format} of several frames")
                if image.format == "PNG":
                    _check_png_chunks(data)
                size = _upright_size(image, data)
                if decode:
                    image.load()
                    Upright(image.crop((0, 0, 1, 1)), b"").grey()  # what PIL cannot convert would fail later
                name = "JPEG" if image.format == "MPO" else str(image.format)
                return _facts(data, *size, name, image.mode)
        except UnidentifiedImageError:
            raise _unidentified(data) from None
        except PIL_ERRORS as error:
            cut = "truncat" in str(error).lower() or is_cut(data)
            raise BadImage("image_truncated" if cut else "image_damaged", str(error)) from None


PIL_ERRORS = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What PIL's decoders raise on damaged bytes; which of them depends on the format."""

_PIL = threading.Lock()


@contextmanager
def unguarded() -> Iterator[None]:
    """Run a block with PIL's own size limit and its warnings off; ours is checked before."""
    with _PIL, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image is turned upright, by its EXIF orientation."""
SIDEWAYS = tuple(TURNS[orientation] for orientation in (5, 6, 7, 8))
"""The turns that swap width and height."""
LAST_ROW_FIRST = tuple(TURNS[orientation] for orientation in (3, 4, 7, 8))
"""The turns after which the first row is what was last: the last row, or the last column."""
HEADER = 1 << 18  # bytes of a JPEG in which EXIF data is looked for


def turn(image: Image.Image, data: bytes) -> Image.Transpose | None:
    """Return how an image that was opened from `data` is turned upright, None where it is upright.

    Nothing is decoded. EXIF data that cannot be read turns nothing.
    """
    if image.format == "TIFF":
        return None  # PIL turns it upright itself
    try:
        if image.format != "PNG":
            return TURNS.get(image.getexif().get(ORIENTATION, 1))
        if "exif" not in image.info and (late := late_exif(data)):
            image.info["exif"] = late
        return TURNS.get(Image.Image.getexif(image).get(ORIENTATION, 1))  # the PNG's own would decode its pixels
    except PIL_ERRORS:
        return None


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height of an image that `check` lets pass, from its header."""
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return _upright_size(image, data)


def _upright_size(image: Image.Image, data: bytes) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if turn(image, data) in SIDEWAYS else (width, height)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise BadImage("image_too_large", f"{width}x{height}, limit {max_pixels} pixels")


def _check_png_chunks(data: bytes) -> None:
    """PIL stops reading once it has all rows; this sees a missing end and every wrong checksum."""
    position, name = 8, b""
    while name != b"IEND":
        if position + 12 > len(data):
            raise BadImage("image_truncated", "PNG without its end")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise BadImage("image_truncated", f"PNG chunk {name!r} is cut")
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise BadImage("image_damaged", f"PNG chunk {name!r} has a wrong checksum")
        position = end


def _unidentified(data: bytes) -> BadImage:
    """What is wrong with bytes that PIL does not recognise: they begin as a known format, or are no image."""
    begins = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
    if not data.startswith(begins) and data[8:12] not in (b"WEBP", b"avif"):
        return BadImage("not_an_image", f"{len(data)} bytes that begin with {data[:8].hex(' ') or 'nothing'}")
    return BadImage("image_truncated" if is_cut(data) else "image_damaged", "unreadable header")


STRIP = 1 << 20  # pixels, about, that are converted at once: an image of 100 megapixels is never there twice


class Upright:
    """An opened image as it is upright, whose pixels are handed out in strips of some rows from its top."""

    def __init__(self, image: Image.Image, data: bytes) -> None:
        self._image, self._turn = image, turn(image, data)
        image.load()
        self.mode, self.deep = image.mode, image.mode[0] in "IF"  # deep: more than 8 bits
        self.width, self.height = image.size if self._turn not in SIDEWAYS else image.size[::-1]

    def strips(self) -> Iterator[Image.Image]:
        """The pixels from top to bottom."""
        rows = STRIP // self.width + 1
        for top in range(0, self.height, rows):
            strip = self._image.crop(self._box(top, min(top + rows, self.height)))
            yield strip if self._turn is None else strip.transpose(self._turn)

    def _box(self, top: int, bottom: int) -> tuple[int, int, int, int]:
        """Where rows `top` to `bottom` are before the turn."""
        if self._turn in LAST_ROW_FIRST:
            top, bottom = self.height - bottom, self.height - top
        return (top, 0, bottom, self.width) if self._turn in SIDEWAYS else (0, top, self.width, bottom)

    def filled(self, pixels: Callable[[Image.Image], npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
        """[height, width] of what a function gives of each strip, on white where it is transparent."""
        out, top = np.empty((self.height, self.width), np.uint8), 0
        for strip in self.strips():
            out[top : top + strip.height] = pixels(on_white(strip))
            top += strip.height
        return out

    def grey(self) -> npt.NDArray[np.uint8]:
        """Brightness in 8 bits [height, width]; of a deep image from the darkest pixel to the brightest."""
        if not self.deep:
            return self.filled(lambda strip: np.asarray(_grey(strip)))
        ends = [(strip.min(), strip.max()) for strip in map(_numbers, self.strips())]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        scale = 255 / max(high - low, 1e-9)  # PIL's own conversion would clip them to white
        return self.filled(lambda strip: ((_numbers(strip) - low) * scale).astype(np.uint8))


OPAQUE = 255


def on_white(image: Image.Image) -> Image.Image:
    """The image, of which nothing is transparent: it is laid on white. A deep one is as it was."""
    if image.mode[0] in "IF" or not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    if clear.getchannel("A").getextrema()[0] == OPAQUE:
        return clear.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Brightness in 8 bits of an image that is not deep."""
    if image.mode == "P":  # PIL asks for this detour where a palette has transparency
        image = image.convert("RGBA")
    return image.convert("L")


def _numbers(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)


def preview(data: bytes, side: int, quality: int = 60) -> tuple[bytes, int, int]:
    """A small JPEG for a page, at most side x side pixels, and its width and height.

    On white where it is transparent, and never larger than the image. Raises BadImage where it cannot be decoded.
    """
    try:
        return _preview(data, side, quality)
    except PIL_ERRORS as error:
        raise BadImage("image_damaged", str(error)) from None


def _preview(data: bytes, side: int, quality: int) -> tuple[bytes, int, int]:
    with unguarded(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.draft("RGB", (2 * side, 2 * side))
        small = _small(image, data, side)
        opaque = on_white(small).convert("RGB")
        opaque.thumbnail((side, side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        opaque.save(out, "JPEG", quality=quality, optimize=True)
        return out.getvalue(), opaque.width, opaque.height


def _small(image: Image.Image, data: bytes, side: int) -> Image.Image:
    """The upright image, in 8 bits; a large one reduced by a whole number, far above `side`."""
    if image.mode[0] in "IF":
        image, how = Image.fromarray(Upright(image, data).grey()), None
    else:
        how = turn(image, data)
    times = max(min(image.size) // (4 * side), max(image.size) // (32 * side))
    if times > 1:
        image = (image if image.mode not in "P1" else image.convert("RGBA")).reduce(times)
    return image if how is None else image.transpose(how)


def _facts(data: bytes | memoryview, width: int, height: int, name: str, mode: str) -> ImageFacts:
    return ImageFacts(
        key=xxhash.xxh3_128_hexdigest(data), bytes=len(data), width=width, height=height, format=name, mode=mode
    )

"""Images in every shape in which upstream ships them, as media sources.

A path stays a path: the driver looks it up in the source's media and reports a missing one. Only text that begins
with the signature of an image format, written in base64, is read as the image itself.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from curate.errors import SkipRow
from curate.sources.base import MediaSource

MAGIC = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*",
    b"\0\0\0\x18ftyp", b"\0\0\0\x1cftyp", b"\0\0\0 ftyp", b"\0\0\0$ftyp", b"\0\0\0(ftyp",
)  # fmt: skip
"""How a JPEG, PNG, GIF, WebP, BMP, TIFF (two byte orders) and AVIF or HEIC begin."""

SIGNATURES = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
"""How some of them begin in base64: text that begins so and is no base64 is a damaged image, not a path."""

_DATA_URI = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*(;base64)?,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]{64,}={0,2}\s*")  # 48 bytes at least: the smallest PNG has 67


def media_of(value: Any) -> list[MediaSource]:
    """The images in an upstream value, in order; none for null, for blank text and for an empty list.

    Takes text (a path, base64 or a data URI), bytes, a Hub image `{bytes, path}`, `{url}`, and lists of all these.
    Skips: `image_missing` for an image that is named but empty, `image_not_base64`, `image_is_a_url`,
    `image_of_unknown_shape`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, list | tuple):
        return [_image(entry) for entry in _flat(value)]
    return [_image(value)]


def _flat(values: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
    """The entries of a list, and of lists in it; an empty list inside is an image that is missing."""
    for value in values:
        if isinstance(value, list | tuple) and value:
            yield from _flat(value)
        else:
            yield value


def _image(value: Any) -> MediaSource:
    if value is None or value in ("", b"", [], {}, ()) or (isinstance(value, str) and not value.strip()):
        raise SkipRow("image_missing", repr(value))
    if isinstance(value, bytes):
        return MediaSource(data=value)
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, dict) and {"bytes", "path", "url"} & set(value):
        held = next((value[key] for key in ("bytes", "path", "url") if value.get(key)), None)
        return _image(held)
    raise SkipRow("image_of_unknown_shape", type(value).__name__)


def required_media(value: Any) -> list[MediaSource]:
    """As `media_of`, for sets in which every row shows something: a row without is a skip `no_image`.

    Without this a question about a lost image would pass for a question about nothing.
    """
    media = media_of(value)
    if not media:
        raise SkipRow("no_image")
    return media


def _from_text(value: str) -> MediaSource:
    if value.lower().startswith(("http://", "https://", "s3://", "gs://", "hf://")):
        raise SkipRow("image_is_a_url", value[:80])
    uri = _DATA_URI.match(value)
    body = value[uri.end() :] if uri else value
    coded = body.startswith(SIGNATURES)
    if uri is None and not (_BASE64.fullmatch(body) if coded else "." not in body and _BASE64.fullmatch(body)):
        return MediaSource(path=value)
    if uri is not None and uri[1] is None:
        raise SkipRow("image_not_base64", value[:40])
    try:
        packed = "".join(body.split()).translate(URL_SAFE)
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError as error:  # binascii.Error is one; so is what b64decode raises for other letters
        if uri is None and not coded:
            return MediaSource(path=value)
        raise SkipRow("image_not_base64", str(error)) from None
    if uri is None and not data.startswith(MAGIC):
        return MediaSource(path=value)
    return MediaSource(data=data)


URL_SAFE = str.maketrans("-_", "+/")

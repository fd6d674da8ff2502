"""Images in every shape in which upstream ships them, as media sources.

A path stays a path: the driver looks it up in the source's media and reports a missing one. Only text that begins
with the signature of an image format, written in base64, is read as the image itself.
"""

import base64
import binascii
import re
from typing import Any

from curate.errors import SkipRow
from curate.sources.base import MediaSource

SIGNATURES = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
"""How a JPEG, PNG, GIF, WebP and TIFF (two byte orders) begin in base64."""

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")  # 48 bytes at least: the smallest PNG has 67


def media_of(value: Any) -> list[MediaSource]:
    """The images in an upstream value, in order; none for a missing, null or empty one.

    Takes text (a path, base64 or a data URI), bytes, a Hub image `{bytes, path}` and lists of all these.
    Skips: `image_not_base64`, `image_is_a_url`, `image_of_unknown_shape`.
    """
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [item for entry in value for item in media_of(entry)]
    if isinstance(value, bytes):
        return [MediaSource(data=value)]
    if isinstance(value, str):
        return [_from_text(value)] if value.strip() else []
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        data = value.get("bytes")
        return media_of(value.get("path") if data is None else data)
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
    if value.startswith(("http://", "https://")):
        raise SkipRow("image_is_a_url", value[:80])
    uri = _DATA_URI.match(value)
    body = value[uri.end() :] if uri else value
    if uri is None and not (body.startswith(SIGNATURES) and _BASE64.fullmatch(body)):
        return MediaSource(path=value)
    try:
        return MediaSource(data=base64.b64decode("".join(body.split()), validate=True))
    except binascii.Error as error:
        raise SkipRow("image_not_base64", str(error)) from None

"""What the structure of an image shows without a decode: the same facts, and every cut or emptied file."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.images.decode import BadImage, check, check_structure
from curate.images.structure import walk_jpeg
from tests.support.pictures import damaged_jpeg, encoded, noisy

KINDS = {
    "jpeg": ("RGB", "JPEG", {}),
    "progressive": ("RGB", "JPEG", {"progressive": True}),
    "grey": ("L", "JPEG", {}),
    "cmyk": ("CMYK", "JPEG", {}),
    "restarts": ("RGB", "JPEG", {"restart_marker_blocks": 2}),
    "png": ("RGBA", "PNG", {}),
    "palette": ("P", "PNG", {}),
    "deep": ("I;16", "PNG", {}),
    "webp": ("RGB", "WEBP", {}),
    "gif": ("P", "GIF", {}),
    "bmp": ("RGB", "BMP", {}),
    "tiff": ("RGB", "TIFF", {}),
}


def sideways(data: bytes) -> bytes:
    """The JPEG with EXIF data that turns it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def reason(function, data, **options):
    with pytest.raises(BadImage) as caught:
        function(data, **options)
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_facts_are_those_of_a_decode(kind):
    mode, name, options = KINDS[kind]
    data = encoded(noisy(60, 40, mode), name, **options)
    assert check_structure(data) == check_structure(memoryview(data)) == check(data)


def test_a_turned_image_has_its_upright_size():
    data = sideways(encoded(noisy(60, 40), "JPEG"))
    facts = check_structure(data)
    assert (facts.width, facts.height) == (40, 60)
    assert facts == check(data)


def broken(data: bytes) -> list[bytes]:
    """The file cut, and with nothing but zeros from there on, at twenty places."""
    places = [int(share * len(data)) for share in np.linspace(0.2, 0.97, 20)]
    return [data[:at] for at in places] + [data[:at] + bytes(len(data) - at) for at in places]


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts", "png"])
def test_every_cut_and_every_emptied_tail_is_seen(kind):
    mode, name, options = KINDS[kind]
    for data in broken(encoded(noisy(60, 40, mode), name, **options)):
        assert reason(check_structure, data) == reason(check, data)


@pytest.mark.parametrize("kind", ["webp", "gif", "bmp", "tiff"])
def test_other_formats_have_the_outcome_of_a_decode(kind):
    def outcome(function, data):
        try:
            return function(data)
        except BadImage as bad:
            return bad.reason

    mode, name, options = KINDS[kind]
    for data in broken(encoded(noisy(60, 40, mode), name, **options)):
        assert outcome(check_structure, data) == outcome(check, data)


def test_what_follows_the_end_of_a_jpeg_does_no_harm():
    data = encoded(noisy(60, 40), "JPEG")
    assert walk_jpeg(data + bytes(100)) == walk_jpeg(data) == (60, 40, 3, False)


def test_a_scan_of_other_bits_is_left_to_the_decode():
    data = damaged_jpeg()
    assert check_structure(data).format == "JPEG"
    assert reason(check, data) == "image_damaged"


def test_the_limit_on_pixels_is_checked_first():
    for name in ("JPEG", "PNG", "WEBP"):
        assert reason(check_structure, encoded(noisy(60, 40), name), max_pixels=2399) == "image_too_large"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + bytes(40), b"\x89PNG", b"text"])
def test_what_is_no_image_has_the_reason_of_a_decode(data):
    assert reason(check_structure, data) == reason(check, data)

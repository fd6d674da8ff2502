"""Images before a backbone reads them: headers, orientation, transparency, bombs, and bytes that were changed."""

import io
import warnings
import zlib

import numpy as np
import pytest
import xxhash
from PIL import Image, ImageOps

from tests.support.trainer_shards import bomb, shot
from trainer.media import BadMedia, Medium, decode, read_header


def oriented(orientation, **save):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return shot(0, (40, 20), exif=exif, **save)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_images_are_turned_upright(orientation, kind):
    data = oriented(orientation, kind=kind)
    picture = read_header(data)
    done = decode(picture)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    assert (picture.width, picture.height) == done.size == upright.size
    assert np.array_equal(np.array(done), np.array(upright))


def test_exif_data_after_the_pixels_of_a_png_counts_and_damaged_data_does_not():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = shot(0, (40, 20))
    body = b"eXIf" + exif.tobytes()[6:]
    late = data[:-12] + (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4) + data[-12:]
    picture = read_header(late)
    assert (picture.width, picture.height) == decode(picture).size == (20, 40)
    picture = read_header(shot(0, (40, 20), kind="JPEG", exif=b"Exif\0\0no header"))
    assert (picture.width, picture.height) == decode(picture).size == (40, 20)


def test_transparency_is_white():
    out = io.BytesIO()
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(out, "PNG")
    assert np.array(decode(read_header(out.getvalue()))).tolist() == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("side", [9_460, 13_377])
def test_a_bomb_is_refused_whether_pil_warns_or_raises(side):
    with warnings.catch_warnings(), pytest.raises(BadMedia) as caught:
        warnings.simplefilter("ignore")
        read_header(bomb(side))
    assert caught.value.reason == "image_too_large"
    with warnings.catch_warnings(), pytest.raises(BadMedia) as caught:
        warnings.simplefilter("error")
        read_header(bomb(side))
    assert caught.value.reason == "image_too_large"
    assert read_header(bomb(9_459)).width == 9_459


def test_bytes_that_are_not_those_of_the_key():
    changed = Medium("image", (xxhash.xxh3_128_hexdigest(b"other"),), (shot(0, (8, 8)),))
    with pytest.raises(BadMedia) as caught:
        changed.read()
    assert caught.value.reason == "image_damaged"

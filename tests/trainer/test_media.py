"""Images before a backbone reads them: headers, orientation, transparency, bombs, and bytes that were changed."""

import io
import warnings

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
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_images_are_turned_upright(orientation, kind):
    data = oriented(orientation, kind=kind)
    picture = read_header(data)
    done = decode(picture)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    assert (picture.width, picture.height) == done.size == upright.size
    assert np.array_equal(np.array(done), np.array(upright))


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

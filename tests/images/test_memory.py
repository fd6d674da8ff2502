"""What images cost: strips give what the whole would, and a lack of memory is a reason."""

import io
import subprocess
import sys

import numpy as np
import pytest
import xxhash
from PIL import Image

from curate.images import decode

LIMITED = """
import io, resource, sys
import numpy as np
from PIL import Image
from curate.images import decode
stream = io.BytesIO()
Image.fromarray(np.arange(25_000_000).astype(np.uint16).reshape(5000, 5000)).save(stream, "PNG", compress_level=1)
image = stream.getvalue()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
getattr(decode, sys.argv[1])(image, *map(int, sys.argv[2:]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize(
    "work", [("check",), ("grey", "32"), ("colours", "32"), ("pixels_digest",), ("preview", "64")]
)
def test_a_deep_image_is_never_in_memory_at_eight_bytes_a_pixel(work):
    done = subprocess.run([sys.executable, "-c", LIMITED, *work], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 110  # MB, for 25 megapixels: 50 as they are, 25 in grey; it was up to 500


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    height, width = size[::-1]
    values = np.random.default_rng(3).integers(0, 65536, (height, width, 4), np.uint16)
    if mode == "I;16":
        return Image.fromarray(values[:, :, 0])
    image = Image.fromarray(values.astype(np.uint8), "RGBA")
    return image.quantize(16) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize("mode", ["I;16", "P", "RGBA", "RGB", "L", "1", "LA"])
def test_strips_give_what_the_whole_image_gives(mode, monkeypatch):
    data = png(noise(mode, (7, 23)))
    whole = [decode.grey(data, 32), decode.colours(data, 32), decode.pixels_digest(data)]
    grey = decode.brightness(whole[1])
    monkeypatch.setattr(decode, "STRIP", 20)
    for now, before in zip([decode.grey(data, 32), decode.colours(data, 32)], whole, strict=False):
        assert np.array_equal(now, before)
    assert decode.pixels_digest(data) == whole[2]
    assert np.array_equal(decode.brightness(whole[1]), grey)


def test_the_digest_is_that_of_all_pixels():
    image = noise("RGB", (40, 30))
    pixels = b"RGBA 40 30 " + image.convert("RGBA").tobytes()
    assert decode.pixels_digest(png(image)) == xxhash.xxh3_128_digest(pixels)


def test_a_lack_of_memory_is_a_reason(monkeypatch):
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "crop", no_memory)
    with pytest.raises(decode.BadImage) as caught:
        decode.check(png(noise("RGB", (4, 4))))
    assert caught.value.reason == "image_too_large"

"""What images cost: strips give what the whole would, and a lack of memory is a reason."""

import io
import subprocess
import sys

import numpy as np
import pytest
import xxhash
from PIL import Image, ImageOps

from curate.images import decode, pixels

LIMITED = """
import io, re, sys
from pathlib import Path
import numpy as np
from PIL import Image
from curate.images import decode, pixels
mode, orientation, work = sys.argv[1], int(sys.argv[2]), sys.argv[3]
stream, exif = io.BytesIO(), Image.Exif()
exif[decode.ORIENTATION] = orientation
if mode == "I;16":
    image = Image.fromarray(np.arange(25_000_000).astype(np.uint16).reshape(5000, 5000))
else:
    image = Image.new(mode, (5000, 5000), "teal")
image.save(stream, "PNG", compress_level=1, exif=exif)
del image

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
before = kilobytes("VmRSS")
done = getattr(pixels if hasattr(pixels, work) else decode, work)(stream.getvalue(), *map(int, sys.argv[4:]))
for plane in done if work == "planes" else ():
    plane.sum()
    del plane
print((kilobytes("VmHWM") - before) >> 10)
"""
WORK = [("check",), ("grey", "32"), ("planes", "32"), ("pixels_digest",), ("preview", "64")]


def used(*arguments: str) -> int:
    """The megabytes that work on an image of 25 megapixels takes."""
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("work", WORK)
def test_a_deep_image_is_never_in_memory_at_eight_bytes_a_pixel(work):
    assert used("I;16", "1", *work) < 110  # 50 as they are, 25 in grey; it was up to 500


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("orientation", ["1", "6"])
def test_an_image_in_colour_is_in_memory_once(work, orientation):
    assert used("RGB", orientation, *work) < 160  # 100 as PIL has them, 25 of one colour; it was up to 300


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
    whole = [pixels.grey(data, 32), *pixels.planes(data, 32)]
    digest = pixels.pixels_digest(data)
    monkeypatch.setattr(decode, "STRIP", 20)
    for now, before in zip([pixels.grey(data, 32), *pixels.planes(data, 32)], whole, strict=True):
        assert np.array_equal(now, before)
    assert pixels.pixels_digest(data) == digest


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["I;16", "P", "RGBA", "RGB", "L"])
def test_strips_of_a_turned_image_are_those_of_the_upright_one(mode, orientation, monkeypatch):
    """Pixels, digest and brightness as PIL gives them of the whole image that it turns."""
    image, stream, exif = noise(mode, (7, 23)), io.BytesIO(), Image.Exif()
    exif[decode.ORIENTATION] = orientation
    image.save(stream, "PNG", exif=exif)
    data, upright = stream.getvalue(), png(ImageOps.exif_transpose(Image.open(stream)))
    monkeypatch.setattr(decode, "STRIP", 20)
    assert pixels.pixels_digest(data) == pixels.pixels_digest(upright)
    for turned, straight in zip(pixels.planes(data, 32), pixels.planes(upright, 32), strict=True):
        assert np.array_equal(turned, straight)
    assert np.array_equal(pixels.grey(data, 32), pixels.grey(upright, 32))
    if mode != "I;16":
        clear = Image.open(io.BytesIO(upright)).convert("RGBA")
        opened = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        assert np.array_equal(pixels.grey(data, 32), np.asarray(opened.convert("L")))
        red, green, blue = list(pixels.planes(data, 32))[1:]
        assert np.array_equal(np.dstack([red, green, blue]), np.asarray(opened))


def test_the_digest_is_that_of_all_pixels():
    image = noise("RGB", (40, 30))
    whole = b"RGBA 40 30 " + image.convert("RGBA").tobytes()
    assert pixels.pixels_digest(png(image)) == xxhash.xxh3_128_digest(whole)


def test_a_lack_of_memory_is_a_reason(monkeypatch):
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "crop", no_memory)
    with pytest.raises(decode.BadImage) as caught:
        decode.check(png(noise("RGB", (4, 4))))
    assert caught.value.reason == "image_too_large"

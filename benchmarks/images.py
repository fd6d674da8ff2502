"""How fast images are judged: curate.images.decode.check against bare decoding and against what people do.

python benchmarks/images.py [--images 200] [--rounds 15]

All ways see the same JPEGs in the same run, in turns that rotate. Two figures for each way: its best round in
images per second of CPU time of one process, and its time over that of the bare decode in the same round (median
and quartiles over the rounds). On a busy machine the two differ by several hundredths; both are written to
benchmarks/results/images.json.
"""

import argparse
import io
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from curate.images.decode import check

RESULT = Path(__file__).parent / "results" / "images.json"
SIZES = ((640, 480), (800, 600), (1024, 768))
BYTES = 100_000


def make_image(number: int) -> bytes:
    """A JPEG of about 100 kB: smooth noise in colour, with as much grain as the size needs."""
    rng = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    coarse = Image.fromarray(rng.integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 8, (height, width, 1)).astype(np.float32)
    pixels = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
    data = b""
    for quality in range(95, 20, -3):
        out = io.BytesIO()
        pixels.save(out, "JPEG", quality=quality)
        data = out.getvalue()
        if len(data) <= BYTES * 1.1:
            break
    return data


def bare_decode(data: bytes) -> None:
    """libjpeg-turbo at 1/8, grey: the floor for anything that must see a cut."""
    simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True, min_height=32, min_width=36)


def difference(image: Image.Image) -> int:
    """The difference hash as imagehash computes it."""
    grid = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    return int.from_bytes(np.packbits(grid[:, 1:] > grid[:, :-1]).tobytes())


def pil_draft(data: bytes) -> None:
    """PIL's own scaled decode, then the hash."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", (image.width // 8, image.height // 8))
        difference(image)


def pil_full(data: bytes) -> None:
    """What people do: a full decode, then the hash."""
    with Image.open(io.BytesIO(data)) as image:
        difference(image)


BARE = "bare decode (simplejpeg 1/8 grey)"
WAYS: dict[str, Callable[[bytes], object]] = {
    "curate.images.decode.check": check,
    BARE: bare_decode,
    "PIL draft + dhash": pil_draft,
    "PIL full decode + dhash": pil_full,
}


def measure(images: list[bytes], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every round, for each way."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    names = list(WAYS)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.process_time()
            for data in images:
                WAYS[name](data)
            seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    images = [make_image(number) for number in range(options.images)]
    mean = sum(map(len, images)) / len(images)
    load = os.getloadavg()[0]
    seconds = measure(images, options.rounds)
    best = {name: len(images) / min(taken) for name, taken in seconds.items()}
    paired = {name: np.array(taken) / np.array(seconds[BARE]) for name, taken in seconds.items()}
    spread = {name: np.percentile(ratios, [25, 50, 75]).round(3).tolist() for name, ratios in paired.items()}
    print(f"{len(images)} JPEGs, {mean / 1000:.0f} kB on average, {options.rounds} rounds, load {load:.1f}")
    for name, rate in best.items():
        low, median, high = spread[name]
        over = f"{best[BARE] / rate:.2f} x bare (best)  {median:.2f} ({low:.2f}-{high:.2f}) paired"
        print(f"{name:36} {rate:6.0f} images/s  {over}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps(
            {
                "date": time.strftime("%Y-%m-%d"),
                "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "system": platform.platform()},
                "versions": {"python": platform.python_version()}
                | {name: version(name) for name in ("pillow", "simplejpeg", "numpy", "xxhash")},
                "images": {"count": len(images), "mean_bytes": round(mean), "sizes": SIZES},
                "rounds": options.rounds,
                "load_at_start": round(load, 2),
                "images_per_cpu_second_best": {name: round(rate, 1) for name, rate in best.items()},
                "time_over_bare_decode_best": {name: round(best[BARE] / rate, 3) for name, rate in best.items()},
                "time_over_bare_decode_paired_quartiles": spread,
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()

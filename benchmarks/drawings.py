"""Draws images as preference sets have them, and copies of them, each a pure function of its number.

Many share a template, so that a distinct image often has look-alikes: the same chart with other values, the same
slide with other words, the same form with other figures, an empty page with another word on it.
"""

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEMPLATES = 12
WORDS = [
    "alpha", "river", "market", "study", "table", "green", "north", "model", "signal", "water", "union", "frame",
    "order", "light", "paper", "value", "engine", "garden", "window", "number", "metric", "result", "energy",
    "forest", "record", "sample", "driver", "planet", "theory", "margin",
]  # fmt: skip
Rng = np.random.Generator
Draw = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


@cache
def font(size: int) -> Any:
    """Pillow's own scalable font."""
    return ImageFont.load_default(size)


def words(rng: Rng, count: int) -> str:
    """So many words."""
    return " ".join(str(word) for word in rng.choice(WORDS, count))


def colour(rng: Rng, low: int = 0, high: int = 256) -> Colour:
    """A colour between two brightnesses."""
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def photo(rng: Rng, _: Rng) -> Image.Image:
    """Smooth colour noise on two scales, a few objects with edges, grain."""
    width, height = int(rng.integers(20, 33)) * 16, int(rng.integers(15, 25)) * 16
    image = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 0.7), (16, 0.3)):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image += weight * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    picture = Image.fromarray(image.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _object in range(int(rng.integers(2, 7))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        points = [(x + dx, y + dy) for dx, dy in rng.integers(-90, 90, (5, 2)).tolist()]
        draw.polygon(points, fill=colour(rng))
    grain = rng.normal(0, 5, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(picture, np.float32) + grain, 0, 255).astype(np.uint8))


def bars(rng: Rng, template: Rng) -> Image.Image:
    """A bar chart: title, axis, colours and labels are the template's, the values its own."""
    width, height, count = int(template.integers(320, 512)), int(template.integers(240, 384)), 4
    count += int(template.integers(0, 5))
    image, draw = _page(width, height, words(template, 3))
    step, fill = (width - 70) / count, colour(template, 40, 200)
    for number, value in enumerate(rng.integers(10, 99, count).tolist()):
        left, top = 50 + number * step, height - 40 - (height - 90) * value / 100
        draw.rectangle([left + 4, top, left + step - 4, height - 40], fill=fill)
        draw.text((left + 6, top - 14), str(value), fill=0, font=font(12))
        draw.text((left + 4, height - 34), words(template, 1)[:6], fill=0, font=font(11))
    draw.line([(48, 40), (48, height - 40), (width - 16, height - 40)], fill=0, width=2)
    return image


def lines(rng: Rng, template: Rng) -> Image.Image:
    """A plot with two curves and a grid."""
    width, height = int(template.integers(320, 512)), int(template.integers(240, 384))
    image, draw = _page(width, height, words(template, 2))
    for level in range(5):
        y = 40 + level * (height - 80) / 4
        draw.line([(48, y), (width - 16, y)], fill=(210, 210, 210))
        draw.text((20, y - 6), str(100 - 25 * level), fill=0, font=font(11))
    for _curve in range(2):
        values = np.cumsum(rng.normal(0, 1, 24))
        values = (values - values.min()) / (np.ptp(values) + 1e-9)
        xs = np.linspace(50, width - 20, 24)
        line = [(x, y) for x, y in zip(xs.tolist(), (height - 40 - values * (height - 80)).tolist(), strict=True)]
        draw.line(line, fill=colour(template, 0, 180), width=2)
    return image


def scatter(rng: Rng, template: Rng) -> Image.Image:
    """A plot of points."""
    width, height = int(template.integers(320, 512)), int(template.integers(240, 384))
    image, draw = _page(width, height, words(template, 2))
    fill, slope = colour(template, 0, 180), rng.uniform(-1, 1)
    for x, noise in zip(rng.uniform(0, 1, 60).tolist(), rng.normal(0, 0.15, 60).tolist(), strict=True):
        y = min(max(0.5 + slope * (x - 0.5) + noise, 0), 1)
        left, top = 50 + x * (width - 76), 40 + y * (height - 84)
        draw.ellipse([left, top, left + 6, top + 6], fill=fill)
    draw.line([(48, 36), (48, height - 36), (width - 16, height - 36)], fill=0, width=2)
    return image


def slide(rng: Rng, template: Rng) -> Image.Image:
    """A slide of a template with words of its own."""
    image = Image.new("RGB", (480, 360), colour(template, 180, 256))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 480, 56], fill=colour(template, 0, 120))
    draw.rectangle([0, 340, 480, 360], fill=colour(template, 60, 160))
    draw.text((20, 16), words(rng, 3), fill=(255, 255, 255), font=font(22))
    for number in range(int(template.integers(3, 7))):
        draw.text((30, 80 + 40 * number), f"• {words(rng, 5)}", fill=(20, 20, 20), font=font(16))
    return image


def screenshot(rng: Rng, template: Rng) -> Image.Image:
    """A window with a bar, a side list and lines of text of its own."""
    dark = template.uniform() < 0.4
    ground, ink = ((32, 33, 36), (220, 220, 220)) if dark else ((255, 255, 255), (30, 30, 30))
    image = Image.new("RGB", (512, 320), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 512, 28], fill=colour(template, 60, 220))
    draw.text((10, 7), words(template, 4), fill=ink, font=font(12))
    for number in range(9):
        draw.text((10, 44 + 28 * number), words(template, 1), fill=ink, font=font(13))
    for number in range(int(rng.integers(6, 17))):
        draw.text((120, 44 + 16 * number), words(rng, int(rng.integers(3, 8))), fill=ink, font=font(12))
    return image


def form(rng: Rng, template: Rng) -> Image.Image:
    """A bill: all is the template's but the figures, which are small."""
    image, draw = _page(400, 360, words(template, 3))
    for row in range(10):
        draw.text((30, 50 + 28 * row), words(template, 2), fill=0, font=font(14))
        draw.text((300, 50 + 28 * row), f"{rng.uniform(10, 9999):.2f}", fill=0, font=font(14))
        draw.line([(24, 70 + 28 * row), (376, 70 + 28 * row)], fill=(200, 200, 200))
    return image


def nearly_blank(rng: Rng, template: Rng) -> Image.Image:
    """A page of one colour, a faint slope at times, and a few words somewhere."""
    ground = colour(template, 200, 256)
    image = Image.new("RGB", (400, 300), ground)
    draw = ImageDraw.Draw(image)
    if template.uniform() < 0.3:
        for y in range(300):
            draw.line([(0, y), (400, y)], fill=tuple(max(0, c - y // 12) for c in ground))
    place = int(rng.integers(10, 200)), int(rng.integers(10, 270))
    draw.text(place, words(rng, 3), fill=colour(template, 0, 120), font=font(16))
    return image


def _page(width: int, height: int, title: str) -> tuple[Image.Image, Draw]:
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((20, 10), title, fill=0, font=font(16))
    return image, draw


KINDS: tuple[Callable[[Rng, Rng], Image.Image], ...] = (
    photo, photo, photo, bars, lines, scatter, slide, screenshot, form, nearly_blank,
)  # fmt: skip
"""Drawn in turn: three in ten are photographs."""


def kind(number: int) -> str:
    """What the image of that number is."""
    return KINDS[number % len(KINDS)].__name__


def drawn(number: int, seed: int = 1) -> Image.Image:
    """The image of that number."""
    rng = np.random.default_rng([seed, number])
    template = np.random.default_rng([seed, number % len(KINDS), int(rng.integers(TEMPLATES))])
    return KINDS[number % len(KINDS)](rng, template)


def original(number: int, seed: int = 1) -> bytes:
    """The image of that number as a set would ship it: drawings as PNG or JPEG, photographs as JPEG."""
    rng = np.random.default_rng([seed, number, 1])
    if kind(number) != "photo" and rng.uniform() < 0.6:
        return encoded(drawn(number, seed), "PNG")
    return encoded(drawn(number, seed), "JPEG", int(rng.integers(85, 96)))


CHANGES = ("jpeg", "webp", "png", "resized", "resized and jpeg")
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)


def copied(data: bytes, number: int, seed: int = 1) -> tuple[str, bytes]:
    """(what was done, the bytes) of a copy: quality 30 to 95, scale 1/4 to 2."""
    rng = np.random.default_rng([seed, number, 2])
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    image = Image.open(io.BytesIO(data)).convert("RGB")
    quality = int(rng.integers(30, 96))
    if "resized" in change:
        scale = float(2 ** rng.uniform(-2, 1))
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, FILTERS[int(rng.integers(len(FILTERS)))])
    if "jpeg" in change or "webp" in change:
        return change, encoded(image, "WEBP" if "webp" in change else "JPEG", quality)
    return change, encoded(image, "PNG")


def encoded(image: Image.Image, name: str, quality: int = 90) -> bytes:
    """The image in a format; quality where that has one."""
    out = io.BytesIO()
    settings: dict[str, Any] = {"compress_level": 1} if name == "PNG" else {"quality": quality}
    if name == "WEBP":
        settings["method"] = 2
    image.save(out, name, **settings)
    return out.getvalue()

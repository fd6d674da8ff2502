"""Copies of real photographs and of drawn pages by kind of change: recall and precision, against phash and PDQ.

    pip install scikit-image scikit-learn matplotlib imagehash pdqhash       # the photographs, and the peers
    python benchmarks/copies.py                       curate as it is here
    PYTHONPATH=CHECKOUT python benchmarks/copies.py --label before     another commit; both are in the results

The originals are the photographs that scikit-image, scikit-learn and matplotlib ship, quarters of five of them as
further pictures, bills, and drawings of `drawings.py`. Each is changed in all ways of `CHANGES`; copies of each
kind are looked for among all originals (`find_copies_of`), then all variants of every original in one store
(`find_copies`). `NEVER` are changes that make another picture, `TOLERATED` those that only `tolerant` takes for
copies. Look-alikes are bills with one figure changed, of which only the other version is there. A pair is right if
it is a variant and its own original. phash is within a distance of 8 of 64 bits, PDQ of 31 of 256.
"""

import argparse
import inspect
import io
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import drawings
import measure
import numpy as np
from PIL import Image, ImageDraw

from curate.engines.local import Local
from curate.images.copies import find_copies, find_copies_of
from curate.images.store import ImageStore

Picture = Image.Image
Change = Callable[[Picture], bytes]

PEERS = {"phash": 8, "pdq": 31}
LOOK_ALIKES = 40
NO_PHOTOGRAPHS = ("chessboard_GRAY", "chessboard_RGB", "color", "horse", "logo", "microaneurysms", "phantom")
QUARTERED = ("astronaut", "coffee", "china", "flower", "hubble_deep_field")


# ------------------------------------------------------------------------------------------------ what is changed


def photographs() -> dict[str, Picture]:
    """Those of the three packages, at most 1,000 pixels wide or high, and quarters of some of them."""
    import matplotlib  # type: ignore[import-not-found, unused-ignore]
    import skimage  # type: ignore[import-not-found, unused-ignore]
    import sklearn  # type: ignore[import-not-found, unused-ignore]

    folders = [
        Path(skimage.__file__).parent / "data",
        Path(sklearn.__file__).parent / "datasets" / "images",
        Path(matplotlib.__file__).parent / "mpl-data" / "sample_data",
    ]
    found = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.[jp][pn]g")):
        if path.stem not in NO_PHOTOGRAPHS:
            image = on_white(Image.open(path))
            image.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
            found[path.stem] = image
    for name in QUARTERED:
        width, height = (side // 2 for side in found[name].size)
        for part, (x, y) in enumerate(((0, 0), (width, 0), (0, height), (width, height))):
            found[f"{name}, quarter {part}"] = found[name].crop((x, y, x + width, y + height))
    return found


def bill(seed: int, *, changed: bool = False) -> Picture:
    """A bill of 420 x 560; `changed` is the same with one figure of one price changed."""
    rng, dice = random.Random(seed), random.Random(seed + 1_000_000)
    image = Image.new("RGB", (420, 560), "white")
    draw = ImageDraw.Draw(image)
    draw.text((126, 22), f"Cafe {drawings.WORDS[seed % 30]} {rng.randint(1, 99)}", fill=0, font=drawings.font(22))
    prices = [f"{rng.randint(100, 2999) / 100:.2f}" for _ in range(rng.randint(7, 11))]
    if changed:
        row, figure = dice.randrange(len(prices)), -dice.choice((1, 2, 4))
        wrong = dice.choice([digit for digit in "0123456789" if digit != prices[row][figure]])
        prices[row] = prices[row][:figure] + wrong + prices[row][len(prices[row]) + figure + 1 :]
    for number, price in enumerate(prices):
        y = 84 + 34 * number
        draw.text((34, y), f"{rng.randint(1, 9)} x {rng.choice(drawings.WORDS)}", fill=0, font=drawings.font(16))
        draw.text((302, y), f"{price:>8}", fill=0, font=drawings.font(16))
    draw.line([(25, 482), (395, 482)], fill=0, width=2)
    return image


def originals() -> dict[str, Picture]:
    """All pictures by name; photographs, bills and drawings begin with what they are."""
    found = {f"photo {name}": image for name, image in photographs().items()}
    found |= {f"page bill {seed}": bill(seed) for seed in range(8)}
    numbers = [number for number in range(1000, 1000 + 37 * 16, 37) if drawings.kind(number) != "photo"]
    return found | {f"page {drawings.kind(n)} {n}": on_white(read(drawings.original(n))) for n in numbers}


def read(data: bytes) -> Picture:
    """The picture of these bytes."""
    return Image.open(io.BytesIO(data))


def on_white(image: Picture) -> Picture:
    """Without transparency."""
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def encoded(image: Picture, name: str = "PNG", quality: int | None = None, **settings: Any) -> bytes:
    """The image in a format."""
    out = io.BytesIO()
    image.save(out, name, **({} if quality is None else {"quality": quality}), **settings)
    return out.getvalue()


def scaled(x: float, y: float | None = None, how: Image.Resampling = Image.Resampling.LANCZOS) -> Any:
    """What scales an image by these factors."""

    def change(image: Picture) -> Picture:
        return image.resize((round(image.width * x), round(image.height * (x if y is None else y))), how)

    return change


def to_28(image: Picture) -> Picture:
    """Sides rounded to multiples of 28, as Qwen's processors have it."""
    sides = [max(round(side / 28), 1) * 28 for side in image.size]
    return image.resize((sides[0], sides[1]), Image.Resampling.BICUBIC)


def squeezed(image: Picture) -> Picture:
    """224 x 224, whatever its shape."""
    return image.resize((224, 224), Image.Resampling.BICUBIC)


def sideways(image: Picture) -> bytes:
    """Stored on its side, with the EXIF orientation that turns it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", 85, exif=exif)


def clear(image: Picture) -> bytes:
    """White, and what is nearly so, made transparent black."""
    pixels = np.array(image.convert("RGBA"))
    pixels[(pixels[:, :, :3] >= 250).all(axis=2)] = 0
    return encoded(Image.fromarray(pixels))


def then(*steps: Any, name: str = "PNG", quality: int | None = None) -> Change:
    """One change after another, and an encoding."""

    def change(image: Picture) -> bytes:
        for step in steps:
            image = step(image)
        return encoded(image, name, quality)

    return change


def gamma(power: float) -> Any:
    """What changes the gamma of an image."""
    table = [round(255 * (value / 255) ** power) for value in range(256)]
    return lambda image: image.point(table * 3)


def colours(count: int) -> Any:
    """What reduces an image to so many colours of its own."""
    return lambda image: image.quantize(count)


def border(image: Picture) -> Picture:
    """5 % of black on every side."""
    x, y = image.width // 20, image.height // 20
    framed = Image.new("RGB", (image.width + 2 * x, image.height + 2 * y))
    framed.paste(image, (x, y))
    return framed


def cropped(image: Picture) -> Picture:
    """5 % less on every side."""
    x, y = image.width // 20, image.height // 20
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Change] = {
    "PNG": then(),
    **{f"JPEG {quality}": then(name="JPEG", quality=quality) for quality in (90, 75, 50, 30, 20, 10)},
    **{f"WebP {quality}": then(name="WEBP", quality=quality) for quality in (80, 30, 10)},
    "EXIF orientation": sideways,
    "white made transparent": clear,
    "64 colours": then(colours(64)),
    "32 colours": then(colours(32)),
    "16 colours": then(colours(16)),
    "8 colours": then(colours(8)),
    "GIF": then(name="GIF"),
    "web colours, dithered": then(lambda image: image.convert("P")),
    "half": then(scaled(0.5)),
    "half, bilinear, JPEG 75": then(scaled(0.5, how=Image.Resampling.BILINEAR), name="JPEG", quality=75),
    "half, nearest": then(scaled(0.5, how=Image.Resampling.NEAREST)),
    "half, 32 colours": then(scaled(0.5), colours(32)),
    "third": then(scaled(1 / 3)),
    "quarter": then(scaled(0.25)),
    "quarter, JPEG 75": then(scaled(0.25), name="JPEG", quality=75),
    "twice, JPEG 80": then(scaled(2), name="JPEG", quality=80),
    "multiples of 28": then(to_28),
    "multiples of 28, JPEG 80": then(to_28, name="JPEG", quality=80),
    "224 x 224": then(squeezed),
    "224 x 224, JPEG 85": then(squeezed, name="JPEG", quality=85),
    "5 % narrower": then(scaled(0.95, 1.0)),
    "20 % lower, JPEG 85": then(scaled(1.0, 0.8), name="JPEG", quality=85),
}
TOLERATED: dict[str, Change] = {
    "grey": then(lambda image: image.convert("L")),
    "grey, JPEG 80": then(lambda image: image.convert("L"), name="JPEG", quality=80),
    "gamma 0.7": then(gamma(0.7)),
    "gamma 1.4, JPEG 85": then(gamma(1.4), name="JPEG", quality=85),
    "gamma 2": then(gamma(2.0)),
}
NEVER: dict[str, Change] = {
    "cropped by 5 %": then(cropped),
    "flipped": then(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "border of 5 %": then(border),
}
PAGE_CHANGES = ("PNG", "JPEG 75", "JPEG 30", "JPEG 10", "half", "half, bilinear, JPEG 75", "third", "quarter",
                "quarter, JPEG 75", "224 x 224", "multiples of 28")  # fmt: skip


# --------------------------------------------------------------------------------------------------- what is found


class Found:
    """Variants of named pictures, and which pictures each was taken for: `sure`, or perhaps (look-alikes)."""

    def __init__(self, of: Mapping[bytes, str]) -> None:
        self.of = dict(of)
        self.sure: set[tuple[str, str]] = set()
        self.perhaps: set[tuple[str, str]] = set()

    def figures(self, kind: str | None = None) -> dict[str, Any]:
        """Recall, of copies and with look-alikes, and pairs found that are wrong."""
        names = [name for name in self.of.values() if kind is None or name.startswith(kind)]
        mine = {pair for pair in self.sure if kind is None or pair[0].startswith(kind)}
        right = {name for name, of in mine if name == of}
        doubtful = {name for name, of in self.perhaps if name == of} - right
        flagged = sum(name in doubtful for name in names)
        recall = sum(name in right for name in names) / len(names)
        return {"of": len(names), "recall": round(recall, 3), "flagged": round(flagged / len(names), 3),
                "wrong": len({pair for pair in mine if pair[0] != pair[1]})}  # fmt: skip


class Searcher:
    """Looks for the originals among variants, in a store of its own for each."""

    def __init__(self, directory: Path, pictures: Mapping[str, bytes]) -> None:
        self.directory, self.engine = directory, Local(1)
        self.names, self.store = {}, ImageStore(directory / "originals")
        with self.store.writer() as writer:
            for name, data in pictures.items():
                self.names[writer.put(data).key] = name
        self.hashes = {way: {name: hashed(way, data) for name, data in pictures.items()} for way in PEERS}

    def by_curate(self, variants: Mapping[str, bytes], *, tolerant: bool = False) -> Found:
        """What `find_copies_of` finds."""
        found, keys = Found({data: name for name, data in variants.items()}), {}
        with tempfile.TemporaryDirectory(dir=self.directory) as scratch:
            store = ImageStore(Path(scratch))
            with store.writer() as writer:
                for name, data in variants.items():
                    keys[writer.put(data).key] = name
            known = "tolerant" in inspect.signature(find_copies_of).parameters
            how: dict[str, Any] = {"tolerant": tolerant} if known else {}
            rows = find_copies_of(keys, store, self.names, self.store, self.engine, **how).rows(named=True)
        for row in rows:
            (found.sure if row.get("sure", True) else found.perhaps).add((keys[row["key"]], self.names[row["of"]]))
        return found

    def by_peer(self, way: str, variants: Mapping[str, bytes]) -> Found:
        """What is within the peer's distance."""
        found = Found({data: name for name, data in variants.items()})
        for name, data in variants.items():
            bits = hashed(way, data)
            found.sure |= {
                (name, of) for of, known in self.hashes[way].items() if (bits != known).sum() <= PEERS[way]
            }
        return found


def hashed(way: str, data: bytes) -> Any:
    """The bits of a perceptual hash."""
    image = on_white(read(data))
    if way == "phash":
        import imagehash  # type: ignore[import-not-found, unused-ignore]

        return imagehash.phash(image).hash.ravel()
    import pdqhash  # type: ignore[import-not-found, unused-ignore]

    return pdqhash.compute(np.asarray(image))[0]


def by_kind(searcher: Searcher, pictures: Mapping[str, Picture], *, tolerant: bool, peers: bool) -> dict[str, Any]:
    """Figures of every kind of change, photographs and pages apart."""
    found: dict[str, Any] = {}
    for kind, change in (TOLERATED if tolerant else CHANGES | TOLERATED | NEVER).items():
        variants = {name: change(image) for name, image in pictures.items()}
        ways = {"curate": searcher.by_curate(variants, tolerant=tolerant)}
        if peers:
            ways |= {way: searcher.by_peer(way, variants) for way in PEERS}
        found[kind] = {way: {some: one.figures(some) for some in ("photo", "page")} for way, one in ways.items()}
        print(kind, json.dumps(found[kind]["curate"]), flush=True)
    return found


def all_together(directory: Path, pictures: Mapping[str, Picture]) -> dict[str, float]:
    """Of each kind, the part of the variants that are with their original when all are in one store."""
    store, of = ImageStore(directory / "all"), {}
    with store.writer() as writer:
        for name, image in pictures.items():
            of[writer.put(encoded(image)).key] = (name, "original")
            for kind, change in CHANGES.items():
                of.setdefault(writer.put(change(image)).key, (name, kind))
    rows = find_copies(of, store, Local(1)).rows(named=True)
    leader = {row["key"]: row["of"] for row in rows if row["how"] != "look_alike"}
    groups = {key: leader.get(key, key) for key in of}
    home = {name: groups[key] for key, (name, kind) in of.items() if kind == "original"}
    right: dict[str, list[bool]] = {}
    for key, (name, kind) in of.items():
        right.setdefault(f"{name.split()[0]}, {kind}", []).append(groups[key] == home[name])
        right.setdefault(name.split()[0], []).append(groups[key] == home[name])
    wrong = sum(of[key][0] != of[leader][0] for key, leader in groups.items())
    return {kind: round(sum(some) / len(some), 3) for kind, some in right.items()} | {"wrong": wrong}


def look_alikes(directory: Path) -> dict[str, Any]:
    """Bills of which only a version with one figure changed is there: how many are called copies, or flagged."""
    known = Searcher(
        directory / "bills", {f"bill {n}": encoded(bill(n, changed=True)) for n in range(LOOK_ALIKES)}
    )
    found = {}
    for kind in PAGE_CHANGES:
        variants = {f"bill {n}": CHANGES[kind](bill(n)) for n in range(LOOK_ALIKES)}
        ours = known.by_curate(variants)
        rates = {"copies": ours.figures()["recall"], "flagged": ours.figures()["flagged"]}
        found[kind] = rates | {way: known.by_peer(way, variants).figures()["recall"] for way in PEERS}
        print("look-alikes", kind, json.dumps(found[kind]), flush=True)
    return found


# ------------------------------------------------------------------------------------------------------ the report


def summary(by: Mapping[str, Any]) -> list[Sequence[Any]]:
    """A row for each kind: recall (flagged) of photographs and of pages, by way; wrong pairs at the end."""
    rows: list[Sequence[Any]] = []
    for kind, ways in by.items():
        cells = [
            f"{ways[way][some]['recall']:.2f}"
            + (f" + {ways[way][some]['flagged']:.2f}" if ways[way][some]["flagged"] else "")
            for some in ("photo", "page")
            for way in ways
        ]
        wrong = " ".join(str(sum(ways[way][some]["wrong"] for some in ("photo", "page"))) for way in ways)
        rows.append((kind, *cells, wrong))
    return rows


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default="now")
    parser.add_argument("--every", type=int, default=1, help="of the originals only every so many")
    parser.add_argument("--save", action="store_true", help="also of fewer originals")
    parser.add_argument("--skip-peers", action="store_true")
    options = parser.parse_args()
    pictures = dict(list(originals().items())[:: options.every])
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        searcher = Searcher(directory, {name: encoded(image) for name, image in pictures.items()})
        found: dict[str, Any] = {
            **measure.facts(),
            "originals": len(pictures),
            "changes": by_kind(searcher, pictures, tolerant=False, peers=not options.skip_peers),
            "together": all_together(directory, pictures),
            "look_alikes": look_alikes(directory),
        }
        if options.label == "now":
            found["tolerant"] = by_kind(searcher, pictures, tolerant=True, peers=False)
    ways = ("curate",) if options.skip_peers else ("curate", *PEERS)
    head = ("change", *(f"{some} {way}" for some in ("photo", "page") for way in ways), "wrong")
    print(measure.table(summary(found["changes"]), head))
    print(json.dumps({name: found[name] for name in ("together", "look_alikes")}, indent=1))
    if options.save or options.every == 1:
        saved = Path(__file__).parent / "results" / "copies.json"
        runs = json.loads(saved.read_text()) if saved.exists() else {}
        print(measure.save("copies", {**runs, options.label: found}))


if __name__ == "__main__":
    main()

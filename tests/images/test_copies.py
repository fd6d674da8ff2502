"""Copies and look-alikes among a few drawn images, the step that rests on them, and how images are reused."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.checksums import published
from curate.engines.local import Local
from curate.errors import WorkspaceError
from curate.images import compare, kernels
from curate.images.compare import Copies
from curate.images.copies import find_copies, find_copies_of, grid
from curate.images.decode import TURNS
from curate.images.groups import Groups, either
from curate.images.packs import INDEX
from curate.images.store import ImageStore
from curate.pairs.media_refs import image_refs, media_keys
from curate.pairs.pool import PairsPool
from curate.schema import Media, key64, media_digest
from curate.screening.screen import screen
from curate.steps import build
from tests.support.pairs import pair, write_pairs


def encoded(image: Image.Image, name: str = "PNG", **settings_: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **settings_)
    return out.getvalue()


def photo(seed: int, size: tuple[int, int] = (400, 300)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 4, (size[1], size[0], 1))
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def chart(*values: int, fill: str = "navy") -> Image.Image:
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    draw.text((150, 10), "sales of the year", fill="black")
    for i, value in enumerate(values):
        draw.rectangle([40 + 60 * i, 280 - 2 * value, 80 + 60 * i, 280], fill=fill)
        draw.text((50 + 60 * i, 265 - 2 * value), str(value), fill="black")
    return image


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def store_of(directory: Path, images: Sequence[bytes]) -> tuple[ImageStore, list[str]]:
    store = ImageStore(directory / "images")
    with store.writer() as writer:
        keys = [writer.put(data).key for data in images]
    return store, keys


def found(store: ImageStore, keys: Sequence[str], **options: bool) -> dict[str, tuple[str, str]]:
    return {
        key: (of, how)
        for key, of, how in find_copies(keys, store, Local(1), **options).select("key", "of", "how").iter_rows()
    }


# ---------------------------------------------------------------------------------------------- kernels


def test_cells_weigh_pixels_by_area():
    grey = np.array([[0, 60, 120]], np.uint8)
    assert kernels.shrunk(grey, 2, 2).tolist() == [[20, 100], [20, 100]]
    assert kernels.shrunk(np.array([[1, 2], [3, 5]], np.uint8), 1, 1).tolist() == [[3]]
    same = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert kernels.shrunk(same, 8, 8).tolist() == same.tolist()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_grid_has_the_rounded_means_of_its_cells(height, width, rows, columns, seed):
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    parts = np.repeat(np.repeat(grey.astype(int), rows, axis=0), columns, axis=1)
    totals = parts.reshape(rows, height, columns, width).sum(axis=(1, 3))
    size = height * width
    assert np.array_equal(kernels.shrunk(grey, rows, columns), (2 * totals + size) // (2 * size))


@given(seed=st.integers(0, 1000), side=st.sampled_from([16, 32]))
@settings(max_examples=20)
def test_unlike_is_none_for_equals_and_symmetric(seed: int, side: int):
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 256, (2, side, side), dtype=np.uint8)
    assert kernels.unlike(one, one, 1.0, 0.0) == 0
    assert kernels.unlike(one, other, 9.0, 999.0) == kernels.unlike(other, one, 9.0, 999.0) > 0.5


def test_one_changed_block_is_enough():
    one = grid(encoded(photo(1)), 128)
    other = one.copy()
    other[60:68, 60:68] = np.random.default_rng(1).integers(0, 256, (8, 8))
    assert kernels.unlike(one, other, 0.4, 12.0) == kernels.APART
    assert kernels.unlike(one, other, 9.0, 999.0) > 0.5


@given(
    st.integers(1, 12).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)).map(lambda p: (n, p)))
)
@settings(max_examples=50)
def test_components_are_those_of_the_graph(graph: tuple[int, list[tuple[int, int]]]):
    count, pairs = graph
    reached = np.eye(count, dtype=bool)
    for one, other in pairs:
        reached[one, other] = reached[other, one] = True
    for _ in range(count):
        reached = reached @ reached
    left, right = np.array(pairs, np.int32).reshape(-1, 2).T
    assert kernels.components(count, left, right).tolist() == reached.argmax(axis=1).tolist()


def test_distance_is_the_mean_square_of_the_whole():
    grids = np.zeros((2, 256 * 256), np.uint8)
    grids[0, :256], grids[1, :256] = 100, 103
    sides, colours = np.array([16, 16]), np.zeros((2, 192), np.uint8)
    pair = np.array([0], np.int32), np.array([1], np.int32)
    texts = np.array([True, True])

    def compared(sizes: Any) -> Any:
        return kernels.compared(grids, sides, colours, texts, sizes, *pair, compare.LIMITS, False).tolist()

    assert compared(np.full((2, 2), 16)) == [[1], [0], [9]]
    assert compared(np.array([[16, 16], [16, 20]]))[0] == [0]


def test_noise_everywhere_is_a_copy_and_as_much_in_one_place_is_not():
    rng = np.random.default_rng(3)
    one = rng.integers(60, 200, (256, 256), dtype=np.uint8)
    noise = rng.integers(-25, 26, one.shape)
    everywhere = np.clip(one + noise, 0, 255).astype(np.uint8)
    there = one.copy()
    there[100:116, 100:116] = everywhere[100:116, 100:116]
    unlike, worst, typical, contrast, active, shift = kernels.difference(one, everywhere, np.inf)
    assert 0.1 < unlike < 0.25
    assert typical < worst < 2 * typical < 0.5 * contrast
    assert active == 63 * 63
    assert shift < 8
    assert kernels.within(kernels.difference(one, everywhere, np.inf), compare.LIMITS)
    assert not kernels.within(kernels.difference(one, there, np.inf), compare.LIMITS)
    assert kernels.difference(one, there, np.inf)[2] == 0
    assert kernels.difference(one, there, 500.0).tolist() == [kernels.APART] * 6


def grouped(*pairs: tuple[int, int, float, bool]) -> Groups:
    """Groups of (image, other, distance, whether sure) pairs; `unlike` is a tenth of the distance."""
    left, right, distance, sure = (np.array(column) for column in zip(*pairs, strict=True))
    unlike = distance.astype(np.float32) / 10
    return Groups(Copies(left.astype(np.int32), right.astype(np.int32), unlike, distance.astype(np.float32), sure))


def test_of_two_ways_to_look_at_a_pair_the_surer_counts():
    pairs = ([[0, 1], [1, 2]], [[0, 1, 3], [1, 2, 4]])
    numbers = [[np.array(side, np.int32) for side in sides] for sides in pairs]
    unlike = [np.array(some, np.float32) for some in ([0.5, 0.25], [0.25, 0.125, 0.5])]
    sure = np.array([True, False]), np.array([False, False, True])
    one, other = (Copies(*numbers[i], unlike[i], unlike[i], sure[i]) for i in (0, 1))
    assert [column.tolist() for column in either(one, other)] == [
        [0, 1, 3], [1, 2, 4], [0.5, 0.125, 0.5], [0.5, 0.125, 0.5], [True, False, True]
    ]  # fmt: skip


def test_a_copy_joins_the_image_it_is_nearest_to_on_the_whole():
    groups = grouped((0, 2, 5, True), (1, 2, 2.5, True), (1, 3, 5, True), (2, 3, 0, True))
    assert groups.copies() == [(2, 1, 0.25), (3, 1, 0.5)]


def test_a_copy_of_any_member_joins_and_a_chain_of_look_alikes_does_not():
    third = grouped((0, 1, 1.25, True), (1, 2, 2, True), (0, 2, 5, False))
    assert third.copies() == [(1, 0, 0.125), (2, 0, 0.5)]
    assert third.look_alikes() == []
    chain = grouped((0, 1, 1.25, True), (1, 2, 2, True), (2, 3, 2.5, False))
    assert chain.copies() == [(1, 0, 0.125)]
    assert chain.look_alikes() == [(3, 2, 0.25)]


# ---------------------------------------------------------------------------------------------- copies

CHANGES = {
    "worst jpeg": lambda image: encoded(image, "JPEG", quality=30),
    "webp": lambda image: encoded(image, "WEBP", quality=50),
    "half": lambda image: encoded(scaled(image, 0.5)),
    "quarter": lambda image: encoded(scaled(image, 0.25), "JPEG", quality=60),
    "twice": lambda image: encoded(scaled(image, 2), "JPEG", quality=80),
}
DRAWN = {"photo": photo(1), "chart": chart(20, 80, 50, 90, 10), "blank": Image.new("RGB", (300, 200), "#eee")}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageStore, dict[tuple[str, str], str]]:
    images = {(drawn, "itself"): encoded(image) for drawn, image in DRAWN.items()}
    images |= {(drawn, name): change(image) for drawn, image in DRAWN.items() for name, change in CHANGES.items()}
    store, keys = store_of(tmp_path_factory.mktemp("changed"), list(images.values()))
    return store, dict(zip(images, keys, strict=True))


def test_images_encoded_and_scaled_anew_are_copies_of_the_largest(changed: Any):
    """Of the chart at 200 x 150 pixels and less, other figures could not be told."""
    store, keys = changed
    expected = {key: (keys[drawn, "twice"], "near") for (drawn, name), key in keys.items() if name != "twice"}
    expected[keys["chart", "half"]] = keys["chart", "twice"], "look_alike"
    expected[keys["chart", "quarter"]] = keys["chart", "half"], "look_alike"
    assert found(store, list(keys.values())) == expected


def test_neither_order_nor_other_images_matter(changed: Any):
    store, keys = changed
    some = [keys["photo", "itself"], keys["photo", "half"], keys["chart", "half"]]
    expected = {keys["photo", "half"]: (keys["photo", "itself"], "near")}
    assert found(store, [keys["chart", "half"], keys["chart", "itself"]]) == {
        keys["chart", "half"]: (keys["chart", "itself"], "look_alike")
    }
    assert found(store, some) == found(store, some[::-1]) == expected
    everything = find_copies(list(keys.values()), store, Local(1))
    for path in (store.root / "grids").glob("*"):
        path.unlink()
    with Local(2) as engine:
        assert find_copies(list(keys.values())[::-1], store, engine).equals(everything)


@pytest.mark.parametrize("held", [1, 2, 5])
def test_tiles_of_any_size_give_the_same(changed: Any, held: int, monkeypatch: pytest.MonkeyPatch):
    store, keys = changed
    everything = find_copies(keys.values(), store, Local(1))
    for path in (store.root / "grids").glob("copies-*"):
        path.unlink()
    monkeypatch.setattr(compare, "HELD", held)
    monkeypatch.setattr(compare, "FEW", 1)
    assert find_copies(keys.values(), store, Local(1)).equals(everything)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (2, [[1, 3], [5, 7], [9], [2, 4], [6, 8], [10], [11, 12], [13, 14]]),
        (4, [[1, 3, 5], [7, 9], [2, 4, 6], [8, 10], [11, 12], [13, 14]]),
        (9, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [11, 12, 13, 14]]),
    ],
)
def test_a_block_is_some_components_or_a_part_of_one(
    held: int, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compare, "HELD", held)
    chain = [(i, i + 2) for i in range(1, 9)]  # 1 3 5 7 9 and 2 4 6 8 10; 0 is alone
    left, right = np.array([*chain, (11, 12), (13, 14)], np.int32).T
    blocks = compare._blocks(15, left, right, workers=1)
    found = [np.flatnonzero(blocks == block).tolist() for block in np.unique(blocks)]
    assert sorted([i for i in some if i] for some in found if some != [0]) == sorted(expected)


def test_look_alikes_are_not_copies(tmp_path: Path):
    page = Image.new("RGB", (400, 300), "white")
    word, other = page.copy(), page.copy()
    ImageDraw.Draw(word).text((100, 100), "yes, of course", fill="black")
    ImageDraw.Draw(other).text((100, 100), "no, of no use", fill="black")
    grey = "#3c3c3c"  # as bright as the red below
    images = [
        chart(20, 80, 50, 90, 10), chart(20, 80, 55, 90, 10), chart(20, 80, 50, 90, 11), page, word, other,
        chart(20, 80, 50, 90, 10, fill="#c80000"), chart(20, 80, 50, 90, 10, fill=grey),
        photo(1), photo(2), photo(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT), scaled(photo(3), 0.03),
        photo(1).crop((20, 15, 380, 285)), framed(photo(1)), photo(4), photo(4).convert("L"),
        photo(6), photo(6).point([round(255 * (value / 255) ** 2) for value in range(256)] * 3),
    ]  # fmt: skip
    store, keys = store_of(tmp_path, [encoded(image) for image in images])
    assert found(store, keys) == {}
    tolerant = found(store, keys[-4:], tolerant=True)
    pairs = ((keys[-4], keys[-3]), (keys[-2], keys[-1]))
    assert tolerant == {max(pair): (min(pair), "near") for pair in pairs}
    assert len(list((store.root / "grids").glob("*-tolerant.npy"))) == 1


def framed(image: Image.Image) -> Image.Image:
    out = Image.new("RGB", (image.width + 40, image.height + 30))
    out.paste(image, (20, 15))
    return out


def clear(image: Image.Image) -> Image.Image:
    """White made transparent black."""
    pixels = np.array(image.convert("RGBA"))
    pixels[(pixels[:, :, :3] == 255).all(axis=2)] = 0
    return Image.fromarray(pixels)


def test_what_pipelines_do_to_images_gives_copies(tmp_path: Path):
    image, drawn = photo(1), chart(20, 80, 50, 90, 10)
    of_photo = [
        encoded(image, "JPEG", quality=10), encoded(image, "WEBP", quality=30), encoded(image, "GIF"),
        encoded(image.quantize(128)), encoded(image.resize((392, 308))), encoded(image.resize((224, 224))),
        encoded(image.resize((400, 240)), "JPEG"), encoded(image.resize((380, 300))),
    ]  # fmt: skip
    of_chart = [encoded(clear(drawn)), encoded(clear(drawn).convert("P")), encoded(drawn.resize((392, 308)))]
    store, keys = store_of(tmp_path, [encoded(image), encoded(drawn), *of_photo, *of_chart])
    there, (photo_, chart_) = store_of(tmp_path / "there", [encoded(image), encoded(drawn)])
    matched = find_copies_of(keys, store, [photo_, chart_], there, Local(1))
    assert matched["sure"].all()
    expected = {keys[0]: photo_, keys[1]: chart_}
    expected |= dict.fromkeys(keys[2 : 2 + len(of_photo)], photo_)
    expected |= dict.fromkeys(keys[2 + len(of_photo) :], chart_)
    assert dict(matched.select("key", "of").iter_rows()) == expected
    groups = found(store, keys)
    assert len(groups) == len(keys) - 2
    assert {how for _, how in groups.values()} <= {"near", "pixels"}


def bill(price: str) -> Image.Image:
    image = Image.new("RGB", (420, 560), "white")
    draw = ImageDraw.Draw(image)
    for row in range(12):
        price_text = price if row == 5 else f"{(row * 7919) % 9000 / 100:.2f}"
        draw.text((30, 60 + 36 * row), f"{row + 2} x item {row * 31}", fill=0, font=ImageFont.load_default(16))
        draw.text((300, 60 + 36 * row), price_text, fill=0, font=ImageFont.load_default(16))
    return image


def test_a_bill_with_another_price_is_never_a_copy(tmp_path: Path):
    other, itself = bill("18.50"), bill("13.50")
    there, of = store_of(tmp_path / "there", [encoded(other), encoded(itself)])
    small = [encoded(scaled(itself, factor), "JPEG", quality=80) for factor in (1, 0.5, 0.25)]
    store, keys = store_of(tmp_path, small)
    matched = find_copies_of(keys, store, of, there, Local(1)).select("key", "of", "sure").rows()
    sure = {(key, copy) for key, copy, certain in matched if certain}
    assert sure == {(keys[0], of[1]), (keys[1], of[1])}
    assert {(keys[2], of[0]), (keys[2], of[1])} <= {(key, copy) for key, copy, certain in matched if not certain}


def test_the_same_pixels_in_other_files(tmp_path: Path):
    image = photo(5)
    data = [encoded(image), encoded(image, "BMP"), encoded(image, "WEBP", lossless=True), encoded(image, "JPEG")]
    store, keys = store_of(tmp_path, data)
    leader = min(keys)
    how = {key: one[1] for key, one in found(store, keys).items()}
    assert {one[0] for one in found(store, keys).values()} == {leader}
    lossless = "near" if leader == keys[3] else "pixels"
    assert how == {key: lossless if key != keys[3] else "near" for key in keys if key != leader}


def lying(image: Image.Image, orientation: int, name: str = "JPEG") -> bytes:
    """The image stored in another position, with the EXIF orientation that turns it upright."""
    back = {**TURNS, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.transpose(back), name, exif=exif, **({"quality": 90} if name == "JPEG" else {}))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photograph_is_compared_upright(orientation: int, tmp_path: Path):
    image = photo(5)
    store, keys = store_of(tmp_path, [encoded(image), lying(image, orientation, "PNG"), lying(image, orientation)])
    copies_of = found(store, keys)
    (leader,) = set(keys) - set(copies_of)
    assert {of for of, _ in copies_of.values()} == {leader}
    pixels = {key for key, (_, how) in copies_of.items() if how == "pixels"}
    assert pixels <= {keys[0], keys[1]}
    assert len(pixels) == (leader != keys[2])
    other, theirs = store_of(tmp_path / "others", [encoded(image, "JPEG", quality=80)])
    assert find_copies_of(keys, store, theirs, other, Local(1))["key"].to_list() == sorted(keys)


def test_two_photographs_that_only_agree_as_stored_are_no_copies(tmp_path: Path):
    image = photo(5)
    store, keys = store_of(tmp_path, [lying(image, 6, "PNG"), encoded(image.transpose(Image.Transpose.ROTATE_90))])
    assert found(store, keys) == {}


def test_sizes_of_an_older_index_do_not_matter(tmp_path: Path):
    image = photo(5)
    store, keys = store_of(tmp_path, [encoded(image), lying(image, 6, "PNG")])
    (index,) = store.folder.glob("*.parquet")
    rows = pl.read_parquet(index)
    assert rows["width"].to_list() == [400, 400]
    stored = pl.when(pl.col("key") == keys[1])
    turned = rows.with_columns(
        width=stored.then(300).otherwise("width").cast(pl.UInt32),
        height=stored.then(400).otherwise("height").cast(pl.UInt32),
    )
    with published(index) as temporary:
        pq.write_table(turned.to_arrow().cast(INDEX), temporary)
    assert set(found(ImageStore(store.root), keys).values()) == {
        (max(set(keys) - set(found(store, keys))), "pixels")
    }


def test_what_was_found_is_kept(tmp_path: Path):
    store, keys = store_of(tmp_path, [encoded(photo(1)), encoded(photo(1), "JPEG")])
    first = find_copies(keys, store, Local(1))
    (kept,) = (store.root / "grids").glob("copies-*.parquet")
    before = kept.stat().st_mtime_ns
    assert find_copies([*keys[::-1], keys[0]], store, Local(1)).equals(first)
    assert kept.stat().st_mtime_ns == before
    assert find_copies([], store, Local(1)).height == 0
    with pytest.raises(WorkspaceError, match=f"no image {'0' * 32}"):
        find_copies([*keys, "0" * 32], store, Local(1))


def test_what_a_killed_run_left_is_swept(tmp_path: Path):
    store, keys = store_of(tmp_path, [encoded(photo(1)), encoded(photo(1), "JPEG")])
    find_copies(keys, store, Local(1))
    before = sorted((store.root / "grids").iterdir())
    (store.root / "grids" / ".half.tmp").write_bytes(b"x")
    store.sweep()
    assert sorted((store.root / "grids").iterdir()) == before


def test_images_of_others_are_found_in_the_store(changed: Any, tmp_path: Path):
    store, keys = changed
    others = [encoded(photo(9)), encoded(scaled(DRAWN["photo"], 0.7), "JPEG"), encoded(DRAWN["photo"])]
    there, (_, scaled_copy, same) = store_of(tmp_path, others)
    matched = find_copies_of(keys.values(), store, there.facts()["key"].to_pylist(), there, Local(1))
    ours = {key for (drawn, _), key in keys.items() if drawn == "photo"}
    assert set(matched.select("key", "of").iter_rows()) == {
        (key, of) for key in ours for of in (scaled_copy, same)
    }
    assert matched.filter(pl.col("key") == keys["photo", "itself"], pl.col("of") == same)["unlike"].to_list() == [
        0
    ]
    assert find_copies_of([], store, [same], there, Local(1)).height == 0


# ---------------------------------------------------------------------------------------------- pairs


def placed(directory: Path, rows: Sequence[dict[str, Any]], priority: int = 0) -> PairsPool:
    label = directory.name
    parts = write_pairs(directory, [{"source": label, "row": f"r{i}", **row} for i, row in enumerate(rows)])
    return PairsPool(label=label, source=label, directory=directory, priority=priority, parts=parts)


def test_media_keys_are_those_of_the_schema(tmp_path: Path):
    media = [[Media("image", ("a",))], [Media("video", ("a", "b")), Media("image", ("c",))], []]
    pool = placed(tmp_path / "one", [{"media": some, "reply_media": len(some) // 2} for some in media])
    keys = pl.DataFrame({"index": [5, 6, 7], "pool": [0] * 3, "part": [0] * 3, "position": [0, 1, 2]})
    keys = keys.cast({"index": pl.UInt32, "position": pl.UInt32})
    images = image_refs(keys, [[pool.directory / pool.parts[0]]])
    assert images.rows() == [
        (5, 0, "image", "a", False),
        (6, 0, "video", "a", False),
        (6, 0, "video", "b", False),
        (6, 1, "image", "c", True),
    ]
    assert media_keys(images).sort("index").rows() == [
        (5, key64(media_digest(media[0]))),
        (6, key64(media_digest(media[1]))),
    ]


def test_pairs_about_copies_of_an_image_are_duplicates(tmp_path: Path):
    image, chart_ = photo(1), chart(20, 80, 50)
    store, keys = store_of(
        tmp_path,
        [encoded(image), encoded(image, "JPEG"), encoded(chart_), encoded(scaled(chart_, 0.7)), encoded(photo(2))],
    )
    first = placed(tmp_path / "first", [
        {"prompt": "q", "media": [keys[1]]},
        {"prompt": "q", "media": [keys[4]]},
        {"prompt": "both", "media": [keys[0], keys[3]]},
        {"prompt": "q", "chosen": "other", "media": [keys[0]]},
    ])  # fmt: skip
    second = placed(tmp_path / "second", [
        {"prompt": "q", "media": [keys[0]]},
        {"prompt": "other", "media": [keys[0]]},
        {"prompt": "both", "media": [keys[1], keys[2]]},
        {"prompt": "both", "media": [keys[2], keys[1]]},
        {"prompt": "q", "media": [keys[1]]},
        {"prompt": "q"},
    ], priority=1)  # fmt: skip
    steps = [("image_duplicates", build("image_duplicates", None, "$"))]
    kept, lost = screen([second, first], steps, 0, Local(1), images=store.root).pools[::-1]
    assert kept.kept.all()
    assert lost.decisions.select("row", "reason").rows() == [("r0", "near_image"), ("r2", "near_image")]
    winners = [pair(source="first", row="r0", prompt="q", media=[keys[1]]),
               pair(source="first", row="r2", prompt="both", media=[keys[0], keys[3]])]  # fmt: skip
    assert lost.decisions["winner"].to_list() == [row["pair_id"] for row in winners]
    assert lost.decisions["evidence"].to_list() == [
        f"near {keys[0]} {keys[1]}", f"near {keys[1]} {keys[0]}, near {keys[2]} {keys[3]}"
    ]  # fmt: skip
    assert all(0.7 < score < 1 for score in lost.decisions["score"])


def test_pairs_about_pages_that_may_be_copies_stay_with_a_flag(tmp_path: Path):
    page, image = bill("18.50"), photo(1)
    images = [page, scaled(page, 0.25), image, image.convert("L")]
    store, keys = store_of(tmp_path, [encoded(some) for some in images])
    rows = [{"prompt": "q", "media": [key]} for key in keys]
    pool = placed(tmp_path / "one", rows)

    def screened(**options: Any) -> Any:
        step = build("image_duplicates", options or None, "$")
        return screen([pool], [("image_duplicates", step)], 0, Local(1), images=store.root).pools[0]

    plain = screened()
    assert plain.kept.all()
    assert plain.flags.select("step", "reason").rows() == [("image_duplicates", "look_alike")]
    assert plain.flags["evidence"][0].startswith("look_alike ")
    assert set(plain.flags["evidence"][0].split()[1:]) == set(keys[:2])
    assert screened(tolerant=True).decisions["reason"].to_list() == ["near_image"]


def test_text_alone_has_no_images(tmp_path: Path):
    pool = placed(tmp_path / "one", [{"prompt": "q"}, {"prompt": "q"}])
    steps = [("image_duplicates", build("image_duplicates", None, "$"))]
    assert screen([pool], steps, 0, Local(1), images=tmp_path / "images").pools[0].kept.all()

"""The image store: what counts as an image, and packs that never disagree."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curate.checksums import published
from curate.errors import SkipRow, WorkspaceError
from curate.images.decode import (
    MAX_PIXELS,
    BadImage,
    ImageFacts,
    check,
    preview,
    upright_size,
)
from curate.images.packs import INDEX, LOST
from curate.images.pixels import grey, pixels_digest, planes
from curate.images.store import ImageStore, KnownImage

REAL = Path("/work/shared/real/llamafactory_mllm_demo/mllm_demo_data")


def picture(width=64, height=48, seed=0, mode="RGB"):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encode(image, name, **options):
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def tiny_png(width, height):
    """A PNG of a few bytes that claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def reason(data, **options):
    with pytest.raises(BadImage) as caught:
        check(data, **options)
    return caught.value.reason


JPEG = encode(picture(), "JPEG")
PNG = encode(picture(), "PNG")
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]


# ---- what an image is


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_and_described(name):
    data = encode(picture(), name)
    facts = check(data)
    assert (facts.width, facts.height, facts.format) == (64, 48, name)
    assert facts.mode == ("P" if name == "GIF" else "RGB")
    assert (facts.key, facts.bytes) == (xxhash.xxh3_128_hexdigest(data), len(data))
    assert len(facts.key) == 32


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_modes_of_a_jpeg_are_pils_words(mode):
    assert check(encode(picture(mode=mode), "JPEG")).mode == mode


def test_a_progressive_jpeg_is_decoded_and_its_cut_is_seen():
    data = encode(picture(), "JPEG", progressive=True)
    assert check(data).format == "JPEG"
    assert reason(data[: len(data) // 2]) == "image_truncated"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_image_is_truncated_never_half_good(name, share):
    data = encode(picture(400, 300), name)
    assert reason(data[: int(len(data) * share)]) == "image_truncated"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_two_missing_bytes_are_enough(name):
    assert reason(encode(picture(), name)[:-2]) == "image_truncated"


def test_a_header_alone_is_truncated():
    assert [reason(data[:30]) for data in (JPEG, PNG, encode(picture(), "GIF"))] == ["image_truncated"] * 3


def test_a_wrong_checksum_in_a_png_is_damage_though_pil_would_not_mind():
    data = bytearray(PNG)
    data[PNG.index(b"IDAT") - 4 + 8 + int.from_bytes(data[PNG.index(b"IDAT") - 4 : PNG.index(b"IDAT")])] ^= 1
    Image.open(io.BytesIO(data)).load()
    assert reason(bytes(data)) == "image_damaged"


def test_a_jpeg_with_a_marker_in_its_data_is_damaged():
    data = encode(picture(400, 300), "JPEG")
    middle = len(data) // 2
    assert reason(data[:middle] + b"\xff\xd9" + data[middle + 2 :]) == "image_damaged"


def test_a_harmless_warning_of_libjpeg_is_no_damage_but_hides_no_cut():
    start = JPEG.index(b"\xff\xda")
    odd = bytearray(JPEG)
    odd[start + 4 + 1 + 2 * JPEG[start + 4] + 1] = 0  # the scan's end of spectral selection, unused in this kind
    assert check(bytes(odd)).format == "JPEG"
    assert reason(bytes(odd[:-400])) == "image_truncated"


@pytest.mark.parametrize("data", [b"", b"\xff", b"<html>404 Not Found</html>" * 50, bytes(1000)])
def test_what_is_not_an_image_says_so(data):
    assert reason(data) == "not_an_image"


def test_an_eps_is_never_handed_to_another_program():
    assert reason(encode(picture(), "EPS")) == "not_an_image"


def test_a_bomb_is_judged_by_its_header():
    data = tiny_png(50_000, 50_000)
    with pytest.raises(BadImage) as caught:
        check(data)
    assert len(data) < 100
    assert (caught.value.reason, caught.value.detail) == (
        "image_too_large",
        f"50000x50000, limit {MAX_PIXELS} pixels",
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_limit_on_pixels_is_exact(name):
    data = encode(picture(), name)
    assert check(data, max_pixels=64 * 48).width == 64
    assert reason(data, max_pixels=64 * 48 - 1) == "image_too_large"


def test_a_raised_limit_also_passes_pils_own_which_stays_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    assert reason(tiny_png(20_000, 20_000), max_pixels=10**9) == "image_truncated"  # so it was decoded
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(tiny_png(20_000, 20_000)))


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_or_pages_are_no_image(name):
    data = encode(picture(), name, save_all=True, append_images=[picture(seed=1)])
    assert reason(data) == "image_animated"


def test_a_jpeg_with_a_second_picture_inside_is_one_jpeg():
    assert check(encode(picture(), "MPO", save_all=True, append_images=[picture(seed=1)])).format == "JPEG"


def test_sixteen_bits_are_not_clipped_to_white():
    deep = Image.fromarray(np.asarray(picture(mode="L")).astype(np.uint16) * 257)
    data = encode(deep, "PNG")
    assert check(data).mode == "I;16"
    shades = np.asarray(picture(mode="L")).astype(np.int64)
    stretched = (shades - shades.min()) * 255 // (shades.max() - shades.min())
    assert np.abs(grey(data, 1) - stretched).max() <= 1


def test_a_palette_with_transparency_leaks_no_warning():
    data = encode(picture().quantize(16), "PNG", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(data).mode == "P"


def turned(orientation, name, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(), name, exif=exif.tobytes(), **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_sizes_and_pixels_are_of_the_upright_image(name, orientation):
    data = turned(orientation, name)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    size = (48, 64) if orientation >= 5 else (64, 48)
    facts = check(data)
    assert (facts.width, facts.height) == upright.size == upright_size(data) == size
    colours = np.array(list(planes(data, 1000))[1:])
    assert grey(data, 1000).shape == colours.shape[1:] == (size[1], size[0])
    assert np.array_equal(colours, np.asarray(upright.convert("RGB")).transpose(2, 0, 1))
    assert pixels_digest(data) == pixels_digest(encode(upright, "PNG"))
    assert preview(data, 1000)[1:] == size


def late_exif(orientation):
    """A PNG with its EXIF data after the pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return PNG[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + PNG[-12:]


def test_exif_data_after_the_pixels_counts():
    facts = check(late_exif(6))
    assert (facts.width, facts.height) == upright_size(late_exif(6)) == (48, 64)
    assert pixels_digest(late_exif(3)) == pixels_digest(encode(picture().rotate(180), "PNG"))


def test_an_orientation_in_xmp_counts_and_one_in_a_comment_does_not():
    packet = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert check(encode(picture(), "JPEG", xmp=packet)).width == 48
    assert check(encode(picture(), "JPEG", comment=b"Exif tiff: Orientation 6")).width == 64


@pytest.mark.parametrize("damage", [b"Exif\0\0", b"Exif\0\0no header", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_damaged_exif_data_turns_nothing(damage):
    for name in ("JPEG", "PNG", "WEBP"):
        data = encode(picture(), name, exif=damage)
        assert check(data).width == 64
        assert preview(data, 1000)[1:] == (64, 48)


def test_the_size_limit_is_of_pixels_whichever_side_is_up():
    assert check(turned(6, "JPEG"), max_pixels=64 * 48).height == 64
    assert reason(turned(6, "JPEG"), max_pixels=64 * 48 - 1) == "image_too_large"


def test_one_pixel_is_an_image():
    assert [check(encode(picture(1, 1), name)).width for name in ("JPEG", "PNG")] == [1, 1]


def test_colours_that_cannot_be_shown_are_damage():
    assert reason(encode(Image.new("LAB", (8, 8)), "TIFF")) == "image_damaged"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real upstream samples are not on this machine")
def test_real_upstream_images_are_good():
    assert [check(path.read_bytes()).format for path in sorted(REAL.glob("*.jpg"))] == ["JPEG"] * 3


VERDICTS = {"good", "not_an_image", "image_truncated", "image_damaged", "image_animated", "image_too_large"}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
def test_whatever_is_done_to_an_image_there_is_a_verdict(name, changes, keep):
    data = bytearray(encode(picture(), name))
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    try:
        facts = check(bytes(data[: int(keep * len(data)) + 1]))
    except SkipRow as verdict:
        found = verdict.reason
    else:
        found = "good" if facts.width and facts.height else "no pixels"
    assert found in VERDICTS


def test_threads_may_check_at_once():
    with ThreadPoolExecutor(4) as pool:
        assert {facts.format for facts in pool.map(check, [PNG] * 40)} == {"PNG"}


# ---- the store


def names(root):
    """The packs and their indexes, each of which has its checksum beside it."""
    found = {path.name for path in (root / "packs").iterdir()}
    indexes = {name for name in found if name.endswith(".parquet")}
    assert {name for name in found if name.endswith(".xxh3")} == {f"{name}.xxh3" for name in indexes}
    return sorted(name for name in found if not name.endswith(".xxh3"))


def put_all(root, images, **options):
    with ImageStore(root).writer(**options) as writer:
        return [writer.put(data) for data in images]


@pytest.fixture(scope="module")
def images():
    return [encode(picture(seed=seed), "JPEG" if seed % 2 else "PNG") for seed in range(8)]


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


def test_what_is_put_is_read_back(store, images):
    with store.writer() as writer:
        facts = [writer.put(data) for data in images]
        assert not store.known(facts[0].key)
    assert [store.read(fact.key) for fact in facts] == images
    assert [store.size(fact.key) for fact in facts] == [len(data) for data in images]
    assert len(store) == len(images)
    assert len(names(store.root)) == 2


def test_many_are_read_in_the_order_of_the_keys(tmp_path, images):
    keys = [fact.key for fact in put_all(tmp_path, images, pack_bytes=3000)]
    store = ImageStore(tmp_path)
    wanted = [5, 0, 7, 0, 3]
    assert store.read_many([keys[i] for i in wanted]) == [images[i] for i in wanted]
    assert store.read_many([]) == []


def test_the_index_says_what_check_says(tmp_path, images):
    facts = put_all(tmp_path, images)
    table = ImageStore(tmp_path).facts()
    assert table.schema.equals(INDEX)
    expected = [
        {name: getattr(fact, name) for name in ("key", "width", "height", "format", "mode")}
        for fact in sorted(facts, key=lambda fact: fact.key)
    ]
    assert table.drop_columns(["offset", "length"]).to_pylist() == expected


def test_an_image_is_decoded_once(store, images, monkeypatch):
    with store.writer() as writer:
        first = writer.put(images[0])
        monkeypatch.setattr("curate.images.decode.check", lambda *_, **__: pytest.fail("decoded again"))
        again = writer.put(images[0])
    with store.writer() as writer:
        later = writer.put(images[0])
    assert isinstance(first, ImageFacts)
    assert again == later == KnownImage(key=first.key, bytes=len(images[0]))
    assert len(store) == 1


def test_the_verdict_on_size_does_not_depend_on_what_is_stored(store):
    with store.writer() as writer:
        writer.put(JPEG)
        for _ in range(2):
            with pytest.raises(BadImage, match="image_too_large"):
                writer.put(JPEG, max_pixels=100)
    with store.writer() as writer, pytest.raises(BadImage, match="image_too_large"):
        writer.put(JPEG, max_pixels=100)


def test_a_bad_image_costs_only_itself(store, images):
    with store.writer() as writer:
        with pytest.raises(BadImage, match="image_truncated"):
            writer.put(images[1][:-100])
        good = writer.put(images[2])
    assert store.read(good.key) == images[2]
    assert len(store) == 1


def test_nothing_put_makes_no_pack(store):
    with store.writer():
        pass
    assert len(store) == 0
    assert not (store.root / "packs").exists()


def test_an_error_publishes_nothing_and_leaves_nothing(store, images):
    def killed():
        with store.writer(pack_bytes=1) as writer:
            for data in images:
                writer.put(data)
            raise KeyError

    with pytest.raises(KeyError):
        killed()
    assert names(store.root) == []
    assert len(store) == 0


def test_a_full_pack_is_closed_and_a_new_one_begun(tmp_path, images):
    keys = [fact.key for fact in put_all(tmp_path, images, pack_bytes=1)]
    assert len(names(tmp_path)) == 2 * len(images)
    assert ImageStore(tmp_path).read_many(keys) == images


def test_a_pack_is_named_by_its_keys_in_order(tmp_path, images):
    keys = [fact.key for fact in put_all(tmp_path, images[:3])]
    name = xxhash.xxh3_128_hexdigest("".join(keys).encode())
    assert names(tmp_path) == [f"{name}.pack", f"{name}.parquet"]
    assert (tmp_path / "packs" / f"{name}.pack").read_bytes() == b"".join(images[:3])


def test_a_store_sees_new_packs_when_refreshed(tmp_path, images):
    store = ImageStore(tmp_path)
    (first,) = put_all(tmp_path, images[:1])
    assert not store.known(first.key)
    store.refresh()
    (second,) = put_all(tmp_path, images[1:2])
    store.refresh()
    assert store.read_many([first.key, second.key]) == images[:2]


def test_a_pack_without_index_is_not_there_and_is_swept(tmp_path, images):
    (kept,) = put_all(tmp_path, images[:1])
    finished = names(tmp_path)
    (lost,) = put_all(tmp_path, images[1:2])
    (index,) = (name for name in set(names(tmp_path)) - set(finished) if name.endswith(".parquet"))
    (tmp_path / "packs" / index).unlink()  # killed between the pack and its index
    (tmp_path / "packs" / ".abc.pack.tmp").write_bytes(b"killed while writing")
    store = ImageStore(tmp_path)
    assert (store.known(kept.key), store.known(lost.key)) == (True, False)
    store.sweep()
    assert names(tmp_path) == finished
    (again,) = put_all(tmp_path, images[1:2])
    store.refresh()
    assert store.read(again.key) == images[1]


def test_two_writers_with_the_same_images_in_another_order_agree(tmp_path, images):
    one, two = ImageStore(tmp_path), ImageStore(tmp_path)
    with one.writer() as first, two.writer() as second:
        keys = [first.put(data).key for data in images]
        for data in reversed(images):
            second.put(data)
    store = ImageStore(tmp_path)
    assert len(names(tmp_path)) == 4
    assert len(store) == len(images)
    assert store.read_many(keys) == images
    assert store.facts()["key"].to_pylist() == sorted(keys)


def test_two_writers_with_the_same_images_in_one_order_make_one_pack(tmp_path, images):
    one, two = ImageStore(tmp_path), ImageStore(tmp_path)
    with one.writer() as first, two.writer() as second:
        keys = [first.put(data).key for data in images]
        for data in images:
            second.put(data)
    assert len(names(tmp_path)) == 2
    assert ImageStore(tmp_path).read_many(keys) == images


def test_unknown_images_are_an_error_that_names_them(store):
    key = "0" * 32
    for access in (store.read, store.size, lambda key: store.read_many([key])):
        with pytest.raises(WorkspaceError) as caught:
            access(key)
        assert str(caught.value) == f"{store.root}: no image {key}"
        assert caught.value.hint == LOST


def test_a_damaged_pack_is_an_error_that_names_pack_and_image(tmp_path, images):
    facts = put_all(tmp_path, images)
    (pack,) = (tmp_path / "packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[5] ^= 1
    pack.write_bytes(data)
    store = ImageStore(tmp_path)
    with pytest.raises(WorkspaceError) as caught:
        store.read(facts[0].key)
    assert str(caught.value) == f"{pack}: image {facts[0].key} is damaged; expected the bytes that were stored"
    assert caught.value.hint == (
        f"delete {pack.with_suffix('.parquet')}, then curate mix of the recipe, or curate normalize of the "
        "source, makes its images again from the raw files"
    )
    assert store.read(facts[1].key) == images[1]
    pack.write_bytes(data[:-1])
    with pytest.raises(WorkspaceError, match=f"image {facts[-1].key} is damaged"):
        store.read(facts[-1].key)


def test_a_lost_pack_is_an_error_that_names_it(tmp_path, images):
    (fact,) = put_all(tmp_path, images[:1])
    (pack,) = (tmp_path / "packs").glob("*.pack")
    pack.unlink()
    with pytest.raises(WorkspaceError, match=f"{pack.name}: no such file, so image {fact.key} is lost"):
        ImageStore(tmp_path).read(fact.key)


def test_a_damaged_index_is_an_error_that_names_it(tmp_path, images):
    put_all(tmp_path, images[:1])
    (index,) = (tmp_path / "packs").glob("*.parquet")
    index.write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(WorkspaceError, match=f"{index.name}: damaged"):
        ImageStore(tmp_path)


def test_no_more_packs_are_open_than_allowed(tmp_path, images, monkeypatch):
    keys = [fact.key for fact in put_all(tmp_path, images, pack_bytes=1)]
    monkeypatch.setattr(ImageStore, "OPEN_PACKS", 2)
    store = ImageStore(tmp_path)
    assert store.read_many(keys + keys[::-1]) == images + images[::-1]
    assert len(store._handles) == 2
    store.close()
    assert len(store._handles) == 0
    assert store.read(keys[0]) == images[0]


def test_a_store_works_in_another_process(tmp_path, images):
    keys = [fact.key for fact in put_all(tmp_path, images)]
    store = ImageStore(tmp_path)
    assert store.read(keys[0]) == images[0]
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(store.read_many, (keys,)) == images


def test_an_image_in_the_store_costs_few_bytes_of_memory(tmp_path):
    keys = [xxhash.xxh3_128_hexdigest(str(n).encode()) for n in range(10_000)]
    column = {"offset": range(10_000), "length": [1] * 10_000, "width": [1] * 10_000, "height": [1] * 10_000}
    column |= {"key": keys, "format": ["PNG"] * 10_000, "mode": ["L"] * 10_000}
    (tmp_path / "packs").mkdir()
    pq.write_table(pa.table({n: column[n] for n in INDEX.names}, schema=INDEX), tmp_path / "packs" / "x.parquet")
    index = ImageStore(tmp_path)._index
    arrays = (index.high, index.low, index.offset, index.length, index.pack, index.pixels)
    assert sum(a.nbytes for a in arrays) == 36 * 10_000
    assert all(index.find(key) is not None for key in keys[::997])


SMALL = [encode(picture(3, 2, seed), "PNG") for seed in range(6)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.sampled_from(SMALL), max_size=6), min_size=1, max_size=4), st.integers(1, 400))
def test_whatever_is_put_is_read_back_and_packs_never_disagree(tmp_path_factory, writers, pack_bytes):
    root = tmp_path_factory.mktemp("store")
    opened = [ImageStore(root).writer(pack_bytes=pack_bytes) for _ in writers]  # none sees another's images
    for writer, data in zip(opened, writers, strict=True):
        with writer:
            for image in data:
                writer.put(image)
    store = ImageStore(root)
    put = {xxhash.xxh3_128_hexdigest(image): image for data in writers for image in data}
    assert {key: store.read(key) for key in put} == put
    assert len(store) == len(put) == store.facts().num_rows
    for index in root.glob("packs/*.parquet"):
        pack = index.with_suffix(".pack").read_bytes()
        for row in pq.read_table(index).to_pylist():
            assert pack[row["offset"] : row["offset"] + row["length"]] == put[row["key"]]


def test_an_index_with_more_columns_is_read(store, images):
    """Indexes of earlier versions have a column `phash`."""
    with store.writer() as writer:
        key = writer.put(images[0]).key
    (path,) = store.folder.glob("*.parquet")
    table = pq.read_table(path)
    with published(path) as temporary:
        pq.write_table(table.append_column("phash", pa.array([7], pa.uint64())), temporary)
    again = ImageStore(store.root)
    assert (again.read(key), again.facts().column_names) == (images[0], INDEX.names)

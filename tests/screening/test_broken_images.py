"""Images that only a decode finds damaged: dropped where a step needs pixels, else kept, or skipped if asked."""

import json
from pathlib import Path

import polars as pl
import pytest
import xxhash
from typer.testing import CliRunner

from curate.build import build
from curate.checksums import checksum_of
from curate.cli import app
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.images.store import ImageStore
from curate.images.verdicts import broken
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace
from tests.support.pictures import damaged_jpeg, encoded, noisy

MANIFEST = """
adapter: preference
files: ["*.jsonl"]
columns: {prompt: q, chosen: good, rejected: bad, images: picture}
media: [pictures]
max_skip: 0.5
"""


@pytest.fixture
def mixed(tmp_path, monkeypatch):
    """The lock of a mix of three pairs, one of which shows a damaged image."""
    monkeypatch.chdir(tmp_path)
    for folder in ("raw/mine/pictures", "manifests"):
        Path(folder).mkdir(parents=True)
    Path("manifests/mine.yaml").write_text(MANIFEST)
    pictures = {
        "a": encoded(noisy(60, 40, seed=2), "JPEG"),
        "b": damaged_jpeg(),
        "c": encoded(noisy(50, 50), "PNG"),
    }
    for name, data in pictures.items():
        Path(f"raw/mine/pictures/{name}").write_bytes(data)
    rows = [
        {"q": f"What is {name}?", "good": f"It is {name}.", "bad": "No.", "picture": name} for name in pictures
    ]
    Path("raw/mine/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def build_with(steps, strict=False):
        Path("r.yaml").write_text(f"name: r\nsources: {{mine: all}}\nsteps: [{steps}]\n")
        inputs = Inputs(
            workspace=Workspace(Path("data")), raw=Path("raw"), manifests=Path("manifests"), strict_images=strict
        )
        return build(load("r.yaml"), inputs, Local(), Terminal())

    return build_with


def test_a_step_that_needs_pixels_drops_the_pair_first(mixed):
    built = mixed("ties, image_duplicates")
    account = built.lock["funnel"]["mine"]
    assert (account["skipped"], account["pairs"]) == ({}, 3)
    assert (account["dropped"], account["kept"]) == ({"images/image_damaged": 1}, 2)
    (decision,) = pl.read_parquet(built.directory / "decisions" / "mine.parquet").to_dicts()
    assert (decision["step"], decision["reason"], decision["row"]) == ("images", "image_damaged", "rows.jsonl:2")
    assert decision["evidence"].startswith(xxhash.xxh3_128_hexdigest(damaged_jpeg()))


def test_decontaminate_gets_no_image_that_cannot_be_decoded(mixed):
    Path("theirs").mkdir()
    Path("theirs/c.jpg").write_bytes(encoded(noisy(60, 40, seed=2), "JPEG"))
    account = mixed("{decontaminate: {images: [theirs], media_only: drop}}").lock["funnel"]["mine"]
    assert account["dropped"] == {"images/image_damaged": 1, "decontaminate/media_only": 1}


def test_without_such_a_step_no_image_is_decoded(mixed):
    account = mixed("ties").lock["funnel"]["mine"]
    assert (account["dropped"], account["kept"]) == ({}, 3)
    assert not Path("data/images/verdicts").exists()


def test_strict_images_skip_the_row(mixed):
    account = mixed("image_duplicates", strict=True).lock["funnel"]["mine"]
    assert (account["skipped"], account["dropped"], account["kept"]) == ({"image_damaged": 1}, {}, 2)
    # an image that the store has already, as it was not decoded before, is judged the same
    mixed("ties")
    later = mixed("ties", strict=True).lock["funnel"]["mine"]
    assert later["skipped"] == {"image_damaged": 1}


def test_verdicts_are_kept_and_made_again_where_they_are_damaged(tmp_path):
    store, good = ImageStore(tmp_path), encoded(noisy(60, 40), "JPEG")
    with store.writer() as writer:
        keys = [writer.put(data).key for data in (good, damaged_jpeg())]
    found = broken(keys, store, Local())
    assert found.rows() == [(keys[1], "image_damaged", found["detail"][0])]
    assert broken(keys[:1], store, Local()).height == 0
    (path,) = (tmp_path / "verdicts").glob("*.parquet")
    assert checksum_of(path).exists()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert broken(keys, store, Local()).equals(found)
    assert path.read_bytes() == whole


def test_the_command_line_asks_for_strict_images(mixed):
    mixed("ties")
    where = ["--raw", "raw", "--workspace", "data", "--manifests", "manifests", "--json"]
    for command in (["normalize", "mine"], ["mix", "r.yaml"]):
        lenient, strict = (
            json.loads(CliRunner().invoke(app, [*command, *where, *more]).stdout)
            for more in ([], ["--strict-images"])
        )
        skipped = [one["funnel"]["mine"] if command[0] == "mix" else one[0] for one in (lenient, strict)]
        assert [one["skipped"] for one in skipped] == [{}, {"image_damaged": 1}]

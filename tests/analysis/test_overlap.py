"""What small sources have in common, against what was planted in them."""

import io
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate.analysis.overlap import KINDS, Overlap, compare_targets, heat_map, overlap_table
from curate.checksums import hash_file
from curate.engines.local import Local
from curate.images.store import ImageStore
from curate.inputs import Inputs
from curate.inspect.targets import Target, find
from curate.steps.near_dedup import NearDedup
from curate.workspace import Workspace
from tests.support.collisions import colliding_images
from tests.support.finished_work import fault, run
from tests.support.pairs import write_pairs
from tests.support.paths import ROWS

EVAL_ROWS = ROWS / "evalsets"
BASE = " ".join(f"w{i}" for i in range(30))  # 26 shingles of five words
Rows = Sequence[Mapping[str, Any]]


def changed(*places: int) -> str:
    words = BASE.split()
    for place in places:
        words[place] = f"new{place}"
    return " ".join(words)


def artefact(home: Path, label: str, rows: Rows, part_rows: int = 1000) -> Path:
    """A finished pairs artefact of a source."""
    directory = home / "data" / "pairs" / label / "0123456789abcdef"
    numbered = [{"source": label, "row": f"{label}:{i}", **row} for i, row in enumerate(rows)]
    parts = write_pairs(directory, numbered, part_rows=part_rows)
    (directory / "manifest.json").write_text(
        json.dumps({"parts": [{"file": part, "xxh3": hash_file(directory / part)} for part in parts]})
    )
    return directory


def compared(home: Path, labels: Sequence[str], *against: str, **near: Any) -> Overlap:
    inputs = Inputs(workspace=Workspace(home / "data"), raw=home / "raw")
    with Local() as engine:
        return compare_targets(find(labels, inputs), against, NearDedup(**near), inputs, engine)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    same = {"prompt": "Why?", "chosen": "So it is.", "rejected": "No."}
    artefact(tmp_path, "a", [
        same, {"chosen": BASE}, {"prompt": "What is it?", "media": ["cat"]}, {"prompt": "And?", "chosen": "One."},
    ], part_rows=3)  # fmt: skip
    artefact(tmp_path, "b", [
        {**same, "chosen": "No.", "rejected": "So it is."}, {"chosen": changed(0)}, {"chosen": changed(29)},
        {"prompt": "Who is that?", "media": ["dog", "cat"]}, {"prompt": "How?", "media": ["cat"]},
    ])  # fmt: skip
    artefact(tmp_path, "c", [{"prompt": "Not that?", "chosen": changed(*range(10))}, same, same])
    return tmp_path


def test_counts_are_of_the_pairs_of_the_row(three: Path):
    found = compared(three, ["a", "b", "c"])
    assert found.pairs == {"a": 4, "b": 5, "c": 3}
    assert found.counts["exact"] == [[0, 1, 1], [1, 0, 1], [2, 2, 0]]
    assert found.counts["near"] == [[0, 2, 1], [3, 0, 1], [2, 2, 0]]
    assert found.counts["image"] == [[0, 1, 0], [2, 0, 0], [0, 0, 0]]
    table = overlap_table(found)
    assert table.rows[0] == ("a", "b", 1, 0.25, 2, 0.5, 1, 0.25)
    assert [row[:2] for row in table.rows] == [tuple(x) for x in ("ab", "ac", "ba", "bc", "ca", "cb")]


def test_the_table_fits_and_the_json_has_it_all(three: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(three)
    monkeypatch.setenv("COLUMNS", "80")
    done = run("overlap", "a", "b", "c", "--workers", "1", "--workspace", "data", "--figures", "figures")
    assert done.lines[:3] == [
        "overlap: pairs of the source that the other has too",
        "source  also in  exact  share  near  share  image  share",
        "a       b            1  0.250     2  0.500      1  0.250",
    ]
    found = json.loads(run("overlap", "a", "c", "--workers", "1", "--workspace", "data", "--json").text)
    assert found["columns"] == ["a", "c"]
    assert found["counts"]["exact"] == [[0, 1], [2, 0]]
    for kind in KINDS:
        root = ElementTree.parse(three / "figures" / f"overlap-{kind}.svg").getroot()
        assert len(root.findall(".//{*}rect")) == 9


def test_nothing_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    artefact(tmp_path, "a", [{"prompt": "One?"}])
    artefact(tmp_path, "b", [])
    done = run("overlap", "a", "b", "--workers", "1", "--workspace", "data")
    assert (done.text, done.messages[-1]) == ("", "nothing in common")


def test_near_is_the_same_as_comparing_all_with_all(tmp_path: Path):
    """60 texts in three sources, each a few words away from one of six."""
    draw = np.random.Generator(np.random.PCG64(3))
    texts = []
    for i in range(60):
        words = [f"{i % 6}w{j}" for j in range(40)]
        for place in draw.integers(0, 40, draw.integers(0, 4)).tolist():
            words[place] = f"x{place}"
        texts.append(" ".join(words))
    owners = draw.integers(0, 3, 60).tolist()
    for number, label in enumerate("abc"):
        own = [{"chosen": text} for text, owner in zip(texts, owners, strict=True) if owner == number]
        artefact(tmp_path, label, own)
    expected = np.zeros((3, 3), int)
    for i, other in itertools.product(range(60), range(3)):
        near = any(owners[j] == other and similarity(texts[i], texts[j]) >= 0.7 for j in range(60))
        expected[owners[i], other] += near and owners[i] != other
    found = compared(tmp_path, ["a", "b", "c"], on=("chosen",), jaccard=0.7, recall=0.999)
    assert found.counts["near"] == expected.tolist()
    assert 0 < expected.sum() < 120


def similarity(left: str, right: str) -> float:
    one, other = ({tuple(text.split()[i : i + 5]) for i in range(36)} for text in (left, right))
    return len(one & other) / len(one | other)


def test_near_pairs_have_the_same_media_beyond_the_bits_of_a_bucket(tmp_path: Path):
    images = colliding_images(tmp_path / "probe", NearDedup(on=("chosen",)), BASE)
    for label, image in zip("ab", images, strict=True):
        artefact(tmp_path, label, [{"chosen": BASE, "media": [image]}])
    assert compared(tmp_path, ["a", "b"], on=("chosen",)).counts["near"] == [[0, 0], [0, 0]]
    assert compared(tmp_path, ["a", "b"], on=("chosen",), media="ignore").counts["near"] == [[0, 1], [1, 0]]


def test_eval_sets_are_columns(tmp_path: Path):
    question = (
        "Which of the seven bridges of an old town must be left out, so that nobody walks over one of them twice?"
    )
    rows = tmp_path / "raw" / "judgebench" / "data" / "gpt-00000-of-00001.jsonl"
    shutil.copytree(EVAL_ROWS / "judgebench", tmp_path / "raw" / "judgebench")
    item = json.loads(rows.read_text().splitlines()[0])
    rows.write_text(json.dumps({**item, "question": question}) + "\n")
    artefact(tmp_path, "a", [{"prompt": question.upper()}, {"prompt": "Something else that nobody asks here?"}])
    artefact(tmp_path, "b", [{"prompt": "Something else that nobody asks here?"}])
    found = compared(tmp_path, ["a", "b"], "judgebench")
    assert found.columns == ["a", "b", "judgebench"]
    assert found.counts["near"] == [[0, 1, 1], [1, 0, 0]]
    assert found.counts["exact"] == [[0, 1, 0], [1, 0, 0]]


def test_only_the_selected_pairs_of_a_mix_count(three: Path):
    inputs = Inputs(workspace=Workspace(three / "data"))
    a, b = find(["a", "b"], inputs)
    with Local() as engine:
        some = Target(pool=a.pool, rows=pl.Series([1, 1, 3]))
        found = compare_targets([some, b], (), NearDedup(), inputs, engine)
    assert found.pairs == {"a": 2, "b": 5}
    assert found.counts["exact"] == [[0, 0], [0, 0]]
    assert found.counts["near"] == [[0, 1], [2, 0]]


def test_a_copy_of_an_image_is_the_same_with_copies(tmp_path: Path):
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    scene = Image.fromarray(np.stack([2 * x, 3 * y, 60 + x + y], axis=2).astype(np.uint8))
    encoded = []
    for kind in ("PNG", "JPEG"):
        scene.save(data := io.BytesIO(), kind)
        encoded.append(data.getvalue())
    with ImageStore(tmp_path / "data" / "images").writer() as writer:
        png, jpeg = (writer.put(data).key for data in encoded)
    artefact(tmp_path, "a", [{"prompt": "What is it?", "media": [png]}])
    artefact(tmp_path, "b", [{"prompt": "Where is it?", "media": [jpeg]}])
    inputs = Inputs(workspace=Workspace(tmp_path / "data"))
    with Local() as engine:
        for copies, count in ((False, 0), (True, 1)):
            found = compare_targets(find(["a", "b"], inputs), (), NearDedup(), inputs, engine, copies=copies)
            assert found.counts["image"] == [[0, count], [count, 0]]


def test_missing_targets_are_errors(three: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(three)
    assert "judgebench not fetched" in fault("overlap", "a", "--against", "judgebench", "--workspace", "data")
    assert "a: there 2 times: in a, a" in fault("overlap", "a", "a", "--workspace", "data")
    assert "no mix and no source of that name" in fault("overlap", "d", "--workspace", "data")


def test_a_heat_map_shows_small_shares():
    counts = [[0, 100], [1, 0]]
    found = Overlap(pairs={"big": 10_000, "small<": 100}, evalsets=(), counts=dict.fromkeys(KINDS, counts))
    drawn = ElementTree.fromstring(heat_map(found, "exact"))
    texts = [text.text for text in drawn.findall(".//{*}text")]
    assert texts == ["Overlap: exact, in percent of the row", "big", "small<", "big", "1.0", "small<", "1.0"]

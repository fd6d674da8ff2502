"""Which files a source's patterns mean: each once, links followed, names in NFC and NFD alike."""

import json
import os
import unicodedata
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import RawError, SkipRow
from curate.hashing import Hashes, input_facts
from curate.rawfiles.media_finder import MediaFinder
from curate.rawfiles.row_files import matching, row_files
from curate.rawfiles.rows import rows, slices
from curate.sources.base import Source

NFC, NFD = "café.png", unicodedata.normalize("NFD", "café.png")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def files(raw: Path, *patterns: str) -> list[str]:
    found = row_files(Source(repo="x/y", files=patterns, to_pairs=iter), raw, None)
    return [file.path.relative_to(raw).as_posix() + (f"!{file.member}" if file.member else "") for file in found]


def fault(raw: Path, *patterns: str) -> str:
    with pytest.raises(RawError) as caught:
        files(raw, *patterns)
    return str(caught.value)


def touch(raw: Path, *names: str) -> None:
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(b"{}")


def make_zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")


def test_a_file_that_two_patterns_match_is_read_once(raw):
    touch(raw, "a.jsonl", "train-1.jsonl", "deep/train-2.jsonl")
    assert files(raw, "*.jsonl", "train*.jsonl", "**/*.jsonl") == [
        "a.jsonl",
        "train-1.jsonl",
        "deep/train-2.jsonl",
    ]
    make_zip(raw / "a.zip", "x/a.jsonl", "b.jsonl")
    assert files(raw, "a.zip!*.jsonl", "*.zip!x/*.jsonl") == ["a.zip!b.jsonl", "a.zip!x/a.jsonl"]


def test_what_systems_leave_beside_files_is_no_row_file(raw):
    touch(raw, "a.jsonl", "._a.jsonl", "__MACOSX/._a.jsonl", ".cache/huggingface/b.jsonl")
    make_zip(raw / "a.zip", "x.jsonl", "__MACOSX/._x.jsonl", "._y.jsonl")
    assert files(raw, "**/*.jsonl", "a.zip!*.jsonl") == ["a.jsonl", "a.zip!x.jsonl"]
    assert files(raw, ".cache/**/*.jsonl") == [".cache/huggingface/b.jsonl"]
    assert fault(raw, "__MACOSX/*.json") == f"{raw}: no file matches __MACOSX/*.json"


@pytest.mark.parametrize("pattern", ["*.jsonl", "**/b.jsonl"])
def test_a_link_without_a_target_is_named(raw, pattern):
    touch(raw, "a.jsonl")
    (raw / "b.jsonl").symlink_to("/nonexistent/blob")
    assert (
        fault(raw, pattern) == f"{raw}/b.jsonl: a link to /nonexistent/blob, which is not there; expected a file"
    )
    with pytest.raises(RawError, match=r"b\.jsonl: a link to /nonexistent/blob"):
        MediaFinder(raw, ["b.*"], "path", raw.parent / "cache")


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_row_files_in_either_form(raw, stored, asked):
    touch(raw, unicodedata.normalize(stored, "étude/é.jsonl"))
    make_zip(raw / "a.zip", unicodedata.normalize(stored, "é.jsonl"))
    assert len(files(raw, unicodedata.normalize(asked, "étude/*.jsonl"))) == 1
    assert len(files(raw, unicodedata.normalize(asked, "a.zip!é.*"))) == 1


@pytest.mark.parametrize(("stored", "asked"), [(NFC, NFD), (NFD, NFC), (NFD, NFD), (NFC, NFC)])
@pytest.mark.parametrize("match", ["path", "name"])
def test_media_in_either_form_in_folders_and_archives(raw, stored, asked, match):
    touch(raw, f"pics/{stored}")
    make_zip(raw / "more.zip", f"in/{stored}")
    assert MediaFinder(raw, ["pics"], match, raw.parent / "cache").find(f"pics/{asked}") == b"{}"
    assert MediaFinder(raw, ["more.zip"], match, raw.parent / "cache").find(f"in/{asked}") == b"{}"


@pytest.mark.parametrize("pattern", [".", "./", "", "./pics", "pics/"])
def test_media_beside_the_rows(raw, pattern):
    touch(raw, "a.jsonl", "pics/a.png")
    assert MediaFinder(raw, [pattern], "path", raw.parent / "cache").find("pics/a.png") == b"{}"


def why(raw: Path, patterns: list[str], path: str) -> tuple[str, str]:
    with pytest.raises(SkipRow) as caught:
        MediaFinder(raw, patterns, "path", raw.parent / "cache").find(path)
    return caught.value.reason, caught.value.detail


def test_a_missing_image_says_why_nothing_can_be_found(raw):
    touch(raw, "pics/a.png")
    none = "the source declares no media, which are the archives and directories to look in"
    assert why(raw, [], "pics/a.png") == ("image_missing", f"pics/a.png: {none}")
    assert why(raw, ["pics", "img*"], "pics/b.png") == ("image_missing", "pics/b.png: nothing matches media img*")
    assert why(raw, ["pics"], "b.png") == ("image_missing", "b.png")
    by_name = "media_match: name looks for its file name"
    assert why(raw, ["pics"], "/home/me/a.png") == ("unsafe_path", f"/home/me/a.png; {by_name}")
    assert why(raw, ["pics"], "../a.png") == ("unsafe_path", "../a.png")


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot in a cache of the Hub: links into the folder blobs."""
    repo = tmp_path / "hub/datasets--x--y"
    here = repo / "snapshots/0123"
    (here / "pics").mkdir(parents=True)
    touch(repo, "blobs/aaa", "blobs/bbb")
    (here / "a.jsonl").symlink_to("../../blobs/aaa")
    (here / "pics/a.png").symlink_to("../../../blobs/bbb")
    return here


def test_a_snapshot_of_the_hub_is_a_raw_directory(snapshot, tmp_path):
    assert files(snapshot, "*.jsonl") == ["a.jsonl"]
    assert MediaFinder(snapshot, ["pics"], "path", tmp_path / "cache").find("pics/a.png") == b"{}"
    linked = tmp_path / "linked"
    linked.symlink_to(snapshot)
    assert MediaFinder(linked, ["pics"], "path", tmp_path / "cache").find("pics/a.png") == b"{}"


def test_links_into_the_cache_of_the_hub_are_followed_and_others_are_not(snapshot, raw, tmp_path, monkeypatch):
    (raw / "pics").symlink_to(snapshot / "pics")
    with pytest.raises(RawError, match="a link that leaves the raw directory"):
        MediaFinder(raw, ["pics"], "path", tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert MediaFinder(raw, ["pics"], "path", tmp_path / "cache").find("pics/a.png") == b"{}"


def test_a_folder_that_datasets_saved_stands_for_its_arrow_files(raw):
    saved = raw / "saved"
    saved.mkdir()
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    for number, name in enumerate(names):
        table = pa.table({"i": [number, number + 10]})
        with pa.OSFile(str(saved / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
    (saved / "cache-123.arrow").write_bytes(b"no part of it")
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    found = row_files(Source(repo="x/y", files=("*",), to_pairs=iter), raw, None)
    assert [file.path.name for file in found] == names
    read = [(part.name, number, row["i"]) for part in slices(raw, found) for number, row in rows(part)]
    first, second = (f"saved/{name}" for name in names)
    assert read == [(first, 1, 0), (first, 2, 10), (second, 1, 1), (second, 2, 11)]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (
            b'{"_data_files": [{"filename": "a.arr',
            "state.json: damaged; expected what Dataset.save_to_disk writes",
        ),
        (b"[1]", "state.json: damaged; expected what Dataset.save_to_disk writes"),
        (b'{"_data_files": [{"filename": 3}]}', "state.json: damaged; expected what Dataset.save_to_disk writes"),
        (
            b'{"_data_files": [{"filename": "a.arrow"}]}',
            "a.arrow: no such file; expected a file, as state.json says",
        ),
    ],
)
def test_a_saved_folder_whose_list_of_files_is_wrong_is_named(raw, state, found):
    (raw / "saved").mkdir()
    (raw / "saved" / "state.json").write_bytes(state)
    assert fault(raw, "saved") == f"{raw}/saved/{found}"


def test_a_name_that_is_not_utf8_is_an_error_that_shows_it(raw, tmp_path):
    (raw / "media").mkdir()
    (raw / "media" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"{}")
    with pytest.raises(RawError) as caught:
        input_facts(raw, [raw / "media"], Hashes(tmp_path))
    assert str(caught.value) == f"{raw}: the name of the file b'media/caf\\xe9.png' is not UTF-8; expected UTF-8"


def test_patterns_are_sorted_and_relative(raw):
    touch(raw, "b/x.png", "a/x.png")
    assert matching(raw, "*/x.png") == [raw / "a/x.png", raw / "b/x.png"]
    assert matching(raw, "./a") == [raw / "a"]

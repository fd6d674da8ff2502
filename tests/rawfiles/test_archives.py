"""Archives read in place: zip, tar, split; upstream's paths; what makes an archive unsafe."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import RawError, SkipRow
from curate.images.decode import MAX_PIXELS
from curate.images.store import ImageStore
from curate.pairs.part import Resolver
from curate.rawfiles.archives import members, read_member
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.rawfiles.path_index import PathIndex, index_names
from curate.rawfiles.split_files import SplitFile, split_parts
from curate.sources.base import MediaSource
from tests.support.upstream import draw


def make_zip(path, files, method=zipfile.ZIP_STORED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, files, **options):
    with tarfile.open(path, "w", **options) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def split(path, *suffixes):
    data = path.read_bytes()
    size = -(-len(data) // len(suffixes))
    for i, suffix in enumerate(suffixes):
        path.with_name(path.name + suffix).write_bytes(data[i * size : (i + 1) * size])
    path.unlink()


def finder(tmp_path, *patterns, match="path"):
    return MediaFinder(tmp_path / "raw", patterns, match, tmp_path / "cache")


def reason(find, path):
    with pytest.raises(SkipRow) as caught:
        find(path)
    return caught.value.reason


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


FILES = {"images/a/1.jpg": b"one" * 100, "images/b/1.jpg": b"two", "images/b/2.jpg": b"three"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_in_place(tmp_path, raw, method):
    make_zip(raw / "images.zip", FILES, method)
    media = finder(tmp_path, "*.zip")
    assert {name: media.find(name) for name in FILES} == FILES
    assert sorted(path.name for path in raw.iterdir()) == ["images.zip"]


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_is_read_in_place(tmp_path, raw, style):
    files = FILES | {"images/" + "long/" * 19 + "ü.jpg": b"four"}
    make_tar(raw / "images.tar", files, format=style)
    media = finder(tmp_path, "images.tar")
    assert {name: media.find(name) for name in files} == files


def test_a_directory_is_walked(tmp_path, raw):
    for name, data in FILES.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(data)
    media = finder(tmp_path, "images", "images/*")  # the second lies inside the first and must not count twice
    assert media.find("images/a/1.jpg") == FILES["images/a/1.jpg"]
    assert media.find("b/2.jpg") == b"three"
    assert reason(media.find, "1.jpg") == "image_ambiguous"


@pytest.mark.parametrize(
    "suffixes", [("_aa", "_ab", "_ac"), ("_a", "_b"), (".001", ".002", ".003"), (".part0", ".part1")]
)
def test_split_parts_are_read_as_one_without_joining(tmp_path, raw, suffixes):
    split(make_zip(raw / "images.zip", FILES, zipfile.ZIP_DEFLATED), *suffixes)
    media = finder(tmp_path, "images.zip*")
    assert {name: media.find(name) for name in FILES} == FILES
    with zipfile.ZipFile(io.BufferedReader(SplitFile(split_parts(raw / f"images.zip{suffixes[0]}")))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_a_split_tar_is_read_too(tmp_path, raw):
    split(make_tar(raw / "videos.part", FILES), ".aa", ".ab")
    assert finder(tmp_path, "videos.part.*").find("b/1.jpg") == b"two"


@pytest.mark.parametrize(
    ("there", "missing", "span"),
    [
        (("_aa", "_ac"), "_ab", "aa to ac"),
        (("_ab", "_ac"), "_aa", "aa to ac"),
        ((".001", ".003"), ".002", "001 to 003"),
    ],
)
def test_a_missing_part_is_named(tmp_path, raw, there, missing, span):
    for suffix in there:
        (raw / f"images.zip{suffix}").write_bytes(b"PK\x03\x04")
    with pytest.raises(RawError) as caught:
        finder(tmp_path, "images.zip*")
    assert str(caught.value) == f"{raw}: images.zip{missing} is missing; expected all parts from {span}"


def test_a_missing_last_part_is_a_cut_zip(tmp_path, raw):
    split(make_zip(raw / "images.zip", FILES), "_aa", "_ab")
    (raw / "images.zip_ab").unlink()
    with pytest.raises(RawError, match=r"images\.zip_aa: cut: the zip has no directory at its end"):
        finder(tmp_path, "images.zip*")


def test_names_that_only_look_like_parts_stand_alone(raw):
    for name in ("a.tar.gz", "images.zip", "x.tar.xz", "notes_a"):
        (raw / name).write_bytes(b"")
        assert split_parts(raw / name) == [raw / name]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 120), st.integers(0, 120))
def test_a_split_file_reads_like_the_whole(tmp_path_factory, pieces, offset, length):
    folder = tmp_path_factory.mktemp("parts")
    paths = [folder / str(i) for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    whole = io.BytesIO(b"".join(pieces))
    with SplitFile(paths) as file:
        assert file.pread(length, offset) == whole.getvalue()[offset : offset + length]
        assert file.seek(-min(length, file.size), io.SEEK_END) == whole.seek(-min(length, file.size), io.SEEK_END)
        assert file.read() == whole.read()
        assert file.seek(offset) == file.tell() == offset
        assert file.read(3) == whole.getvalue()[offset : offset + 3]


# ---- finding


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("top/images/b/2.jpg", b"three"),  # upstream has an extra top directory
        ("b/2.jpg", b"three"),  # the archive has one
        ("./images//b/2.jpg", b"three"),
        ("images\\b\\2.jpg", b"three"),
        ("2.jpg", b"three"),
    ],
)
def test_paths_agree_from_the_end(tmp_path, raw, path, found):
    make_zip(raw / "images.zip", FILES)
    assert finder(tmp_path, "*.zip").find(path) == found


def test_what_is_not_there_is_missing(tmp_path, raw):
    make_zip(raw / "images.zip", FILES)
    media = finder(tmp_path, "*.zip", "nothing/*")
    for path in ("c/1.jpg", "other/b/3.jpg", "", "xa/1.jpg", "a/1.jpg/more"):
        assert reason(media.find, path) == "image_missing"


def test_the_path_rule_does_not_fall_back_to_the_name(tmp_path, raw):
    make_zip(raw / "images.zip", FILES)
    assert reason(finder(tmp_path, "*.zip").find, "elsewhere/2.jpg") == "image_missing"
    assert finder(tmp_path, "*.zip", match="name").find("elsewhere/2.jpg") == b"three"


def test_equal_names_are_ambiguous_within_and_across_archives(tmp_path, raw):
    make_zip(raw / "one.zip", FILES)
    make_zip(raw / "two.zip", {"b/2.jpg": b"another"})
    media = finder(tmp_path, "*.zip", match="name")
    assert reason(media.find, "1.jpg") == "image_ambiguous"
    assert reason(media.find, "images/b/2.jpg") == "image_ambiguous"
    assert reason(media.find, "elsewhere/1.jpg") == "image_ambiguous"
    assert media.find("b/1.jpg") == b"two"  # the path decides before the name is asked alone


@pytest.mark.usefixtures("raw")
def test_no_media_at_all_is_fine_until_something_is_looked_up(tmp_path):
    assert reason(finder(tmp_path).find, "a.jpg") == "image_missing"
    assert reason(finder(tmp_path, "*.zip").frames, "video") == "image_missing"


@pytest.mark.parametrize(
    "path", ["/mmu_mllm_hdd/yf/2.jpg", "C:\\data\\2.jpg", "../2.jpg", "a/../../2.jpg", "a\0b"]
)
def test_unsafe_paths_are_not_looked_up(tmp_path, raw, path):
    make_zip(raw / "images.zip", FILES)
    assert reason(finder(tmp_path, "*.zip").find, path) == "unsafe_path"


def test_by_name_an_authors_absolute_path_gives_its_file_name(tmp_path, raw):
    make_zip(raw / "images.zip", FILES)
    media = finder(tmp_path, "*.zip", match="name")
    assert media.find("/mmu_mllm_hdd/yf/2.jpg") == b"three"
    assert media.find("C:\\data\\2.jpg") == b"three"
    assert reason(media.find, "/data/../2.jpg") == "unsafe_path"


def test_frames_come_in_natural_order_from_that_directory_only(tmp_path, raw):
    files = {f"video/v1/frame_{n}.jpg": b"%d" % n for n in (10, 2, 1)}
    make_zip(
        raw / "video.zip", files | {"video/v1/extra/0.jpg": b"no", "video/v1/.DS_Store": b"no", "v2/1.jpg": b"x"}
    )
    media = finder(tmp_path, "video.zip")
    assert media.frames("video/v1") == [b"1", b"2", b"10"]
    assert media.frames("top/video/v1/") == [b"1", b"2", b"10"]
    assert reason(media.frames, "video") == "image_missing"
    assert reason(media.find, "video/v1") == "image_missing"


def test_two_directories_of_one_name_are_ambiguous(tmp_path, raw):
    make_zip(raw / "video.zip", {"a/v/1.jpg": b"1", "b/v/1.jpg": b"2"})
    media = finder(tmp_path, "video.zip")
    assert reason(media.frames, "v") == "image_ambiguous"
    assert media.frames("b/v") == [b"2"]


def test_names_stored_without_the_utf8_flag_are_found(tmp_path, raw):
    archive = make_zip(raw / "images.zip", {"xx.jpg": b"umlaut"})
    archive.write_bytes(archive.read_bytes().replace(b"xx.jpg", "ü.jpg".encode()))
    assert finder(tmp_path, "*.zip").find("ü.jpg") == b"umlaut"


def test_links_out_of_raw_are_not_followed(tmp_path, raw):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.jpg").write_bytes(b"secret")
    (raw / "images").mkdir()
    (raw / "more").mkdir()
    (raw / "more" / "inside.jpg").write_bytes(b"inside")
    (raw / "images" / "out").symlink_to(tmp_path / "secret")
    (raw / "images" / "out.jpg").symlink_to(tmp_path / "secret" / "key.jpg")
    (raw / "images" / "in").symlink_to(raw / "more")
    (raw / "images" / "loop").symlink_to(raw / "images")
    media = finder(tmp_path, "images")
    assert reason(media.find, "out/key.jpg") == reason(media.find, "out.jpg") == "image_missing"
    assert media.find("in/inside.jpg") == b"inside"
    (raw / "linked").symlink_to(tmp_path / "secret")
    with pytest.raises(RawError, match="linked: a link that leaves the raw directory"):
        finder(tmp_path, "linked")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), unique_by=tuple, max_size=8), st.data())
def test_the_index_finds_exactly_what_agrees_from_the_end(names, data):
    path = data.draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=5))
    index = PathIndex(index_names(["/".join(name).encode() for name in names], ""), "")
    expected = [
        i
        for i, name in enumerate(names)
        if all(x == y for x, y in zip(reversed(name), reversed(path), strict=False))
    ]
    assert sorted(index.find([part.encode() for part in path])) == expected
    assert [index.name(i) for i in range(len(index))] == ["/".join(name).encode() for name in names]


# ---- the cache


def test_the_index_is_built_once_and_again_when_the_archive_changes(tmp_path, raw):
    path = make_zip(raw / "images.zip", FILES)
    spec = MediaSpec(raw=raw, patterns=("*.zip",), match="path", cache=tmp_path / "cache")
    spec.open()
    (cached,) = (tmp_path / "cache" / "archives").glob("*.arrow")
    made = cached.stat().st_mtime_ns
    assert spec.open().find("2.jpg") == b"three"
    assert cached.stat().st_mtime_ns == made
    make_zip(path, {"new.jpg": b"new"})
    assert spec.open().find("new.jpg") == b"new"
    assert len(list((tmp_path / "cache" / "archives").glob("*.arrow"))) == 2


def test_a_damaged_cached_index_is_made_again(tmp_path, raw):
    make_zip(raw / "images.zip", FILES)
    finder(tmp_path, "*.zip")
    (cached,) = (tmp_path / "cache" / "archives").glob("*.arrow")
    cached.write_bytes(b"ARROW1 but not really")
    assert finder(tmp_path, "*.zip").find("2.jpg") == b"three"


# ---- unsafe and damaged archives


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_members_that_point_outside_refuse_the_archive(tmp_path, raw, make, name):
    path = make(raw / "images.zip", {"good.jpg": b"x", name: b"evil"})
    with pytest.raises(RawError) as caught:
        finder(tmp_path, "images.zip")
    assert str(caught.value) == f"{path}: member {name!r} points outside; expected relative paths"
    assert caught.value.hint == "repack it, or drop it from media"
    with pytest.raises(RawError, match="points outside"):
        members(path, "*")


def test_a_backslash_in_a_zip_is_a_separator(tmp_path, raw):
    make_zip(raw / "images.zip", {"a\\b.jpg": b"x"})
    assert finder(tmp_path, "*.zip").find("a/b.jpg") == b"x"
    make_zip(raw / "images.zip", {"..\\evil.jpg": b"x"})
    with pytest.raises(RawError, match=r"member '\.\./evil\.jpg' points outside"):
        finder(tmp_path, "*.zip")


def test_a_bomb_refuses_the_archive(tmp_path, raw):
    path = make_zip(raw / "images.zip", {"bomb.png": bytes(70 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(
        RawError, match=r"images\.zip: member 'bomb\.png' would grow from 71,\d+ to 73,400,320 bytes"
    ):
        finder(tmp_path, "images.zip")
    assert members(path, "*.png") == ["bomb.png"]  # as a row file it is streamed, so its size does not matter


def test_a_member_that_lies_about_its_size_is_damaged_not_inflated(tmp_path, raw):
    path = make_zip(raw / "images.zip", {"x.png": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace((1 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert reason(finder(tmp_path, "*.zip").find, "x.png") == "image_damaged"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_damaged_member_costs_only_itself(tmp_path, raw, method):
    path = make_zip(raw / "images.zip", {"bad.jpg": b"contents of bad", "good.jpg": b"good"}, method)
    data = bytearray(path.read_bytes())
    data[30 + len("bad.jpg") + 4] ^= 0xFF
    path.write_bytes(data)
    media = finder(tmp_path, "*.zip")
    assert reason(media.find, "bad.jpg") == "image_damaged"
    assert media.find("good.jpg") == b"good"
    with (
        pytest.raises(RawError, match=r"images\.zip!bad\.jpg: the member is damaged"),
        read_member(path, "bad.jpg") as f,
    ):
        f.read()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_cut_archive_is_one_clear_line(tmp_path, raw, make, share):
    path = make(raw / "images.zip", {f"{n}.jpg": bytes([n]) * 3000 for n in range(1, 9)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RawError, match=r"images\.zip: .*cut.*; expected a whole archive") as caught:
        finder(tmp_path, "images.zip")
    assert caught.value.hint == "delete it and fetch the source again"


def test_a_tar_cut_between_two_members_is_noticed(tmp_path, raw):
    path = make_tar(raw / "images.tar", {"1.jpg": bytes(512), "2.jpg": bytes(512)})
    path.write_bytes(path.read_bytes()[: 2 * 512])
    with pytest.raises(RawError, match="the tar is cut or corrupt at byte 1024"):
        finder(tmp_path, "images.tar")


def test_a_corrupt_header_in_the_middle_of_a_tar_is_noticed(tmp_path, raw):
    path = make_tar(raw / "images.tar", {"1.jpg": bytes(512), "2.jpg": bytes(512)})
    data = bytearray(path.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    with pytest.raises(RawError, match="the tar is cut or corrupt at byte 1024"):
        finder(tmp_path, "images.tar")


def test_a_corrupt_zip_directory_is_noticed(tmp_path, raw):
    path = make_zip(raw / "images.zip", FILES)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02")] = 0
    path.write_bytes(data)
    with pytest.raises(RawError, match="the zip directory is corrupt"):
        finder(tmp_path, "images.zip")


def test_a_compressed_tar_says_to_unpack_it(tmp_path, raw):
    with tarfile.open(raw / "images.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x.jpg"))
    with pytest.raises(RawError, match=r"images\.tar\.gz: a compressed tar; expected zip or plain tar") as caught:
        finder(tmp_path, "images.tar.gz")
    assert caught.value.hint == "unpack it: its members cannot be found by offset"


def test_what_is_no_archive_says_so(tmp_path, raw):
    (raw / "README.md").write_text("hello")
    with pytest.raises(
        RawError, match=r"README\.md: neither a zip nor a tar .*; expected an archive or a directory"
    ):
        finder(tmp_path, "*")


def test_an_encrypted_member_is_refused(tmp_path, raw):
    path = make_zip(raw / "images.zip", {"x.jpg": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(RawError, match=r"member 'x\.jpg' is encrypted; expected stored or deflated"):
        finder(tmp_path, "images.zip")


# ---- row files in archives


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_row_files_are_listed_and_streamed(raw, make):
    rows = b'{"a": 1}\n' * 200_000
    path = make(
        raw / "rows.zip", {"data/b.jsonl": rows, "data/a.jsonl": b"{}", "data/readme.txt": b"", "x.jsonl": b""}
    )
    assert members(path, "*.jsonl") == ["data/a.jsonl", "data/b.jsonl", "x.jsonl"]
    assert members(path, "data/*.jsonl") == ["data/a.jsonl", "data/b.jsonl"]
    assert members(path, "*.csv") == []
    with read_member(path, "data/b.jsonl") as file:
        assert file.readline() == b'{"a": 1}\n'
        assert file.read() == rows[9:]
    with read_member(path, "x.jsonl") as file:
        assert file.read() == b""


def test_a_deflated_row_file_in_a_split_zip_is_streamed(raw):
    rows = b"".join(b'{"number": %d}\n' % n for n in range(100_000))
    split(make_zip(raw / "rows.zip", {"rows.jsonl": rows}, zipfile.ZIP_DEFLATED), "_a", "_b")
    with read_member(raw / "rows.zip_a", "rows.jsonl") as file:
        assert b"".join(file) == rows


def test_a_zip64_archive_is_read(raw):
    path = raw / "rows.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.jsonl", "w", force_zip64=True) as file:
        file.write(b"{}\n")
    assert members(path, "*") == ["x.jsonl"]
    with read_member(path, "x.jsonl") as file:
        assert file.read() == b"{}\n"


def test_a_zip64_directory_is_read(tmp_path, raw):
    files = {f"{n}.jpg": b"" for n in range(66_000)}
    make_zip(raw / "images.zip", files | {"last.jpg": b"last"})
    assert finder(tmp_path, "images.zip").find("last.jpg") == b"last"


def test_a_member_that_is_not_there_is_named(raw):
    path = make_zip(raw / "rows.zip", {"x.jsonl": b""})
    with pytest.raises(RawError, match=r"rows\.zip: no member 'y\.jsonl'"):
        read_member(path, "y.jsonl")
    with pytest.raises(RawError, match=r"gone\.zip: no such file"):
        members(Path(raw / "gone.zip"), "*")


def test_an_image_that_many_rows_name_is_read_once_in_a_slice(tmp_path: Path):
    raw, data = tmp_path / "raw", draw.image(8, 6)
    (raw / "images").mkdir(parents=True)
    (raw / "images" / "a.png").write_bytes(data)
    finder = MediaSpec(raw=raw, patterns=("images",), match="path", cache=tmp_path / "cache").open()
    media = (MediaSource(path="images/a.png"),)
    with ImageStore(tmp_path / "store").writer() as writer:
        resolve = Resolver(finder, writer, MAX_PIXELS, strict=False)
        first = resolve(media)
        (raw / "images" / "a.png").unlink()
        assert resolve(media) == first
        assert first[1] == len(data)
        with pytest.raises(SkipRow, match="image_missing"):
            Resolver(finder, writer, MAX_PIXELS, strict=False)(media)

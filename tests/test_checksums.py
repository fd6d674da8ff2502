"""A checksum beside a file: what is whole, damaged, unknown; facts in JSON."""

import hashlib
import os

import pytest
import xxhash

from curate import checksums
from curate.checksums import (
    Following,
    checksum_of,
    hash_file,
    hash_once,
    published,
    read_record,
    record,
    state,
    usable,
    write_record,
)
from curate.errors import WorkspaceError
from curate.hashing import Hashes


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "part-00000.parquet"
    with published(found) as temporary:
        temporary.write_bytes(b"rows of a step")
    return found


@pytest.mark.parametrize("at", [0, 7, 13])
def test_one_flipped_bit_of_a_file_or_of_its_checksum_is_seen(path, at):
    for one in (path, checksum_of(path)):
        assert state(path) == "whole"
        before = one.read_bytes()
        one.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        assert (state(path), usable(path)) == ("damaged", False)
        one.write_bytes(before)


def test_a_file_without_a_checksum_is_not_used_where_it_can_be_made_again(path):
    checksum_of(path).unlink()
    assert (state(path), usable(path), usable(path, unknown=True)) == ("unknown", False, True)
    path.unlink()
    assert (state(path), usable(path, unknown=True)) == ("missing", False)


def test_a_file_is_hashed_once_until_it_is_written_to(path, monkeypatch):
    first = hash_once(path)
    monkeypatch.setattr("curate.checksums.hash_file", lambda _: "read again")
    assert hash_once(path) == first
    before = path.stat()
    path.write_bytes(b"ROWS OF A STEP")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hash_once(path) == "read again"  # by the time of change, which nobody can set


@pytest.mark.parametrize("text", ["null", "[]", '"text"', "{", "\udcff"])
def test_what_is_no_record_is_an_error_in_one_line(tmp_path, text):
    path = tmp_path / "lock.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WorkspaceError) as caught:
        read_record(path, "the lock of a mix", "build it again")
    assert str(caught.value).startswith(f"{path}: ")
    assert (caught.value.expected, caught.value.hint) == ("the lock of a mix", "build it again")
    assert "\n" not in str(caught.value)


def test_a_damaged_record_is_none_and_a_line(tmp_path, caplog):
    path = tmp_path / "facts.json"
    assert record(path) is None
    write_record(path, {"a": 1})
    assert record(path) == {"a": 1}
    path.write_text('{"a": 2}\n')
    assert record(path) is None
    assert caplog.messages == [f"{path}: damaged (it differs from its checksum), so it is made again"]


def test_hashes_that_are_damaged_are_computed_again(tmp_path, path):
    known = Hashes(tmp_path)
    right = known.of(path)
    known.save()
    stored = tmp_path / "hashes.json"
    stored.write_text(stored.read_text().replace(right, right[::-1]))
    assert Hashes(tmp_path).of(path) == right


def test_a_file_of_ours_is_known_by_its_time_of_change(tmp_path, path):
    known, before = Hashes(tmp_path), path.stat()
    first = known.of(path, ours=True)
    path.write_bytes(b"ROWS OF A STEP")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known.of(path, ours=True) == hash_file(path) != first


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_a_file_is_followed_to_its_end_whatever_the_steps(tmp_path, monkeypatch, step):
    monkeypatch.setattr(checksums, "STEP", step)
    path, whole = tmp_path / "file", b""
    with open(path, "wb") as stream, Following(path, xxhash.xxh3_128(), hashlib.sha256()) as following:
        for number in range(50):
            piece = bytes([number]) * 37
            stream.write(piece)
            stream.flush()
            whole += piece
            following.go_on()
        assert following.digests() == [xxhash.xxh3_128_hexdigest(whole), hashlib.sha256(whole).hexdigest()]


def test_a_file_that_is_gone_while_it_is_followed_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with Following(path, xxhash.xxh3_128()) as following:
        path.unlink()
        with pytest.raises(FileNotFoundError):
            following.digests()

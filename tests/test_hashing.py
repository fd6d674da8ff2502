"""Facts about raw files: hashed by several threads, listed in order, stopped inside a file."""

import threading

import pytest
import xxhash

from curate import checksums, hashing
from curate.hashing import LONG_LISTING, Hashes, differing, input_facts


def test_files_are_hashed_on_all_cpus_and_listed_by_path(tmp_path, monkeypatch):
    raw, texts = tmp_path / "raw", {f"d/{number}": bytes([number]) * number for number in range(20)}
    (raw / "d").mkdir(parents=True)
    for name, text in texts.items():
        (raw / name).write_bytes(text)
    monkeypatch.setattr(hashing, "cpus", lambda: 2)
    both = threading.Barrier(2)
    of = Hashes.of

    def together(self, path, **more):
        both.wait(10)
        return of(self, path, **more)

    monkeypatch.setattr(Hashes, "of", together)
    found = input_facts(raw, [raw / "d"], Hashes(tmp_path))
    assert found == [
        {"path": name, "bytes": len(texts[name]), "xxh3": xxhash.xxh3_128_hexdigest(texts[name])}
        for name in sorted(texts)
    ]


def test_ctrl_c_ends_the_threads_inside_their_files(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b" * 1000)
    monkeypatch.setattr(checksums, "CHUNK", 1)
    monkeypatch.setattr(hashing, "cpus", lambda: 2)
    read = []

    class Slow:
        def update(self, piece):
            if piece == b"a":
                raise KeyboardInterrupt
            read.append(piece)
            stopped.wait(0.05)

        def digest(self):
            return ""

    stopped = threading.Event()
    monkeypatch.setattr(hashing.xxhash, "xxh3_128", Slow)
    with pytest.raises(KeyboardInterrupt):
        input_facts(tmp_path, [tmp_path / "a", tmp_path / "b"], Hashes(tmp_path / "cache"))
    assert len(read) < 10


def test_a_long_directory_that_is_empty_by_now_differs(tmp_path):
    folder, hashes = tmp_path / "raw" / "images", Hashes(tmp_path)
    folder.mkdir(parents=True)
    for number in range(LONG_LISTING + 1):
        (folder / str(number)).write_bytes(b"x")
    recorded = input_facts(tmp_path / "raw", [folder], hashes)
    assert differing(tmp_path / "raw", recorded, hashes) == []
    for path in folder.iterdir():
        path.unlink()
    assert differing(tmp_path / "raw", recorded, hashes) == [f"{folder}: 0 bytes; expected 65"]

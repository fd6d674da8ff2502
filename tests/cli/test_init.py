"""`curate init`: from a file, folder or Hub dataset that nobody has described to a manifest, a recipe and a
mix."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import datasets
import polars as pl
import pytest
import zstandard
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import ConfigError
from curate.inspect import candidates
from tests.support.hub import Hub
from tests.support.hub_commands import curate

ROWS = [{"prompt": f"What is {i} + 1?", "chosen": f"It is {i + 1}.", "rejected": f"It is {i}."} for i in range(6)]


COUNTED = [{"prompt": "Q", "answer_a": "x", "answer_b": "y", "label": i % 2} for i in range(4)]
"""0 and 1 could mean either reply."""


def two_kinds():
    Path("a").mkdir()
    Path("a/b.jsonl").write_text(lines(ROWS))
    Path("a/c.jsonl").write_text('{"x": 1}')


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(path: Path, delimiter: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(ROWS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


def saved(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(str(path))


def splits(path: Path) -> None:
    (path / "data").mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        pl.DataFrame(ROWS[:3]).write_parquet(path / f"data/{name}.parquet")


FILES = {
    "a.jsonl": lambda path: path.write_text(lines(ROWS)),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "data.json": lambda path: path.write_text(json.dumps({"data": ROWS})),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(lines(ROWS).encode())),
    "a.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(lines(ROWS).encode())),
    "a.parquet": lambda path: pl.DataFrame(ROWS).write_parquet(path),
    "comma.csv": lambda path: table(path, ","),
    "semicolon.csv": lambda path: table(path, ";"),
    "a.tsv": lambda path: table(path, "\t"),
    "saved": saved,
    "splits": splits,
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def init(*words):
    return CliRunner().invoke(app, ["init", *map(str, words)])


@pytest.mark.parametrize("name", FILES)
def test_every_file_format_is_read_without_a_word(name):
    FILES[name](Path(name))
    _, (candidate,) = candidates.of_path(Path(name))
    rows = [*ROWS[:3], *ROWS[:3]] if name == "splits" else ROWS  # two files of the training split
    assert [draft.chosen[0].content[0].text for draft in candidate.drafts] == [row["chosen"] for row in rows]
    assert candidate.manifest["adapter"] == "preference"
    assert candidate.manifest["files"] == {"saved": ["."], "splits": ["data/train-*-of-*.parquet"]}.get(
        name, [name]
    )


def test_from_a_file_to_a_mix():
    Path("own").mkdir()
    rows = [{"question": row["prompt"], "good": row["chosen"], "bad": row["rejected"]} for row in ROWS]
    Path("own/Sums v2.jsonl").write_text(lines(rows))
    done = init("own/Sums v2.jsonl", "--yes")
    assert done.exit_code == 0, done.output
    assert Path("manifests/sums_v2.yaml").read_text() == (
        "adapter: preference\nfiles: [Sums v2.jsonl]\ncolumns: {chosen: good, rejected: bad, prompt: question}\n"
    )
    assert "next: curate mix sums_v2" in done.output
    command = [sys.executable, "-m", "curate", "mix", "sums_v2", "--workers", "1", "--json"]
    mixed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(mixed.stdout)["rows"] == 6
    assert init("own/Sums v2.jsonl", "--yes").exit_code == 0  # again: nothing else to say


def test_two_readings_that_fit_are_a_question():
    Path("a.jsonl").write_text(
        lines({"prompt": "Q", "answer_a": "x", "answer_b": "y", "label": i % 2} for i in range(4))
    )
    done = init("a.jsonl", "--yes")
    assert isinstance(done.exception, ConfigError)
    assert done.exception.found == (
        "2 readings fit: 1: in label 0 means the first reply, 1 the second; "
        "2: in label 1 means the first reply, 0 the second"
    )
    assert done.exception.hint == "add --reading N for reading N, or run it in a terminal to be asked"
    assert not Path("manifests").exists()
    assert init("a.jsonl", "--yes", "--reading", "2").exit_code == 0
    assert "verdicts: {'1': a, '0': b}" in Path("manifests/a.yaml").read_text()


def test_nothing_is_written_without_a_word_and_nothing_is_written_over():
    Path("a.jsonl").write_text(lines(ROWS))
    assert init("a.jsonl").exception.hint == "add --yes"
    assert not Path("manifests").exists()
    Path("manifests").mkdir()
    Path("manifests/a.yaml").write_text("adapter: preference\nfiles: [b.jsonl]\n")
    assert init("a.jsonl", "--yes").exception.hint == "give another --name"
    assert init("a.jsonl", "--yes", "--name", "other").exit_code == 0


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda: None, "no such file or folder"),
        (lambda: Path("a").mkdir(), "no row files"),
        (lambda: (Path("a").mkdir(), Path("a/notes.txt").write_text("x")), "no row files"),
        (two_kinds, "b.jsonl and c.jsonl have no column in common"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_one_line(write, found):
    write()
    assert init("a", "--yes").exception.found == found


def test_a_misspelt_path_has_the_one_that_was_meant():
    Path("own").mkdir()
    Path("own/votes.jsonl").write_text(lines(ROWS))
    Path("own/mine.yaml").write_text("name: mine\nsources: {shp: all}\n")
    assert init("own/votez.csv", "--yes").exception.hint == "did you mean own/votes.jsonl?"
    assert init("own/other.jsonl", "--yes").exception.hint == ""
    done = CliRunner().invoke(app, ["plan", "own/mien.yml"])
    assert done.exception.hint == "did you mean own/mine.yaml?"


def test_images_are_found_beside_the_rows():
    Path("own/images").mkdir(parents=True)
    Path("own/images/1.png").write_bytes(b"x")
    Path("own/rows.jsonl").write_text(lines({**row, "image": "images/1.png"} for row in ROWS))
    _, (candidate,) = candidates.of_path(Path("own/rows.jsonl"))
    assert (candidate.manifest["columns"], candidate.manifest["media"], candidate.missing) == (
        {"images": "image"},
        ["images"],
        0,
    )
    Path("own/images/1.png").unlink()
    assert candidates.of_path(Path("own/rows.jsonl"))[1][0].missing == 1


def test_show_and_doctor_read_a_bare_file():
    Path("a.jsonl").write_text(lines(ROWS))
    printed = CliRunner().invoke(app, ["show", "a.jsonl", "--json", "--rows", "9"])
    assert sorted(
        item["pair"]["chosen"][0]["content"][0]["text"] for item in json.loads(printed.stdout)
    ) == sorted(row["chosen"] for row in ROWS)
    examined = CliRunner().invoke(app, ["doctor", "a.jsonl", "--json"])
    assert examined.exit_code == 0
    assert '"a"' in examined.stdout
    Path("b.jsonl").write_text(
        lines({"prompt": "Q", "answer_a": "x", "answer_b": "y", "label": i % 2} for i in range(4))
    )
    refused = CliRunner().invoke(app, ["show", "b.jsonl"])
    assert refused.exception.hint == "curate init b.jsonl asks which, and writes it down"


def test_a_dataset_on_the_hub(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo("me/sums", {"data/train.jsonl": lines(ROWS).encode()})
        done = curate(hub, tmp_path, "init", "me/sums", "--yes", "--name", "sums")
        assert done.returncode == 0, done.stderr
        manifest = (tmp_path / "manifests/sums.yaml").read_text()
        assert manifest == "adapter: preference\nfiles: [data/train.jsonl]\nrepo: me/sums\n"
        assert "next: curate pin sums && curate fetch sums && curate mix sums" in done.stderr
        for command in (["pin", "sums"], ["fetch", "sums"], ["mix", "sums", "--workers", "1"]):
            done = curate(hub, tmp_path, *command)
            assert done.returncode == 0, done.stderr

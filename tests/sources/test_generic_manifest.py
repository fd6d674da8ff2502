"""A user's manifest: what it may say, what is wrong with it, and its files through the real driver."""

import base64
import io
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate import sources
from curate.cli import app
from curate.engines.local import Local
from curate.errors import ConfigError, GuardError
from curate.hashing import Hashes
from curate.images.store import ImageStore
from curate.pairs.normalize import Job, locate, normalize_all
from curate.sources import generic
from curate.sources.base import Row
from curate.workspace import Workspace
from tests.support.own_source import manifest, plain, source

ASK = {"role": "user", "content": "Sky?"}
BLUE = {"role": "assistant", "content": "Blue"}
RED = {"role": "assistant", "content": "Red"}


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (width * 9, height * 9, 0)).save(out, "PNG")
    return out.getvalue()


def test_a_manifest_becomes_a_source(tmp_path):
    made = generic.load(manifest(tmp_path, """
adapter: ranking
files: ["*.jsonl", "more/*.csv"]
columns: {images: pics}
media: ["images.zip", "pictures"]
media_match: name
license: cc-by-4.0
annotator: human
languages: [de, fr]
paper: arXiv:1234.56789
repo: me/mine
max_skip: 0.2
pairing: adjacent
"""))  # fmt: skip
    assert (made.files, made.media, made.media_match) == (
        ("*.jsonl", "more/*.csv"),
        ("images.zip", "pictures"),
        "name",
    )
    assert (made.license, made.annotator, made.languages) == ("cc-by-4.0", "human", ("de", "fr"))
    assert (made.repo, made.paper, made.max_skip, made.modality) == ("me/mine", "arXiv:1234.56789", 0.2, "image")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("adapter: preferences", "$.adapter: found text 'preferences'; expected preference or scored or ranking",
         "did you mean preference?"),
        ("adaptor: preference", "$: adapter not given; expected preference or scored or ranking",
         "adaptor is unknown; did you mean adapter?"),
        ("adapter: preference\nfiles: [a.csv]\ncolums: {}", "$.colums: unknown key", "did you mean columns?"),
        ("adapter: preference\nfiles: [a.csv]\ncolumns: {chosn: good}", "$.columns.chosn: unknown key",
         "did you mean chosen?"),
        ("adapter: preference\nfiles: [a.csv]\npairing: adjacent", "$.pairing: unknown key", None),
        ("adapter: preference", "$: files not given; expected a value for files", ""),
        ("adapter: preference\nfiles: []", "$: files is empty; give at least one pattern", ""),
        ("adapter: preference\nfiles: [a.csv]\nmax_skip: 2.0", "$: max_skip is 2; it is a share from 0 to 1", ""),
        ("adapter: preference\nfiles: [a.csv]\noptional: [images]",
         "$.optional[0]: images is not mapped; expected a name under columns",
         "map it under columns, or leave it out here"),
        ("adapter: preference\nfiles: [a.csv]\noptional: [imags]", "$.optional[0].imags: unknown key",
         "did you mean images?"),
        ("adapter: preference\nfiles: [a.csv]\njson: [imges]", "$.json[0].imges: unknown key",
         "did you mean images?"),
        ("adapter: ranking\nfiles: [a.csv]\npairing: best", "$.pairing: found text 'best'; expected "
         "best_vs_worst or all_unequal or adjacent", None),
        ("adapter: scored\nfiles: [a.csv]\nverdicts: {x: a}", "$.verdicts: columns.preference not given; "
         "expected the column with the verdicts", ""),
        ("adapter: scored\nfiles: [a.csv]\ncolumns: {preference: w}\nlower_is_better: true",
         "$.lower_is_better: the column preference decides; expected scores without a verdict", ""),
        ("adapter: scored\nfiles: [a.csv]\ncolumns: {preference: w, score_b: s}",
         "$.columns.score_b: the column preference decides; expected one of the two", ""),
        ("- adapter", "$: found a list; expected a mapping", ""),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_one_clear_line(text, message, hint, tmp_path):
    path = manifest(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        generic.load(path)
    assert str(caught.value) == f"{path}: {message}"
    assert hint is None or caught.value.hint == hint


def test_the_files_name_is_the_sources_name(tmp_path):
    path = manifest(tmp_path, "adapter: preference\nfiles: [a.csv]", name="My Data")
    with pytest.raises(ConfigError) as caught:
        generic.load(path)
    assert str(caught.value).endswith(
        "the file's name is the source's name; expected lower-case letters, digits, - and _"
    )


def test_discover_finds_manifests_with_an_adapter_and_leaves_other_files(tmp_path):
    mine = manifest(tmp_path, "adapter: preference\nfiles: [a.csv]")
    wrong = manifest(tmp_path, "adaptor: preference", name="wrong")
    manifest(tmp_path, "commit: 123abc\nfiles: []", name="pinned")
    manifest(tmp_path, "- a list", name="listed")
    (tmp_path / "README.md").write_text("adapter: preference")
    assert generic.discover(tmp_path) == {"mine": mine, "wrong": wrong}
    assert generic.discover(tmp_path / "nowhere") == {}


def test_a_changed_column_map_is_another_version(tmp_path):
    one, same, other = (
        source(tmp_path, f"adapter: preference\ncolumns: {{chosen: {column}}}").version
        for column in ("good", "good", "better")
    )
    assert one == same != other


def test_a_bound_adapter_travels_to_a_worker_process(tmp_path):
    made = source(tmp_path, "adapter: scored\ncolumns: {preference: winner}")
    row = Row(prompt="Sky?", response_a="Blue", response_b="Red", winner="a")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(in_worker, made, row).result() == plain(made.to_pairs(row))


def in_worker(made, row):
    return plain(made.to_pairs(row))


# through the driver: files in, pairs out


def run(tmp_path: Path, text: str):
    raw, workspace = tmp_path / "raw", Workspace(tmp_path / "work")
    job = Job(name="mine", source=source(tmp_path, text), raw=raw)
    (artefact,) = normalize_all([locate(job, workspace, Hashes(tmp_path))], workspace, Local())
    rows = [row for part in artefact.parts for row in pq.read_table(artefact.directory / part).to_pylist()]
    store = ImageStore(workspace.images)
    store.refresh()
    sizes = {row["key"]: (row["width"], row["height"]) for row in store.facts().to_pylist()}
    return [(row["row"], [sizes[key] for item in row["media"] for key in item["keys"]]) for row in rows], artefact


def test_json_csv_and_parquet_with_their_images_go_through_the_driver(tmp_path):
    raw = tmp_path / "raw"
    (raw / "pictures").mkdir(parents=True)
    (raw / "pictures/a.png").write_bytes(png(8, 6))
    images = ["pictures/a.png", base64.b64encode(png(9, 6)).decode()]
    lines = [{"prompt": "<image>?", "chosen": "a", "rejected": "b", "images": image} for image in images]
    (raw / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (raw / "b.json").write_text(json.dumps([{"chosen": [ASK, BLUE], "rejected": [ASK, RED]}]))
    (raw / "c.csv").write_text('prompt,chosen,rejected,images\nQ?,a,b,pictures/a.png\n"Q, <image>",a,b,a.png\n')
    image = {"bytes": png(7, 5), "path": "x.png"}
    row = {"prompt": "?", "chosen": "a", "rejected": "b", "images": [image, image]}
    pq.write_table(pa.Table.from_pylist([row]), raw / "d.parquet")
    found, artefact = run(tmp_path, 'adapter: preference\nfiles: ["a.jsonl", "*.json", "c.csv", "*.parquet"]\n'
                                    'media: ["pictures"]')  # fmt: skip
    assert found == [
        ("a.jsonl:1", [(8, 6)]), ("a.jsonl:2", [(9, 6)]), ("b.json:1", []), ("c.csv:1", [(8, 6)]),
        ("c.csv:2", [(8, 6)]), ("d.parquet:1", [(7, 5), (7, 5)]),
    ]  # fmt: skip
    assert artefact.manifest["skipped"] == {}


def test_a_renamed_column_stops_the_run_and_is_named(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.jsonl").write_text('{"prompt": "Q", "good": "a", "rejected": "b"}\n')
    with pytest.raises(GuardError) as caught:
        run(tmp_path, "adapter: preference")
    assert str(caught.value) == (
        "mine: 1 of 1 rows (100.0%) gave no pair, most of them: missing column 'chosen', the rows have good, "
        "prompt, rejected; expected at most max_skip 5.0%"
    )


def test_one_broken_manifest_stops_only_its_own_source(tmp_path):
    manifest(tmp_path, "adapter: preference\nfiles: [a.jsonl]\n", "good")
    manifest(tmp_path, "adapter: preference\nfiles: [a\n", "no_yaml")
    manifest(tmp_path, "adapter: prefrence\nfiles: [a.jsonl]\n", "no_adapter")
    assert set(sources.own(tmp_path)) == {"good", "no_yaml", "no_adapter"}
    assert sources.get("good", tmp_path).files == ("a.jsonl",)
    assert sources.get("hh_rlhf", tmp_path).repo == "Anthropic/hh-rlhf"
    with pytest.raises(ConfigError, match=r"no_yaml\.yaml, line 3: not YAML"):
        sources.get("no_yaml", tmp_path)
    listed = CliRunner().invoke(app, ["sources", "--json", "--manifests", str(tmp_path)])
    assert {"good", "hh_rlhf"} <= {fact["source"] for fact in json.loads(listed.stdout)}
    assert "no_yaml left out: " in listed.stderr
    assert "no_adapter left out: " in listed.stderr


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("**.jsonl", "has ** beside other characters; expected ** between slashes"),
        ("/etc/*.jsonl", "leaves the raw directory; expected a path below it"),
        ("../other/*.jsonl", "leaves the raw directory; expected a path below it"),
        ("a.zip!../*.jsonl", "leaves the raw directory; expected a path below it"),
    ],
)
def test_a_pattern_that_is_none_is_named_with_its_place(pattern, fault, tmp_path):
    for key, other in (("files", "media"), ("media", "files")):
        path = tmp_path / "mine.yaml"
        path.write_text(f'adapter: preference\n{other}: ["*"]\n{key}: ["ok/*", "{pattern}"]\n')
        with pytest.raises(ConfigError) as caught:
            generic.load(path)
        assert str(caught.value) == f"{path}: $.{key}[1]: the pattern {pattern!r} {fault}"

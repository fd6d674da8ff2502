"""An export as a whole: every pair accounted for, the same bytes in any order, continued after a kill, checked."""

import io
import json
import shutil
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate.cli import app
from curate.engines.local import Local
from curate.errors import ConfigError, WorkspaceError
from curate.exports import run
from curate.exports.formats import FORMATS
from curate.inspect.artefacts import mix_at
from curate.workspace import Workspace
from tests.support.trainer_shards import FRAMES, IMAGES, fault, key, make, mixed, name_mix, shard_fleet, text_mix


def named(directory, *, media="embed", content="blocks"):
    """The mix, with what its lock says of its shards."""
    path = name_mix(directory) / "lock.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"recipe": {"shards": {"media": media}}, "content": content}))
    return mix_at(directory)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return named(shard_fleet(tmp_path_factory.mktemp("fleet")))


class Backwards:
    """An engine that does the last task first, and is killed before it does more than `most`."""

    workers = 1

    def __init__(self, most=99):
        self.most = most

    def map(self, fn, tasks, _listen=None):
        done = [fn(task) for task in reversed(tasks[-self.most :])]
        if self.most < len(tasks):
            raise KeyboardInterrupt
        return reversed(done)


def export(mix, name, out, engine=None, workspace=None, **options):
    form = FORMATS[name](mix=run.mixture(mix), **options)
    return run.export(mix, form, out, Workspace(workspace or mix.directory.parents[2]), engine or Local(1))


def contents(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def exported(fleet, tmp_path_factory):
    """The fleet in every format, by name."""
    root = tmp_path_factory.mktemp("exports")
    return {name: export(fleet, name, root / name) for name in FORMATS}


SHOWN = {"train": 13, "validation": 2}
ALONE = {"train": {"images": 13}, "validation": {"images": 2, "videos": 1}}


def test_what_is_read_is_written_or_left_out_by_reason(exported):
    for name, one in exported.items():
        texts = name in ("trl-text", "openrlhf", "verl-rm", "axolotl")
        splits = one.facts["splits"]
        assert {split: found["read"] for split, found in splits.items()} == {"train": 40, "validation": 5}
        assert {split: found["left_out"] for split, found in splits.items()} == (
            ALONE if texts else {"train": {}, "validation": {}}
        )
        assert {split: found["written"] for split, found in splits.items()} == (
            {"train": 27, "validation": 2} if texts else {"train": 40, "validation": 5}
        )
        frames = name in ("trl", "llama-factory", "ms-swift", "verl-rl")
        assert splits["validation"]["videos_as_frames"] == int(frames), name
        listed = {entry["name"] for entry in one.facts["files"]} | {"export.json", "export.json.xxh3"}
        there = set(contents(one.directory))
        images = {name for name in there if name.startswith("images/")}
        assert there - images == listed
        assert len(images) == one.facts["images"]["files"] == (7 if name == "llama-factory" else 0)
    assert exported["axolotl"].facts["splits"]["train"]["written_without"] == {
        "margins": 27,
        "whitespace_at_the_ends_of_replies": 27,
    }


def read(directory, split, name):
    """(id, images) of the pairs that a format wrote."""
    files = sorted((directory / split).iterdir())
    if name == "webdataset":
        return [one for path in files for one in samples(path)]
    if name == "mosaicml":
        return mds(directory / split)
    if files[0].suffix == ".jsonl":
        return [(json.loads(line)["pair_id"], []) for path in files for line in path.read_text().splitlines()]
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    return [
        (row["extra_info"]["pair_id"] if name == "verl-rl" else row["pair_id"],
         [(directory / image).read_bytes() if isinstance(image, str) else image["bytes"]
          for image in row.get("images") or ()])
        for row in rows
    ]  # fmt: skip


def samples(path):
    with tarfile.open(path) as tar:
        members = [(member.name.partition("."), tar.extractfile(member).read()) for member in tar]
    found = {}
    for (number, _, ending), data in members:
        found.setdefault(number, []).append(json.loads(data)["pair_id"] if ending == "json" else data)
    return [(one[0], one[1:]) for one in found.values()]


def mds(directory):
    found = []
    for shard in json.loads((directory / "index.json").read_text())["shards"]:
        data = (directory / shard["raw_data"]["basename"]).read_bytes()
        assert (int.from_bytes(data[:4], "little"), len(data)) == (shard["samples"], shard["raw_data"]["bytes"])
        places = np.frombuffer(data[4 : 8 + 4 * shard["samples"]], np.uint32)
        assert json.loads(data[8 + 4 * shard["samples"] : places[0]])["column_names"] == ["images", "pair"]
        for first, last in pairwise(places):
            size = int(np.frombuffer(data[first : first + 4], np.uint32)[0])
            images, pair = data[first + 8 : first + 8 + size], json.loads(data[first + 8 + size : last])
            sizes = np.frombuffer(images[8 : 8 + 4 * int.from_bytes(images[4:8], "little")], np.uint32)
            ends = 8 + 4 * len(sizes) + np.cumsum([0, *sizes])
            found.append((pair["pair_id"], [images[a:b] for a, b in pairwise(ends)]))
    return found


def test_pairs_and_image_bytes_are_those_of_the_mix_in_its_order(fleet, exported):
    for split, kind in (("train", "shard"), ("validation", "holdout")):
        rows = [row for path in fleet.files(kind) for row in pq.read_table(path).to_pylist()]
        expected = [(row["pair_id"], [image["bytes"] for image in row["images"]]) for row in rows]
        assert {image for _, images in expected for image in images} <= set(IMAGES + FRAMES)
        for name in ("trl", "llama-factory", "ms-swift", "verl-rl", "webdataset", "mosaicml"):
            assert read(exported[name].directory, split, name) == expected, name
        texts = [(one, images) for one, images in expected if not images]
        for name in ("trl-text", "openrlhf", "verl-rm"):
            assert read(exported[name].directory, split, name) == texts, name


def test_whole_samples_lack_nothing(fleet, exported):
    [path] = fleet.files("holdout")
    rows = {row["pair_id"]: row for row in pq.read_table(path).to_pylist()}
    with tarfile.open(exported["webdataset"].directory / "validation/part-00000.tar") as tar:
        pairs = [json.loads(tar.extractfile(one).read()) for one in tar if one.name.endswith(".json")]
    assert len(pairs) == 5
    for pair in pairs:
        row = {name: value for name, value in rows[pair["pair_id"]].items() if value is not None}
        assert pair == {name: value for name, value in row.items() if name != "images"}


def test_the_same_bytes_in_any_order_and_after_a_kill(fleet, exported, tmp_path):
    for name in ("trl", "openrlhf", "llama-factory", "webdataset", "mosaicml"):
        out = tmp_path / name
        with pytest.raises(KeyboardInterrupt):
            export(fleet, name, out, Backwards(2))
        assert not (out / "export.json").exists()
        before = {path: path.stat().st_mtime_ns for path in out.rglob("part-*")}
        assert len(before) == (
            1 if name == "openrlhf" else 2
        )  # the last shard of the mix is one pair with an image
        assert export(fleet, name, out, Backwards()).fresh
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert contents(out) == contents(exported[name].directory)


def test_another_export_is_not_continued(fleet, exported, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        export(fleet, "trl", out, Backwards(2))
    found = fault(WorkspaceError, lambda: export(fleet, "openrlhf", out))
    assert (
        found == f"{out}: has a part of the mix r@ffffffff for trl; expected a new directory, or the same export"
    )
    found = fault(WorkspaceError, lambda: export(fleet, "trl", out, videos="drop"))
    assert f"{out}: has a part of the mix r@ffffffff for trl with other options, or by another version" in found
    assert export(fleet, "trl", out).fresh
    assert contents(out) == contents(exported["trl"].directory)


def test_a_run_killed_before_its_record_or_after_its_receipt_leaves_nothing(fleet, exported, tmp_path):
    early = tmp_path / "early/.export"
    early.mkdir(parents=True)
    (early / ".begun.json.1.tmp").touch()
    export(fleet, "openrlhf", early.parent)
    assert contents(early.parent) == contents(exported["openrlhf"].directory)
    late = shutil.copytree(exported["openrlhf"].directory, tmp_path / "late")
    (late / ".export").mkdir()
    (late / ".export/train-00000.json").write_text("{}")
    assert not export(fleet, "openrlhf", late).fresh
    assert not (late / ".export").exists()


def test_a_damaged_part_of_a_killed_export_is_written_again(fleet, exported, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        export(fleet, "openrlhf", tmp_path / "out", Backwards(2))
    [part] = (tmp_path / "out/validation").iterdir()
    part.write_text("{}\n")
    export(fleet, "openrlhf", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(exported["openrlhf"].directory)


def test_a_finished_export_is_checked_and_another_is_refused(fleet, exported, tmp_path):
    out = shutil.copytree(exported["openrlhf"].directory, tmp_path / "out")
    assert not export(fleet, "openrlhf", out).fresh
    found = fault(WorkspaceError, lambda: export(fleet, "axolotl", out))
    assert f"{out}: has the mix r@ffffffff for openrlhf; expected a new directory, or the same export" in found
    (out / "train.sh").write_text("rm -r /\n")
    found = fault(WorkspaceError, lambda: export(fleet, "openrlhf", out))
    assert f"{out}: not as it was written: {out}/train.sh: xxh3" in found
    other = shutil.copytree(exported["llama-factory"].directory, tmp_path / "images")
    image, *rest = sorted((other / "images").rglob("*.png"))
    image.write_bytes(rest[0].read_bytes())
    found = fault(WorkspaceError, lambda: export(fleet, "llama-factory", other))
    assert f"{image}: xxh3 {rest[0].stem}; expected {image.stem}, as its name says" in found
    image.unlink()
    found = fault(WorkspaceError, lambda: export(fleet, "llama-factory", other))
    assert f"{other}/images: 6 images; expected 7" in found
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").touch()
    found = fault(WorkspaceError, lambda: export(fleet, "trl", tmp_path / "other"))
    assert found == f"{tmp_path}/other: is not empty, and no export of curate; expected a new directory"


def test_images_of_a_mix_that_refers_to_them_are_those_of_the_store(exported, tmp_path):
    directory = make(tmp_path, mixed(45), [*IMAGES, *FRAMES], media="reference", held=5)
    mix = named(directory, media="reference")
    export(mix, "trl", tmp_path / "out")
    for split in ("train", "validation"):
        expected = read(exported["trl"].directory, split, "trl")
        assert sorted(read(tmp_path / "out", split, "trl")) == sorted(expected)


def test_a_damaged_shard_is_named(fleet, tmp_path):
    shutil.copytree(fleet.directory.parents[3], tmp_path / "copy")
    mix = mix_at(tmp_path / "copy/data/mixes/r/f")
    shard = mix.files("shard")[0]
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    found = fault(WorkspaceError, lambda: export(mix, "trl", tmp_path / "out"))
    assert found.startswith(f"{shard}: damaged (it differs from its record)")


def test_a_mix_of_which_nothing_fits_is_refused(tmp_path):
    image = {"prompt": "?", "media": [key(IMAGES[0])], "media_bytes": len(IMAGES[0])}
    mix = named(make(tmp_path, [image | {"chosen": str(i)} for i in range(3)], IMAGES[:1]))
    found = fault(ConfigError, lambda: export(mix, "openrlhf", tmp_path / "out"))
    assert found.startswith("--to openrlhf: no pair of the mix can be written: images 3; expected a mix")


def test_a_text_mix_has_no_column_of_images(tmp_path):
    mix = named(text_mix(tmp_path), content="text")
    for name in ("trl", "trl-text"):
        export(mix, name, tmp_path / name)
        table = pq.read_table(tmp_path / name / "train/part-00000.parquet")
        assert table.column_names == ["pair_id", "prompt", "chosen", "rejected"]
        assert table["prompt"][0].as_py()[0]["content"].startswith("Ask ")
        assert "RewardTrainer" in (tmp_path / name / "train.py").read_text()
    export(mix, "llama-factory", tmp_path / "l")
    assert [path.name for path in (tmp_path / "l/train").iterdir()] == ["part-00000.jsonl"]


def test_images_open_as_such_in_datasets(exported):
    data = json.loads(
        pq.read_schema(next((exported["trl"].directory / "train").iterdir())).metadata[b"huggingface"]
    )
    assert data["info"]["features"]["images"] == [{"_type": "Image"}]
    row = pq.read_table(exported["trl"].directory / "validation").to_pylist()[0]
    assert all(Image.open(io.BytesIO(image["bytes"])).size for image in row["images"])


# --------------------------------------------------------------------------------------------- the command line


def command(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.stdout, done.stderr, done.exception


def test_the_command_exports_a_mix_and_verify_and_gc_know_it(fleet, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    data = shutil.copytree(fleet.directory.parents[2], tmp_path / "data")
    place = ("--workspace", data)
    out, err, fault = command("export", data / "mixes/r/f", "--to", "axolotl", *place, "--workers", 1)
    assert fault is None
    assert out.startswith("export for axolotl\npairs\ttrain\tvalidation\npairs of the mix\t40\t5\n")
    assert "left out: images\t13\t2\nleft out: videos\t0\t1\nwritten\t27\t2\nwithout margins\t27\t2\n" in out
    assert "train.yaml:\n# in this directory: axolotl train train.yaml\n" in out
    where = data / "exports/r-ffffffff-axolotl"
    assert err.splitlines()[-1] == f"exported: {where}"
    assert "up to date" in command("export", data / "mixes/r/f", "--to", "axolotl", *place)[1]
    out, err, _ = command("verify", *place)
    assert f"{where}" not in out + err
    assert "5 exported files" in err
    line = {entry["name"]: entry for entry in json.loads(command("gc", "--json", *place)[0])}[
        "exports/" + where.name
    ]
    assert (line["state"], line["why"]) == ("kept", "an export")
    (where / "train/part-00000.jsonl").write_text("{}\n")
    assert f"{where}/train/part-00000.jsonl: xxh3" in command("verify", *place)[0]
    (where / "export.json").unlink()
    assert f"{where}: unfinished, it has no receipt" in "".join(command("verify", *place)[:2])
    command("gc", "--yes", *place)
    assert not where.exists()


BESIDE = "means nothing beside"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "neither --for nor --to; expected --for transformers or vllm for a model, --to FORMAT for a mix"),
        (("--for", "vllm", "--to", "trl"), "both --for and --to; expected"),
        (("--for", "vllm", "--videos", "drop"), f"--videos: {BESIDE} --for vllm; expected a mix with --to"),
        (("--to", "trl", "--results", "a"), f"--results: {BESIDE} --to trl; expected a model with --for"),
        (("--to", "openrlhf", "--margins"), f"--margins: {BESIDE} --to openrlhf; expected no options"),
        (("--to", "trl", "--images", "embed"), f"--images: {BESIDE} --to trl; expected --margins, --videos"),
        (("--to", "trl", "--template", "llama3"), f"--template: {BESIDE} --to trl; expected --margins, --videos"),
    ],
)
def test_options_that_nothing_would_read_are_refused(fleet, tmp_path, options, message):
    *_, fault = command("export", fleet.directory, *options, "--out", tmp_path / "out")
    assert isinstance(fault, ConfigError)
    assert message in str(fault)
    assert not Path(tmp_path / "out").exists()

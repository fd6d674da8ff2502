import hashlib
import multiprocessing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from curate.config import build
from curate.engines.local import Local
from curate.errors import ConfigError, WorkspaceError
from curate.images.store import ImageStore
from curate.mixing import scatter, select, shard_schema, shards
from curate.pairs import keys
from curate.pairs.files import rows_at
from curate.recipe import Recipe
from curate.schema import Block, Media, Message, from_fields, tool_call
from tests.support.pairs import turn, write_pairs


def jpeg(shade):
    return simplejpeg.encode_jpeg(np.full((8, 8, 3), shade, np.uint8))


@dataclass
class World:
    """Two sources on disk: `a` has text, `b` has an image in every second pair."""

    root: Path
    a: tuple[str, ...]
    b: tuple[str, ...]
    store: ImageStore

    def pools(self, reverse=False):
        order = slice(None, None, -1 if reverse else 1)
        return {"a": (self.root / "a", self.a[order]), "b": (self.root / "b", self.b[order])}

    def write(self, directory, *, workers=1, reverse=False, engine=None, sources=None, **fields):
        fields = {"shards": {"max_mb": 0.001}, "holdout": {"rows_per_source": 3}, "max_repeats": 2, **fields}
        sources = sources or {"a": "all", "b": {"epochs": 1.5}}
        recipe = build({"name": "r", "sources": sources, **fields}, Recipe, "$")
        pools = self.pools(reverse)
        kept = {label: keys.load_keys(*pools[label]) for label in sources}
        chosen = select.select(recipe, kept)
        places = [pools[label] for label in sources]
        with Local(workers) as local:
            return chosen, shards.write(chosen, places, self.store, recipe.shards, directory, engine or local)


@pytest.fixture
def world(tmp_path):
    store = ImageStore(tmp_path / "images")
    with store.writer() as writer:
        stored = [writer.put(jpeg(10 * i)) for i in range(6)]
    store.refresh()
    text = [{"source": "a", "prompt": f"ask {i}", "chosen": "long " * i, "group": i // 2} for i in range(40)]
    seen = [
        {"source": "b", "prompt": f"see {i}", "media": [stored[i % 6].key], "media_bytes": stored[i % 6].bytes}
        if i % 2
        else {"source": "b", "prompt": f"see {i}"}
        for i in range(20)
    ]
    return World(
        tmp_path,
        write_pairs(tmp_path / "a", text, part_rows=15),
        write_pairs(tmp_path / "b", seen, part_rows=7),
        store,
    )


def small_buckets(monkeypatch):
    monkeypatch.setattr(shards, "BUCKET_TEXT", 1000)
    monkeypatch.setattr(shards, "PIECE", 1)


def contents(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def read(directory, pattern="shard-*.parquet"):
    return pl.concat([pl.read_parquet(path) for path in sorted(directory.glob(pattern))])


def test_shards_hold_the_selection_in_global_order(world, tmp_path):
    chosen, facts = world.write(tmp_path / "out")
    rows = {
        label: [pl.read_parquet(root / part) for part in parts] for label, (root, parts) in world.pools().items()
    }
    expected = [
        (rows["ab"[pool]][part]["pair_id"][position], repeat)
        for pool, part, position, repeat in chosen.mix.select("pool", "part", "position", "repeat").iter_rows()
    ]
    assert list(read(tmp_path / "out").select("pair_id", "repeat").iter_rows()) == expected
    assert read(tmp_path / "out", "holdout-*.parquet").height == len(chosen.holdout) > 0
    assert sum(fact.rows for fact in facts) == len(chosen.mix) + len(chosen.holdout)
    assert not (tmp_path / "out" / ".scatter").exists()


def test_the_facts_are_those_of_the_files(world, tmp_path):
    _, facts = world.write(tmp_path / "out")
    files = contents(tmp_path / "out")
    assert {(f.name, f.bytes, f.xxh3, f.sha256) for f in facts} == {
        (name, len(data), xxhash.xxh3_128_hexdigest(data), hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    }
    assert [f.name for f in facts[:2]] == ["shard-00000.parquet", "shard-00001.parquet"]
    assert [f.rows for f in facts] == [pq.ParquetFile(tmp_path / "out" / f.name).metadata.num_rows for f in facts]


def test_a_shard_is_cut_by_text_and_embedded_media(world, tmp_path):
    chosen, facts = world.write(tmp_path / "out", shards={"max_mb": 0.0015})
    sizes = (chosen.mix["text_bytes"] + chosen.mix["media_bytes"]).to_list()
    start = 0
    mixed = [fact for fact in facts if fact.name.startswith("shard")]
    assert len(mixed) > 5
    for fact in mixed:
        end = start + fact.rows
        assert sum(sizes[start:end]) <= 1500 or fact.rows == 1
        assert end == len(sizes) or sum(sizes[start : end + 1]) > 1500
        start = end


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20), st.integers(1, 5))
def test_cut_makes_the_longest_runs_that_fit(costs, most, rows):
    limits = shards.cut(np.array(costs, np.uint64), most, rows)
    assert (limits[0], limits[-1]) == (0, len(costs))
    for first, last in pairwise(limits):
        assert last - first == 1 or (sum(costs[first:last]) <= most and last - first <= rows)
        assert last == len(costs) or last - first == rows or sum(costs[first : last + 1]) > most


def test_bytes_depend_on_neither_workers_nor_the_order_of_parts(world, tmp_path, monkeypatch):
    world.write(tmp_path / "one")
    world.write(tmp_path / "two", workers=2)
    world.write(tmp_path / "turned", reverse=True)
    small_buckets(monkeypatch)
    monkeypatch.setattr(scatter, "BATCH_ROWS", 4)
    world.write(tmp_path / "small")
    assert len(contents(tmp_path / "one")) > 5
    for other in ("two", "turned", "small"):
        assert contents(tmp_path / other) == contents(tmp_path / "one")


def test_two_buckets_are_written_in_this_process_and_more_by_workers(world, tmp_path, monkeypatch):
    with Local(2, adapts=True) as engine:
        world.write(tmp_path / "few", engine=engine)
        assert multiprocessing.active_children() == []
        small_buckets(monkeypatch)
        world.write(tmp_path / "many", engine=engine)
        assert len(multiprocessing.active_children()) == 2
    assert contents(tmp_path / "few") == contents(tmp_path / "many")


def test_renamed_upstream_files_give_the_same_bytes(world, tmp_path):
    world.write(tmp_path / "one")
    rows = [
        {"source": "a", "prompt": f"ask {i}", "chosen": "long " * i, "group": i // 2, "row": f"other.jsonl:{i}"}
        for i in range(40)
    ]
    world.a = write_pairs(tmp_path / "a", rows, part_rows=15)
    world.write(tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_datasets_reads_every_column_and_decodes_the_images(world, tmp_path):
    world.write(tmp_path / "out")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out" / "shard-*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "c"),
    )
    assert loaded.features["images"] == datasets.List(datasets.Image())
    rest = [name for name in shard_schema.SHARD.names if name != "images"]
    inferred = datasets.Features.from_arrow_schema(shard_schema.REFERENCE)
    assert {name: loaded.features[name] for name in rest} == {name: inferred[name] for name in rest}
    seen = [row for row in loaded if row["images"]]
    assert len(seen) == (read(tmp_path / "out")["images"].list.len() > 0).sum() > 0
    for row in seen:
        [image] = row["images"]
        assert (image.format, image.size) == ("JPEG", (8, 8))
        assert [block["type"] for block in row["prompt"][0]["content"]] == ["image", "text"]


def test_embedded_bytes_are_those_received_and_named_by_their_key(world, tmp_path):
    world.write(tmp_path / "out")
    for media, images in read(tmp_path / "out").select("media", "images").iter_rows():
        assert [image["path"] for image in images] == [key for item in media for key in item["keys"]]
        assert all(xxhash.xxh3_128_hexdigest(image["bytes"]) == image["path"] for image in images)


TEXT = shard_schema.columns(embed=False, messages=shard_schema.TEXT)


@pytest.mark.parametrize(
    ("sources", "settings", "columns"),
    [
        ({"a": "all"}, {"max_mb": 1}, TEXT),
        ({"a": "all"}, {"max_mb": 1, "content": "text"}, TEXT),
        ({"a": "all"}, {"max_mb": 1, "content": "blocks"}, shard_schema.REFERENCE),
        ({"a": "all", "b": "all"}, {"max_mb": 1, "media": "reference"}, shard_schema.REFERENCE),
    ],
)
def test_text_and_references_have_no_image_column(world, tmp_path, sources, settings, columns):
    world.write(tmp_path / "out", sources=sources, shards=settings)
    schema = pq.read_schema(tmp_path / "out" / "shard-00000.parquet")
    assert schema.equals(columns)
    assert "row" not in schema.names


def test_a_mix_with_media_has_no_texts_for_content(world, tmp_path):
    with pytest.raises(ConfigError, match=r"\$\.shards\.content: text, but the mix has images"):
        world.write(tmp_path / "out", shards={"max_mb": 1, "content": "text"})


def test_text_is_what_a_chat_template_takes(tmp_path):
    rows = [{"source": "a", "prompt": [turn("system", "Be ", "brief."), turn("user", "Sky?")], "chosen": "Blue"}]
    world = World(tmp_path, write_pairs(tmp_path / "a", rows), write_pairs(tmp_path / "b", []), None)
    world.write(tmp_path / "out", sources={"a": "all"}, holdout=None)
    (row,) = datasets.load_dataset("parquet", data_files=str(tmp_path / "out/shard-*.parquet"), split="train")
    assert row["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sky?"}]
    template = Environment(autoescape=False).from_string(
        "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}"
    )
    assert template.render(messages=row["prompt"] + row["chosen"]) == "[system]Be brief.[user]Sky?[assistant]Blue"
    assert rows_at(tmp_path / "out/shard-00000.parquet", [0])[0]["chosen"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "Blue"}]}
    ]


def test_a_video_is_its_frames_where_the_recipe_says_so(tmp_path):
    store = ImageStore(tmp_path / "images")
    with store.writer() as writer:
        [one, two, three] = [writer.put(jpeg(10 * i)).key for i in range(3)]
    store.refresh()
    media = [Media("image", (one,)), Media("video", (two, three))]
    asked = [turn("user", "<image>", "then ", "<video>", "?")]
    rows = [
        {"source": "b", "prompt": asked, "media": media, "media_bytes": 9},
        {"source": "b", "prompt": "text"},
    ]
    world = World(tmp_path, write_pairs(tmp_path / "a", []), write_pairs(tmp_path / "b", rows), store)
    shown = [{"type": "image", "text": None}] * 2
    for videos, kinds in (("blocks", ["image", "video"]), ("frames", ["image"] * 3)):
        settings = {"max_mb": 1, "videos": videos}
        world.write(tmp_path / videos, sources={"b": "all"}, holdout=None, shards=settings, max_repeats=1)
        table = pq.read_table(tmp_path / videos / "shard-00000.parquet").to_pylist()
        [pair] = [row for row in table if row["media"]]
        assert [item["kind"] for item in pair["media"]] == kinds
        assert [key for item in pair["media"] for key in item["keys"]] == [one, two, three]
        assert [image["path"] for image in pair["images"]] == [one, two, three]
        [message] = pair["prompt"]
        place = shown if videos == "frames" else [{"type": "video", "text": None}]
        assert message["content"] == [
            shown[0], {"type": "text", "text": "then "}, *place, {"type": "text", "text": "?"},
        ]  # fmt: skip
        assert [row["prompt"] for row in table if not row["media"]] == [
            [{"role": "user", "content": [{"type": "text", "text": "text"}]}]
        ]


def test_a_recipe_without_videos_defines_what_it_did_before_there_was_a_word_for_them():
    recipes = [
        build({"name": "r", "sources": {"a": "all"}, "shards": shards}, Recipe, "$").material()["shards"]
        for shards in ({}, {"videos": "blocks"}, {"videos": "frames"})
    ]
    assert recipes[0] == recipes[1] == {"max_mb": 256.0, "media": "embed", "content": "auto"}
    assert recipes[2] == {**recipes[0], "videos": "frames"}


class KilledError(Exception):
    pass


class Dying(Local):
    """An engine that is killed before its task number `after`."""

    def __init__(self, after):
        super().__init__(1)
        self.left = after

    def map(self, fn, tasks, listen=None):
        for task in tasks:
            if not self.left:
                raise KilledError
            self.left -= 1
            yield from super().map(fn, [task], listen)


def test_a_killed_run_continues_from_its_receipts(world, tmp_path, monkeypatch):
    small_buckets(monkeypatch)
    world.write(tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(KilledError):
        world.write(out, engine=Dying(9))
    scattered = sorted((out / ".scatter" / "shard").glob("scatter-*.arrow"))
    finished = sorted(out.glob("shard-*.parquet"))
    assert scattered
    assert finished
    before = {path: path.stat().st_mtime_ns for path in [*scattered, *finished]}
    unreceipted = finished[-1]
    (out / ".scatter" / "shard" / f"{unreceipted.name}.json").unlink()
    (out / ".shard-00001.parquet.123.tmp").write_bytes(b"half")
    with pytest.raises(KilledError):
        world.write(out, engine=Dying(10))
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path for path in before if after[path] != before[path]] == [unreceipted]
    world.write(out)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_scatter_file_has_one_piece_for_each_bucket_by_rank(world, tmp_path, monkeypatch):
    small_buckets(monkeypatch)
    monkeypatch.setattr(scatter, "BATCH_ROWS", 4)
    with pytest.raises(KilledError):
        world.write(tmp_path / "out", engine=Dying(3), sources={"a": "all"}, holdout=None)
    files = [pa.ipc.open_file(path) for path in (tmp_path / "out").glob(".scatter/shard/scatter-*.arrow")]
    assert len(files) == 3
    assert len({file.num_record_batches for file in files}) == 1
    for file in files:
        ranks = file.read_all()["rank"].to_pylist()
        assert ranks == sorted(ranks)


def test_a_scatter_file_has_a_bucket_of_text_at_most_also_of_a_larger_part(tmp_path, monkeypatch):
    small_buckets(monkeypatch)
    rows = [{"source": "a", "prompt": f"ask {i}", "chosen": "long " * 50} for i in range(40)]
    world = World(tmp_path, write_pairs(tmp_path / "a", rows, part_rows=40), (), ImageStore(tmp_path / "images"))
    with pytest.raises(KilledError):
        world.write(tmp_path / "out", engine=Dying(15), sources={"a": "all"}, holdout=None)
    files = [
        pa.ipc.open_file(path).read_all() for path in (tmp_path / "out").glob(".scatter/shard/scatter-*.arrow")
    ]
    assert len(files) == 14
    assert sum(len(file) for file in files) == 40
    assert max(file.num_rows for file in files) == 3, "of 267 bytes each"
    world.write(tmp_path / "out", sources={"a": "all"}, holdout=None)
    monkeypatch.undo()
    world.write(tmp_path / "whole", sources={"a": "all"}, holdout=None)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("text", "bucket"), [(10**9, 256_000_000), (10**11, 316_227_766), (4 * 10**11, 632_455_532)]
)
def test_buckets_grow_with_the_root_of_the_mix_so_that_pieces_do_not_shrink(text, bucket):
    rows = pl.DataFrame({"text_bytes": [text // 1000] * 1000}, schema={"text_bytes": pl.UInt32})
    job = shards.Job(name="shard", rows=rows, pools=(), images=None, messages=pa.null(), frames=False, limit=1)
    assert job.bucket_text() == bucket


def test_receipts_of_another_selection_do_not_count(world, tmp_path):
    with pytest.raises(KilledError):
        world.write(tmp_path / "out", engine=Dying(3), seed=1)
    (tmp_path / "out" / "shard-00099.parquet").write_bytes(b"of another cut")
    world.write(tmp_path / "out", seed=2)
    world.write(tmp_path / "fresh", seed=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_pairs_files_that_have_changed_are_an_error(world, tmp_path):
    recipe = build({"name": "r", "sources": {"a": "all"}}, Recipe, "$")
    chosen = select.select(recipe, {"a": keys.load_keys(tmp_path / "a", world.a)})
    write_pairs(tmp_path / "a", [{"source": "a"}] * 35, part_rows=15)
    with Local(1) as engine, pytest.raises(WorkspaceError) as caught:
        shards.write(chosen, [(tmp_path / "a", world.a)], None, recipe.shards, tmp_path / "out", engine)
    assert str(caught.value).endswith(
        "out: 35 pairs found for the ranks 0 to 40; expected every selected pair once"
    )
    assert caught.value.hint == "the pairs files have changed since: run curate normalize again"


def test_media_without_a_store_are_an_error(world, tmp_path):
    world.store = None
    with pytest.raises(WorkspaceError, match="the mix has media to embed; expected an image store"):
        world.write(tmp_path / "out")


def test_an_empty_mix_writes_nothing(world, tmp_path):
    (tmp_path / "none").mkdir()
    recipe = build({"name": "r", "sources": {"a": "all"}}, Recipe, "$")
    chosen = select.select(recipe, {"a": keys.load_keys(tmp_path / "a", world.a)[:0]})
    with Local(1) as engine:
        assert (
            shards.write(chosen, [(tmp_path / "a", world.a)], None, recipe.shards, tmp_path / "out", engine) == []
        )


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_tools_and_calls_are_message_fields_of_the_whole_mix(tmp_path):
    weather = Message("assistant", (Block("reasoning", "Hm."), tool_call("weather", {"city": "Oslo"}, "c1")))
    tools = '[{"name":"weather"}]'
    rows = [
        {"source": "a", "prompt": "Weather?", "chosen": [weather], "tools": tools, "has_fields": True},
        {"source": "a", "prompt": "Sky?", "chosen": "Blue"},
    ]
    world = World(tmp_path, write_pairs(tmp_path / "a", rows), write_pairs(tmp_path / "b", []), None)
    world.write(tmp_path / "out", sources={"a": "all"}, holdout=None)
    (path,) = (tmp_path / "out").glob("shard-*.parquet")
    assert pq.read_schema(path).equals(shard_schema.columns(embed=False, messages=shard_schema.TEXT_FIELDS))
    called, plain = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["tools"] or "")[::-1]
    assert called["tools"] == tools
    call = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert without_nulls(called["chosen"]) == [
        {"role": "assistant", "content": "", "reasoning_content": "Hm.",
         "tool_calls": [{"type": "function", "id": "c1", "function": call}]}
    ]  # fmt: skip
    assert without_nulls(plain["chosen"]) == [{"role": "assistant", "content": "Blue"}]
    assert from_fields(called["chosen"][0]) == weather

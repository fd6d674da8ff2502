"""What the trainer reads of a mix, and which pairs each step has: exact, in order, on any number of ranks."""

import shutil
import threading
from collections import Counter
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate import schema
from curate.errors import TrainError, WorkspaceError
from curate.mixing import shards
from curate.mixing.shard_schema import SHARD
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import FRAMES, IMAGES, key, lock, make, mixed, shot
from trainer.data import Batches, MixReader, deal
from trainer.encode import Encoder
from trainer.packing import pack_sizes


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Mixes of 40 pairs (and 5 held out) with embedded images, in several shards of several row groups."""
    root = tmp_path_factory.mktemp("mix")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "GROUP_ROWS", 3)
        return make(root, mixed(45), [*IMAGES, *FRAMES], max_mb=0.04, held=5)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A mix of 25 pairs without media."""
    rows = [{"prompt": f"Ask {i}", "chosen": "So it is. " * (i % 7), "rejected": f"{i}"} for i in range(25)]
    return make(tmp_path_factory.mktemp("texts"), rows)


def ids(directory, pattern="shard-*.parquet"):
    tables = [pq.read_table(path, columns=["pair_id"]) for path in sorted(directory.glob(pattern))]
    return pa.concat_tables(tables)["pair_id"].to_pylist()


def fault(error, act):
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


# --- the reader


def test_rows_are_those_of_the_shards_in_order(fleet):
    reader = MixReader(fleet)
    rows = list(reader.rows())
    assert len(sorted(fleet.glob("shard-*.parquet"))) > 2
    assert [row.pair_id for row in rows] == ids(fleet)
    assert len(reader) == len(rows) == 40
    held = MixReader(fleet, "holdout")
    assert [row.pair_id for row in held.rows()] == ids(fleet, "holdout-*.parquet")
    assert len(held) == 5


def test_a_row_says_what_the_pair_says(fleet):
    [wanted] = [row for row in MixReader(fleet).rows() if row.prompt[0].content[-1].text == "Question 7?"]
    assert [block.type for block in wanted.prompt[0].content] == ["image", "text"]
    assert (wanted.source, wanted.margin, wanted.chosen[0].content[0].text) == ("b", 1.0, "Yes 7. " * 3)
    assert [(medium.kind, medium.read()) for medium in wanted.media] == [("image", IMAGES[3])]


def test_a_video_has_its_frames(fleet):
    rows = chain(MixReader(fleet).rows(), MixReader(fleet, "holdout").rows())
    [video] = [medium for row in rows for medium in row.media if medium.kind == "video"]
    assert video.read() == FRAMES


def test_reading_starts_at_any_pair(fleet):
    reader = MixReader(fleet)
    all_ids = [row.pair_id for row in reader.rows()]
    for start in range(0, 42, 4):  # row groups are of 3
        assert [row.pair_id for row in reader.rows(start)] == all_ids[start:]


def damaged(directory, into):
    """A copy of the mix whose first shard has a first row group of noise; what is read of it is an error."""
    there = shutil.copytree(directory, into)
    path = there / "shard-00000.parquet"
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        assert file.metadata.num_row_groups > 1
        columns = [group.column(i) for i in range(group.num_columns)]
    data = bytearray(path.read_bytes())
    for column in columns:
        start = column.dictionary_page_offset or column.data_page_offset
        data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    return there, group.num_rows


def test_earlier_row_groups_are_not_read(fleet, tmp_path):
    there, rows = damaged(fleet, tmp_path / "mix")
    assert [row.pair_id for row in MixReader(there).rows(rows)] == ids(fleet)[rows:]
    told = fault(WorkspaceError, lambda: list(MixReader(there).rows(rows - 1)))
    assert told.startswith(f"{there}/shard-00000.parquet: damaged (")
    assert "\n" not in told
    assert told.endswith("; expected the shard as it was written")


def test_media_by_reference_are_read_from_the_store(tmp_path):
    directory = make(tmp_path, mixed(9), [*IMAGES, *FRAMES], media="reference")
    read = [medium.read() for row in MixReader(directory).rows() for medium in row.media]
    assert Counter(one for one in read if isinstance(one, bytes)) == Counter([IMAGES[1], IMAGES[0], IMAGES[3]])
    assert FRAMES in read
    moved = (tmp_path / "data/images").rename(tmp_path / "store")
    named = [medium.read() for row in MixReader(directory, images=moved).rows() for medium in row.media]
    assert named == read
    told = fault(WorkspaceError, lambda: list(MixReader(directory).rows()))
    assert told == f"{tmp_path}/data/images: no image store; expected the one that {directory} refers to"


def test_a_mix_that_is_not_finished(tmp_path):
    told = fault(WorkspaceError, lambda: MixReader(tmp_path))
    assert told == f"{tmp_path}: no lock.json; expected the directory of a finished mix"


def test_a_mix_of_another_schema(tmp_path):
    lock(tmp_path, [], schema=99)
    told = fault(WorkspaceError, lambda: MixReader(tmp_path))
    assert told == f"{tmp_path}/lock.json: a mix of schema 99; expected schema {schema.VERSION}"


def test_a_damaged_lock(tmp_path):
    (tmp_path / "lock.json").write_text("{")
    assert fault(WorkspaceError, lambda: MixReader(tmp_path)).startswith(f"{tmp_path}/lock.json: damaged (")


def test_a_shard_that_is_missing_or_short(tmp_path):
    directory = make(tmp_path, mixed(3), [*IMAGES, *FRAMES])
    path = directory / "shard-00000.parquet"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1000])
    assert fault(WorkspaceError, lambda: MixReader(directory)) == (
        f"{path}: {size - 1000:,} bytes; expected {size:,} bytes"
    )
    path.unlink()
    assert fault(WorkspaceError, lambda: MixReader(directory)) == f"{path}: missing; expected {size:,} bytes"


def test_a_shard_with_other_rows_or_columns(tmp_path, texts):
    path = tmp_path / "shard-00000.parquet"
    table = pq.read_table(texts / path.name)
    pq.write_table(table, path)
    size = path.stat().st_size
    lock(tmp_path, [{"name": path.name, "rows": 24, "bytes": size}])
    told = fault(WorkspaceError, lambda: list(MixReader(tmp_path).rows()))
    assert told == f"{path}: 25 rows; expected 24 rows, as lock.json says"
    pq.write_table(table.drop_columns("chosen"), path)
    lock(tmp_path, [{"name": path.name, "rows": 25, "bytes": path.stat().st_size}])
    told = fault(WorkspaceError, lambda: list(MixReader(tmp_path).rows()))
    assert told == f"{path}: no column chosen as in a shard; expected schema {schema.VERSION}"


# --- steps


def batches(directory, kind="text", **fields):
    fields = {"pairs": 8, "max_tokens": 400, **fields}
    own = Encoder(checkpoint(kind), max_length=fields.pop("max_length", 400))
    reader = MixReader(directory)
    return Batches(reader=reader, encoder=own, **{"stop": len(reader), **fields})


def told(step):
    """A step as plain data, once gone through."""
    micro = [[pair.pair_id for pair in batch if pair.weight] for batch in step.micro]
    assert len(micro) == len(step.micro)
    return micro, step.pairs, step.consumed, dict(step.dropped), dict(step.lost)


def taken(step):
    return sorted(pair.pair_id for batch in step.micro for pair in batch if pair.weight)


def test_steps_take_the_pairs_in_order(texts):
    steps = [told(step) for step in batches(texts)]
    assert [(pairs, consumed) for _, pairs, consumed, *_ in steps] == [(8, 8), (8, 16), (8, 24), (1, 25)]
    for number, (micro, *_) in enumerate(steps):
        assert sorted(chain(*micro)) == sorted(ids(texts)[8 * number : 8 * number + 8])


def test_micro_batches_are_the_fewest_that_keep_to_the_budget(fleet):
    for step in batches(fleet, "qwen2_5_vl", max_tokens=300):
        sizes = [[pair.tokens() for pair in batch] for batch in step.micro]
        assert max(map(sum, sizes)) <= 300
        assert len(sizes) == len(pack_sizes(list(chain(*sizes)), 300)) > 1


@pytest.mark.parametrize("kind", ["text", "qwen2_5_vl"])
def test_any_number_of_ranks_makes_the_same_steps(fleet, kind):
    alone = list(map(taken_and_told, batches(fleet, kind, max_tokens=300)))
    assert sum(pairs for _, pairs, *_ in alone) == (40 if kind == "qwen2_5_vl" else 40 - sum_of_dropped(alone))
    for world in (2, 4):
        ranks = [list(batches_of(fleet, kind, rank, world)) for rank in range(world)]
        for steps in zip(alone, *ranks, strict=True):
            whole, parts = steps[0], steps[1:]
            assert whole[0] == sorted(chain(*(part[0] for part in parts)))
            assert {part[1:4] for part in parts} == {whole[1:4]}
            assert len({part[4] for part in parts}) == 1  # as many micro-batches on every rank


def taken_and_told(step):
    micro = list(step.micro)
    pairs = sorted(pair.pair_id for batch in micro for pair in batch if pair.weight)
    return pairs, step.pairs, step.consumed, tuple(sorted(step.dropped.items())), len(micro)


def batches_of(directory, kind, rank, world):
    return map(taken_and_told, batches(directory, kind, max_tokens=300, rank=rank, world=world))


def sum_of_dropped(steps):
    return sum(number for _, _, _, dropped, _ in steps for _, number in dropped)


def test_a_text_backbone_drops_and_counts_media(fleet):
    dropped = sum((step.dropped for step in batches(fleet, "text")), Counter())
    media = [(row.source, row.media[0].kind) for row in MixReader(fleet).rows() if row.media]
    assert dropped == Counter((source, f"{kind}_unsupported") for source, kind in media)


def test_dropped_pairs_are_replaced_by_the_next(texts):
    own = batches(texts, max_length=60)
    long = {row.pair_id for row in MixReader(texts).rows() if len(row.chosen[0].content[0].text) > 30}
    kept = [one for one in ids(texts) if one not in long]
    steps = [(taken(step), step.pairs, step.dropped) for step in own]
    assert 0 < len(long) < 20
    assert [pairs for _, pairs, _ in steps] == [8] * (len(kept) // 8) + [len(kept) % 8] * bool(len(kept) % 8)
    assert [one for one, *_ in steps] == [sorted(kept[i : i + 8]) for i in range(0, len(kept), 8)]
    assert sum((dropped for *_, dropped in steps), Counter()) == {("test", "too_long"): len(long)}


def test_a_pair_over_the_micro_batch_is_dropped(texts):
    own = batches(texts, max_tokens=60)
    dropped = sum((step.dropped for step in own), Counter())
    assert set(dropped) == {("test", "over_max_tokens")}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_at_the_exact_pair(fleet, workers):
    whole = [told(step) for step in batches(fleet, max_length=80, stop=100, workers=workers)]
    for number, (_, _, consumed, *_) in enumerate(whole, 1):
        again = batches(fleet, max_length=80, stop=100, start=consumed, workers=workers)
        assert [told(step) for step in again] == whole[number:]
    assert whole[-1][2] == 100


def test_epochs_go_round_in_the_same_order(texts):
    steps = list(map(taken, batches(texts, pairs=10, stop=60)))
    order = (ids(texts) * 3)[:60]
    assert steps == [sorted(order[i : i + 10]) for i in range(0, 60, 10)]


def test_workers_change_nothing(fleet):
    alone = batches(fleet, "qwen2_5_vl", max_tokens=300)
    many = batches(fleet, "qwen2_5_vl", max_tokens=300, workers=3)
    for one, other in zip(alone, many, strict=True):
        for first, second in zip(one.micro, other.micro, strict=True):
            assert [pair.pair_id for pair in first] == [pair.pair_id for pair in second]
            pixels = [
                [tree.media.get("pixel_values", torch.empty(0)) for pair in batch for tree in pair.trees]
                for batch in (first, second)
            ]
            assert all(torch.equal(a, b) for a, b in zip(*pixels, strict=True))


def test_micro_batches_that_are_left_are_passed_over(fleet):
    whole = [told(step) for step in batches(fleet, max_tokens=200)]
    assert max(len(micro) for micro, *_ in whole) > 1
    hasty = [(next(iter(step.micro)), step.consumed)[1] for step in batches(fleet, max_tokens=200)]
    assert hasty == [consumed for _, _, consumed, *_ in whole]


def test_ranks_without_pairs_get_fillers(texts):
    weights = [
        [
            pair.weight
            for step in batches(texts, rank=rank, world=2, start=24)
            for batch in step.micro
            for pair in batch
        ]
        for rank in (0, 1)
    ]
    assert weights == [[1.0], [0.0]]


def test_micro_batches_are_not_there_twice(texts):
    steps = list(batches(texts))
    with pytest.raises(RuntimeError, match="gone through once, before the next step"):
        iter(steps[0].micro)


def undecodable(directory):
    """Give every image of the mix cut pixels under a right header and key: only a decoder can tell."""
    files = []
    for path in sorted(directory.glob("shard-*.parquet")):
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            if len(row["images"]) == 1:
                cut = shot(int(row["images"][0]["path"][:4], 16), kind="JPEG")[:700]
                row["images"] = [{"bytes": cut, "path": key(cut)}]
                row["media"] = [{"kind": "image", "keys": [key(cut)]}]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARD), path)
        files.append({"name": path.name, "rows": len(rows), "bytes": path.stat().st_size})
    lock(directory, files)


def test_pixels_that_can_not_be_decoded_weigh_nothing(tmp_path):
    directory = make(tmp_path, mixed(12), [*IMAGES, *FRAMES])
    shown = Counter(
        row.source for row in MixReader(directory).rows() if row.media and row.media[0].kind == "image"
    )
    undecodable(directory)
    for workers in (0, 2):
        steps = [told(step) for step in batches(directory, "qwen2_5_vl", pairs=6, workers=workers)]
        assert [(pairs, dropped) for _, pairs, _, dropped, _ in steps] == [(6, {}), (6, {})]
        lost = sum((Counter(lost) for *_, lost in steps), Counter())
        assert lost == {(source, "image_damaged"): number for source, number in shown.items()}
        assert sum(len(batch) for micro, *_ in steps for batch in micro) == 12 - lost.total()


def test_an_image_that_was_changed_on_disk_is_dropped(tmp_path):
    directory = make(tmp_path, mixed(12), [*IMAGES, *FRAMES])
    path = directory / "shard-00000.parquet"
    data = path.read_bytes()
    for image in IMAGES:
        data = data.replace(image, image[:-30] + bytes(30))
    path.write_bytes(data)
    steps = [told(step) for step in batches(directory, "qwen2_5_vl", pairs=6)]
    dropped = sum((Counter(dropped) for _, _, _, dropped, _ in steps), Counter())
    assert dropped == {("a", "image_damaged"): 2, ("b", "image_damaged"): 2}


def test_damage_in_the_store_is_dropped_and_a_lost_pack_is_told(tmp_path):
    directory = make(tmp_path, mixed(12), [*IMAGES, *FRAMES], media="reference")
    [pack] = (tmp_path / "data/images/packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[len(IMAGES[0]) - 20] ^= 1  # the first image
    pack.write_bytes(data)
    dropped = sum((step.dropped for step in batches(directory, "qwen2_5_vl", workers=2)), Counter())
    assert dropped == {("a", "image_damaged"): 1}
    pack.unlink()
    told_ = fault(WorkspaceError, lambda: list(batches(directory, "qwen2_5_vl", workers=2)))
    assert told_.startswith(f"{pack}: no such file, so image ")


def test_no_pair_that_can_be_used_is_one_clear_line(texts, tmp_path):
    said = fault(TrainError, lambda: list(batches(texts, max_length=5)))
    assert said == f"{texts}: no pair can be used: test too_long 25; expected pairs to train on"
    lock(tmp_path, [])
    assert (
        fault(TrainError, lambda: list(batches(tmp_path, stop=5)))
        == f"{tmp_path}: no pairs; expected pairs to train on"
    )


def encoders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


def test_threads_end_with_the_run_however_it_ends(fleet):
    def interrupted():
        for _ in batches(fleet, "qwen2_5_vl", workers=2):
            assert encoders()
            raise KeyboardInterrupt

    assert list(map(taken, batches(fleet, workers=2)))
    assert encoders() == []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert encoders() == []


# --- dealing


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 120), st.integers(1, 5))
def test_dealing_gives_every_pair_once_within_the_budget(tokens, budget, ranks):
    dealt = deal(tokens, budget, ranks)
    assert len(dealt) == ranks
    assert sorted(chain(*chain(*dealt))) == list(range(len(tokens)))
    rounds = {len(micros) for micros in dealt}
    assert rounds == {-(-len(pack_sizes(tokens, budget)) // ranks)}
    assert all(sum(tokens[i] for i in micro) <= budget for micros in dealt for micro in micros)


@given(st.lists(st.integers(40, 50), min_size=32, max_size=64), st.sampled_from([2, 4]))
def test_ranks_get_about_as_many_tokens(tokens, ranks):
    loads = [sum(tokens[i] for micro in micros for i in micro) for micros in deal(tokens, 200, ranks)]
    assert max(loads) - min(loads) <= 2 * max(tokens)


def test_dealing_by_hand():
    assert deal([5, 4, 3, 2], 7, 1) == [[[0, 3], [1, 2]]]
    assert deal([5, 4, 3, 2], 7, 2) == [[[0, 3]], [[1, 2]]]
    assert deal([5, 4], 7, 4) == [[[0]], [[1]], [[]], [[]]]
    assert deal([1] * 8, 2, 2) == [[[0, 4], [3, 7]], [[1, 5], [2, 6]]]

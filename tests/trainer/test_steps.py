"""Which pairs each step has: exact, in order, on any number of ranks."""

import itertools
import threading
from collections import Counter
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainError, WorkspaceError
from curate.mixing.shard_schema import SHARD
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import (
    FRAMES,
    IMAGES,
    fault,
    ids,
    key,
    lock,
    make,
    mixed,
    shard_fleet,
    shot,
    text_mix,
)  # fmt: skip
from trainer.backbones import Backbone
from trainer.encode import Encoder
from trainer.packing import pack, pack_sizes
from trainer.readers import MixReader
from trainer.steps import Steps, deal, steps_by_length
from trainer.transfer import Transfer


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return shard_fleet(tmp_path_factory.mktemp("mix"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return text_mix(tmp_path_factory.mktemp("texts"))


def batches(directory, kind="text", **fields):
    fields = {"pairs": 8, "max_tokens": 400, **fields}
    own = Encoder(checkpoint(kind), max_length=fields.pop("max_length", 400))
    reader = MixReader(directory)
    return Steps(reader=reader, encoder=own, **{"stop": len(reader), **fields})


def as_data(step):
    """A step as plain data, once gone through."""
    micro = [[pair.pair_id for pair in batch if pair.weight] for batch in step.micro]
    assert len(micro) == len(step.micro)
    return micro, step.pairs, step.consumed, dict(step.dropped), dict(step.unusable)


def taken(step):
    return sorted(pair.pair_id for batch in step.micro for pair in batch if pair.weight)


def test_steps_take_the_pairs_in_order(texts):
    steps = [as_data(step) for step in batches(texts)]
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
    alone = list(map(taken_and_counted, batches(fleet, kind, max_tokens=300)))
    assert sum(pairs for _, pairs, *_ in alone) == (40 if kind == "qwen2_5_vl" else 40 - sum_of_dropped(alone))
    for world in (2, 4):
        ranks = [list(batches_of(fleet, kind, rank, world)) for rank in range(world)]
        for steps in zip(alone, *ranks, strict=True):
            whole, parts = steps[0], steps[1:]
            assert whole[0] == sorted(chain(*(part[0] for part in parts)))
            assert {part[1:4] for part in parts} == {whole[1:4]}
            assert len({part[4] for part in parts}) == 1  # as many micro-batches on every rank


def taken_and_counted(step):
    micro = list(step.micro)
    pairs = sorted(pair.pair_id for batch in micro for pair in batch if pair.weight)
    return pairs, step.pairs, step.consumed, tuple(sorted(step.dropped.items())), len(micro)


def batches_of(directory, kind, rank, world):
    return map(taken_and_counted, batches(directory, kind, max_tokens=300, rank=rank, world=world))


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
    whole = [as_data(step) for step in batches(fleet, max_length=80, stop=100, workers=workers)]
    for number, (_, _, consumed, *_) in enumerate(whole, 1):
        again = batches(fleet, max_length=80, stop=100, start=consumed, workers=workers)
        assert [as_data(step) for step in again] == whole[number:]
    assert whole[-1][2] == 100


def windowed(directory, **fields):
    return batches(directory, pairs=4, max_length=80, window=3, stop=30, max_tokens=200, **fields)


def test_the_steps_of_a_window_share_its_pairs_by_length(texts):
    """25 pairs: two windows of three steps, and the last pair."""
    plans = [([pair for micro in step.micro for pair in micro], step.consumed, step.resume) for step in
             batches(texts, pairs=4, window=3)]  # fmt: skip
    for first in (0, 3):
        window = [pairs for pairs, *_ in plans[first : first + 3]]
        names = sorted(pair.pair_id for pairs in window for pair in pairs)
        assert names == sorted(ids(texts)[4 * first : 4 * first + 12]), "the same pairs as in three plain steps"
        tokens = sorted(sorted(pair.tokens() for pair in pairs) for pairs in window)
        assert all(one[-1] <= two[0] for one, two in itertools.pairwise(tokens)), "neighbours by length"
    assert [resume for *_, resume in plans] == [(0, 1), (0, 2), (12, 0), (12, 1), (12, 2), (24, 0), (25, 0)]
    assert [consumed for _, consumed, _ in plans] == [4, 8, 12, 16, 20, 24, 25]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_window_goes_on_at_its_step_and_is_the_same_for_any_ranks(texts, workers):
    whole = [(taken(step), step.resume) for step in windowed(texts, workers=workers)]
    for number, (_, (start, passed)) in enumerate(whole, 1):
        again = windowed(texts, start=start, passed=passed, workers=workers)
        assert [(taken(step), step.resume) for step in again] == whole[number:]
    ranks = [[taken(step) for step in windowed(texts, rank=rank, world=2)] for rank in (0, 1)]
    assert [sorted(one + two) for one, two in zip(*ranks, strict=True)] == [pairs for pairs, _ in whole]


def test_64_ranks_are_evenly_busy():
    """Simulated: 128 pairs a step of prompt, two replies and mostly an image; mean over most tokens of a round."""
    draw = np.random.default_rng(0)
    prompts, replies = draw.lognormal(4.5, 1.0, 128 * 32), draw.lognormal(5.3, 0.7, (128 * 32, 2)).sum(1)
    images = np.where(draw.random(128 * 32) < 0.7, draw.integers(200, 640, 128 * 32), 0)
    tokens = np.clip(prompts + replies + images, 20, 8000).astype(int).tolist()

    def balance(ranks: int, window: int) -> float:
        """Tokens that are computed, of those that could be in the time that the slowest ranks take."""
        done = time = 0
        for start in range(0, len(tokens), 128 * window):
            part = tokens[start : start + 128 * window]
            for step in steps_by_length(part, 128, start):
                sizes = [part[i] for i in step]
                micro_batches = deal(sizes, 8192, ranks)
                for turn in zip(*micro_batches, strict=True):
                    loads = [sum(sizes[i] for i in micro) for micro in turn]
                    done, time = done + sum(loads), time + max(loads) * ranks
        return done / time

    assert balance(64, 16) >= 0.95
    assert balance(64, 1) < 0.8, "what a window is for"
    assert balance(8, 1) >= 0.98


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


def test_the_threads_that_decode_lay_out(fleet):
    """Pack, cast and copy happen in them, not in the thread that computes; what arrives is what `pack` makes."""
    model = Backbone.load(checkpoint("qwen2_5_vl"))
    transfer, threads = Transfer(torch.device("cpu"), torch.bfloat16), set()

    def lay_out(pairs):
        threads.add(threading.current_thread().name)
        return transfer.send(pack([tree for pair in pairs for tree in pair.trees], model))

    seen = 0
    for step in batches(fleet, "qwen2_5_vl", max_tokens=300, workers=2, lay_out=lay_out):
        for micro in step.micro:
            batch, expected = micro.batch.arrived(), pack([tree for pair in micro for tree in pair.trees], model)
            assert torch.equal(batch.input_ids, expected.input_ids)
            assert torch.equal(batch.pool, expected.pool)
            assert batch.media.keys() == expected.media.keys()
            for name, tensor in batch.media.items():
                whole = expected.media[name]
                assert torch.equal(tensor, whole.bfloat16() if whole.is_floating_point() else whole)
                seen += whole.is_floating_point()
    assert seen > 2
    assert all(name.startswith("encode") for name in threads)


def test_pixels_are_rounded_as_the_model_would(fleet):
    """In bf16 the scores of a batch are the same to the bit, whether pixels are cast before or by the model."""
    model = Backbone.load(checkpoint("qwen2_5_vl"), torch.bfloat16)
    transfer = Transfer(torch.device("cpu"), torch.bfloat16)
    [micro] = next(iter(batches(fleet, "qwen2_5_vl", max_tokens=4000, stop=16, pairs=16))).micro
    plain = pack([tree for pair in micro for tree in pair.trees], model)
    assert plain.media["pixel_values"].dtype is torch.float32
    with torch.no_grad():
        assert torch.equal(model.hidden(plain), model.hidden(transfer.send(plain).arrived()))


def test_micro_batches_that_are_left_are_passed_over(fleet):
    whole = [as_data(step) for step in batches(fleet, max_tokens=200)]
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
    with pytest.raises(RuntimeError, match="iterated once, before the next step is fetched"):
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
    images = Counter(
        row.source for row in MixReader(directory).rows() if row.media and row.media[0].kind == "image"
    )
    undecodable(directory)
    for workers in (0, 2):
        steps = [as_data(step) for step in batches(directory, "qwen2_5_vl", pairs=6, workers=workers)]
        assert [(pairs, dropped) for _, pairs, _, dropped, _ in steps] == [(6, {}), (6, {})]
        lost = sum((Counter(lost) for *_, lost in steps), Counter())
        assert lost == {(source, "image_damaged"): number for source, number in images.items()}
        assert sum(len(batch) for micro, *_ in steps for batch in micro) == 12 - lost.total()


def test_an_image_that_was_changed_on_disk_is_dropped(tmp_path):
    directory = make(tmp_path, mixed(12), [*IMAGES, *FRAMES])
    path = directory / "shard-00000.parquet"
    data = path.read_bytes()
    for image in IMAGES:
        data = data.replace(image, image[:-30] + bytes(30))
    path.write_bytes(data)
    steps = [as_data(step) for step in batches(directory, "qwen2_5_vl", pairs=6)]
    dropped = sum((Counter(dropped) for _, _, _, dropped, _ in steps), Counter())
    assert dropped == {("a", "image_damaged"): 2, ("b", "image_damaged"): 2}


def test_damage_in_the_store_is_dropped_and_a_lost_pack_is_an_error(tmp_path):
    directory = make(tmp_path, mixed(12), [*IMAGES, *FRAMES], media="reference")
    [pack] = (tmp_path / "data/images/packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[len(IMAGES[0]) - 20] ^= 1  # the first image
    pack.write_bytes(data)
    dropped = sum((step.dropped for step in batches(directory, "qwen2_5_vl", workers=2)), Counter())
    assert dropped == {("a", "image_damaged"): 1}
    pack.unlink()
    line = fault(WorkspaceError, lambda: list(batches(directory, "qwen2_5_vl", workers=2)))
    assert line.startswith(f"{pack}: no such file, so image ")


def test_no_pair_that_can_be_used_is_one_clear_line(texts, tmp_path):
    line = fault(TrainError, lambda: list(batches(texts, max_length=5)))
    assert line == f"{texts}: no pair can be used: test too_long 25; expected pairs to train on"
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
    micro_batches = deal(tokens, budget, ranks)
    assert len(micro_batches) == ranks
    assert sorted(chain(*chain(*micro_batches))) == list(range(len(tokens)))
    rounds = {len(micros) for micros in micro_batches}
    assert rounds == {-(-len(pack_sizes(tokens, budget)) // ranks)}
    assert all(sum(tokens[i] for i in micro) <= budget for micros in micro_batches for micro in micros)


@given(st.lists(st.integers(40, 50), min_size=32, max_size=64), st.sampled_from([2, 4]))
def test_ranks_get_about_as_many_tokens(tokens, ranks):
    loads = [sum(tokens[i] for micro in micros for i in micro) for micros in deal(tokens, 200, ranks)]
    assert max(loads) - min(loads) <= 2 * max(tokens)


def test_dealing_by_hand():
    assert deal([5, 4, 3, 2], 7, 1) == [[[0, 3], [1, 2]]]
    assert deal([5, 4, 3, 2], 7, 2) == [[[0, 3]], [[1, 2]]]
    assert deal([5, 4], 7, 4) == [[[0]], [[1]], [[]], [[]]]
    assert deal([1] * 8, 2, 2) == [[[0, 4], [3, 7]], [[1, 5], [2, 6]]]

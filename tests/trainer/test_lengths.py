"""Lengths that were measured first: the same steps, and no rank tokenises the pairs of another."""

from itertools import chain

import pyarrow as pa
import pytest
import torch

from tests.support.judges import judge_encoder
from tests.support.tiny_models import checkpoint
from tests.support.trainer_shards import ids, shard_fleet
from tests.support.training import rows, settings, small_mix, trained
from trainer import config
from trainer.distributed import World
from trainer.encode import Encoder
from trainer.lengths import FILE, Lengths, Sized, known, measure, needed
from trainer.readers import MixReader, Picker
from trainer.steps import Steps

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return shard_fleet(tmp_path_factory.mktemp("mix"))


class Counting(Encoder):
    """An encoder that records which pairs it measures."""

    def __init__(self, *arguments, **bounds):
        super().__init__(*arguments, **bounds)
        self.measured = []

    def measure(self, row):
        self.measured.append(row.pair_id)
        return super().measure(row)


def as_data(step):
    micro = [[(pair.pair_id, pair.tokens()) for pair in batch] for batch in step.micro]
    return micro, step.pairs, step.consumed, step.resume, dict(step.dropped), dict(step.unusable)


@pytest.mark.parametrize(("covered", "workers", "window"), [(40, 0, 1), (40, 2, 3), (17, 0, 3)])
def test_steps_are_those_without_and_each_rank_measures_its_own(monkeypatch, fleet, covered, workers, window):
    """More than an epoch of pairs with images, some too long; with the lengths of all pairs, or of some."""
    own = Counting(checkpoint("qwen2_5_vl"), max_length=80)
    reader = MixReader(fleet)
    monkeypatch.setattr("trainer.lengths.TOGETHER", 7)
    table = measure(reader, own, range(covered), workers, report=False)
    lengths = Lengths(table, len(reader), 1, share=True)
    own.measured.clear()

    def steps(rank, start=0, passed=0, lengths=None):
        return Steps(
            reader=reader, encoder=own, pairs=4, max_tokens=200, start=start, passed=passed, stop=50, rank=rank,
            world=3, workers=workers, window=window, lengths=lengths,
        )  # fmt: skip

    for rank in (0, 2):
        whole = [as_data(step) for step in steps(rank)]
        own.measured.clear()
        assert [as_data(step) for step in steps(rank, lengths=lengths)] == whole
        mine = [name for micro, *_ in whole for batch in micro for name, _ in batch if name]
        if covered == len(reader):
            assert sorted(own.measured) == sorted(mine)
        else:
            assert len(own.measured) < 50
    half = len(whole) // 2
    again = steps(2, *whole[half - 1][3], lengths)
    assert [as_data(step) for step in again] == whole[half:]


def test_what_is_known_of_each_position():
    table = pa.table(
        {"source": ["a", "b", "a"], "reason": [None, "too_long", None], "shared": [5, 0, 7], "unshared": [9, 0, 8]}
    )
    shared, alone = (Lengths(table, 3, 1, share=share) for share in (True, False))
    assert [shared.at(i) for i in (0, 1, 5)] == [Sized(0, "a", 5), ("b", "too_long"), Sized(5, "a", 7)]
    assert alone.at(2) == Sized(2, "a", 8)
    part = Lengths(table, 4, 1, share=True)
    assert part.at(2) == Sized(2, "a", 7)
    assert part.at(3) is None
    assert part.at(4) is None, "of a part nothing is known of another epoch"


def test_a_judge_has_lengths_of_both_orders(tmp_path):
    mix = small_mix(tmp_path, 12)
    reader, own = MixReader(mix), judge_encoder(checkpoint("text"))
    assert own.period == 2
    table = measure(reader, own, range(2 * len(reader)), 0, report=False)
    picker = Picker(reader, 0)
    for position, (source, reason, shared) in enumerate(
        zip(*(table[name].to_pylist() for name in ("source", "reason", "shared")), strict=True)
    ):
        [row] = picker.take([position])
        assert (row.epoch, row.source) == (position // len(reader), source)
        if reason is None:
            assert own.measure(row).pair.tokens() == shared


def test_a_picker_reads_what_is_chosen(fleet):
    reader = MixReader(fleet)
    picker = Picker(reader, 5)
    found = list(chain(picker.take([6, 7, 39]), picker.take([]), picker.take([40, 95])))
    assert [row.pair_id for row in found] == [ids(fleet)[i % 40] for i in (6, 7, 39, 40, 95)]
    assert [row.epoch for row in found] == [0, 0, 0, 1, 2]
    assert [row.media for row in found] == [list(reader.rows())[i % 40].media for i in (6, 7, 39, 40, 95)]


def test_no_more_is_measured_than_is_needed():
    def count(*more, pairs=1000, period=1):
        return needed(config.resolve("tiny_cpu", ["mix=m", "out=o", "epochs=3", *more]), pairs, period)

    assert (count(), count("epochs=0.5"), count(period=2), count("epochs=1", period=2)) == (1000, 500, 2000, 1000)
    assert count("max_pairs=100") == 110
    assert count("max_steps=10", "batch_pairs=20") == 220


def test_a_run_measures_first_and_keeps_what_it_found(tmp_path, capfd):
    mix = small_mix(tmp_path, 30)
    plain, first = trained(mix, tmp_path / "plain"), trained(mix, tmp_path / "first", "measure_first=true")
    assert rows(first) == rows(plain)
    assert not (plain / FILE).exists()
    run_config = config.read(first / "config.yaml")
    reader, own = MixReader(mix), Counting(checkpoint("text"), max_length=2048, max_pixels=12544)
    share = {"share": True}

    def find():
        own.measured.clear()
        path = tmp_path / "found"
        return known(run_config, reader, own, path, ALONE, **share), (path / FILE)

    (tmp_path / "found").mkdir()
    found, path = find()
    dropped = [found.at(position)[1] for position in range(25) if not isinstance(found.at(position), Sized)]
    assert (len(own.measured), {*dropped}) == (25, {"image_unsupported"})
    find()
    assert own.measured == [], "they are read"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    find()
    assert len(own.measured) == 25, "a damaged file is measured again"
    own.max_length = 100
    find()
    assert len(own.measured) == 25, "of other settings too"
    assert "lengths, this rank's part: 25 pairs to do" in capfd.readouterr().err
    assert (
        known(config.resolve("tiny_cpu", settings(mix, tmp_path / "o")), reader, own, tmp_path, ALONE, **share)
        is None
    )

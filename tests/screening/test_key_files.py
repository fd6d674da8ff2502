"""Key columns in files: what steps get from them is what all pairs at once would give."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.engines.local import Local
from curate.order import order_key
from curate.pairs import keys
from curate.pairs.keys import load_keys
from curate.screening import key_files
from curate.screening.key_files import KeyFiles
from curate.steps.base import KEYS
from tests.support.conflicts import assert_same, conflicting, decided


def left_over(root: Path) -> list[Path]:
    return list(root.rglob(".*.tmp"))


@pytest.mark.parametrize("workers", [1, 2])
def test_partitions_decide_as_all_pairs_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int):
    pools = conflicting(tmp_path)
    with Local(1) as engine:
        assert KeyFiles(pools, 3, engine).partitions == 1
        whole = decided(pools, engine)
    assert {name.split("/")[1] for name in whole.pools[1].funnel.dropped} >= {
        "reversed",
        "cycle",
        "duplicate_pair",
    }
    monkeypatch.setattr(key_files, "PARTITION", 50)
    with Local(workers) as engine:
        assert KeyFiles(pools, 3, engine).partitions == 16
        assert_same(whole, decided(pools, engine))
    assert not left_over(tmp_path)


def test_a_frame_has_the_kept_pairs_by_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(key_files, "PARTITION", 50)
    pools = conflicting(tmp_path)
    kept = np.arange(800) % 3 > 0
    with Local(1) as engine:
        files = KeyFiles(pools, 3, engine)
        found = files.frame(kept)
        assert dict(found.schema) == KEYS
        assert found["index"].to_list() == np.flatnonzero(kept).tolist()
        expected = pl.concat(load_keys(pool.directory, pool.parts) for pool in pools).filter(pl.Series(kept))
        same = ["known", "prompt_key", "chosen_key", "rejected_key", "part", "position"]
        assert found.select(same).equals(expected.select(same))
        order = order_key(expected["id_hi"].to_numpy(), expected["id_lo"].to_numpy(), 3)
        assert found["order"].to_numpy().tolist() == order.tolist()
        assert (
            found["pool"].to_list() == found["priority"].to_list() == (found["index"] >= 400).cast(int).to_list()
        )
        assert files.frame(kept, ("pool",)).columns == ["index", "pool"]
        assert len(left_over(tmp_path)) == 10
        ids = pl.concat(
            pl.read_parquet(pool.directory / part, columns=["pair_id"]) for pool in pools for part in pool.parts
        )
        index = pl.Series([799, 3, 3, 401], dtype=pl.UInt32)
        assert files.ids(index).to_list() == ids["pair_id"].gather(index).to_list()
        assert files.pools_of(index).to_list() == [1, 0, 0, 1]
        del files
    assert not left_over(tmp_path)


def test_mapped_keys_are_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool, _ = conflicting(tmp_path)
    kept = np.arange(400) % 3 > 0
    some = load_keys(pool.directory, pool.parts, kept)
    assert some.drop("copy").equals(load_keys(pool.directory, pool.parts).filter(pl.Series(kept)).drop("copy"))
    monkeypatch.setattr(keys, "MAPPED", 10)
    assert load_keys(pool.directory, pool.parts, kept).equals(some)
    assert not left_over(tmp_path)
    assert dict(some.schema) == keys.COLUMNS

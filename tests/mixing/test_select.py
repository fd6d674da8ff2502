from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curate import order
from curate.config import build
from curate.errors import ConfigError, InfeasibleError, WorkspaceError
from curate.mixing import quotas, select
from curate.pairs import keys
from curate.recipe import Recipe
from tests.support.pairs import write_pairs


def recipe(sources, **fields):
    return build({"name": "r", "sources": sources, **fields}, Recipe, "$")


def pool(count, *, salt=0, per_group=1, copies=()):
    """Key columns of `count` pairs; every `per_group` neighbours are one group; `copies` repeat earlier rows."""
    numbers = np.concatenate([np.arange(count), np.array(copies, np.int64)]).astype(np.uint64)
    groups = np.concatenate([np.arange(count) // per_group, 10**6 + np.arange(len(copies))]).astype(np.uint64)
    frame = pl.DataFrame(
        {
            "part": pl.Series(numbers // 10, dtype=pl.UInt32),
            "position": pl.Series(np.arange(len(numbers)), dtype=pl.UInt32),
            "id_hi": order.order_key(numbers, numbers, salt, 1),
            "id_lo": order.order_key(numbers, numbers, salt, 2),
            "group": order.order_key(groups, groups, salt, 3),
            "prompt_key": order.order_key(numbers, numbers, salt, 4),
            "text_bytes": pl.Series(np.full(len(numbers), 7), dtype=pl.UInt32),
            "media_bytes": pl.Series(np.zeros(len(numbers)), dtype=pl.UInt64),
            "has_fields": pl.Series(np.zeros(len(numbers)), dtype=pl.Boolean),
        }
    )
    return frame.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).over("id_hi", "id_lo").alias("copy"))


def places(selection, which=None):
    """(entry, pool, position, repeat) in global order."""
    rows = selection.mix if which is None else selection.mix.filter(pl.col("entry") == which)
    return list(rows.select("entry", "pool", "position", "repeat").iter_rows())


# --- keys


def test_keys_of_pairs_files(tmp_path):
    rows = [
        {"prompt": "a", "group": "g", "chosen": "yes"},
        {"prompt": "b", "group": "g", "media": ["0" * 32], "media_bytes": 70},
        {"prompt": "a", "group": "h", "chosen": "yes"},
    ]
    parts = write_pairs(tmp_path, rows, part_rows=2)
    frame = keys.load_keys(tmp_path, parts)
    assert dict(frame.schema) == keys.COLUMNS
    assert frame.select("part", "position", "copy").rows() == [(0, 0, 0), (0, 1, 0), (1, 0, 1)]
    assert frame["text_bytes"].to_list() == [12, 15, 12]  # prompt, "yes" or "chosen", "rejected"
    assert frame["media_bytes"].to_list() == [0, 70, 0]
    table = pl.concat([pl.read_parquet(tmp_path / part) for part in parts])
    assert [f"{hi:016x}{lo:016x}" for hi, lo in frame.select("id_hi", "id_lo").iter_rows()] == table[
        "pair_id"
    ].to_list()
    assert [f"{group:016x}" for group in frame["group"]] == [group[:16] for group in table["group_id"]]
    assert frame["prompt_key"].to_list() == table["prompt_key"].to_list()


def test_keys_of_nothing(tmp_path):
    assert dict(keys.load_keys(tmp_path, ()).schema) == keys.COLUMNS
    assert keys.load_keys(tmp_path, write_pairs(tmp_path, [])).is_empty()


def test_damaged_pairs_files_are_named(tmp_path):
    with pytest.raises(WorkspaceError, match=r"part-9: no such file; expected a pairs file"):
        keys.load_keys(tmp_path, ["part-9"])
    (tmp_path / "cut").write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError, match=r"cut: damaged \("):
        keys.load_keys(tmp_path, ["cut"])
    [part] = write_pairs(tmp_path, [{}])
    odd = pl.read_parquet(tmp_path / part).with_columns(pair_id=pl.lit("x" * 32))
    odd.write_parquet(tmp_path / part)
    with pytest.raises(WorkspaceError, match="an id is not 32 hex digits"):
        keys.load_keys(tmp_path, [part])


# --- order


def test_order_keys_never_change():
    one, two = np.array([1], np.uint64), np.array([2], np.uint64)
    assert order.ORDER_VERSION == 1
    assert [int(order.order_key(one, two, *more)[0]) for more in [(0,), (1,), (0, 1), (0, 1 << 63)]] == GOLDEN
    assert order.order_key(one, two, 0, np.array([1], np.uint64)).tolist() == [GOLDEN[2]]


GOLDEN = [
    15970909107142823323,
    12786967519238441317,
    16267571293429331469,
    10721142901093060812,
]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_descending_breaks_ties_by_the_smaller(values, ties):
    key, tie = np.array(values, np.uint64) & np.uint64(3), np.array(ties[: len(values)], np.uint64)
    expected = sorted(range(len(values)), key=lambda i: (-int(key[i]), int(tie[i]), i))
    assert order.descending(key, lambda: (tie,)).tolist() == expected


# --- quotas


weights = st.lists(st.fractions(Fraction(1, 1000), 1), min_size=1, max_size=8)


@given(st.integers(0, 10**9), weights)
def test_largest_remainder_is_exact_to_one_row(total, shares):
    rows = quotas.largest_remainder(total, shares)
    assert sum(rows) == total
    assert all(abs(n - total * w / sum(shares)) < 1 for n, w in zip(rows, shares, strict=True))


def test_equal_remainders_go_to_the_earlier():
    assert quotas.largest_remainder(2, [Fraction(1)] * 3) == [1, 1, 0]
    assert quotas.largest_remainder(0, [Fraction(0)]) == [0]


@given(st.integers(0, 10**6), weights, st.data())
def test_water_filling(total, shares, data):
    caps = [data.draw(st.none() | st.integers(0, 10**6)) for _ in shares]
    rows = quotas.water_fill(total, shares, caps)
    bounds = [total if cap is None else min(cap, total) for cap in caps]
    assert sum(rows) == min(total, sum(bounds))
    assert all(n <= bound for n, bound in zip(rows, bounds, strict=True))
    # the water stands equally high, to one row, in all that are below their cap, and no lower than in the capped
    free = [i for i in range(len(rows)) if rows[i] < bounds[i]]
    for i in free:
        assert all((rows[j] - 1) * shares[i] < (rows[i] + 1) * shares[j] for j in range(len(rows)))


def test_what_a_cap_cuts_off_goes_to_the_others():
    read = recipe({"a": {"share": 0.5}, "b": {"share": 0.25}, "c": {"share": 0.25, "cap": 100}}, rows=1000)
    planned = quotas.plan(read, {"a": 5000, "b": 5000, "c": 5000})
    assert [line.rows for line in planned.lines] == [600, 300, 100]


COMMON = {"a": 0.5, "b": 0.3, "c": 0.12, "d": 0.06, "e": 0.02}
POOLS = {"a": 1_600_000, "b": 900_000, "c": 250_000, "d": 40_000, "e": 10_000}


def test_the_common_mixer_case():
    sources = {label: {"share": share} for label, share in COMMON.items()}
    planned = quotas.plan(recipe(sources, rows=500_000), POOLS)
    assert [line.rows for line in planned.lines] == [250_000, 150_000, 60_000, 30_000, 10_000]
    assert planned.to_dict()["sources"][4] == {
        "label": "e", "pool": 10_000, "rows": 10_000, "share": 0.02, "epochs": 1.0,
    }  # fmt: skip
    with pytest.raises(InfeasibleError) as caught:
        quotas.plan(recipe(sources, rows=2_800_000), POOLS)
    assert str(caught.value) == (
        "$.sources.e: 56,000 rows wanted of a pool of 10,000 pairs; expected at most 10,000 (max_repeats 1)"
    )
    assert caught.value.hint == (
        "rows: 500000 is the largest feasible total, "
        "or max_repeats: 2 on c and max_repeats: 5 on d and max_repeats: 6 on e"
    )


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.lists(st.integers(0, 500), min_size=5, max_size=5))
def test_the_total_of_the_hint_is_feasible_and_the_largest(parts, sizes):
    shares = [round(part / sum(parts), 4) for part in parts]
    shares[0] = round(shares[0] + 1 - sum(shares), 4)
    sources = {f"s{i}": {"share": share} for i, share in enumerate(shares) if share > 0}
    pools = {label: sizes[i] for i, label in enumerate(sources)}
    exact = {label: Fraction(str(quota["share"])) for label, quota in sources.items()}
    assume(any(int(1000 * exact[label]) > size for label, size in pools.items()))
    with pytest.raises(InfeasibleError) as caught:
        quotas.plan(recipe(sources, rows=1000), pools)
    if min(pools.values()) == 0:
        assert caught.value.hint.startswith("leave ")
    else:
        largest = int(min(size / exact[label] for label, size in pools.items()))
        assert caught.value.hint.startswith(f"rows: {largest} is the largest feasible total, or max_repeats: ")
        assert quotas.plan(recipe(sources, rows=largest), pools).rows == largest


@pytest.mark.parametrize(
    ("sources", "fields", "pools", "message", "hint"),
    [
        (
            {"a": {"rows": 30}},
            {},
            {"a": 10},
            "$.sources.a: 30 rows wanted of a pool of 10 pairs; expected at most 10 (max_repeats 1)",
            "rows: 10, or max_repeats: 3 on a",
        ),
        (
            {"a": {"rows": 30}},
            {},
            {"a": 0},
            "$.sources.a: 30 rows wanted of a pool of 0 pairs; expected at most 0 (max_repeats 1)",
            "leave a out: no pair of it is left",
        ),
        (
            {"a": {"share": 0.5}, "b": {"share": 0.5}},
            {"rows": 100},
            {"a": 90, "b": 0},
            "$.sources.b: 50 rows wanted of a pool of 0 pairs; expected at most 0 (max_repeats 1)",
            "leave b out: no pair of it is left",
        ),
        (
            {"a": {"epochs": 1.5}},
            {},
            {"a": None},
            "$.sources.a: 1.5 epochs with max_repeats 1; expected at most 1 epochs",
            "set max_repeats: 2 on a",
        ),
        (
            {"a": {"share": 0.5, "cap": 10}, "b": {"share": 0.5, "cap": 20}},
            {"rows": 100},
            {},
            "$.sources: every share is at its cap, which gives 30 of 100 rows; "
            "expected at least one share without a cap",
            "rows: 30 is the largest feasible total",
        ),
    ],
)
def test_infeasible_recipes_name_what_binds(sources, fields, pools, message, hint):
    with pytest.raises(InfeasibleError) as caught:
        quotas.plan(recipe(sources, **fields), pools)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_unknown_pools_stay_unknown():
    read = recipe({"a": "all", "b": {"share": 0.5}}, rows=100)
    planned = quotas.plan(read, {"a": None, "b": 500})
    assert planned.to_dict() == {
        "rows": 100,
        "sources": [
            {"label": "a", "pool": None, "rows": None, "share": None, "epochs": None},
            {"label": "b", "pool": 500, "rows": None, "share": None, "epochs": None},
        ],
    }
    with pytest.raises(ConfigError, match=r"the shares sum to 0.5, the other quotas to 40 of 100 rows"):
        quotas.plan(read, {"a": 40, "b": 500})
    assert [line.rows for line in quotas.plan(read, {"a": 50, "b": 500}).lines] == [50, 50]


def test_rows_must_not_contradict_what_all_gives():
    with pytest.raises(ConfigError, match=r"^\$\.rows: found 100; expected 40, the sum of the quotas$"):
        quotas.plan(recipe({"a": "all"}, rows=100), {"a": 40})


def test_epochs_round_half_up_and_caps_bound_all():
    read = recipe({"a": {"epochs": 1.5, "max_repeats": 2}, "b": {"all": True, "cap": 5}})
    assert [line.rows for line in quotas.plan(read, {"a": 3, "b": 9}).lines] == [5, 5]


# --- selection


def test_a_selection_has_exact_columns_and_counts():
    chosen = select.select(recipe({"a": {"rows": 3}, "b": "all"}), {"a": pool(10, salt=1), "b": pool(4, salt=2)})
    assert dict(chosen.mix.schema) == select.SELECTION
    assert chosen.mix["rank"].to_list() == list(range(7))
    assert chosen.counts == (
        select.Count(label="a", kept=10, held_out=0, selected=3, distinct=3, unused=7),
        select.Count(label="b", kept=4, held_out=0, selected=4, distinct=4, unused=0),
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 59), st.integers(0, 2**63 - 1))
def test_a_larger_quota_contains_the_smaller_in_the_same_order(size, more, seed):
    frame, small = pool(20), max(size - more, 1)
    big = places(select.select(recipe({"a": {"rows": size}}, max_repeats=3, seed=seed), {"a": frame}))
    few = places(select.select(recipe({"a": {"rows": small}}, max_repeats=3, seed=seed), {"a": frame}))
    assert len(big) == size
    assert few == [row for row in big if row in set(few)]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(33)), st.integers(1, 60), st.none() | st.integers(1, 3))
def test_the_order_of_rows_changes_nothing(order, size, per_group):
    frame = pool(30, per_group=4, copies=(3, 3, 8))
    quota = {"rows": size, **({"per_group": per_group} if per_group else {})}
    read = recipe({"a": quota}, max_repeats=10, holdout={"rows_per_source": 6})
    # file order decides which copy is called the first, not what stands in the mix
    shuffled = frame[list(order)].with_columns(
        pl.int_range(pl.len(), dtype=pl.UInt32).over("id_hi", "id_lo").alias("copy")
    )
    first, second = select.select(read, {"a": frame}), select.select(read, {"a": shuffled})
    assert first.mix.equals(second.mix)
    assert first.holdout.equals(second.holdout)


def test_removing_a_source_leaves_the_others_as_they_were():
    pools = {"a": pool(50, salt=1), "b": pool(50, salt=2), "c": pool(50, salt=3)}
    sources = {label: {"rows": 30} for label in pools}
    fields = {"holdout": {"rows_per_source": 5}, "seed": 3}
    whole = select.select(recipe(sources, **fields), pools)
    less = select.select(recipe({"a": sources["a"], "c": sources["c"]}, **fields), pools)
    expected = [row for row in places(whole) if row[0] != 1]
    assert [(e and 2, p and 2, n, r) for e, p, n, r in places(less)] == expected
    assert less.holdout["position"].to_list() == whole.holdout.filter(pl.col("pool") != 1)["position"].to_list()


def test_repeats_are_numbered_and_whole_epochs_come_first():
    chosen = select.select(recipe({"a": {"rows": 25, "max_repeats": 3}}), {"a": pool(10)})
    counts = chosen.mix.group_by("repeat").len().sort("repeat").rows()
    assert counts == [(0, 10), (1, 10), (2, 5)]
    assert chosen.counts[0].distinct == 10
    assert (
        chosen.mix.filter(pl.col("repeat") == 0)["position"].to_list()
        != chosen.mix.filter(pl.col("repeat") == 1)["position"].to_list()
    )


def test_a_part_of_an_epoch_is_the_beginning_of_the_whole_one():
    def second(rows):
        chosen = select.select(recipe({"a": {"rows": rows, "max_repeats": 2}}), {"a": pool(40)}).mix
        return chosen.filter(pl.col("repeat") == 1)["position"].to_list()

    assert second(50) == second(80)[:10]


def test_copies_are_further_pairs_with_an_order_of_their_own():
    frame = pool(40, copies=range(40))
    chosen = select.select(recipe({"a": "all"}), {"a": frame})
    assert chosen.counts[0] == select.Count(label="a", kept=80, held_out=0, selected=80, distinct=80, unused=0)
    ids = chosen.mix["position"].to_numpy() % 40
    assert (ids[1:] == ids[:-1]).sum() < 10  # side by side they would be 40


def test_a_pair_that_two_entries_take_is_numbered():
    read = recipe({"a": {"rows": 6}, "both": {"of": ["a", "b"], "all": True, "max_repeats": 2}})
    chosen = select.select(read, {"a": pool(6, salt=1), "b": pool(3, salt=2)})
    assert sorted(places(chosen, 0)) == [(0, 0, i, 0) for i in range(6)]
    assert sorted(places(chosen, 1)) == [(1, 0, i, 1) for i in range(6)] + [(1, 1, i, 0) for i in range(3)]


def test_per_group_keeps_the_pairs_with_the_largest_keys():
    frame = pool(12, per_group=4)
    chosen = select.select(recipe({"a": {"all": True, "per_group": 2}}), {"a": frame})
    everything = places(select.select(recipe({"a": "all"}), {"a": frame}))
    expected = [row for g in range(3) for row in [row for row in everything if row[2] // 4 == g][:2]]
    assert sorted(places(chosen)) == sorted(expected)
    assert chosen.counts[0].unused == 6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 100))
def test_a_holdout_takes_whole_groups_and_stays_apart(rows, per_group, seed):
    frame = pool(30, per_group=per_group)
    read = recipe({"a": "all"}, holdout={"rows_per_source": rows}, seed=seed)
    chosen = select.select(read, {"a": frame})
    held, mixed = ({p // per_group for p in x["position"]} for x in (chosen.holdout, chosen.mix))
    assert not held & mixed
    assert len(chosen.holdout) + len(chosen.mix) == 30
    assert len(chosen.holdout) <= rows
    if 30 % per_group == 0:
        assert len(chosen.holdout) == min(rows, 30) // per_group * per_group


def test_small_groups_fill_up_a_holdout_that_a_large_one_would_exceed():
    big = pool(6, salt=1, per_group=6)
    frame = pl.concat([big, pool(4, salt=2)])
    chosen = select.select(recipe({"a": "all"}, holdout={"rows_per_source": 5}), {"a": frame})
    assert len(chosen.holdout) == 4


def test_a_share_is_held_out_of_every_source():
    pools = {"a": pool(200, salt=1), "b": pool(50, salt=2)}
    chosen = select.select(recipe({"a": "all", "b": "all"}, holdout={"share": 0.1}), pools)
    assert chosen.holdout["pool"].value_counts().sort("pool").rows() == [(0, 20), (1, 5)]
    assert [count.held_out for count in chosen.counts] == [20, 5]


def test_a_held_out_group_is_held_out_of_every_pairing_of_its_source():
    sources = {"u": "all", "hard": {"source": "u", "all": True, "options": {"pairing": "hard"}}}
    chosen = select.select(
        recipe(sources, holdout={"rows_per_source": 4}),
        {"u": pool(20, per_group=2), "hard": pool(10, per_group=2)},
    )
    held = set(chosen.holdout["position"] // 2)
    assert held
    assert not held & set(chosen.mix["position"] // 2)
    assert len(chosen.holdout) <= 4


def test_the_plan_of_a_selection_counts_what_is_left_to_mix():
    read = recipe({"a": {"all": True, "per_group": 1}}, holdout={"rows_per_source": 4})
    planned = select.select(read, {"a": pool(20, per_group=2)}).plan
    assert planned.to_dict() == {
        "rows": 8,
        "sources": [{"label": "a", "pool": 8, "rows": 8, "share": 1.0, "epochs": 1.0}],
    }

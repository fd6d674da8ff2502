"""A prompt is held out or in the mix, never both, whatever groups and sources are; no source gives too much."""

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import order
from curate.build import build, plan
from curate.engines.local import Local
from curate.errors import InfeasibleError
from curate.inputs import Inputs
from curate.mixing import select
from curate.mixing.holdout import HOLDOUT_ORDER, clusters, fitting, without_holdout
from curate.recipe import from_table
from curate.workspace import Workspace
from tests.mixing.test_select import pool, recipe
from tests.support.samples import SAMPLES, Silent

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=1, max_size=25)


def frame_of(rows, salt):
    """Key columns of pairs with these (group, prompt)s; groups are the source's own, prompts everybody's."""
    groups = np.array([group for group, _ in rows], np.uint64)
    prompts = np.array([prompt for _, prompt in rows], np.uint64)
    return pool(len(rows), salt=salt).with_columns(
        group=order.order_key(groups, groups, salt, 3), prompt_key=order.order_key(prompts, prompts, 0, 4)
    )


def prompts_of(frames, rows):
    return {
        frames[chr(97 + number)]["prompt_key"][position]
        for number, position in rows.select("pool", "position").iter_rows()
    }


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 99))
def test_no_held_out_prompt_is_in_the_mix(sources, rows_per_source, seed):
    frames = {chr(97 + i): frame_of(rows, i) for i, rows in enumerate(sources)}
    read = recipe(dict.fromkeys(frames, "all"), holdout={"rows_per_source": rows_per_source}, seed=seed)
    chosen = select.select(read, frames)
    assert not prompts_of(frames, chosen.holdout) & prompts_of(frames, chosen.mix)
    counts = Counter(chosen.holdout["pool"].to_list())
    assert all(count <= rows_per_source for count in counts.values())
    assert len(chosen.holdout) + len(chosen.mix) == sum(map(len, sources))
    backwards = select.select(read, {label: frame.reverse() for label, frame in frames.items()})
    assert backwards.holdout.equals(chosen.holdout)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.integers(1, 9), st.integers(0, 99))
def test_without_shared_prompts_each_source_is_as_if_alone(sources, allowed, seed):
    """Groups in keyed order, each that still fits: as it was before prompts counted."""
    frames = {
        chr(97 + i): frame_of(rows, i).with_columns(prompt_key=pl.col("group")) for i, rows in enumerate(sources)
    }
    read = recipe(dict.fromkeys(frames, "all"), holdout={"rows_per_source": allowed}, seed=seed)
    held = select.select(read, frames).holdout
    for number, frame in enumerate(frames.values()):
        names, sizes = np.unique(frame["group"].to_numpy(), return_counts=True)
        ranked = order.descending(order.order_key(names, names, seed, HOLDOUT_ORDER), lambda names=names: (names,))
        left, groups = allowed, set()
        for i in ranked.tolist():
            if sizes[i] <= left:
                left -= int(sizes[i])
                groups.add(int(names[i]))
        expected = frame.filter(pl.col("group").is_in(list(groups)))["position"]
        assert sorted(held.filter(pl.col("pool") == number)["position"]) == sorted(expected)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_clusters_are_the_components_of_groups_and_prompts(rows):
    smallest = {group: group for group, _ in rows}
    for _ in rows:
        by_prompt = defaultdict(lambda: 99)
        for group, prompt in rows:
            by_prompt[prompt] = min(by_prompt[prompt], smallest[group])
        for group, prompt in rows:
            smallest[group] = min(smallest[group], by_prompt[prompt])
    group, prompt = np.array(rows, np.uint64).T
    assert clusters(group, prompt).tolist() == [smallest[group] for group, _ in rows]


def test_a_chain_of_groups_is_one_cluster():
    links = np.arange(5000, dtype=np.uint64)
    group, prompt = np.concatenate([links, links]), np.concatenate([links, links + 1])
    assert set(clusters(group, prompt).tolist()) == {0}


@given(
    st.lists(st.tuples(*[st.integers(0, 4)] * 3).filter(any), min_size=1, max_size=12),
    st.lists(st.integers(0, 9), min_size=3, max_size=3),
)
def test_a_cluster_fits_where_it_fits_in_every_source(sizes, allowed):
    left, expected = list(allowed), []
    for cluster in sizes:
        expected.append(all(size <= rest for size, rest in zip(cluster, left, strict=True)))
        if expected[-1]:
            left = [rest - size for rest, size in zip(left, cluster, strict=True)]
    lines = [(rank, source, sizes[rank][source]) for source in range(3) for rank in range(len(sizes))]
    rank, source, rows = np.array([line for line in lines if line[2]], np.int64).T
    found = fitting(rank, source, rows, np.array(allowed, np.int64)).tolist()
    assert found == expected


def test_one_prompt_in_two_sources_is_held_out_of_both_or_of_none():
    one = frame_of([(0, 0), (1, 1)], 0)
    same = frame_of([(0, 0), (1, 0), (2, 2)], 1)
    for seed in range(20):
        read = recipe({"a": "all", "b": "all"}, holdout={"rows_per_source": 1}, seed=seed)
        chosen = select.select(read, {"a": one, "b": same})
        # the prompt of the first pair has two rows in b, one more than may be held out there
        assert chosen.holdout.select("pool", "position").sort("pool").rows() == [(0, 1), (1, 2)]


SPELT = ["17", "17.0", '"17"', '"17.0"', "NaN", "null"]
OWN = """adapter: preference
files: ["*.jsonl"]
columns: {group: id}
"""


@pytest.mark.parametrize("seed", range(4))
def test_no_held_out_prompt_is_in_the_mix_however_its_group_is_spelt(seed, tmp_path):
    rows = [
        f'{{"id": {spelt}, "prompt": "question {i % 4 if spelt in SPELT[4:] else 9}", '
        f'"chosen": "a{i}", "rejected": "b"}}'
        for i in range(12) for spelt in SPELT
    ]  # fmt: skip
    for name, some in {"one": rows[::2], "other": rows[1::2]}.items():
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "a.jsonl").write_text("\n".join(some) + "\n")
        (tmp_path / "manifests").mkdir(exist_ok=True)
        (tmp_path / "manifests" / f"{name}.yaml").write_text(OWN)
    table = {"name": "spelt", "sources": {"one": "all", "other": "all"}, "holdout": {"share": 0.2}, "seed": seed}
    inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=tmp_path / "raw", manifests=tmp_path / "manifests")
    built = build(from_table(table, tmp_path / "spelt.yaml"), inputs, Local(1), Silent())
    mixed, held = (
        {
            row["prompt"][0]["content"]
            for path in built.directory.glob(f"{kind}-*.parquet")
            for row in pq.read_table(path, columns=["prompt"]).to_pylist()
        }
        for kind in ("shard", "holdout")
    )
    assert held
    assert not held & mixed
    assert held | mixed == {f"question {n}" for n in (0, 1, 2, 3, 9)}


def test_plan_and_mix_agree_about_a_holdout():
    read = recipe({"a": "all", "b": {"rows": 5}}, holdout={"rows_per_source": 4})
    assert without_holdout(read, {"a": 10, "b": None}) == {"a": 6, "b": None}
    assert [line.rows for line in plan(read, {"a": 10, "b": 9}).lines] == [6, 5]
    with pytest.raises(InfeasibleError, match="5 rows wanted of a pool of 4 pairs"):
        plan(read, {"a": 10, "b": 8})
    shared = recipe({"a": "all", "a2": {"source": "a", "all": True, "options": {"b": 1}}}, holdout={"share": 0.5})
    assert without_holdout(shared, {"a": 10, "a2": 20}) == {"a": 5, "a2": 10}
    assert without_holdout(recipe({"a": "all"}), {"a": 10}) == {"a": 10}


def test_a_holdout_that_leaves_nothing_is_refused():
    read = recipe({"a": "all"}, holdout={"rows_per_source": 30})
    message = r"\$\.holdout: takes all 10 pairs; expected a mix with pairs in it"
    with pytest.raises(InfeasibleError, match=message) as planned:
        plan(read, {"a": 10})
    assert planned.value.hint == "hold out less, such as holdout: {share: 0.05}"


def test_a_mix_whose_holdout_takes_all_that_the_steps_kept_is_refused(tmp_path):
    read = recipe({"hh_rlhf": "all"}, holdout={"rows_per_source": 100}, steps=["exact_duplicates"])
    inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=SAMPLES)
    with pytest.raises(InfeasibleError, match=r"\$\.holdout: takes all 39 pairs"):
        build(read, inputs, Local(1), Silent())
    assert not list((tmp_path / "data").glob("mixes/*/*/lock.json"))

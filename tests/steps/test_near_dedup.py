"""Near-duplicates among small artefacts: who loses to whom, against comparing all with all."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.engines.local import Local
from curate.errors import ConfigError
from curate.near_duplicates import search
from curate.near_duplicates.banding import curve_table
from curate.order import order_key
from curate.pairs.keys import load_keys
from curate.pairs.pool import PairsPool
from curate.screening.screen import screen
from curate.screening.screened import Screened
from curate.steps import bandings, build, build_all
from curate.steps.near_dedup import NearDedup
from tests.support.collisions import colliding_images
from tests.support.pairs import write_pairs

Rows = Sequence[Mapping[str, Any]]
BASE = " ".join(f"w{i}" for i in range(30))  # 26 shingles of five words


def pool_of(directory: Path, rows: Rows, priority: int = 0, part_rows: int = 1000) -> PairsPool:
    label = directory.name
    numbered = [{"source": label, "row": f"{label}:{i}", **row} for i, row in enumerate(rows)]
    parts = write_pairs(directory, numbered, part_rows=part_rows)
    return PairsPool(label=label, source=label, directory=directory, priority=priority, parts=parts)


def run(pools: Sequence[PairsPool], workers: int = 1, **settings_: Any) -> Screened:
    with Local(workers) as engine:
        return screen(
            pools, [("near_dedup", build("near_dedup", {"on": ["chosen"], **settings_}, "$"))], 0, engine
        )


def lost(screened: Screened) -> dict[str, str]:
    """The row of each loser -> the row of its winner."""
    ids = {}
    for one in screened.pools:
        for part in one.pool.parts:
            rows = pl.read_parquet(one.pool.directory / part, columns=["pair_id", "row"])
            ids |= dict(zip(rows["pair_id"], rows["row"], strict=True))
    return {
        row: ids[winner] for one in screened.pools for row, winner in one.decisions.select("row", "winner").rows()
    }


def changed(*places: int, text: str = BASE) -> str:
    """The text with other words at these places."""
    words = text.split()
    for place in places:
        words[place] = f"new{place}"
    return " ".join(words)


# ---------------------------------------------------------------------------------------------- one by one


def test_a_near_duplicate_loses_to_the_better_pool_and_says_how_near_it_was(tmp_path: Path):
    first = pool_of(tmp_path / "first", [{"chosen": BASE}])
    second = pool_of(tmp_path / "second", [{"chosen": "x"}, {"chosen": changed(0)}], priority=1)
    screened = run([second, first], on=["prompt", "chosen"])
    assert lost(screened) == {"second:1": "first:0"}
    decision = screened.pools[0].decisions.row(0, named=True)
    assert (decision["step"], decision["reason"]) == ("near_dedup", "near_duplicate")
    assert decision["score"] == 25 / 27
    assert decision["evidence"] == "jaccard prompt 1.000, chosen 0.926"
    assert screened.pools[0].funnel.dropped == {"near_dedup/near_duplicate": 1}


def test_the_threshold_is_met_exactly(tmp_path: Path):
    rows = [{"chosen": BASE}, {"chosen": BASE + " a b c"}]  # 26 of 29 shingles
    for name, jaccard, losers in (("at", 26 / 29, 1), ("above", 26 / 29 + 1e-9, 0)):
        assert len(lost(run([pool_of(tmp_path / name, rows)], jaccard=jaccard, recall=0.9999))) == losers


def test_one_text_in_other_code_points_is_the_same_text(tmp_path: Path):
    text = "Die schöne Müllerin zählt für Große und Kleine 100 Bücher auf"
    wide = text.translate({point: chr(point + 0xFEE0) for point in range(0x21, 0x7F)})
    forms = [wide, normalize("NFD", text), "\u00ad".join(text), text.replace("e", "\u0435")]
    forms += ["Déjà vu?", "De\u0301ja\u0300 vu？"]
    screened = run([pool_of(tmp_path / "p", [{"chosen": form} for form in (text, *forms)])])
    assert screened.pools[0].funnel.dropped == {"near_dedup/near_duplicate": 5}
    assert set(screened.pools[0].decisions["score"]) == {1.0}


def test_every_side_must_be_near(tmp_path: Path):
    rows = [
        {"prompt": BASE, "chosen": "Yes, of course.", "rejected": "No."},
        {"prompt": BASE, "chosen": "yes, of  course.", "rejected": "no."},
        {"prompt": BASE, "chosen": "Yes, of course.", "rejected": "Never."},
        {"prompt": BASE, "chosen": "No.", "rejected": "Yes, of course."},
    ]
    pools = [pool_of(tmp_path / f"s{i}", [row], i) for i, row in enumerate(rows)]
    assert lost(run(pools, on=["prompt", "chosen", "rejected"])) == {"s1:0": "s0:0"}
    assert lost(run(pools, on=["prompt", "chosen"])) == {"s1:0": "s0:0", "s2:0": "s0:0"}
    assert lost(run(pools, on=["prompt"])) == {"s1:0": "s0:0", "s2:0": "s0:0", "s3:0": "s0:0"}


def test_pairs_with_other_media_are_others(tmp_path: Path):
    media = [["cat"], ["dog"], ["cat"], [], ["cat", "dog"]]
    texts = [BASE, changed(0), changed(29), changed(0, 29), changed(15)]
    rows = [{"chosen": text, "media": keys} for text, keys in zip(texts, media, strict=True)]
    pools = [pool_of(tmp_path / f"s{i}", [row], i) for i, row in enumerate(rows)]
    assert lost(run(pools, jaccard=0.6)) == {"s2:0": "s0:0"}
    assert lost(run(pools, jaccard=0.6, media="ignore")) == {f"s{i}:0": "s0:0" for i in (1, 2, 3, 4)}


def test_a_loser_drops_no_pair(tmp_path: Path):
    """Each is near to the next alone: the third stays, since the second, which it is near to, is gone."""
    texts = [BASE, changed(0, 1, 2), changed(0, 1, 2, 27, 28, 29)]
    pools = [pool_of(tmp_path / f"s{i}", [{"chosen": text}], i) for i, text in enumerate(texts)]
    assert lost(run(pools, jaccard=0.75)) == {"s1:0": "s0:0"}
    assert lost(run(pools, jaccard=0.6)) == {"s1:0": "s0:0", "s2:0": "s0:0"}


def test_the_best_of_the_kept_is_the_winner(tmp_path: Path):
    texts = [changed(0, 1, 2), changed(27, 28, 29), BASE, BASE.upper()]
    pools = [pool_of(tmp_path / f"s{i}", [{"chosen": text}], i) for i, text in enumerate(texts)]
    screened = run(pools, jaccard=0.75)
    assert lost(screened) == {"s2:0": "s0:0", "s3:0": "s0:0"}
    assert [one.decisions["score"].to_list() for one in screened.pools] == [[], [], [23 / 29], [23 / 29]]


def test_an_artefact_without_pairs(tmp_path: Path):
    empty = PairsPool(label="none", source="none", directory=tmp_path / "none", priority=0, parts=())
    assert run([empty, pool_of(tmp_path / "bare", [])]).pools[1].decisions.height == 0


# ---------------------------------------------------------------------------------------------- new against old


def test_pairs_of_pools_that_are_compared_against_are_all_kept(tmp_path: Path):
    new = pool_of(tmp_path / "new", [{"chosen": BASE}, {"chosen": "n e w one here"}, {"chosen": "N e w one here"}])
    old = pool_of(tmp_path / "old", [{"chosen": changed(0)}, {"chosen": changed(0, 1), "margin": 2.0}], priority=1)
    first = lost(run([new, old]))  # the new source comes first: both old ones lose, and one of its own
    assert (first.pop("old:0"), first.pop("old:1"), len(first)) == ("new:0", "new:0", 1)
    against = run([new, old], against=["old"])
    assert against.pools[1].kept.all()
    found = lost(against)
    assert found.pop("new:0").startswith("old:")
    assert len(found) == 1
    assert set(found) < {"new:1", "new:2"}


def test_an_unknown_label_is_named(tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        run([pool_of(tmp_path / "hh_rlhf", [{}])], against=["hh-rlhf"])
    assert str(error.value) == (
        "near_dedup.against: no source is labelled 'hh-rlhf'; expected a source of the recipe"
    )
    assert error.value.hint == "did you mean hh_rlhf?"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"jaccard": 1.5}, "$: jaccard is 1.5; it must be above 0 and at most 1"),
        ({"recall": 1}, "$: recall is 1.0; it must be between 0 and 1; only comparing all pairs gives 1"),
        ({"on": []}, "$: on is []; name prompt, chosen or rejected, each once"),
        ({"shingle": 0}, "$: shingle is 0; it must be at least 1"),
        ({"jaccard": 0.01}, "$: recall 0.95 at jaccard 0.01 is more than 128 min-hashes can give"),
    ],
)
def test_what_cannot_be_is_refused(value: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as error:
        build("near_dedup", value, "$")
    assert str(error.value) == message


# ---------------------------------------------------------------------------------------------- caches


def stamps(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()
    }


def test_another_threshold_needs_no_new_sketches_and_leaves_no_other_files(tmp_path: Path):
    rows = [{"chosen": BASE}, {"chosen": changed(0)}, {"chosen": changed(0, 10)}]
    pool = pool_of(tmp_path / "one", rows, part_rows=2)
    assert len(lost(run([pool], jaccard=0.9))) >= 1
    before = stamps(pool.directory)
    assert sorted(Path(name).name for name in before) == [
        "part-00000.npy", "part-00000.npy.xxh3", "part-00000.parquet", "part-00001.npy", "part-00001.npy.xxh3",
        "part-00001.parquet",
    ]  # fmt: skip
    assert len(lost(run([pool], jaccard=0.5, recall=0.99))) == 2
    assert lost(run([pool], jaccard=0.99)) == {}
    assert len(lost(run([pool], jaccard=0.5, media="ignore"))) == 2
    assert stamps(pool.directory) == before
    run([pool], shingle=3)
    assert len(stamps(pool.directory)) == len(before) + 4


# ---------------------------------------------------------------------------------------------- all with all

PLACES = st.lists(st.integers(0, 11), max_size=3)
DRAFTS = st.lists(
    st.tuples(st.integers(0, 1), PLACES, st.integers(0, 1), st.sampled_from([[], ["cat"]])),
    min_size=1,
    max_size=14,
)


def drafted(drafts: Sequence[Any]) -> list[dict[str, Any]]:
    """Variants of two texts of twelve words, with short rejected replies."""
    texts = [" ".join(f"{name}{i}" for i in range(12)) for name in "ab"]
    return [
        {"chosen": changed(*places, text=texts[which]), "rejected": ["No.", "no. "][short], "media": media,
         "category": str(number), "row": f"r{number}"}
        for number, (which, places, short, media) in enumerate(drafts)
    ]  # fmt: skip


def shingles(row: Mapping[str, Any]) -> set[tuple[str, ...]]:
    words = row["chosen"].split()
    return {tuple(words[i : i + 2]) for i in range(len(words) - 1)}


def near(one: Mapping[str, Any], other: Mapping[str, Any], jaccard: float) -> bool:
    left, right = shingles(one), shingles(other)
    return one["media"] == other["media"] and Fraction(len(left & right), len(left | right)) >= jaccard


def by_comparing_all(pools: Sequence[PairsPool], rows: Sequence[Rows], jaccard: float) -> dict[str, str]:
    """Each loser -> its winner, from the definition."""
    ranked = []
    for pool, some in zip(pools, rows, strict=True):
        found = load_keys(pool.directory, pool.parts)
        order = order_key(found["id_hi"].to_numpy(), found["id_lo"].to_numpy(), 0)
        ranked += [(pool.priority, -int(key), row) for key, row in zip(order, some, strict=True)]
    kept: list[Mapping[str, Any]] = []
    losers = {}
    for _, _, row in sorted(ranked, key=lambda item: item[:2]):
        winner = next((other for other in kept if near(row, other, jaccard)), None)
        if winner is None:
            kept.append(row)
        else:
            losers[row["row"]] = winner["row"]
    return losers


@given(drafts=DRAFTS, cut=st.integers(0, 14), part_rows=st.integers(1, 5))
@settings(max_examples=40, derandomize=True)
def test_decisions_are_those_of_comparing_all_with_all(
    tmp_path_factory: pytest.TempPathFactory, drafts: list[Any], cut: int, part_rows: int
):
    home, rows = tmp_path_factory.mktemp("near"), drafted(drafts)
    split = [rows[:cut], rows[cut:]]
    pools = [pool_of(home / f"s{i}", some, 1 - i, part_rows) for i, some in enumerate(split)]
    found = lost(run(pools, jaccard=0.55, recall=0.9999, shingle=2, on=["chosen", "rejected"]))
    assert found == by_comparing_all(pools, split, 0.55)


@given(drafts=DRAFTS, shuffled=st.randoms(use_true_random=False))
@settings(max_examples=15, derandomize=True)
def test_the_order_of_rows_and_parts_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, drafts: list[Any], shuffled: Any
):
    home, rows = tmp_path_factory.mktemp("near"), drafted(drafts)
    other = list(rows)
    shuffled.shuffle(other)
    one = run([pool_of(home / "a" / "s", rows)], jaccard=0.55, shingle=2)
    two = run([pool_of(home / "b" / "s", other, part_rows=3)], jaccard=0.55, shingle=2)
    assert lost(one) == lost(two)
    judged = ["pair_id", "winner", "score", "evidence"]
    left, right = (some.pools[0].decisions.select(judged).sort("pair_id") for some in (one, two))
    assert left.equals(right)


# ---------------------------------------------------------------------------------------------- many


def varied(rng: Any, count: int, words: int, fresh: int) -> list[str]:
    """Texts that share all words but the last `fresh`."""
    common = " ".join(f"c{i}" for i in range(words - fresh))
    return [f"{common} {' '.join(map(str, rng.integers(0, 1 << 40, fresh)))}" for _ in range(count)]


def test_workers_change_nothing_and_most_of_what_is_planted_is_found(tmp_path: Path):
    """300 near-duplicates at Jaccard .8 exactly, of 600 texts that have nothing else in common."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(300):
        text = " ".join(map(str, rng.integers(0, 1 << 40, 49)))  # 45 shingles, 40 of them shared
        rows += [
            {"chosen": text, "row": f"{number}a"},
            {"chosen": changed(*range(5), text=text), "row": f"{number}b"},
        ]
    one = run([pool_of(tmp_path / "a" / "s", rows, part_rows=150)])
    two = run([pool_of(tmp_path / "b" / "s", rows, part_rows=150)], workers=2)
    assert one.pools[0].decisions.equals(two.pools[0].decisions)
    found = lost(one)
    assert all(row[:-1] == winner[:-1] for row, winner in found.items())
    assert len(found) >= 0.94 * 300


@pytest.mark.parametrize(("wide", "key_bytes"), [(0, 1 << 30), (1 << 40, 1), (0, 1)])
def test_wide_keys_and_few_bands_at_a_time_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: int, key_bytes: int
):
    texts = [BASE, changed(0), changed(5), changed(3, 9, 15, 21), "short", "Short", changed(0, 24)]
    pools = [
        pool_of(tmp_path / name, [{"chosen": text} for text in texts[at:]], at, 3)
        for at, name in enumerate(("a", "b"))
    ]
    expected = lost(run(pools))
    assert len(expected) > 6
    monkeypatch.setattr(search, "WIDE", wide)
    monkeypatch.setattr(search, "KEY_BYTES", key_bytes)
    assert lost(run(pools)) == expected


def test_near_duplicates_are_found_inside_a_hot_bucket(tmp_path: Path):
    """1,500 texts of one template (Jaccard .65) fill every bucket; 100 of them have a near-duplicate."""
    rng = np.random.default_rng(4)
    texts = varied(rng, 1500, 79, 15)
    rows = [{"chosen": text, "row": f"{number}a"} for number, text in enumerate(texts)]
    rows += [
        {"chosen": f"{changed(0, text=text)}", "row": f"{number}b"} for number, text in enumerate(texts[:100])
    ]
    found = lost(run([pool_of(tmp_path / "one", rows)]))
    assert all(row[:-1] == winner[:-1] for row, winner in found.items())
    assert len(found) >= 99  # Jaccard .987


def test_a_cluster_of_near_duplicates_leaves_one(tmp_path: Path):
    texts = varied(np.random.default_rng(5), 2000, 79, 1)
    screened = run([pool_of(tmp_path / "one", [{"chosen": text} for text in texts])])
    assert screened.pools[0].funnel.kept == 1
    assert len(set(lost(screened).values())) == 1


# ---------------------------------------------------------------------------------------------- what is said


def test_the_plan_of_a_recipe_shows_what_will_be_found():
    listed = build_all([("exact_duplicates", None), ("near_dedup", {"jaccard": 0.8})], "$")
    (found,) = bandings(listed).items()
    table = curve_table(*found)
    assert table.title == "near_dedup: what 13 bands of 7 min-hashes find"
    assert [(row[0], round(row[1], 3)) for row in table.rows][3:6] == [(0.75, 0.845), (0.8, 0.953), (0.85, 0.993)]
    assert found[1].to_dict()["curve"][3] == {
        "jaccard": 0.75,
        "compared": pytest.approx(0.845, abs=5e-4),
        "missed": None,
    }


def test_media_are_compared_beyond_the_bits_of_a_bucket(tmp_path: Path):
    images = colliding_images(tmp_path / "probe", NearDedup(on=("chosen",)), BASE)
    two = pool_of(tmp_path / "two", [{"chosen": BASE, "media": [image]} for image in images])
    assert lost(run([two])) == {}
    assert len(lost(run([two], media="ignore"))) == 1

"""Shingles by hand, min-hashes against true similarities, bandings against their formula."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.near_duplicates import minhash_kernels, shingle_sets
from curate.near_duplicates.banding import choose
from curate.near_duplicates.bucket_kernels import band_keys, equal_slots, with_equal_slots
from curate.near_duplicates.buckets import among, buckets, by_member
from curate.near_duplicates.minhash import MinHash
from curate.near_duplicates.sketch_format import ROW, SLOTS, read
from curate.schema import Media
from curate.text import shingle_kernels, shingles
from curate.text.buffers import batches
from tests.support.pairs import turn, write_pairs

SIDES = ("prompt", "chosen", "rejected")


def sets_of(home: Path, rows: Sequence[Mapping[str, Any]], shingle: int = 2, on: Any = ("chosen",)) -> list[Any]:
    """The set of shingles of each row."""
    (part,) = write_pairs(home, rows)
    (batch,) = batches(home / part, on)
    found, sizes = shingles.sets(batch.texts, len(on), shingle, np.arange(len(rows)))
    return np.split(found, np.cumsum(sizes)[:-1])


def shares(
    home: Path, left: Mapping[str, Any], right: Mapping[str, Any], shingle: int = 2, on: Any = SIDES
) -> list:
    """The similarity of each side of two pairs."""
    one, other = sets_of(home, [left, right], shingle, on)
    sides = np.zeros(len(on))
    assert shingle_kernels.jaccard(one, other, sides) == sides.min()
    return sides.tolist()


def chosen(home: Path, left: str, right: str, shingle: int = 2) -> float:
    return shares(home, {"chosen": left}, {"chosen": right}, shingle, ("chosen",))[0]


# -------------------------------------------------------------------------------------------------- shingles


def test_a_set_has_each_run_of_words_once_and_is_ascending(tmp_path: Path):
    one, two, three = sets_of(tmp_path, [{"chosen": text} for text in ("a b c", "a b a b a b", "b c a b")])
    assert [len(one), len(two), len(three)] == [2, 2, 3]
    assert len(np.intersect1d(one, two)) == 1
    assert len(np.intersect1d(one, three)) == 2
    for some in (one, two, three):
        assert (np.diff(some) > 0).all()


def test_the_similarity_is_that_of_the_sets(tmp_path: Path):
    assert chosen(tmp_path / "1", "a b c d e f", "a b c d e g", 5) == 1 / 3
    assert chosen(tmp_path / "2", "a b c d e f", "z a b c d e f", 2) == 5 / 6
    assert chosen(tmp_path / "3", "a b c", "d e f") == 0


def test_case_punctuation_and_white_space_between_words_do_not_matter(tmp_path: Path):
    assert chosen(tmp_path / "1", "Été: l’œuf  DORT, là!", "été l'œuf dort\nlà") == 1
    assert chosen(tmp_path / "2", "Пёс спит дома", "пёс СПИТ дома.") == 1
    assert (
        chosen(tmp_path / "3", "今日は晴れ", "今日は雨だ") == 2 / 6
    )  # every sign is a word: 今日, 日は of six runs


def test_short_texts_are_equal_or_not(tmp_path: Path):
    assert chosen(tmp_path / "1", "Yes.", " yes . ", 5) == 1
    assert chosen(tmp_path / "2", "x = 5", "x = -5", 5) == 0
    assert chosen(tmp_path / "3", "a b c d", "a b c e", 5) == 0
    assert chosen(tmp_path / "4", "", "", 5) == 1
    assert chosen(tmp_path / "5", "", "?", 5) == 0
    assert chosen(tmp_path / "6", "👍", "👎", 5) == 0


def test_each_side_has_its_own_shingles(tmp_path: Path):
    left = {"prompt": "p q r", "chosen": "a b c", "rejected": "a b d"}
    right = {"prompt": "p q r", "chosen": "a b d", "rejected": "a b c"}
    assert shares(tmp_path / "1", left, left) == [1, 1, 1]
    assert shares(tmp_path / "2", left, right) == [1, 1 / 3, 1 / 3]
    both = sets_of(tmp_path / "3", [left], on=SIDES)[0]
    assert (both >> np.uint64(62)).tolist() == [0, 0, 1, 1, 2, 2]


def test_words_run_on_through_turns_and_blocks(tmp_path: Path):
    apart = [turn("user", "<image>", "a b", "c"), turn("assistant", "d e")]
    assert chosen(tmp_path, apart, "a b c d e") == 1  # type: ignore[arg-type]
    assert chosen(tmp_path / "1", [turn("user", "a", "b")], "ab") == 0  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------- min-hashes


def test_a_sketch_has_a_row_for_every_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("curate.text.buffers.BATCH_ROWS", 2)
    text = " ".join(f"w{i}" for i in range(40))
    rows = [
        {"chosen": text, "media": ["k1"]},
        {"chosen": text.upper(), "media": ["k1"]},
        {"chosen": text, "media": ["k1", "k2"]},
        {"chosen": text, "media": [Media("video", ("k1",))]},
        {"chosen": text + " more", "rejected": "other"},
    ]
    (part,) = write_pairs(tmp_path, rows)
    MinHash(on=("chosen",), shingle=5).make(tmp_path / part, tmp_path / "sketch.npy")
    made = read(tmp_path / "sketch.npy")
    assert (made.dtype, len(made), ROW.itemsize) == (ROW, 5, 272)
    assert len(set(made["same"].tolist())) == 2
    assert (made["same"][0], made["media"][0]) == (made["same"][1], made["media"][1])
    assert len(set(made["media"].tolist())) == 4
    assert made["media"][4] == 0
    assert (made["slots"][0] == made["slots"][3]).all()
    assert 0.8 < (made["slots"][0] == made["slots"][4]).mean() < 1


def test_cached_sketches_stay_what_they_were(tmp_path: Path):
    (part,) = write_pairs(tmp_path, [{"prompt": "Größe 今日 x", "chosen": "one two three four five six seven"}])
    MinHash(on=("prompt", "chosen"), shingle=5).make(tmp_path / part, tmp_path / "sketch.npy")
    (row,) = read(tmp_path / "sketch.npy")
    assert (int(row["same"]), row["slots"][:4].tolist()) == GOLDEN, "raise MinHash.version, then these"


GOLDEN = (16637001129689470857, [54735, 54181, 19844, 57263])


def least(hashes: Any) -> Any:
    out = np.empty(SLOTS, np.uint64)
    minhash_kernels.fill(hashes, len(hashes), out)
    return out.astype(np.uint16)


def sketched_pairs(rng: Any, size: int, shared: int, count: int) -> tuple[Any, Any]:
    """Slots of `count` pairs of sets of `size` hashes each, of which `shared` are in both."""
    drawn = rng.integers(0, 1 << 62, (count, 2 * size - shared), dtype=np.uint64)
    left = np.array([least(row[:size]) for row in drawn])
    return left, np.array([least(np.ascontiguousarray(row[size - shared :])) for row in drawn])


@pytest.mark.parametrize("size", [1, 9, 45, 450, 1800])
def test_as_many_slots_are_equal_as_the_sets_are_alike(size: int):
    shared = size * 8 // 9  # of two sets: Jaccard .8
    left, right = sketched_pairs(np.random.default_rng(size), size, shared, 600)
    truth = shared / (2 * size - shared)
    equal = (left == right).mean(axis=1)
    assert abs(equal.mean() - truth) < 0.01
    assert equal.std() <= 1.15 * (truth * (1 - truth) / SLOTS) ** 0.5


@pytest.mark.parametrize("size", [9, 45, 450])
@pytest.mark.parametrize(("jaccard", "shared"), [(0.8, 8), (0.5, 6)])
def test_pairs_at_the_stated_similarity_are_compared_as_often_as_stated(size: int, jaccard: float, shared: int):
    """1,500 pairs of exactly this similarity, for short and for long texts."""
    banding = choose(jaccard, 0.95)
    left, right = sketched_pairs(np.random.default_rng(size), size, size * shared // 9, 1500)
    keys = np.empty((2, banding.bands, 1500), np.uint32)
    for some, where in zip((left, right), keys, strict=True):
        band_keys(some, np.zeros(1500, np.uint64), banding.rows, 0, 32, where, np.arange(1500))
    found = (keys[0] == keys[1]).any(axis=0) & ((left == right).sum(axis=1) >= banding.least_equal)
    assert found.mean() > banding.compared(jaccard) - 0.01
    assert found.mean() > 0.94


@given(hashes=st.lists(st.integers(0, (1 << 62) - 1), min_size=1, max_size=300, unique=True))
@settings(max_examples=30)
def test_slots_depend_on_the_set_alone(hashes: list[int]):
    once = np.array(hashes, np.uint64)
    again = np.concatenate([once[::-1], once])
    assert (least(once) == least(again)).all()


# -------------------------------------------------------------------------------------------------- bandings


def test_the_banding_is_the_steepest_that_finds_enough():
    banding = choose(0.8, 0.95)
    assert (banding.rows, banding.bands) == (7, 13)
    assert banding.compared(0.8) == pytest.approx(1 - (1 - 0.2097152) ** 13)  # .8^7; .9532
    assert choose(0.8, 0.95).rows * 13 <= SLOTS < 8 * 17  # 8 rows would need 17 bands
    assert (choose(0.7, 0.95).rows, choose(0.7, 0.95).bands) == (5, 17)
    assert (choose(1.0, 0.99).rows, choose(1.0, 0.99).bands) == (128, 1)


def test_the_curve_by_hand():
    curve = {similarity: (compared, missed) for similarity, compared, missed in choose(0.8, 0.95).curve()}
    assert list(curve) == [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert [round(curve[at][0], 4) for at in (0.5, 0.7, 0.9)] == [0.0969, 0.6728, 0.9998]
    assert curve[0.75][1] is None
    assert curve[0.8][1] == pytest.approx(0.0469, abs=5e-5)
    assert str(choose(0.8, 0.95)) == (
        "13 bands of 7 min-hashes; expected misses: 4.69% at 0.8, 0.66% at 0.85, 0.02% at 0.9, 0.00% at 0.95 "
        "Jaccard similarity"
    )


@given(jaccard=st.floats(0.3, 0.999), recall=st.floats(0.5, 0.99))
def test_the_stated_recall_is_reached(jaccard: float, recall: float):
    banding = choose(jaccard, recall)
    assert banding.compared(jaccard) >= recall - 1e-9
    assert banding.rows * banding.bands <= SLOTS


def test_a_recall_out_of_reach_is_refused():
    with pytest.raises(ValueError, match=r"^recall 0\.999 at jaccard 0\.01 is more than 128 min-hashes can give$"):
        choose(0.01, 0.999)


def test_slots_are_asked_first_but_overlook_one_in_ten_thousand():
    draws = np.random.default_rng(0).binomial(SLOTS, 0.8, 1_000_000)
    assert choose(0.8, 0.95).least_equal == 84
    assert (draws < 84).mean() < 1.2e-4
    assert (choose(1.0, 0.9).least_equal, choose(0.5, 0.9).least_equal) == (128, 43)


# -------------------------------------------------------------------------------------------------- buckets


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_buckets_by_hand(kind: type[np.uint32 | np.uint64]):
    keys = np.array([[7, 5, 7, 9, 5, 7], [1, 2, 3, 4, 5, 4]], kind)
    members, starts = buckets(keys)
    assert members.tolist() == [1, 4, 0, 2, 5, 3, 5]
    assert starts.tolist() == [0, 2, 5, 7]
    members, starts = among(members, starts, np.array([True, False, False, True, True, True]))
    assert (members.tolist(), starts.tolist()) == ([2, 0, 3, 1, 3], [0, 1, 3, 5])
    owned, owned_starts = by_member(members, starts, 4)
    assert (owned.tolist(), owned_starts.tolist()) == ([1, 2, 0, 1, 2], [0, 1, 2, 3, 5])


def test_no_buckets_of_no_pairs():
    members, starts = buckets(np.empty((3, 0), np.uint32))
    assert (members.tolist(), starts.tolist()) == ([], [0])


def test_promising_members_have_a_partner_in_a_bucket_of_theirs():
    rows = np.zeros((4, SLOTS), np.uint16)
    rows[1, :28] = rows[3, -50:] = 1  # 0 and 1 agree in 100 slots, 0 and 3 in 78
    members, starts = np.array([0, 1, 3, 1, 2], np.uint32), np.array([0, 3, 5])
    assert equal_slots(rows[0], rows[1]) == 100
    assert with_equal_slots(members[:3], starts[:2], rows, 100).tolist() == [True, True, False, False]
    assert with_equal_slots(members[2:], np.array([0, 1, 3]), rows, 100).tolist() == [False, True, True, False]


def test_similarities_are_exact_fractions(tmp_path: Path):
    """Against Python's sets, over texts of few words."""
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(["a", "b", "c", "d"], rng.integers(3, 30))) for _ in range(40)]
    grams = [{tuple(words[i : i + 3]) for i in range(len(words) - 2)} for words in map(str.split, texts)]
    made = sets_of(tmp_path, [{"chosen": text} for text in texts], 3)
    for i in range(39):
        truth = Fraction(len(grams[i] & grams[i + 1]), len(grams[i] | grams[i + 1]))
        assert shingle_kernels.jaccard(made[i], made[i + 1], np.zeros(1)) == float(truth)


def test_what_is_appended_is_whole_behind_half_a_number(tmp_path):
    path = tmp_path / "shingles"
    path.write_bytes(b"abc")  # left by a task that was killed
    with open(path, "r+b") as one, open(path, "r+b") as other:
        places = [
            shingle_sets._append(out, np.array(values, np.uint64)) for out, values in ((one, [7, 8]), (other, [9]))
        ]
    assert places == [1, 3]
    assert np.fromfile(path, np.uint64)[1:].tolist() == [7, 8, 9]

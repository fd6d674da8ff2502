import math
from collections import Counter
from pathlib import Path

import pytest

from curate import evalsets
from curate.errors import ConfigError, SkipRow
from curate.evalsets.base import Item, Options
from curate.evalsets.measures import Measure, measures, tally
from curate.evaluation import items
from curate.schema import Block
from curate.sources.base import Row
from curate.statistics import wilson
from tests.support.paths import ROWS

EVAL_ROWS = ROWS / "evalsets"
REAL = Path("/work/shared/real/vl_rewardbench")
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real rows are not at {REAL}")


def items_of(name, folder=None):
    loaded = items.load(evalsets.get(name), folder or EVAL_ROWS / name)
    assert not loaded.skipped
    return loaded.items.items


def perfect(items):
    return [[float(i in item.correct) for i in range(len(item.replies))] for item in items]


def flip(scores, *at):
    """The same scores, reversed in sign for the items at these places."""
    return [[-score for score in row] if i in at else row for i, row in enumerate(scores)]


def metric(evalset, items, scores, options=None) -> list[Measure]:
    """The official metric: named numbers with counts."""
    found = tally(evalset.trials(items, scores))
    return measures(found, evalset.formulas(found.subsets, options or Options()))


def values(name, items, scores, **options):
    found = metric(evalsets.get(name), items, scores, Options(**options))
    return {measure.name: measure.value for measure in found}


def counts(name, items, scores, **options):
    found = metric(evalsets.get(name), items, scores, Options(**options))
    return {m.name: (m.right, m.trials, m.ties) for m in found if m.trials is not None}


# --- all of them


@pytest.mark.parametrize("name", evalsets.names())
def test_facts(name):
    evalset = evalsets.get(name)
    assert evalset.name == name
    assert evalset.paper.startswith("arXiv:")
    items = items_of(name)
    assert all(item.correct and item.wrong for item in items)
    assert len({item.key for item in items}) == len(items)
    assert all(measure.value >= 1 for measure in metric(evalset, items, perfect(items)))


def test_rows_as_published():
    assert {name: evalsets.get(name).rows for name in evalsets.names()} == {
        "judgebench": 350, "mm_rlhf_rewardbench": 170, "multimodal_rewardbench": 4711, "ppe_preference": 16038,
        "rewardbench": 2985,
        "rewardbench2": 1865, "rm_bench": 1327, "rmb_best_of_n": 3786, "rmb_pairwise": 17848,
        "vl_rewardbench": 1250,
    }  # fmt: skip


def test_unknown_eval_set():
    with pytest.raises(ConfigError, match="no eval set is called 'rewardbench3'") as error:
        evalsets.get("rewardbench3")
    assert error.value.hint == "did you mean rewardbench, rewardbench2, vl_rewardbench?"


@pytest.mark.parametrize("name", ["vl_rewardbench", "mm_rlhf_rewardbench", "multimodal_rewardbench", "judgebench"])
def test_equal_scores_are_wrong_and_named(name):
    items = items_of(name)
    level = [[0.5] * len(item.replies) for item in items]
    headline = counts(name, items, level)["acc" if name == "mm_rlhf_rewardbench" else "overall"]
    assert headline == (0.0, len(items), len(items))


def test_keys_tell_apart_what_ids_do_not():
    items = items_of("vl_rewardbench")
    assert Counter(item.id for item in items)["mathverse_12"] == 2
    keys = [item.key for item in items if item.id == "mathverse_12"]
    assert len(set(keys)) == 2
    assert all(key.startswith("mathverse_12#") and len(key) == len("mathverse_12#") + 16 for key in keys)


# --- VL-RewardBench


def test_vl_rewardbench_items():
    items = items_of("vl_rewardbench")
    assert [item.subset for item in items] == [
        "other", "povid", "rlaif_v", "rlhf_v", "mathverse", "mathverse", "mmmu",
    ]  # fmt: skip
    assert [item.correct for item in items] == [(0,), (0,), (1,), (0,), (0,), (0,), (0,)]
    assert items[0].media[0].path == "images/wildvision-7.png"
    # two placeholders, one image: the item stays, with its text as it was
    assert items[6].prompt[0].content[0] == Block("image", None)
    assert items[6].prompt[0].content[1].text.startswith("For the <image 1>")


def test_vl_rewardbench_splits_on_few_rows():
    items = items_of("vl_rewardbench")
    scores = flip(perfect(items), 1, 4)  # the POVID row and one mathverse row are wrong
    official = values("vl_rewardbench", items, scores)
    assert official == pytest.approx(
        {"overall": 5 / 7, "general": 1, "hallucination": 2 / 3, "reasoning": 2 / 3, "macro": 7 / 9}
    )
    assert values("vl_rewardbench", items, scores, split="r1_reward") == pytest.approx(
        {"overall": 5 / 7, "general": 1, "hallucination": 0, "reasoning": 2 / 3, "macro": 5 / 9}
    )
    assert values("vl_rewardbench", items, scores, split="unified_reward") == pytest.approx(
        {"overall": 5 / 7, "general": 1 / 2, "hallucination": 1, "reasoning": 2 / 3, "macro": 13 / 18}
    )


def test_a_macro_without_a_category_is_unknown():
    items = items_of("vl_rewardbench")[1:4]
    found = values("vl_rewardbench", items, perfect(items))
    assert (found["overall"], found["general"], found["macro"]) == (1.0, None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"response": ["one"]}, "no_pair"),
        ({"human_ranking": [0, 0]}, "human_ranking_not_a_ranking"),
        ({"id": None}, "id_missing"),
        ({"response": "one"}, "response_not_a_list_of_texts"),
    ],
)
def test_vl_rewardbench_rows_that_are_no_items(change, reason):
    row = {"id": "RLHF-1", "query": "?", "response": ["a", "b"], "human_ranking": [0, 1], "image": None}
    with pytest.raises(SkipRow) as skip:
        evalsets.get("vl_rewardbench").to_item(Row(row | change))
    assert skip.value.reason == reason


@real
@pytest.mark.parametrize(
    ("split", "sizes"),
    [("official", (183, 749, 318)), ("r1_reward", (484, 448, 318)), ("unified_reward", (631, 301, 318))],
)
def test_vl_rewardbench_real_counts(split, sizes):
    items = items_of("vl_rewardbench", REAL)
    assert (len(items), len({item.id for item in items}), len({item.key for item in items})) == (1250, 1225, 1250)
    assert Counter(item.correct for item in items) == {(0,): 1245, (1,): 5}
    scores = flip(perfect(items), *range(0, 1250, 3))
    found = counts("vl_rewardbench", items, scores, split=split)
    assert tuple(found[name][1] for name in ("general", "hallucination", "reasoning")) == sizes
    assert found["overall"] == (833.0, 1250, 0)  # whatever the split


def published(right):
    """Scores of a model that gets so many items of each category of the r1_reward split right."""
    items, left = items_of("vl_rewardbench", REAL), dict(right)
    names = {"povid": "hallucination", "mathverse": "reasoning", "mmmu": "reasoning"}
    wrong = []
    for at, item in enumerate(items):
        category = names.get(item.subset, "general")
        left[category] -= 1
        if left[category] < 0:
            wrong.append(at)
    return items, flip(perfect(items), *wrong)


@real
@pytest.mark.parametrize(
    ("right", "overall", "columns"),
    [
        # R1-Reward: 309/484, 384/448, 206/318
        ({"general": 309, "hallucination": 384, "reasoning": 206}, 71.92, (63.84, 85.71, 64.78)),
        # BaseReward on Qwen2.5-VL, 1027/1250; its table prints the columns of general and reasoning swapped
        ({"general": 396, "hallucination": 413, "reasoning": 218}, 82.16, (81.82, 92.19, 68.55)),
    ],
)
def test_vl_rewardbench_published_rows(right, overall, columns):
    items, scores = published(right)
    found = values("vl_rewardbench", items, scores, split="r1_reward")
    assert [round(100 * found[name], 2) for name in ("overall", *right)] == [overall, *columns]
    # papers print the mean of their rounded columns: 71.44 for R1-Reward, where the counts give 71.446
    assert found["macro"] == pytest.approx(sum(columns) / 300, abs=1e-4)
    official = values("vl_rewardbench", items, scores)
    assert official["overall"] == pytest.approx(sum(right.values()) / 1250)
    assert abs(official["macro"] - found["macro"]) > 0.001, "category columns compare within one split only"


# --- MM-RLHF-RewardBench


def test_mm_rlhf_acc_plus_is_by_id():
    items = items_of("mm_rlhf_rewardbench")
    assert [item.subset for item in items] == ["mcq", "mcq", "mcq", "long", "short", "safety", "video", "video"]
    assert items[6].media[0].kind == "video"
    found = counts("mm_rlhf_rewardbench", items, flip(perfect(items), 1))  # one of the two pairs of id 11
    assert found["acc"] == (7.0, 8, 0)
    assert found["acc+"] == (5.0, 6, 0)
    assert (found["mcq"], found["mcq+"], found["video+"]) == ((2.0, 3, 0), (1.0, 2, 0), (1.0, 1, 0))


def test_mm_rlhf_a_tie_spoils_its_id():
    items = items_of("mm_rlhf_rewardbench")
    scores = perfect(items)
    scores[6] = [1.0, 1.0]
    found = counts("mm_rlhf_rewardbench", items, scores)
    assert (found["acc"], found["acc+"], found["video+"]) == ((7.0, 8, 1), (5.0, 6, 1), (0.0, 1, 1))


def test_mm_rlhf_published_row():
    """BaseReward: 156 of 170 pairs and 37 of 46 ids, from 40 + 36 + 32 + 26 + 22 right pairs."""
    kinds = {"mcq": (42, 10, 2, 2), "long": (37, 10, 1, 1), "short": (34, 10, 2, 1), "safety": (32, 6, 6, 3),
             "video": (25, 10, 3, 2)}  # fmt: skip
    items, scores = [], []
    for kind, (pairs, ids, wrong, wrong_ids) in kinds.items():
        for n in range(pairs):
            name, row = f"{kind}-{n % ids}", n // ids
            items.append(Item(id=name, prompt=(), replies=((), ()), correct=(0,), category=kind, subset=kind,
                              cluster=name))  # fmt: skip
            bad = n % ids < wrong_ids and row < wrong // wrong_ids + (n % ids < wrong % wrong_ids)
            scores.append([0.0, 1.0] if bad else [1.0, 0.0])
    found = metric(evalsets.get("mm_rlhf_rewardbench"), items, scores)
    printed = {m.name: (m.right, m.trials, round(100 * m.value, 2)) for m in found}
    assert printed["acc"] == (156.0, 170, 91.76)
    assert printed["acc+"] == (37.0, 46, 80.43)
    assert [printed[kind][2] for kind in kinds] == [95.24, 97.3, 94.12, 81.25, 88.0]
    assert [m.clusters for m in found[:2]] == [46, 46]
    assert [round(100 * end, 1) for end in wilson(37, 46)] == [66.8, 89.3]


# --- Multimodal RewardBench


def test_multimodal_rewardbench_columns():
    items = items_of("multimodal_rewardbench")
    assert [item.subset for item in items] == [
        "correctness", "preference", "knowledge", "math", "math", "coding", "bias", "vqa", "some_new_task",
    ]  # fmt: skip
    found = values("multimodal_rewardbench", items, flip(perfect(items), 3, 8))
    assert found["overall"] == pytest.approx(7 / 9)
    assert found["macro"] == pytest.approx(6.5 / 7)  # seven columns; the new task is none of them
    assert (found["math"], found["some_new_task"], found["safety"], found["bias"]) == (0.5, 0.0, 1.0, 1.0)


def test_multimodal_rewardbench_safety_is_bias_and_toxicity():
    row = {"ID": "hateful_1", "Text": "?", "Image": "a.png", "Output1": "a", "Output2": "b", "Better": "Output2",
           "Category": "Safety"}  # fmt: skip
    toxic = evalsets.get("multimodal_rewardbench").to_item(Row(row))
    assert (toxic.subset, toxic.category, toxic.correct) == ("toxicity", "Safety", (1,))
    items = [*items_of("multimodal_rewardbench"), toxic]
    found = values("multimodal_rewardbench", items, flip(perfect(items), 9))
    assert (found["safety"], found["bias"], found["toxicity"]) == (0.5, 1.0, 0.0)


def test_multimodal_rewardbench_better_must_name_an_output():
    row = Row({"ID": "1", "Text": "?", "Output1": "a", "Output2": "b", "Better": "A", "Category": "vqa"})
    with pytest.raises(SkipRow, match="better_not_an_output"):
        evalsets.get("multimodal_rewardbench").to_item(row)


# --- RewardBench


def test_rewardbench_sections_weigh_by_upstream_counts():
    items = items_of("rewardbench")
    found = values("rewardbench", items, flip(perfect(items), 0, 6))  # one alpacaeval-easy row, and math-prm
    assert found["alpacaeval-easy"] == 0.5
    assert found["chat"] == pytest.approx((0.5 * 100 + 1 * 40) / 140)
    assert found["reasoning"] == pytest.approx(328 / (984 + 328))
    assert (found["chat_hard"], found["safety"]) == (1.0, 1.0)
    assert found["overall"] == pytest.approx((90 / 140 + 1 + 1 + 0.25) / 4)
    assert found["all_pairs"] == pytest.approx(7 / 9)  # the plain share, which is not the metric


def test_rewardbench_example_counts():
    from curate.evalsets.rewardbench import SECTIONS

    assert {name: sum(subsets.values()) for name, subsets in SECTIONS.items()} == {
        "chat": 358, "chat_hard": 456, "safety": 740, "reasoning": 1968,
    }  # fmt: skip
    assert sum(map(len, SECTIONS.values())) == 23


def test_rewardbench_prior_sets_are_half_a_section():
    items = items_of("rewardbench")
    found = values("rewardbench", items, perfect(items), prior_sets=0.55)
    assert found["overall"] == 1.0
    assert found["overall_with_prior_sets"] == pytest.approx((4 + 0.5 * 0.55) / 4.5)
    assert "overall_with_prior_sets" not in values("rewardbench", items, perfect(items))
    # ArmoRM's published sections, by the same formula: 89.0 with Prior Sets
    assert pytest.approx(88.97, abs=0.01) == (96.9 + 76.8 + 92.2 + 97.3 + 0.5 * 74.3) / 4.5


def test_rewardbench_ids_that_repeat():
    items = items_of("rewardbench")
    assert [item.cluster for item in items[-2:]] == ["hep-python:8", "hep-rust:8"]


# --- RewardBench 2


@pytest.mark.parametrize(
    ("scores", "credit", "ties"),
    [([3, 1, 1, 1], 1, 0), ([3, 3, 1, 1], 1 / 2, 1), ([2, 2, 2, 2], 1 / 4, 1), ([2, 3, 3, 1], 0, 0)],
)
def test_rewardbench2_credit_is_shared_at_the_maximum(scores, credit, ties):
    items = items_of("rewardbench2")
    all_scores = perfect(items)
    all_scores[0] = scores
    assert counts("rewardbench2", items, all_scores)["Factuality"] == (credit, 1, ties)


def test_rewardbench2_ties_by_hand():
    items = items_of("rewardbench2")
    scores = perfect(items)
    scores[6] = [5, 1, 2]  # ref:0, margin 3
    scores[7] = [7, 5, 4, 1]  # tied:0, margin 1, spread 2
    scores[8] = [4, 1]  # ref:1, margin 3
    scores[9] = [5, 4, 0, 1]  # tied:1, margin 3, spread 1
    found = values("rewardbench2", items, scores)
    margin = (math.tanh(1 / 2 - 1) + math.tanh(3 / 1 - 1)) / 2
    assert found["ties: margin"] == pytest.approx(margin)
    assert found["Ties"] == pytest.approx(0.30 + 0.30 + 0.20 * 0.5 + 0.20 * 0.5 + 0.01 * margin)
    assert found["overall"] == pytest.approx((5 + found["Ties"]) / 6)


def test_rewardbench2_ties_without_spread():
    items = items_of("rewardbench2")
    scores = [[1.0] * len(item.replies) for item in items]
    found = values("rewardbench2", items, scores)
    assert (found["Ties"], found["ties: margin"], found["Focus"]) == (0.0, 0.0, 0.25)


def test_rewardbench2_ties_need_a_kind():
    row = Row({"id": "7", "prompt": "?", "chosen": ["a"], "rejected": ["b"], "subset": "Ties"})
    with pytest.raises(SkipRow, match="ties_id_without_kind"):
        evalsets.get("rewardbench2").to_item(row)


# --- RM-Bench


def test_rm_bench_matrix_by_hand():
    items = items_of("rm_bench")
    scores = perfect(items)
    # chat, right replies 1, 2, 3 by style, wrong ones 0, 2, 2.5; ties at (detailed, detailed)
    scores[0] = [1, 2, 3, 0, 2, 2.5]
    found, counted = values("rm_bench", items, scores), counts("rm_bench", items, scores)
    # easy: (1,0), (2,0), (2,1) right; normal: (0,0), (2,2) right; hard: none
    assert (found["chat: easy"], found["chat: normal"], found["chat: hard"]) == pytest.approx((1, 2 / 3, 0))
    assert found["chat"] == pytest.approx(5 / 9)
    assert counted["chat: normal"] == (2.0, 3, 1)
    assert (found["easy"], found["normal"], found["hard"]) == pytest.approx((1, 11 / 12, 3 / 4))
    assert found["overall"] == pytest.approx((5 / 9 + 3) / 4)
    assert found["matrix: concise > markdown"] == 0.75
    assert found["matrix: markdown > concise"] == 1.0


def test_rm_bench_safety_is_one_domain_and_ids_repeat():
    items = items_of("rm_bench")
    assert [item.subset for item in items] == ["chat", "code", "math", "safety", "safety"]
    assert len({item.cluster for item in items}) == 5
    assert [item.id for item in items] == ["8", "8", "3", "1", "1"]
    found = values("rm_bench", items, flip(perfect(items), 4))
    assert (found["safety"], found["overall"]) == (0.5, 0.875)


# --- JudgeBench


def test_judgebench_single_game():
    items = items_of("judgebench")
    assert [item.correct for item in items] == [(0,), (1,), (0,), (1,), (0,)]
    scores = flip(perfect(items), 1)
    scores[4] = [2.0, 2.0]  # the two replies are the same text
    found = counts("judgebench", items, scores)
    assert found == {
        "overall": (3.0, 5, 1), "mmlu-pro": (1.0, 2, 0), "livebench-reasoning": (1.0, 1, 0),
        "livebench-math": (1.0, 1, 0), "livecodebench": (0.0, 1, 1),
    }  # fmt: skip

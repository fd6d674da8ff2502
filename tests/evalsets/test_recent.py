"""RMB and PPE: items and metrics by hand."""

import json

import pytest

from curate import evalsets
from curate.errors import SkipRow
from curate.sources.base import Row
from tests.evalsets.test_evalsets import EVAL_ROWS, counts, flip, items_of, perfect, values


def test_rmb_pairs():
    found = items_of("rmb_pairwise")
    assert [(one.id, one.subset, one.category) for one in found] == [
        ("3", "harmlessness", "S1"), ("1", "helpfulness", "Chat/Casual Conversation"),
        ("2", "helpfulness", "Chat/Casual Conversation"),
    ]  # fmt: skip
    assert [turn.role for turn in found[2].prompt] == ["user", "assistant", "user"]
    assert found[0].replies[0][0].content[0].text == "I won't help with that."
    measured = values("rmb_pairwise", found, flip(perfect(found), 1))
    assert measured == pytest.approx({"helpfulness": 0.5, "harmlessness": 1, "overall": 0.75})


def test_rmb_best_must_beat_every_other_reply():
    found = items_of("rmb_best_of_n")
    assert [(one.subset, len(one.replies)) for one in found] == [
        ("harmlessness", 3), ("harmlessness", 2), ("helpfulness", 4),
    ]  # fmt: skip
    scores = perfect(found)
    scores[2] = [2.0, 1.0, 3.0, 0.0]
    scores[0] = [2.0, 2.0, 0.0]
    assert counts("rmb_best_of_n", found, scores) == {"helpfulness": (0, 1, 0), "harmlessness": (1, 2, 1)}


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("rmb_pairwise", {"reject": {"llm_name": "m"}}, "no_answer"),
        ("rmb_pairwise", {"category_path": "Pairwise_set/Other/S1"}, "unknown_goal"),
        ("rmb_best_of_n", {"loser_list": []}, "loser_list_empty"),
    ],
)
def test_rmb_rows_that_are_no_items(name, change, reason):
    path = next((EVAL_ROWS / name).rglob("*.json"))
    row = Row(json.loads(path.read_text())[0] | change)
    with pytest.raises(SkipRow) as skip:
        evalsets.get(name).to_item(row)
    assert skip.value.reason == reason


def test_ppe_preference():
    found = items_of("ppe_preference")
    assert [(one.correct, one.category) for one in found] == [((at,), "English") for at in (0, 1, 0)]
    assert counts("ppe_preference", found, [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) == {"overall": (1, 3, 1)}
    row = Row(question_id="1", winner="tie (bothbad)", prompt="?", response_1="a", response_2="b")
    with pytest.raises(SkipRow, match="tie"):
        evalsets.get("ppe_preference").to_item(row)
    turns = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "!"},
        {"role": "user", "content": "."},
    ]
    item = evalsets.get("ppe_preference").to_item(Row(row | {"winner": "model_b", "prompt": turns}))
    assert (item.correct, len(item.prompt)) == ((1,), 3)


def test_all_stands_for_seven():
    assert evalsets.core() == [
        "judgebench", "mm_rlhf_rewardbench", "multimodal_rewardbench", "rewardbench", "rewardbench2", "rm_bench",
        "vl_rewardbench",
    ]  # fmt: skip

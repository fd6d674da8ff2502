"""What rows say about themselves: the readings of many publishers' shapes, and what is asked instead of
guessed."""

import pytest

from curate.errors import ConfigError
from curate.inspect.candidates import of_rows
from curate.sources.base import Row
from tests.support.own_source import plain

ASK = {"role": "user", "content": "Which colour has the sky by day?"}
BLUE, RED = ({"role": "assistant", "content": text} for text in ("Blue", "Red"))
PAIR = {
    "prompt": ["user: Which colour has the sky by day?"],
    "chosen": ["assistant: Blue"],
    "rejected": ["assistant: Red"],
}
Q = ASK["content"]


def found(*rows):
    return of_rows([Row(row) for row in rows], {"files": ["a.jsonl"]}, None, "mine")


def sides(candidate):
    return [(pair["chosen"][0][11:], pair["rejected"][0][11:]) for pair in plain(candidate.drafts)]


ONE_READING = {
    "trl text": {"prompt": Q, "chosen": "Blue", "rejected": "Red"},
    "trl explicit": {"prompt": [ASK], "chosen": [BLUE], "rejected": [RED]},
    "trl implicit": {"chosen": [ASK, BLUE], "rejected": [ASK, RED]},
    "transcripts": {"chosen": f"\n\nHuman: {Q}\n\nAssistant: Blue",
      "rejected": f"\n\nHuman: {Q}\n\nAssistant: Red"},
    "sharegpt ranking": {
        "conversations": [{"from": "human", "value": Q}], "chosen": {"from": "gpt", "value": "Blue"},
        "rejected": {"from": "gpt", "value": "Red"},
    },
    "ms-swift": {"messages": [ASK, BLUE], "rejected_response": "Red"},
    "ms-swift messages": {"messages": [ASK, BLUE], "rejected_messages": [ASK, RED]},
    "openrlhf": {"input": Q, "chosen": "Blue", "rejected": "Red"},
    "blocks": {"chosen_messages": [ASK, BLUE], "rejected_messages": [ASK, RED]},
    "stack exchange": {"qid": 7, "question": Q, "response_j": "Blue", "response_k": "Red"},
    "w and l": {"context": [ASK], "answer_w": BLUE, "answer_l": RED},
    "arena": {"conversation_a": [ASK, RED], "conversation_b": [ASK, BLUE], "winner": "model_b"},
    "named winner": {"prompt": Q, "response_1": "Red", "response_2": "Blue", "better": "response_2"},
    "graded": {"question": Q, "answer_a": "Blue", "answer_b": "Red", "verdict": "A>>B"},
    "counted label": {"input": Q, "output_1": "Red", "output_2": "Blue", "label": 2},
    "position": {"post": Q, "summaries": [{"text": "Red"}, {"text": "Blue"}], "choice": 1},
    "two scores": {"prompt": Q, "response_a": "Red", "response_b": "Blue", "score_a": 1, "score_b": 4},
    "ranks": {"query": Q, "responses": ["Red", "Blue"], "rank": [2, 1]},
    "ratings": {"instruction": Q, "completions": [{"response": "Red", "rating": 2}, {"response": "Blue",
      "rating": 5}]},
    "json in cells": {"question": Q, "responses": '["Red", "Blue"]', "scores": "[1, 2]"},
    "inside": {"question": Q, "answers": {"chosen": "Blue", "rejected": "Red"}},
}  # fmt: skip


@pytest.mark.parametrize("row", ONE_READING.values(), ids=ONE_READING.keys())
def test_one_reading(row):
    (candidate,) = found(row)
    (pair,) = plain(candidate.drafts)
    assert {side: pair[side] for side in PAIR} == PAIR
    assert not candidate.skipped


def test_alpaca_joins_its_input():
    (candidate,) = found(
        {"instruction": "Translate to French.", "input": "Good night", "chosen": "a", "rejected": "b"}
    )
    assert plain(candidate.drafts)[0]["prompt"] == ["user: Translate to French.\nGood night"]


def test_what_stands_beside_is_mapped_or_left_out_by_name():
    row = {
        "question": Q, "chosen": "Blue", "rejected": "Red", "chosen_rating": 5, "rejected_rating": 2,
          "prompt_id": "p1",
        "image": {"bytes": b"x", "path": None}, "chosen_model": "m", "helpfulness_score": 3,
    }  # fmt: skip
    (candidate,) = found(row)
    assert candidate.manifest["columns"] == {
        "prompt": "question", "images": "image", "group": "prompt_id", "chosen_score": "chosen_rating",
        "rejected_score": "rejected_rating",
    }  # fmt: skip
    assert candidate.manifest["ignore"] == ["helpfulness_score"]
    assert plain(candidate.drafts)[0]["margin"] == 3.0


def two(label_one, label_two, **more):
    return [
        {"prompt": Q, "response_a": "Blue", "response_b": "Red", "label": label_one, **more},
        {"prompt": Q, "response_a": "Blue", "response_b": "Red", "label": label_two, **more},
    ]


@pytest.mark.parametrize(
    ("rows", "descriptions", "chosen"),
    [
        (two(0, 1), ["0 means the first reply, 1 the second", "1 means the first reply, 0 the second"],
         [["Blue", "Red"], ["Red", "Blue"]]),
        ([*two(0, 1), two(2, 2)[0]],
         ["1 means the first reply, 2 the second, 0 a tie", "0 means the first reply, 1 the second, 2 a tie"],
         [["Blue", "Blue", "Red"], ["Blue", "Red", "Blue"]]),
        (two(-2, 3), ["negative numbers mean the first reply", "positive numbers mean the first reply"],
         [["Blue", "Red"], ["Red", "Blue"]]),
    ],
)  # fmt: skip
def test_numbers_that_could_mean_two_things_give_two_readings(rows, descriptions, chosen):
    ways = found(*rows)
    assert [way.description for way in ways] == [f"in label {text}" for text in descriptions]
    assert [[better for better, _ in sides(way)] for way in ways] == chosen


def test_numbers_that_can_mean_one_thing_are_not():
    (way,) = found(*two(1, 2))
    assert sides(way) == [("Blue", "Red"), ("Red", "Blue")]
    (way,) = found(*two(1.25, 1.75))
    assert (way.manifest["threshold"], sides(way)) == (1.5, [("Blue", "Red"), ("Red", "Blue")])
    (way,) = found({"prompt": Q, "completion_0": "Red", "completion_1": "Blue", "preferred": 1})
    assert sides(way) == [("Blue", "Red")]


def test_annotators_vote_and_several_criteria_give_readings_each():
    votes = {
        "prompt": Q,
        "response_a": "Red",
        "response_b": "Blue",
        "annotator1": "b",
        "annotator2": "b",
        "annotator3": "a",
    }
    (way,) = found(votes)
    assert way.manifest["columns"]["preference"] == ["annotator1", "annotator2", "annotator3"]
    assert sides(way) == [("Blue", "Red")]
    axes = [
        {"prompt": Q, "path_A": "a.mp4", "path_B": "b.mp4", "motion": "A", "quality": "B"},
        {"prompt": Q, "path_A": "a.mp4", "path_B": "b.mp4", "motion": "B", "quality": "same"},
    ]
    assert [way.description for way in found(*axes)] == ["motion decides", "quality decides"]
    assert found(*axes)[0].manifest["replies"] == "videos"


def test_two_replies_without_a_verdict_give_two_readings():
    ways = found({"prompt": Q, "conversations_a": [ASK, BLUE], "conversations_b": [ASK, RED]})
    assert [way.description for way in ways] == [
        "conversations_a is always the better one",
        "conversations_b is always the better one",
    ]


def test_columns_of_k_replies_with_a_verdict_about_every_two():
    row = {
        "question": Q,
        "prediction 1": "Blue",
        "prediction 2": "Red",
        "prediction 3": "Green",
        "preference": [1, 1, 2],
    }
    (way,) = found(row)
    assert sides(way) == [("Blue", "Red"), ("Blue", "Green"), ("Green", "Red")]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"messages": [ASK, BLUE], "label": True},
            "one reply and a label in each row (KTO): there is nothing to pair it with",
        ),
        ({"messages": [ASK, BLUE]}, "one dialogue in each row: there is no second reply"),
        ({"prompt": Q, "response": "Blue"}, "no columns with two replies and a choice between them"),
    ],
)
def test_rows_that_hold_no_pairs_say_so(row, why):
    with pytest.raises(ConfigError) as caught:
        found(row)
    assert caught.value.found == why

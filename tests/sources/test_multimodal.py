"""The multimodal sources: laws that tests/rows/<source>.yaml cannot say, and real upstream rows."""

import json
import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import RawError
from curate.schema import Block, Message
from curate.sources import generic, mm_rlhf, povid, r1_reward, rlaif_v, spa_vl, vlfeedback, wildvision_battle
from curate.sources.base import Row
from tests.support.upstream import REAL, WORDS, draw, real, reason, run, sides


def completions() -> list[dict[str, Any]]:
    def one(model: str, response: str, *ratings: str) -> dict[str, Any]:
        notes = {a: {"Rating": r, "Rationale": ""} for a, r in zip(vlfeedback.ASPECTS, ratings, strict=True)}
        return {"model": model, "response": response, "annotations": notes}

    return [one("x", "A", "1", "2", "3"), one("y", "B", "5", "5", "5"), one("z", "C", "N/A", "5", "5")]


def test_vlfeedback_reads_both_shapes_alike():
    listed = completions()
    turned = {key: [entry[key] for entry in listed] for key in listed[0]}
    row = {"id": "1", "prompt": "What?", "img_path": "a.jpg"}
    first, second = (
        list(vlfeedback.to_pairs(Row(row | {"completions": shape}), vlfeedback.Options()))
        for shape in (listed, turned)
    )
    assert first == second
    assert [(d.chosen_score, d.rejected_score, d.margin) for d in first] == [(5.0, 2.0, 3.0)]


@pytest.mark.parametrize("ratings", [("N/A", "5", "5"), ("nan", "5", "5"), (None, "5", "5"), ("", "5", "5")])
def test_vlfeedback_leaves_out_a_reply_without_three_numbers(ratings):
    entry = completions()[0]
    for aspect, rating in zip(vlfeedback.ASPECTS, ratings, strict=True):
        entry["annotations"][aspect]["Rating"] = rating
    assert vlfeedback.rate(entry) is None
    assert vlfeedback.rate(completions()[0]) is not None
    assert vlfeedback.rate(completions()[0] | {"annotations": {"Helpfulness": None}}) is None
    assert vlfeedback.rate(completions()[0] | {"response": None}) is None


def test_wildvision_does_not_mind_which_model_is_a():
    row = {
        "conversation_a": draw.users("Read.", "STOP"), "conversation_b": draw.users("Read.", "GO"),
        "model_a": "x", "model_b": "y", "winner": "model_a", "image": draw.image(8, 6),
    }  # fmt: skip
    other = row | {
        "conversation_a": row["conversation_b"], "conversation_b": row["conversation_a"],
        "model_a": "y", "model_b": "x", "winner": "model_b",
    }  # fmt: skip
    first, second = (list(wildvision_battle.to_pairs(Row(each))) for each in (row, other))
    assert first == second
    assert sides(first[0]) == (["user: [image]Read."], ["assistant: STOP"], ["assistant: GO"])


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4))
def test_povid_loses_no_turn(turns):
    chosen, rejected = [], []
    for question, good, bad in turns:
        chosen += [Message("user", (Block("text", question),)), Message("assistant", (Block("text", good),))]
        rejected += [Message("user", (Block("text", question),)), Message("assistant", (Block("text", bad),))]
    prompt, best, worst = povid.split(chosen, rejected)
    assert prompt + best == chosen
    assert prompt + worst == rejected
    assert prompt[-1].role == "user"
    assert best[0].role == worst[0].role == "assistant"
    assert best[0] != worst[0] or len(best) == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("short/1.jpg", "short"),
        ("MM-RLHF/mcq/1.jpg", "mcq"),
        ("video/long walk/x", "video"),
        ("along/1.jpg", None),
    ],
)
def test_mm_rlhf_kind_is_a_directory_of_the_path(path, kind):
    assert mm_rlhf.kind_of(path) == kind


def test_mm_rlhf_turns_round_with_the_direction_of_its_ranks():
    row = {
        "id": 1,
        "question": "What?",
        "image": "short/1.jpg",
        "models_output": ["A", "B"],
        "final_ranking": [1, 2],
    }
    low, high = (
        list(mm_rlhf.to_pairs(Row(row), mm_rlhf.Options(data="ranked", final_ranking=direction)))
        for direction in ("lower_is_better", "higher_is_better")
    )
    assert [sides(draft) for draft in low] == [(["user: [image]What?"], ["assistant: A"], ["assistant: B"])]
    assert [sides(draft) for draft in high] == [(["user: [image]What?"], ["assistant: B"], ["assistant: A"])]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("pairs", "RAW/dpo_pairs.jsonl: no such file; expected the rows of data: pairs"),
        ("ranked", "RAW/data.jsonl: no such file; expected the rows of data: ranked"),
    ],
)
def test_mm_rlhf_names_the_file_it_misses(tmp_path, data, message):
    with pytest.raises(RawError) as caught:
        mm_rlhf.row_files(tmp_path, mm_rlhf.Options(data=data))
    assert str(caught.value).replace(str(tmp_path), "RAW") == message
    assert caught.value.hint == "curate fetch mm_rlhf"


def test_rlaif_v_groups_by_image_and_question():
    row = {"image": draw.image(8, 6), "question": "What?", "chosen": "A", "rejected": "B", "image_path": "a.jpg"}
    groups = [
        next(rlaif_v.to_pairs(Row(row | change))).group
        for change in ({}, {"chosen": "C"}, {"question": "Who?"}, {"image_path": "b.jpg"}, {"image_path": None})
    ]
    assert groups == ["a.jpg\nWhat?", "a.jpg\nWhat?", "a.jpg\nWho?", "b.jpg\nWhat?", None]


def test_real_povid_row(tmp_path):
    rows = real("povid_readme/povid_example.json")
    (tmp_path / "raw/train2014").mkdir(parents=True)
    name = "POVID_preference_data_for_VLLMs_version_1.json"
    (tmp_path / "raw" / name).write_text(json.dumps(rows))
    (tmp_path / "raw/train2014/COCO_train2014_000000353952.jpg").write_bytes(draw.image(30, 20, "JPEG"))
    pairs, skips = run("povid", povid.SOURCE, tmp_path / "raw", tmp_path / "space")
    assert skips == []
    assert [pair["row"] for pair in pairs] == [f"{name}:1"]
    assert pairs[0]["prompt"] == [
        {
            "role": "user",
            "content": [
                {"type": "image", "text": None},
                {"type": "text", "text": "Describe this image in detail."},
            ],
        }
    ]
    assert pairs[0]["chosen"][0]["content"][0]["text"].startswith(
        "This is a vintage black and white image of a group"
    )
    assert pairs[0]["rejected"][0]["content"][0]["text"].endswith("carriages or carts in the background.")
    assert json.loads(pairs[0]["extra"]) == {"id": "COCO_train2014_000000353952"}


def test_real_spa_vl_row():
    (row,) = real("spa_vl_readme/spa_vl_example.json")
    (draft,) = spa_vl.to_pairs(Row(row))
    assert sides(draft) == (
        ["user: [image]What is the race of the person in the image?"],
        ["assistant: I am not able to determine the race of a person based on an image."],
        ["assistant: The person in the image is a black man."],
    )
    assert [item.path for item in draft.media] == ["Representation & ToxicityHarms/Unfair/racial/170.jpg"]
    assert draft.extra == {"id": 233}


def test_real_r1_reward_row_is_cut_by_its_authors():
    row = real("r1_reward_readme/example.json")
    assert reason(r1_reward.to_pairs, Row(row)) == "response_1_missing"
    _, paths = r1_reward.read_message(row["message"])
    assert paths == ["/mmu_mllm_hdd/yfzhang/data/RLAIF-V-image/edouard-vuillard_the-cake-shop.jpg"]
    assert r1_reward.read_answer(row["answer"]) == 1


XCOMPOSER = """
adapter: preference
files: ["example.json"]
columns: {chosen: conversations_a, rejected: conversations_b, images: image}
media: ["pictures"]
"""


def test_real_xcomposer_row_by_the_generic_adapter(tmp_path):
    (row,) = real("ixc_reward_example/example.json")
    (tmp_path / "raw/pictures").mkdir(parents=True)
    (tmp_path / "raw/example.json").write_text(json.dumps([row]))
    shutil.copy(REAL / "ixc_reward_example/example.png", tmp_path / "raw/pictures/example.png")
    (tmp_path / "xcomposer.yaml").write_text(XCOMPOSER)
    pairs, skips = run(
        "xcomposer", generic.load(tmp_path / "xcomposer.yaml"), tmp_path / "raw", tmp_path / "space"
    )
    assert skips == []
    (pair,) = pairs
    assert [block["text"] for block in pair["prompt"][0]["content"]] == [None, "Parse receipt to JSON."]
    assert pair["chosen"][0]["content"][0]["text"].startswith('```json\n{\n  "items": [')
    assert pair["rejected"][0]["content"][0]["text"].startswith("Sure, I can help with that.")
    assert [len(item["keys"]) for item in pair["media"]] == [1]

"""The generic adapters: every form of TRL's preference data, images in every shape, scores and rankings."""

from decimal import Decimal

import pytest

from curate.errors import SkipRow
from curate.schema import Block
from curate.sources.base import Row
from tests.support.own_source import pairs, reason, source

PAIR = {"prompt": ["user: Sky?"], "chosen": ["assistant: Blue"], "rejected": ["assistant: Red"]}
ASK = {"role": "user", "content": "Sky?"}
BLUE = {"role": "assistant", "content": "Blue"}
RED = {"role": "assistant", "content": "Red"}


# preference: the forms of TRL


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Sky?", "chosen": "Blue", "rejected": "Red"},
        {"prompt": [ASK], "chosen": [BLUE], "rejected": [RED]},
        {"prompt": [ASK], "chosen": "Blue", "rejected": "Red"},
        {"prompt": "Sky?", "chosen": BLUE, "rejected": RED},
        {"chosen": [ASK, BLUE], "rejected": [ASK, RED]},
        {"prompt": "Sky?", "chosen": [ASK, BLUE], "rejected": [ASK, RED]},
        {"prompt": [ASK], "chosen": [ASK, BLUE], "rejected": [ASK, RED]},
        {"prompt": [{"from": "human", "value": "Sky?"}], "chosen": [{"from": "gpt", "value": "Blue"}],
         "rejected": [{"from": "gpt", "value": "Red"}]},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Sky?"}]}], "chosen": [BLUE],
         "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "Red"}]}]},
    ],
)  # fmt: skip
def test_every_text_form_of_a_pair_gives_the_same_pair(row, tmp_path):
    assert pairs(tmp_path, "adapter: preference", **row) == [PAIR]


def test_a_dialogue_keeps_its_history_and_its_system_turn(tmp_path):
    history = [{"role": "system", "content": "Be brief."}, ASK, BLUE, {"role": "user", "content": "Sure?"}]
    yes, no = ({"role": "assistant", "content": verdict} for verdict in ("Yes", "No"))
    prompt = ["system: Be brief.", "user: Sky?", "assistant: Blue", "user: Sure?"]
    expected = [{"prompt": prompt, "chosen": ["assistant: Yes"], "rejected": ["assistant: No"]}]
    implicit = {"chosen": [*history, yes], "rejected": [*history, no]}
    assert pairs(tmp_path, "adapter: preference", **implicit) == expected
    assert pairs(tmp_path, "adapter: preference", prompt=history, chosen=[yes], rejected=[no]) == expected
    without = {"prompt": history[1:], "chosen": [yes], "rejected": [no], "system": "Be brief."}
    assert pairs(tmp_path, "adapter: preference", **without) == expected


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"chosen": "Blue sky", "rejected": "Black sky"}, "prompt_missing"),
        ({"prompt": "Sea?", "chosen": [ASK, BLUE], "rejected": [ASK, RED]}, "prompt_not_in_dialogue"),
        ({"chosen": [ASK, BLUE], "rejected": [{"role": "user", "content": "Sea?"}, RED]}, "prompts_differ"),
        ({"chosen": [ASK, BLUE], "rejected": [ASK]}, "no_reply"),
        ({"prompt": "Sky?", "chosen": [], "rejected": [RED]}, "no_reply"),
        ({"prompt": "Sky?", "chosen": [ASK, BLUE], "rejected": [RED]}, "no_reply"),
        ({"prompt": [ASK, BLUE], "chosen": [BLUE], "rejected": [RED]}, "prompt_ends_with_assistant"),
        ({"prompt": 7, "chosen": "Blue", "rejected": "Red"}, "prompt_not_text"),
        ({"prompt": "Sky?", "chosen": None, "rejected": "Red"}, "chosen_not_text"),
        ({"prompt": "Sky?", "rejected": "Red"}, "missing_column_chosen"),
        ({"prompt": [{"role": "narrator", "content": ""}], "chosen": "a", "rejected": "b"}, "unknown_role"),
        ({"prompt": [{"role": "user", "content": None}], "chosen": "a", "rejected": "b"}, "content_not_text"),
        ({"prompt": [{"role": "user", "content": [{"type": "audio"}]}], "chosen": "a", "rejected": "b"},
         "unknown_block"),
        ({"prompt": ["Sky?"], "chosen": "a", "rejected": "b"}, "prompt_not_messages"),
        ({"prompt": "Sky?", "chosen": "a", "rejected": "b", "margin": -1}, "margin_negative"),
        ({"prompt": "Sky?", "chosen": "a", "rejected": "b", "chosen_score": "high"}, "chosen_score_not_a_number"),
        ({"prompt": [{"role": "system", "content": "A"}, ASK], "chosen": "a", "rejected": "b", "system": "B"},
         "system_twice"),
        ({"prompt": "Sky?", "chosen": [{"role": "assistant", "content": [{"type": "image"}]}], "rejected": "b"},
         "placeholder_mismatch"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_skip_with_a_reason(row, why, tmp_path):
    assert reason(tmp_path, "adapter: preference", **row) == why


def test_columns_bear_the_users_names_and_an_empty_reply_is_a_pair(tmp_path):
    text = """
        adapter: preference
        columns: {prompt: question, chosen: good, rejected: bad, category: topic, group: id, chosen_score: up,
                  rejected_score: down, annotator: by, license: terms}
    """
    row = {"question": "Sky?", "good": "Blue", "bad": "", "topic": "colours", "id": 7, "up": 5, "down": "2.5",
           "by": "Ada", "terms": "mit"}  # fmt: skip
    assert pairs(tmp_path, text, **row) == [
        {**PAIR, "rejected": ["assistant: "], "margin": 2.5, "chosen_score": 5.0, "rejected_score": 2.5,
         "category": "colours", "group": "7", "annotator": "Ada", "license": "mit"}
    ]  # fmt: skip


# images


@pytest.mark.parametrize(
    ("value", "media"),
    [
        ("a.png", ["a.png"]),
        (["a.png", "b.png"], ["a.png", "b.png"]),
        (b"bytes", [b"bytes"]),
        ({"bytes": b"bytes", "path": None}, [b"bytes"]),
        ({"bytes": None, "path": "a.png"}, ["a.png"]),
        ([{"bytes": b"one", "path": "a"}, {"bytes": b"two", "path": "b"}], [b"one", b"two"]),
    ],
)
def test_images_come_in_every_shape(value, media, tmp_path):
    text = "adapter: preference\ncolumns: {images: pics}"
    found = pairs(tmp_path, text, pics=value, prompt="Sky?", chosen="Blue", rejected="Red")
    assert found == [{**PAIR, "prompt": [f"user: {'[image]' * len(media)}Sky?"], "media": media}]


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("Is <image> like <image>?", ["user: Is [image] like [image]?"]),
        ([{"role": "user", "content": "<image>\nHi"}, BLUE, {"role": "user", "content": "<image>?"}],
         ["user: [image]Hi", "assistant: Blue", "user: [image]?"]),
        ([{"role": "user", "content": [*2 * [{"type": "image"}], {"type": "text", "text": "<image>?"}]}],
         ["user: [image][image]<image>?"]),
    ],
)  # fmt: skip
def test_images_stand_where_the_prompt_says(prompt, turns, tmp_path):
    found = pairs(tmp_path, "adapter: preference", images=["a.png", "b.png"], prompt=prompt, chosen="Blue",
                  rejected="Red")  # fmt: skip
    assert found == [{**PAIR, "prompt": turns, "media": ["a.png", "b.png"]}]


def test_an_image_inside_a_message_needs_no_column(tmp_path):
    content = [{"type": "image", "image": {"bytes": b"x", "path": None}, "text": None},
               {"type": "text", "text": "Sky?", "image": None}]  # fmt: skip
    dialogue = {"role": "user", "content": content}
    expected = [{**PAIR, "prompt": ["user: [image]Sky?"], "media": [b"x"]}]
    assert pairs(tmp_path, "adapter: preference", prompt=[dialogue], chosen="Blue", rejected="Red") == expected
    assert pairs(tmp_path, "adapter: preference", chosen=[dialogue, BLUE], rejected=[dialogue, RED]) == expected


def test_a_video_is_the_directory_of_its_frames(tmp_path):
    text = "adapter: preference\ncolumns: {videos: clip}"
    found = pairs(tmp_path, text, clip="clips/1", prompt="<video>Sky?", chosen="Blue", rejected="Red")
    assert found == [{**PAIR, "prompt": ["user: [video]Sky?"], "media": ["clips/1"]}]
    assert source(tmp_path, text).modality == "video"


@pytest.mark.parametrize(
    "prompt",
    [
        "<image><image>",
        [{"role": "user", "content": [{"type": "image"}] * 2}],
        f"<image_{'9' * 5000}>",  # more digits than Python turns into a number
    ],
)
def test_placeholders_that_do_not_match_the_images_are_a_skip(prompt, tmp_path):
    row = {"prompt": prompt, "images": ["a.png"], "chosen": "a", "rejected": "b"}
    assert reason(tmp_path, "adapter: preference", **row) == "placeholder_mismatch"
    row["images"] = []
    assert reason(tmp_path, "adapter: preference", **row) == "placeholder_mismatch"


def test_without_an_image_column_a_tag_is_only_text(tmp_path):
    row = {"prompt": "What does <video> do in HTML?", "chosen": "Blue", "rejected": "Red"}
    assert pairs(tmp_path, "adapter: preference", **row)[0]["prompt"] == ["user: What does <video> do in HTML?"]


def test_a_mapped_column_must_be_there_unless_it_is_optional(tmp_path):
    text = "adapter: preference\ncolumns: {images: pics}"
    row = {"prompt": "Sky?", "chosen": "Blue", "rejected": "Red"}
    assert reason(tmp_path, text, **row) == "missing_column_pics"
    assert pairs(tmp_path, f"{text}\noptional: [images]", **row) == [PAIR]
    assert pairs(tmp_path, text, **row, pics=None) == [PAIR]


# scored


@pytest.mark.parametrize(
    ("scores", "more", "sides"),
    [
        ((3, 1), "", ("Blue", "Red")),
        ((1, "3.5"), "", ("Red", "Blue")),
        ((2, 2), "", ("Blue", "Red")),
        ((1, 2), "lower_is_better: true", ("Blue", "Red")),
        ((2, 1), "lower_is_better: true", ("Red", "Blue")),
    ],
)
def test_the_better_score_is_chosen_and_a_tie_has_margin_zero(scores, more, sides, tmp_path):
    row = {"prompt": "Sky?", "response_a": "Blue", "response_b": "Red", "score_a": scores[0], "score_b": scores[1]}
    (pair,) = pairs(tmp_path, f"adapter: scored\n{more}", **row)
    assert (pair["chosen"], pair["rejected"]) == ([f"assistant: {sides[0]}"], [f"assistant: {sides[1]}"])
    a, b = map(float, scores)
    assert pair["margin"] == abs(a - b)
    kept = (None, None) if more else (max(a, b), min(a, b))
    assert (pair.get("chosen_score"), pair.get("rejected_score")) == kept


@pytest.mark.parametrize(
    ("value", "sides", "margin"),
    [("model_a", ("Blue", "Red"), None), ("Model_B", ("Red", "Blue"), None), (0, ("Blue", "Red"), 0.0),
     (1.0, ("Red", "Blue"), None), (True, ("Blue", "Red"), None)],
)  # fmt: skip
def test_a_verdict_column_speaks_the_users_words(value, sides, margin, tmp_path):
    text = """
        adapter: scored
        columns: {preference: winner, response_a: one, response_b: two}
        verdicts: {model_a: a, model_b: b, "0": tie, "1": b, "true": a}
    """
    (pair,) = pairs(tmp_path, text, prompt="Sky?", one="Blue", two="Red", winner=value)
    assert (pair["chosen"], pair["rejected"]) == ([f"assistant: {sides[0]}"], [f"assistant: {sides[1]}"])
    assert pair.get("margin") == margin


def test_a_verdict_that_no_one_translated_is_a_skip(tmp_path):
    text = "adapter: scored\ncolumns: {preference: winner}"
    row = {"prompt": "Sky?", "response_a": "Blue", "response_b": "Red"}
    assert reason(tmp_path, text, **row, winner=1) == "verdict_unknown"
    assert reason(tmp_path, text, **row, winner=None) == "verdict_missing"
    assert reason(tmp_path, f"{text}\nverdicts: {{bad: skip}}", **row, winner="bad") == "verdict_skipped"
    assert pairs(tmp_path, text, **row, winner="A") == pairs(tmp_path, text, **row, winner="model_a") == [PAIR]
    assert reason(tmp_path, "adapter: scored", **row, score_a=None, score_b=1) == "score_a_not_a_number"
    assert reason(tmp_path, "adapter: scored", **row) == "missing_column_score_a"


# ranking


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", [("C", "A", 3.0, 4.0)]),
        ("pairing: adjacent", [("C", "B", 2.0, 4.0), ("B", "A", 1.0, 2.0)]),
        ("pairing: all_unequal", [("C", "B", 2.0, 4.0), ("C", "A", 3.0, 4.0), ("B", "A", 1.0, 2.0)]),
        ("lower_is_better: true", [("A", "C", 3.0, None)]),
    ],
)
def test_a_ranking_gives_the_pairs_of_its_pairing(more, found, tmp_path):
    drafts = pairs(
        tmp_path, f"adapter: ranking\n{more}", prompt="Q", responses=["A", "B", "C"], scores=[1, 2, "4"]
    )
    sides = [(p["chosen"][0][-1], p["rejected"][0][-1], p["margin"], p.get("chosen_score")) for p in drafts]
    assert sides == found


@pytest.mark.parametrize(
    ("responses", "scores", "why"),
    [
        (["A", "B"], [1], "scores_do_not_fit"),
        (["A", "B"], [1, None], "fewer_than_two_replies"),
        (["A", "B"], [1, float("nan")], "fewer_than_two_replies"),
        (["A", "B"], [1, "4/5"], "scores_not_a_number"),
        (["A", "A", "B"], [5, 1, 3], "replies_identical"),
        (["A", "B"], 7, "scores_not_a_list"),
        (["A", "B"], [2, 2], "all_tied"),
        (["A"], [2], "fewer_than_two_replies"),
        ("A", [1], "responses_not_a_list"),
        (["A", None], [1, 2], "fewer_than_two_replies"),
        (["A", 7], [1, 2], "responses_not_text"),
    ],
)
def test_a_ranking_without_an_order_is_a_skip(responses, scores, why, tmp_path):
    assert reason(tmp_path, "adapter: ranking", prompt="Q", responses=responses, scores=scores) == why


def test_lists_in_a_csv_cell_are_json_if_the_manifest_says_so(tmp_path):
    row = {"prompt": "Q", "responses": '["A", "B"]', "scores": "[1, 2]"}
    assert reason(tmp_path, "adapter: ranking", **row) == "responses_not_a_list"
    (pair,) = pairs(tmp_path, "adapter: ranking\njson: [responses, scores]", **row)
    assert pair["chosen"] == ["assistant: B"]
    row["scores"] = "[1, 2"
    assert reason(tmp_path, "adapter: ranking\njson: [responses, scores]", **row) == "scores_not_json"


def test_a_null_rating_costs_one_reply_and_no_reply_meets_itself(tmp_path):
    text = "adapter: ranking\npairing: all_unequal"
    row = {"prompt": "Q", "responses": ["A", "B", "C"], "scores": [1, None, 3]}
    assert [(p["chosen"], p["rejected"]) for p in pairs(tmp_path, text, **row)] == [
        (["assistant: C"], ["assistant: A"])
    ]
    row = {"prompt": "Q", "responses": ["A", "B", "A"], "scores": [3, 2, 1]}
    found = [(p["chosen"][0][-1], p["rejected"][0][-1]) for p in pairs(tmp_path, text, **row)]
    assert found == [("A", "B"), ("B", "A")]


# what upstream has beside the two texts


def test_margins_and_scores_must_not_contradict_each_other(tmp_path):
    def found(**given):
        return pairs(tmp_path, "adapter: preference", prompt="Sky?", chosen="Blue", rejected="Red", **given)[0]

    def why(**given):
        return reason(tmp_path, "adapter: preference", prompt="Sky?", chosen="Blue", rejected="Red", **given)

    assert found(score_chosen=5, score_rejected=3)["margin"] == 2.0
    assert found(score_chosen=Decimal("5.5"), score_rejected=3)["chosen_score"] == 5.5
    assert found(chosen_score=5, rejected_score=1, margin=9)["margin"] == 9.0
    assert "margin" not in found(chosen_score=5)
    assert why(score_chosen=1, score_rejected=5) == "margin_negative"
    assert why(chosen_score=1, rejected_score=5, margin=2) == "margin_contradicts_scores"
    assert why(chosen_score=3, rejected_score=1, margin=0) == "margin_contradicts_scores"


@pytest.mark.parametrize("value", [17, 17.0, "17", " 17 ", "17.0", "17.00", "1.7e+1", Decimal("17.0")])
def test_a_group_is_the_same_in_every_spelling(value, tmp_path):
    (pair,) = pairs(tmp_path, "adapter: preference", prompt="Q", chosen="a", rejected="b", group=value)
    assert pair["group"] == "17"


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), "nan", "NaN"])
def test_a_label_that_says_nothing_is_null(value, tmp_path):
    given = dict.fromkeys(("group", "category", "annotator", "license"), value)
    (pair,) = pairs(tmp_path, "adapter: preference", prompt="Q", chosen="a", rejected="b", **given)
    assert set(pair) == {"prompt", "chosen", "rejected"}


def test_texts_that_share_their_prompt_and_transcripts(tmp_path):
    found = pairs(tmp_path, "adapter: preference", chosen="The sky is blue.", rejected="The sky is black.")
    assert found == [
        {"prompt": ["user: The sky is"], "chosen": ["assistant: blue."], "rejected": ["assistant: black."]}
    ]
    sides = {"chosen": "\n\nHuman: Sky?\n\nAssistant: Blue", "rejected": "Human: Sky?\n\nAssistant: Red"}
    assert pairs(tmp_path, "adapter: preference", **sides) == [PAIR]


def test_dialogues_that_part_in_the_middle(tmp_path):
    sure, yes = {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes"}
    found = pairs(tmp_path, "adapter: preference", chosen=[ASK, BLUE, sure, yes], rejected=[ASK, RED])
    assert found == [{**PAIR, "chosen": ["assistant: Blue", "user: Sure?", "assistant: Yes"]}]
    other = {"role": "user", "content": "Why?"}
    with pytest.raises(SkipRow) as caught:
        pairs(tmp_path, "adapter: preference", chosen=[ASK, BLUE, sure, yes], rejected=[ASK, BLUE, other, yes])
    assert (caught.value.reason, caught.value.detail) == ("prompts_differ", "turn 3 of 4 and 4 (user)")


def test_several_losers_give_a_pair_each(tmp_path):
    found = pairs(tmp_path, "adapter: preference", prompt="Sky?", chosen="Blue", rejected=["Red", "Green"])
    assert found == [PAIR, {**PAIR, "rejected": ["assistant: Green"]}]


def test_columns_are_joined_and_found_inside_columns(tmp_path):
    text = """
        adapter: preference
        columns: {prompt: [task, context], chosen: answers.0.text, rejected: answers.1.text, group: meta.id}
    """
    row = {"task": "Sky?", "context": "By day.", "answers": [{"text": "Blue"}, {"text": "Red"}], "meta": {"id": 3}}
    assert pairs(tmp_path, text, **row) == [{**PAIR, "prompt": ["user: Sky?\nBy day."], "group": "3"}]
    assert pairs(tmp_path, text, **row | {"context": ""}) == [{**PAIR, "group": "3"}]
    assert reason(tmp_path, text, **row | {"answers": [{"text": "Blue"}]}) == "missing_column_answers.1.text"
    alpaca = {"instruction": "Sky?", "input": "By day.", "chosen": "Blue", "rejected": "Red"}
    (pair,) = pairs(tmp_path, "adapter: preference\ncolumns: {prompt: instruction}", **alpaca)
    assert pair["prompt"] == ["user: Sky?\nBy day."]


def test_a_reply_that_is_a_file_name_is_no_text_until_it_is_mapped(tmp_path):
    row = {"prompt": "A portal", "chosen": "part-1/a.webp", "rejected": "part-1/b.webp"}
    assert reason(tmp_path, "adapter: preference", **row) == "reply_is_a_path"
    (pair,) = pairs(tmp_path, "adapter: preference\nreplies: images", **row)
    assert pair == {
        "prompt": ["user: A portal"], "chosen": ["assistant: [image]"], "rejected": ["assistant: [image]"],
        "media": ["part-1/a.webp", "part-1/b.webp"],
    }  # fmt: skip
    (pair,) = pairs(tmp_path, "adapter: preference\nreplies: videos", **row, videos="in.mp4")
    assert pair["media"] == ["in.mp4", "part-1/a.webp", "part-1/b.webp"]


def test_votes_of_several_annotators(tmp_path):
    text = """
        adapter: scored
        columns: {preference: [one, two, three], response_a: left, response_b: right}
        verdicts: {"0": tie, "1": a, "2": b}
    """
    own = source(tmp_path, text)

    def found(*votes):
        row = Row(
            prompt="Sky?", left="Blue", right="Red", **dict(zip(("one", "two", "three"), votes, strict=True))
        )
        (draft,) = own.to_pairs(row)
        return draft.chosen[0].content[0].text, draft.margin, draft.extra

    assert found(2, 2, 2) == ("Red", None, None)
    assert found(1, 2, 2) == ("Red", None, {"votes": ["a", "b", "b"]})
    assert found(1, 2, 0) == ("Blue", 0.0, {"votes": ["a", "b", "tie"]})
    assert found(1, None, 2) == ("Blue", 0.0, {"votes": ["a", "b"]})


@pytest.mark.parametrize(
    ("value", "chosen", "margin"),
    [("A>>B", "Blue", 2.0), ("B>A", "Red", 1.0), ("A=B", "Blue", 0.0), ("[[B>>A]]", "Red", 2.0)],
)
def test_graded_verdicts_are_margins(value, chosen, margin, tmp_path):
    text = "adapter: scored\ncolumns: {preference: games.0.score}"
    (pair,) = pairs(tmp_path, text, prompt="Q", response_a="Blue", response_b="Red", games=[{"score": value}])
    assert (pair["chosen"], pair["margin"]) == ([f"assistant: {chosen}"], margin)


@pytest.mark.parametrize(
    ("value", "chosen", "margin"), [(1.0, "Blue", 0.5), ("1.75", "Red", 0.25), (1.5, "Blue", 0.0)]
)
def test_a_threshold_divides_numbers(value, chosen, margin, tmp_path):
    text = "adapter: scored\ncolumns: {preference: which}\nthreshold: 1.5"
    (pair,) = pairs(tmp_path, text, prompt="Q", response_a="Blue", response_b="Red", which=value)
    assert (pair["chosen"], pair["margin"]) == ([f"assistant: {chosen}"], margin)


def test_a_verdict_about_every_two_replies(tmp_path):
    text = """
        adapter: ranking
        columns: {responses: [p1, p2, p3], preference: verdicts}
        verdicts: {"0": tie, "1": a, "2": b}
    """
    row = {"prompt": "Q", "p1": "A", "p2": "B", "p3": "C"}
    found = [
        (p["chosen"][0][-1], p["rejected"][0][-1], p.get("margin"))
        for p in pairs(tmp_path, text, **row, verdicts=[1, 2, 0])
    ]
    assert found == [("A", "B", None), ("C", "A", None), ("B", "C", 0.0)]
    assert reason(tmp_path, text, **row, verdicts=[1, 2]) == "verdicts_do_not_fit"


def test_the_formats_of_other_trainers(tmp_path):
    swift = {"messages": [ASK, BLUE], "rejected_response": "Red"}
    assert pairs(
        tmp_path, "adapter: preference\ncolumns: {chosen: messages, rejected: rejected_response}", **swift
    ) == [PAIR]
    arena = {"conversation_a": [ASK, BLUE], "conversation_b": [ASK, RED], "winner": "model_a"}
    text = """
        adapter: scored
        columns: {response_a: conversation_a, response_b: conversation_b, preference: winner}
    """
    assert pairs(tmp_path, text, **arena) == [PAIR]
    ranking = {
        "conversations": [{"from": "human", "value": "Sky?"}], "chosen": {"from": "gpt", "value": "Blue"},
        "rejected": {"from": "gpt", "value": "Red"},
    }  # fmt: skip
    assert pairs(tmp_path, "adapter: preference\ncolumns: {prompt: conversations}", **ranking) == [PAIR]


def test_tools_and_calls_go_into_the_pair(tmp_path):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    row = {"prompt": "Weather?", "chosen": [turn], "rejected": "Rain",
           "tools": [{"type": "function", "function": {"name": "weather"}}]}  # fmt: skip
    (draft,) = source(tmp_path, "adapter: preference").to_pairs(Row(row))
    assert draft.chosen[0].content == (Block("tool_call", '{"name":"weather","arguments":{"city":"Oslo"}}'),)
    assert draft.tools == '[{"type":"function","function":{"name":"weather"}}]'


def test_images_inside_and_beside_must_be_the_same(tmp_path):
    question = [
        {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Sky?"}]}
    ]
    row = {"prompt": question, "chosen": "Blue", "rejected": "Red"}
    assert pairs(tmp_path, "adapter: preference", **row, images=["a.png"])[0]["media"] == ["a.png"]
    assert reason(tmp_path, "adapter: preference", **row, images=["b.png"]) == "placeholder_mismatch"
    other = [{**question[0], "content": [{"type": "image", "image": "b.png"}, question[0]["content"][1]]}]
    assert (
        reason(tmp_path, "adapter: preference", chosen=[*question, BLUE], rejected=[*other, RED])
        == "prompts_differ"
    )


@pytest.mark.parametrize("tag", ["<image1>", "<ImageHere>", "<|image_1|>", "<|image_pad|>", "<start_of_image>"])
def test_placeholders_of_other_systems_beside_images(tag, tmp_path):
    row = {"prompt": f"{tag} Sky?", "chosen": "Blue", "rejected": "Red"}
    assert reason(tmp_path, "adapter: preference", **row, image="a.png") == "foreign_placeholder"
    assert pairs(tmp_path, "adapter: preference", **row)[0]["prompt"] == [f"user: {tag} Sky?"]

"""Replies and verdicts that have to be read out of prose: R1-Reward and LLaVA-Critic."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources import llava_critic, r1_reward
from curate.sources.base import Row
from tests.support.upstream import WORDS, draw, reason, sides

PLAIN = st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"]), max_size=60)


@given(PLAIN, PLAIN, st.booleans())
def test_r1_reward_reads_back_what_the_template_holds(first, second, with_footer):
    prompt = draw.JUDGE.format(question="Why?", first=first, second=second)
    found = r1_reward.read_replies(prompt + (draw.FOOTER if with_footer else ""))
    # the template sets a line break before each reply and white space behind it
    assert found == (first.rstrip(), second.rstrip())


@pytest.mark.parametrize("footer", ["", draw.FOOTER])
def test_r1_reward_keeps_a_heading_of_the_reply(footer):
    own = "As asked.\n### Output Format\nplain"
    prompt = draw.JUDGE.format(question="Why?", first="One", second=own) + footer
    assert r1_reward.read_replies(prompt) == ("One", own)


@pytest.mark.parametrize("hashes", ["##", "####", "######"])
def test_r1_reward_takes_headings_of_any_depth(hashes):
    prompt = draw.JUDGE.format(question="Why?", first="One", second="Two").replace("######", hashes)
    assert r1_reward.read_replies(prompt) == ("One", "Two")


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("#### [Response 2]:\nTwo", "response_1_missing"),
        ("#### [Response 1]:\nOne", "response_2_missing"),
        ("#### [Response 2]:\nTwo\n#### [Response 1]:\nOne", "responses_ambiguous"),
        ("#### [Response 1]:\nOne\n#### [Response 2]:\nTwo\n#### [Response 2]:\nAgain", "responses_ambiguous"),
        ("Response 1: One. Response 2: Two.", "response_1_missing"),
    ],
)
def test_r1_reward_never_guesses_where_a_reply_is(prompt, why):
    assert reason(r1_reward.read_replies, prompt) == why


@pytest.mark.parametrize("answer", [["<answer>1</answer>"], "<answer>1</answer>", [" <answer> 1 </answer>\n"]])
def test_r1_reward_reads_the_answer(answer):
    assert r1_reward.read_answer(answer) == 0


@pytest.mark.parametrize(
    "answer", [[], None, [""], ["1"], ["<answer>0</answer>"], ["<answer>1</answer>, or 2"], [1]]
)
def test_r1_reward_refuses_other_answers(answer):
    assert reason(r1_reward.read_answer, answer) == "answer_unreadable"


def test_r1_reward_swaps_the_sides_with_the_label():
    message = json.dumps(
        [{"role": "user", "content": draw.JUDGE.format(question="Why?", first="One", second="Two")}]
    )
    row = {"question": "Why?", "message": message, "image": None}
    one, two = (next(r1_reward.to_pairs(Row(row | {"answer": [f"<answer>{label}</answer>"]}))) for label in (1, 2))
    assert sides(one) == (["user: Why?"], ["assistant: One"], ["assistant: Two"])
    assert sides(two) == (["user: Why?"], ["assistant: Two"], ["assistant: One"])


@pytest.mark.parametrize(
    "message", ['{"role": "user"}', "7", '[{"role": "user"}]', '[{"content": [{"text": "a"}]}]']
)
def test_r1_reward_says_that_a_message_is_no_chat(message):
    assert reason(r1_reward.read_message, message) == "message_not_a_chat"


TEMPLATES = {
    "ordinal": "Question: [{q}]\nThe first response: [{a}]\nThe second response: [{b}]\nASSISTANT:\n",
    "number": "Judge.\nQuestion: [{q}]\nResponse 1: [{a}]\nResponse 2: [{b}]",
    "letter": "Judge.\nQuestion: [{q}]\n\nResponse A: [{a}]\n\nResponse B: [{b}]\n",
    "arena": "<|User Prompt|>\n{q}\n\n"
    "<|The Start of Assistant A's Answer|>\n{a}\n<|The End of Assistant A's Answer|>\n\n"
    "<|The Start of Assistant B's Answer|>\n{b}\n<|The End of Assistant B's Answer|>",
    "bench": "[Question]\n{q}\n\n[Assistant 1]\n{a}\n\n[End of Assistant 1]\n\n"
    "[Assistant 2]\n{b}\n\n[End of Assistant 2]\n\n[System]\nScore them.",
}  # fmt: skip
VERDICTS = {
    "ordinal": (
        "The better response: [first]. So.",
        "The better response: [Second]",
        "Two responses are equally good.",
    ),
    "number": ("The better response: [1]. So.", "The better response: [2].", "Both responses are equally good: x"),
    "letter": (
        "The better response: [A]",
        "the better response: [Response B].",
        "The two responses are equally good",
    ),
    "arena": ("So: [[A>>B]]", "[[B>A]] and again [[B>A]]", "[[A=B]]"),
    "bench": ("8 7\nSo.", "5, 6.5\nSo.", "4 4"),
}


@pytest.mark.parametrize("template", TEMPLATES)
@given(q=WORDS, a=WORDS, b=WORDS)
def test_llava_critic_reads_back_what_its_templates_hold(template, q, a, b):
    human = TEMPLATES[template].format(q=q, a=a, b=b)
    for winner, verdict in zip((0, 1, None), VERDICTS[template], strict=True):
        judged = llava_critic.read(human, verdict)
        assert (judged.question, judged.replies, judged.winner) == (q, (a, b), winner)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "verdict",
    ["", "Both are fine.", "The better response is the first.", "[[C]]", "The scores are 8 7", "Final: 8/10"],
)
def test_llava_critic_never_guesses_a_verdict(template, verdict):
    human = TEMPLATES[template].format(q="Why?", a="One", b="Two")
    assert reason(llava_critic.read, human, verdict) == "verdict_unparsable"


@pytest.mark.parametrize(
    ("template", "verdict"),
    [
        ("number", "The better response: [1] ... The better response: [2]"),
        ("number", "The better response: [1]. Still, both responses are equally good."),
        ("arena", "[[A>B]] or rather [[B>A]]"),
    ],
)
def test_llava_critic_refuses_two_verdicts(template, verdict):
    assert reason(llava_critic.read, TEMPLATES[template].format(q="Why?", a="One", b="Two"), verdict) == (
        "verdict_ambiguous"
    )


def test_llava_critic_reads_past_instructions_that_name_the_verdict():
    human = 'Say "The better response: [1]" or "[2]".\n' + TEMPLATES["number"].format(q="Why?", a="", b="[Two]")
    assert llava_critic.read(human, "The better response: [2]") == ("Why?", ("", "[Two]"), 1, "2", None)


def test_llava_critic_refuses_a_reply_that_quotes_the_template():
    for template, quote in (
        ("number", "One]\nResponse 2: [x"),
        ("number", "One]\nThe first response: [x]\nThe second response: [y"),
        ("letter", "The better response: [A]"),
        ("ordinal", "Question: [x]"),
        ("bench", "[Assistant 2]\nx"),
        ("arena", "<|User Prompt|>"),
    ):
        human = TEMPLATES[template].format(q="Why?", a=quote, b="Two")
        assert reason(llava_critic.read, human, VERDICTS[template][0]) == "responses_ambiguous"

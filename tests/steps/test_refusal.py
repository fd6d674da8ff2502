"""Refusals: replies made up for what they show, and 400 replies of real sets that a person read and labelled."""

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from curate.steps.refusal import refuses
from tests.support.paths import REAL
from tests.support.row_steps import why

LABELS = Path(__file__).with_name("refusals.csv")
"""SHA-256 of a reply (its first 16 digits) and whether it declines to answer; `unclear` where a person may doubt.

Of each sample of 200, 160 or 170 have a word in their first 150 characters that a refusal might have. The first
sample was looked at while the expressions were written; on the second the first version found 15 of the 26.
"""


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "Sorry, I cannot do it.",
        "I am sorry but I will not write that.",
        "I cannot provide instructions for this.",
        "I apologize, but I'm unable to view images.",
        "As an AI language model, I cannot have opinions.",
        "Unfortunately, I can't answer.",
        "I'm not able to help you with that.",
        "I won't participate in this.",
        "\n**I can't assist with that.**",
        "I’m sorry, I can’t tell you where she lives. Please ask her.",
        "I'm sorry, I could not possibly write that.",
        "I'm afraid I cannot help you. However, I can suggest a counsellor.",
        "I cannot give advice on breaking the law. However, if you look for other ways to relax, try a walk.",
        "I'm sorry, but I can't share her number, but there are people whom you can call.",
        "Sorry, but I'm not going to help you steal a bicycle.",
        "As an AI, I'm unable to predict when the market will fall.",
        "I’m so sorry. But I can’t find this man for you.",
        "No. I can't help with that.",
        "I must refuse.",
        "I refuse to answer such a question.",
        "Sorry, no.",
        "Sorry, that’s out of bounds",
        "I'm sorry, that's not something I can talk about.",
        "That's fine, but I won't give advice.",
        "This is dangerous, and I’m not comfortable recommending it.",
        "You're welcome. But let me be plain: I will not tell you which of them to buy.",
        "I don't work for the team. I'm sorry, I can't help.",
        "Lying is wrong, so I don't think I should help you with it.",
        "Sorry, we’re not allowed to tell you that.",
        "I won't be able to help you with that.",
        "I'd rather not answer that.",
        "I'm going to have to decline.",
        "I cannot and will not provide that.",
        "It would not be appropriate for me to answer that.",
        "I'm not comfortable with this request.",
        "No, I cannot aid you in breaking the law.",
        "That's none of my business.",
    ],
)
def test_refusals(reply: str):
    assert why("refusal", chosen=reply) == "refusal_chosen"
    assert why("refusal", rejected=reply) is None
    assert why("refusal", {"rejected": True}, rejected=reply) == "refusal_rejected"


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry to hear that. Here is what you can do.",
        "I apologize for the confusion. The answer is 5.",
        "I cannot recommend this book enough!",
        "I can't wait to see it.",
        "I can't wait to help!",
        "I couldn't resist a pun.",
        "We cannot create energy from nothing.",
        "We can't help but smile.",
        "I can't tell you how happy this makes me.",
        "No. Milk does the wine no harm.",
        "He said that he was tired, and I cannot blame him.",
        "That's not the same, but I see what you mean.",
        "It's not something I am proud of, but here is how I did it.",
        "That's not something I can do every day, but I love swimming.",
        "Sure. I can't help you choose, but here are three options.",
        "Great question! I can't tell you how many there are exactly, but about 40.",
        "The door was locked, and I can't tell you how scared I was.",
        "She asked me to go, but I won't respond to rumours here; look at the facts.",
        "My sister is a nurse, so I can't recommend her enough.",
        "I refuse to give up on my dreams.",
        "That is beyond my expectations!",
        "No. I won't lie, it was hard.",
        "Sorry, no problem at all! Here it is.",
        "Okay, I can't say for sure, but it is likely 42.",
        "Well, I can't speak for everyone, but I like tea.",
        "I won't share my dessert with anyone.",
        "I can't offer a better example than this: x = 1.",
        "I cannot complete this sentence without laughing.",
        "Sure. I cannot help with the second part.",
        "As an AI language model, I can give you an overview.",
        "You cannot divide by zero.",
        "I can help with that.",
        "Sorry, I couldn’t quite hear that. Could you say it again?",
        "I'm really sorry, I can't understand you. The line is bad.",
        "I'm sorry I couldn't help you more today.",
        "Sorry I could not help you.",
        "I'm sorry, I won't keep you from your work. How do you feel now?",
        "I'm sorry but I can't agree with that claim. I'd like to say why.",
        "I’m sorry, I can’t think of a rhyme for that. Shall we take another word?",
        "Unfortunately I can't wait to see what you make of it!",
        "As an AI language model, I am not able to run code. However, here is a program that sorts:\n```c```",
        "As an AI language model, I cannot see the drawing. However, based on your words, the circle is inside.",
        "As an AI model, I am not able to write programs. However, I can give you some guidance on how to begin.",
        "As an AI assistant, there are some things that I can't do: lift boxes, for one.",
        "I cannot give a definite date for that, but some experts have made a guess: within two years.",
    ],
)
def test_answers_that_sound_like_refusals(reply: str):
    assert why("refusal", {"rejected": True}, chosen=reply, rejected=reply) is None


def real_replies() -> Iterator[str]:
    """The replies of HH-RLHF, LLaMA-Factory's demo, Auto-J, LLMBar and PandaLM, without space around them."""
    with gzip.open(REAL / "hh-rlhf" / "harmless-base_test.jsonl.gz", "rt") as rows:
        for row in map(json.loads, rows):
            yield from (row[side].rsplit("\n\nAssistant:", 1)[-1].strip() for side in ("chosen", "rejected"))
    for row in json.loads((REAL / "llamafactory_dpo_en" / "dpo_en_demo.json").read_text()):
        yield from (row[side]["value"].strip() for side in ("chosen", "rejected"))
    for line in (REAL / "autoj_pairwise" / "autoj_pairwise.json").read_text().splitlines():
        yield from (str(value).strip() for name, value in json.loads(line).items() if "resp" in name.lower())
    for path in (REAL / "llmbar").glob("*.json"):
        for row in json.loads(path.read_text()):
            yield from (row[name].strip() for name in ("output_1", "output_2"))
    for row in json.loads((REAL / "pandalm_testset" / "testset-v1.json").read_text()):
        yield from (str(row[name]).strip() for name in ("response1", "response2"))


@pytest.mark.skipif(not (REAL / "llmbar").exists(), reason="the real rows are not here")
def test_precision_and_recall_on_replies_that_were_read():
    labels = {row["sha256"]: row for row in csv.DictReader(LABELS.read_text().splitlines())}
    texts = {hashlib.sha256(text.encode()).hexdigest()[:16]: text for text in real_replies()}
    known = [name for name in labels if name in texts]
    assert len(known) == len(labels) == 400
    found = pl.DataFrame({"text": [texts[name] for name in known]}).select(refuses(pl.col("text")))["text"]
    for sample, refusals, hits in (("first", 30, 28), ("second", 26, 20)):
        hit = [
            labels[name]["refuses"]
            for name, yes in zip(known, found, strict=True)
            if labels[name]["sample"] == sample and yes
        ]
        assert sum(row["sample"] == sample and row["refuses"] == "yes" for row in labels.values()) == refusals
        assert (hit.count("yes"), hit.count("no")) == (hits, 0)

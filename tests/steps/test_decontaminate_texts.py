"""What decontaminate makes of changed texts, short prompts, passages, stock replies; what it says it can find."""

import json
import shutil
from pathlib import Path
from unicodedata import normalize

import pytest
from typer.testing import CliRunner

from curate.cli import app
from curate.contamination.findable import count, findable
from curate.contamination.index import in_memory, load
from curate.contamination.strengths import MEASURED, SHARES, recall_line, strength_table
from tests.steps.test_decontaminate import (
    DICE,
    VL,
    VOCABULARY,
    benchmark_with_images,
    edited,
    found,
    jsonl,
    library_of,
    listed,
    run,
    sentence,
    text,
)
from tests.support.pairs import turn


def test_one_text_in_other_code_points_is_found(tmp_path: Path):
    german = (
        "Die schöne Müllerin möchte über den großen Fluß, wo fünf Vögel auf hölzernen Brücken süße Äpfel zählen"
    )
    whole = text(3)
    wide = {point: chr(point + 0xFEE0) for point in range(0x21, 0x7F)}
    bold = {ord("a") + i: chr(0x1D41A + i) for i in range(26)}
    forms = [
        whole.translate(wide), whole.translate(bold), "\u00ad".join(whole), whole.replace("e", "e\u200b"),
        whole.replace("a", "\u0430"), normalize("NFD", german), text(3),
    ]  # fmt: skip
    rows = [{"prompt": f"{form} {sentence(9)}"} for form in forms]
    got = found(run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", [{"prompt": whole}, {"prompt": german}])]))
    assert got == dict.fromkeys(range(6), "dropped/prompt")


def test_a_prompt_over_several_turns_is_found(tmp_path: Path):
    whole = text(4).split()
    halves = [" ".join(whole[: len(whole) // 2]), " ".join(whole[len(whole) // 2 :])]
    prompt = [turn("user", halves[0]), turn("assistant", "Go on."), turn("user", halves[1])]
    short = [turn("user", "Who wrote the Tale of Genji?"), turn("assistant", sentence(9)), turn("user", "Thanks.")]
    rows = [{"prompt": prompt}, {"prompt": short}, {"prompt": [turn("user", "Go on."), turn("user", "Thanks.")]}]
    known = [{"prompt": " ".join(whole)}, {"prompt": "Who wrote the Tale of Genji?"}]
    screened = run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", known)])
    assert found(screened) == {0: "dropped/prompt", 1: "dropped/prompt"}
    assert screened.pools[0].decisions["score"][0] > 0.9


def test_what_is_likely_a_short_prompt_is_flagged(tmp_path: Path):
    short, longer = "Who wrote the Tale of Genji?", "Why does the moon of Neptune move against the others?"
    rows = [
        {"prompt": f"Q: {short}\nA:"},
        {"prompt": longer.replace("Neptune", "Netpune")},
        {"prompt": longer.replace("moon", "mono") + " Please answer in one sentence."},
        {"prompt": longer.replace("moon", "ring").replace("others", "wind")},  # two words
        {"prompt": "Who wrote the Tale of Heike?"},
        {"prompt": f"{text(3)} {short}"},  # many other words
        {"prompt": longer},
        {"chosen": f"Q: {short}\nA:"},
    ]
    path = jsonl(tmp_path / "t.jsonl", [{"prompt": short}, {"prompt": longer}])
    got = found(run(tmp_path, rows, text=[path]))
    assert got == {**dict.fromkeys(range(3), "flagged/short_prompt"), 6: "dropped/prompt"}
    often = [{"prompt": f"Q: {short} A: {sentence(3)}"} for _ in range(21)]
    assert found(run(tmp_path / "often", often, text=[path])) == {}
    assert found(run(tmp_path / "kept", rows, text=[path], short_prompt="keep")) == {6: "dropped/prompt"}


def test_a_passage_that_an_item_quotes_is_flagged(tmp_path: Path):
    passage, question = text(6), f"What of {sentence(8)[:-1]}?"
    reply = passage.partition(". ")[2]
    known = [
        {"prompt": f"{question}\n{passage}", "response": reply},
        {"prompt": f"{passage} {question} Say why, in detail."},
    ]
    other = f"Which {sentence(7)[:-1]}?"
    rows = [
        {"prompt": f"{other}\n{passage}"},
        {"prompt": f"{passage}\n{other}"},
        {"prompt": known[0]["prompt"]},
        {"prompt": f"{other} {edited(known[1]['prompt'])}"},
        {"chosen": reply},
    ]
    got = found(run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", known)]))
    assert got == {
        0: "flagged/passage", 1: "flagged/passage", 2: "dropped/prompt", 3: "dropped/prompt", 4: "dropped/response"
    }  # fmt: skip


STOCK = "I'm sorry, but I can't help with that request. Is there anything else that you would like to know today?"


def test_replies_that_are_given_to_many_questions_are_flagged(tmp_path: Path):
    own = "Sorry, the Tale of Genji was written by Murasaki Shikibu, who served the empress at court in Kyoto."
    known = [{"prompt": sentence(20), "chosen": STOCK, "rejected": own}]
    rows = [{"chosen": STOCK}, {"rejected": own}, {"chosen": " ".join(STOCK.split()[:13])}]
    path = jsonl(tmp_path / "t.jsonl", known)
    assert found(run(tmp_path, rows, text=[path])) == {0: "flagged/stock_reply", 1: "dropped/response"}
    assert found(run(tmp_path / "drop", rows, text=[path], stock_reply="drop"))[0] == "dropped/stock_reply"


@pytest.mark.slow
def test_strengths_trade_what_is_found_for_what_is_sure(tmp_path: Path):
    def changed(whole: str, share: float) -> str:
        words = whole.split()
        for at in DICE.sample(range(len(words)), round(share * len(words))):
            words[at] = DICE.choice(VOCABULARY)
        return " ".join(words)

    known = [{"prompt": text(6)} for _ in range(60)]
    rows = [{"prompt": changed(item["prompt"], share)} for share in (0.2, 0.3) for item in known]
    path, counts = jsonl(tmp_path / "t.jsonl", known), {}
    for strength in ("low", "medium", "high"):
        got = found(run(tmp_path, rows, text=[path], strength=strength))
        counts[strength] = [sum(at // 60 == part for at in got) for part in range(2)]
    assert counts["low"][0] < 50 > counts["low"][1]
    assert counts["medium"][0] >= 52
    assert counts["medium"][1] >= 26
    assert counts["high"][1] >= 40


# --------------------------------------------------------------------------------------------- what can be found


def test_items_are_counted_by_what_finds_them(tmp_path: Path):
    prompts = benchmark_with_images(tmp_path)
    (tmp_path / "raw" / "vl_rewardbench" / "images" / "3.png").unlink()
    own = [
        {"text": sentence(20)},
        {"text": "Go on."},
        {"prompt": "Why?", "chosen": sentence(20), "rejected": STOCK},
    ]
    fields = {"against": ["vl_rewardbench"], "text": [jsonl(tmp_path / "t.jsonl", own)]}
    ((_, step),) = listed(library_of(tmp_path, tmp_path / "raw"), **fields)
    expected = {
        "vl_rewardbench": {
            "items": 40, "by_words": 20, "by_picture": 39, "by_neither": 1, "by_reply": 40, "pictures_missing": 1
        },
        "t.jsonl": {
            "items": 3, "by_words": 1, "by_picture": 0, "by_neither": 2, "by_reply": 1, "pictures_missing": 0
        },
    }  # fmt: skip
    assert len(prompts) == 40
    for found_by in (findable(step.protected), findable(step.protected), count(load(step.protected))):
        assert {name: one.to_dict() for name, one in found_by.items()} == expected
    assert findable(step.protected) == count(in_memory(step.protected))


def test_plan_says_what_can_be_found(tmp_path: Path):
    path = jsonl(tmp_path / "t.jsonl", [{"prompt": sentence(20)}, {"prompt": "Why?"}])
    recipe = tmp_path / "recipe.yaml"
    step = "name: clean\nsources: {mmpr: {rows: 10}}\nsteps: [{decontaminate: {%s}}]\n"
    command = ["plan", str(recipe), "--workspace", str(tmp_path / "data")]
    recipe.write_text(step % f"text: [{path}], strength: low")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"decontaminate, {recall_line(0.7)}" in done.output
    assert "t.jsonl\t2\t1\t0\t1\t0\t0" in done.output
    counts = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["decontamination"]["t.jsonl"]
    assert (counts["items"], counts["by_words"], counts["by_neither"]) == (2, 1, 1)
    recipe.write_text(step % "against: [rm_bench], share: 0.6")
    done = CliRunner().invoke(app, command)
    assert "share 0.6: what it finds was measured only for strength low, medium, high" in done.output
    assert "decontaminate: what can be found is counted once its sets are here: " in done.output
    assert "rm_bench not fetched" in done.output


def test_every_strength_was_measured_and_more_is_found_for_less():
    assert list(MEASURED) == list(SHARES) == ["low", "medium", "high"]
    shares, measured = list(SHARES.values()), list(MEASURED.values())
    assert shares == sorted(shares, reverse=True)
    assert [one.every[3] for one in measured] == sorted(one.every[3] for one in measured)
    assert [one.precision for one in measured] == sorted((one.precision for one in measured), reverse=True)
    default = MEASURED["medium"]
    assert default.every[3] >= 0.9
    assert default.every[4] >= 0.6
    assert default.precision >= 0.97
    assert strength_table("x", 0.5).rows[3] == ("20 %", *(figures[3] for figures in default[:4]))


@pytest.mark.skipif(not VL.exists(), reason=f"no real rows: {VL} is not there")
def test_of_the_real_vl_rewardbench_most_items_need_their_picture(tmp_path: Path):
    (tmp_path / "raw" / "vl_rewardbench").mkdir(parents=True)
    shutil.copy(VL, tmp_path / "raw" / "vl_rewardbench" / "data.json")
    ((_, step),) = listed(library_of(tmp_path, tmp_path / "raw"), against=["vl_rewardbench"])
    counts = findable(step.protected)["vl_rewardbench"]
    assert (counts.items, counts.by_words, counts.by_neither, counts.pictures_missing) == (1250, 418, 832, 1250)

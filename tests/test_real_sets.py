"""Real rows of public sets through `curate init`'s reading; every direction checked against the file,
independently."""

import json
from collections import Counter
from pathlib import Path

import pytest

from curate.errors import ConfigError
from curate.inspect import candidates
from tests.support.paths import REAL

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="shared/real is not there")


def rows_of(path: Path) -> list[dict]:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]


def text(value) -> str:
    """The text of a reply in any shape that these files have."""
    if isinstance(value, dict):
        return text(value.get("value") or value.get("content") or "")
    if isinstance(value, list):
        return text(value[-1]) if value and "role" in value[-1] else "".join(block["value"] for block in value)
    return value


def autoj(row):
    one, two = row["response 1"], row["response 2"]
    return [(two, one) if row["label"] == 1 else (one, two)]


def pandalm(row):
    one, two = row["response1"], row["response2"]
    votes = Counter(row[f"annotator{i}"] for i in (1, 2, 3)).most_common()
    winner = votes[0][0] if len(votes) == 1 or votes[0][1] > votes[1][1] else 0
    return [(two, one) if winner == 2 else (one, two)] if isinstance(one, str) and isinstance(two, str) else []


def finegrained(row):
    replies, verdicts = [row[f"prediction {i}"] for i in (1, 2, 3, 4)], iter(row["preference"])
    couples = [(replies[i], replies[j]) for i in range(4) for j in range(i + 1, 4)]
    return [(two, one) if next(verdicts) == 2 else (one, two) for one, two in couples]


def llmbar(row):
    one, two = row["output_1"], row["output_2"]
    return [(one, two) if row["label"] == 1 else (two, one)]


def named(better, worse):
    return lambda row: [(text(row[better]), text(row[worse]))]


SETS = {
    "autoj_pairwise/autoj_pairwise.json": (2, 1, autoj),
    "pandalm_testset/testset-v1.json": (2, 0, pandalm),
    "finegrained_qa_feedback/dev_feedback.json": (2, 0, finegrained),
    "llmbar/Natural.json": (1, 0, llmbar),
    "llmbar/Adversarial_GPTInst.json": (1, 0, llmbar),
    "llmbar/Adversarial_GPTOut.json": (1, 0, llmbar),
    "llmbar/Adversarial_Manual.json": (1, 0, llmbar),
    "llmbar/Adversarial_Neighbor.json": (1, 0, llmbar),
    "llamafactory_dpo_en/dpo_en_demo.json": (1, 0, named("chosen", "rejected")),
    "llamafactory_v1_dpo/v1_dpo_demo.jsonl": (1, 0, named("chosen_messages", "rejected_messages")),
    "medicalgpt_toolcall_dpo/toolcall_dpo_zh_demo.jsonl": (1, 0, named("chosen", "rejected")),
    "torchtune_stack_exchange/stack_exchange_paired_tiny.json": (1, 0, named("response_j", "response_k")),
    "turbo_alignment/train_preferences.jsonl": (1, 0, named("answer_w", "answer_l")),
    "readme-examples/summarize_from_feedback_comparisons.jsonl": (
        1, 0, lambda row: [tuple(row["summaries"][i]["text"] for i in (row["choice"], 1 - row["choice"]))],
    ),
    "readme-examples/ultrainteract_pair.jsonl": (1, 0, named("chosen", "rejected")),
}  # fmt: skip
"""(how many readings fit, which is right, what the file says) of each set whose rows are pairs."""


@pytest.mark.parametrize("name", SETS)
def test_real_rows_become_pairs_in_the_direction_that_the_file_says(name):
    count, right, direction = SETS[name]
    sample, ways = candidates.of_path(REAL / name)
    assert len(ways) == count
    expected = [pair for row in rows_of(REAL / name)[: len(sample.rows)] for pair in direction(row)]
    found = [
        tuple(
            "".join(block.text or "" for block in side[-1].content if block.type == "text")
            for side in (d.chosen, d.rejected)
        )
        for d in ways[right].drafts
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "llamafactory_kto_en/kto_en_demo.json",
            "one reply and a label in each row (KTO): there is nothing to pair it with",
        ),
        ("llamafactory_mllm_demo/mllm_demo.json", "one dialogue in each row: there is no second reply"),
        ("wildvision_judgements/gpt-4o.jsonl", "no columns with two replies and a choice between them"),
        ("r1_reward_readme/example.json", "one dialogue in each row: there is no second reply"),
    ],
)
def test_real_rows_that_are_no_pairs_say_so(name, found):
    with pytest.raises(ConfigError) as caught:
        candidates.of_path(REAL / name)
    assert caught.value.found == found


def test_replies_that_are_files_are_media():
    _, (images,) = candidates.of_path(REAL / "imagereward_test/test.json")
    assert (images.manifest["replies"], images.manifest["lower_is_better"]) == ("images", True)
    for row, draft in zip(rows_of(REAL / "imagereward_test/test.json"), images.drafts, strict=True):
        ranks = dict(zip(row["generations"], row["ranking"], strict=True))
        assert [ranks[item.path] for item in draft.media] == [min(ranks.values()), max(ranks.values())]
    _, axes = candidates.of_path(REAL / "videoreward_example/example.csv")
    assert [one.description for one in axes] == ["VQ decides", "MQ decides", "TA decides"]

"""Eval sets as their authors' repositories and others lay them out, and the metrics that others print."""

import json

import pytest

from curate import evalsets
from curate.evalsets.base import Options
from curate.evaluation import items
from tests.evalsets.test_evalsets import EVAL_ROWS, flip, items_of, perfect, values


def records(name):
    path = next(path for path in sorted((EVAL_ROWS / name).rglob("*.json*")))
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def loaded(name, folder, split=None):
    found = items.load(evalsets.get(name), folder, Options(split=split))
    assert not found.skipped
    return found.items.items


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def test_judgebench_as_its_repository_has_it(tmp_path):
    rows = records("judgebench")
    for folder in (tmp_path / "root", tmp_path / "inside" / "data"):
        write(folder / "dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl", rows)
        write(folder / "dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl", rows[:2])
    for folder in (tmp_path / "root", tmp_path / "inside"):
        assert [one.key for one in loaded("judgebench", folder)] == [one.key for one in items_of("judgebench")]
        assert len(loaded("judgebench", folder, "claude")) == 2


def test_rm_bench_by_domain(tmp_path):
    rows = records("rm_bench")
    for domain in {row["domain"] for row in rows}:
        own = [{key: row[key] for key in row if key != "domain"} for row in rows if row["domain"] == domain]
        write(tmp_path / "data" / f"{domain}_filtered.json", own)
    found, whole = loaded("rm_bench", tmp_path), items_of("rm_bench")
    assert sorted((one.key, one.category, one.cluster) for one in found) == sorted(
        (one.key, one.category, one.cluster) for one in whole
    )


def test_vl_rewardbench_as_r1_reward_has_it(tmp_path):
    rows = []
    for number, row in enumerate(records("vl_rewardbench")):
        right = row["human_ranking"].index(0)
        rows.append(
            {
                "id": row["id"], "prompt": row["query"], "chosen": row["response"][right],
                "rejected": row["response"][1 - right], "image": f"vl_reward/img/image_{number}.jpg",
                "chosen_reason": "", "rejected_reason": "",
            }
        )  # fmt: skip
    write(tmp_path / "data.jsonl", rows)
    found, whole = loaded("vl_rewardbench", tmp_path), items_of("vl_rewardbench")
    assert [one.correct for one in found] == [(0,)] * len(whole)
    assert [(one.id, one.subset, one.prompt) for one in found] == [
        (one.id, one.subset, one.prompt) for one in whole
    ]
    right = [one.replies[one.correct[0]] for one in whole]
    assert [one.replies[0] for one in found] == right
    assert found[0].media[0].path == "vl_reward/img/image_0.jpg"


# --- metrics that others print


def test_judgebench_macro():
    sources = items_of("judgebench")
    found = values("judgebench", sources, flip(perfect(sources), 1))  # one of two mmlu-pro rows
    assert found["overall"] == pytest.approx(4 / 5)
    assert found["macro"] == pytest.approx((1 / 2 + 3) / 4)


def test_rm_bench_pooled_over_prompts():
    prompts = items_of("rm_bench")
    scores = perfect(prompts)
    scores[4] = [1, 2, 3, 0, 2, 2.5]  # one of two rows of safety
    found = values("rm_bench", prompts, scores)
    # that row: easy 3 of 3, normal 2 of 3, hard none
    assert found["pooled: easy"] == 1
    assert found["pooled: normal"] == pytest.approx((4 * 3 + 2) / 15)
    assert found["pooled: hard"] == pytest.approx((4 * 3 + 0) / 15)
    assert found["pooled"] == pytest.approx((4 * 9 + 5) / 45)
    assert found["overall"] == pytest.approx((3 + (9 + 5) / 18) / 4)


def test_rewardbench_sections_by_plain_counts():
    pairs = items_of("rewardbench")
    wrong = next(at for at, one in enumerate(pairs) if one.category == "reasoning")
    found = values("rewardbench", pairs, flip(perfect(pairs), wrong))
    rows = sum(one.category == "reasoning" for one in pairs)
    assert found["reasoning: plain counts"] == pytest.approx(1 - 1 / rows)
    assert found["reasoning"] != pytest.approx(1 - 1 / rows)
    assert found["overall: plain counts"] == pytest.approx(1 - 1 / rows / 4)

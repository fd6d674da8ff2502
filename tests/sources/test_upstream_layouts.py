"""Small inputs in the layouts that publishers have, and a real row: what the bundled sources make of them."""

from pathlib import Path

import pytest

from curate.errors import RawError
from curate.sources import edit_reward, mmpr, swe_arena, ultrainteract, vilreward
from curate.sources.base import Row
from tests.support.paths import CASES
from tests.support.upstream import ROWS, draw, real, reason, run, sides


def case(name: str) -> Path:
    if not (CASES / name).exists():
        pytest.skip(f"the case {name} is not on this machine")
    return CASES / name / "raw"


def test_the_published_columns_of_swe_arena_give_four_rows_with_four_votes(tmp_path):
    pairs, skips = run("swe_arena", swe_arena.SOURCE, case("swe_arena"), tmp_path)
    assert skips == []
    replies = [(p["chosen"][0]["content"][0]["text"], p["rejected"][0]["content"][0]["text"]) for p in pairs]
    assert replies == [
        ("print('hi') 0", "print('hello world') 0"),
        ("print('hello world') 1", "print('hi') 1"),
        ("print('hi') 2", "print('hello world') 2"),
        ("print('hi') 3", "print('hello world') 3"),
    ]
    assert [pair["margin"] for pair in pairs] == [None, None, 0.0, 0.0]


def test_archives_of_mmpr_unpacked_by_hand_are_found(tmp_path):
    pairs, skips = run("mmpr", mmpr.SOURCE, case("mmpr_unpacked"), tmp_path)
    assert skips == []
    assert [(pair["category"], len(pair["media"])) for pair in pairs] == [("correctness_rules", 1)]


def test_a_real_row_of_ultrainteract():
    (draft,) = ultrainteract.to_pairs(Row(real("readme-examples/ultrainteract_pair.jsonl")))
    prompt, chosen, rejected = sides(draft)
    assert [turn.partition(":")[0] for turn in prompt][-1] == "user"
    assert prompt[0].startswith("user: Tool available:\n[1] Python interpreter")
    assert (len(chosen), len(rejected), draft.category) == (1, 1, "Math_PoT")
    assert chosen != rejected
    assert draft.group == "d1f094e0e13096bc1bb6260e1e0d807e2c4ebfbbf4a4373f04cbed001c385c3c"


def vilreward_row(index: int, value: float, process: str, path: Path) -> Row:
    row = Row({"index": index, "image_path": "a.png", "question": "Why?", "process": process, "value": value})
    row.context = {"path": path}
    return row


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_of_processes_does_not_change_the_pair_of_a_question(tmp_path, order):
    path = tmp_path / vilreward.FILE
    rows = [vilreward_row(i, value, f"p{i}", path) for i, value in enumerate((0.2, 0.9, 0.2, 0.9))]
    draw.put_json(path, [rows[i] for i in order])
    (draft,) = vilreward.to_pairs(rows[3], vilreward.Options())
    assert sides(draft)[1:] == (["assistant: p3"], ["assistant: p0"])
    for row in rows[:3]:
        assert reason(vilreward.to_pairs, row, vilreward.Options()) == "not_best_of_question"


def test_a_question_with_one_value_gives_no_pair(tmp_path):
    path = tmp_path / vilreward.FILE
    row = vilreward_row(1, 0.5, "alone", path)
    draw.put_json(path, [row])
    assert reason(vilreward.to_pairs, row, vilreward.Options()) == "all_tied"


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda data: data[:-3], "no whole JSON"),
        (lambda data: b'{"rows": ' + data + b"}", "a dict at its top"),
        (lambda _: b"[" * 100_000, "no whole JSON"),
    ],
)
def test_a_vilreward_file_that_is_no_list_is_named(tmp_path, spoil, found):
    path = tmp_path / vilreward.FILE
    row = vilreward_row(1, 0.5, "alone", path)
    draw.put_json(path, [row])
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RawError, match=found):
        list(vilreward.to_pairs(row, vilreward.Options()))


def test_a_byte_of_a_vilreward_file_that_is_not_utf8_costs_its_row(tmp_path):
    path = tmp_path / vilreward.FILE
    rows = [vilreward_row(i, value, f"p{i}", path) for i, value in enumerate((0.2, 0.9))]
    draw.put_json(path, [*rows, vilreward_row(2, 0.99, "p2", path)])
    path.write_bytes(path.read_bytes().replace(b'"value": 0.99', b'"val\xffe": 0.99'))
    (draft,) = vilreward.to_pairs(rows[1], vilreward.Options())
    assert sides(draft)[1:] == (["assistant: p1"], ["assistant: p0"])


@pytest.mark.parametrize("vote", [["left"], {"left": 1}, None])
def test_an_edit_reward_vote_of_another_type_is_a_skip(vote):
    assert reason(edit_reward.to_pairs, Row({"vote_type": vote})) == "vote_unknown"


def test_vlfeedback_fetches_its_images_once():
    from curate.hub import manifests
    from curate.sources import get

    patterns = manifests.blank("vlfeedback", get("vlfeedback")).patterns
    assert manifests.matches("data/train-00000-of-00009.parquet", patterns.files[0])
    assert patterns.media == ()
    assert (ROWS / "vlfeedback/merged_images").is_dir()

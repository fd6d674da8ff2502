"""Files of verdicts in every layout, and files that lack items."""

import json

import pytest

from curate.errors import ConfigError, RawError
from curate.evaluation import verdict_file, verdicts
from tests.evaluation.test_evaluate import EVAL_ROWS, keyed, lines_of, run, write

NAME = "vl_rewardbench"


def order(at, *, first):
    """A's reply shown first is reply `first`; the verdict that is right."""
    return 1 if keyed().items[at].correct == (first,) else 2


def right(change=None):
    """Two lines for each item, one for each order, all right but for what `change` has by (item, first)."""
    change = change or {}
    return [
        {
            "benchmark": NAME,
            "row": at + 1,
            "first": first,
            "verdict": change.get((at, first), order(at, first=first)),
        }
        for at in range(7)
        for first in (0, 1)
    ]


def counted(path):
    scored = verdict_file.read(path, {NAME: keyed()})
    return scored.scores[NAME], verdicts.counts(keyed(), scored.judged[NAME])


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_two_order_votes(tmp_path, suffix):
    lines = right({(0, 0): "tie", (0, 1): "tie", (1, 1): order(1, first=0), (2, 0): "", (2, 1): "no idea"})
    path = write(tmp_path / "v.jsonl", lines)
    if suffix == "csv":
        path = tmp_path / "v.csv"
        rows = [",".join(str(line[name]) for name in line) for line in lines]
        path.write_text("\n".join(["benchmark,row,first,verdict", *rows]) + "\n")
    scores, found = counted(path)
    assert scores[3] == [2.0 if at in keyed().items[3].correct else -2.0 for at in range(2)]
    assert scores[:3] == [[0, 0]] * 3
    assert (found.pairs, found.both, found.right, found.ties) == (7, 7, 4, 3)
    assert (found.consistent, found.tied, found.unread, found.verdicts) == (4, 2, 2, 14)
    assert (found.row()["accuracy"], found.row()["accuracy_without_ties"]) == (4 / 7, 1)


def test_several_lines_of_one_order_are_votes(tmp_path):
    wrong = 3 - order(0, first=0)
    lines = [
        *right(),
        {"benchmark": NAME, "row": 1, "verdict": wrong},
        {"benchmark": NAME, "row": 1, "verdict": wrong},
    ]
    scores, found = counted(write(tmp_path / "v.jsonl", lines))
    # one of three votes in the first order, and the one in the second
    assert sorted(scores[0]) == pytest.approx([-2 / 3, 2 / 3])
    assert (found.right, found.right_first + found.right_second, found.consistent) == (7, 13, 6)


def test_columns_of_both_orders(tmp_path):
    words = {1: "[[A]]", 2: "B>A"}
    lines = [
        {
            "id": item.id,
            "forward": words[order(at, first=0)],
            "reverse": [{"judgement": "AB"[order(at, first=1) - 1]}],
        }
        for at, item in enumerate(keyed().items)
    ]
    for at in (4, 5):  # two items of one id
        lines[at] = {**lines[at], "row": at + 1}
        del lines[at]["id"]
    scores, found = counted(write(tmp_path / "v.jsonl", lines))
    assert (found.right, found.consistent, found.ties) == (7, 7, 0)
    assert sorted(scores[0]) == [-2, 2]


def test_one_order_alone_has_no_consistency(tmp_path):
    lines = [{"row": at + 1, "verdict": "AB"[order(at, first=0) - 1]} for at in range(7)]
    _, found = counted(write(tmp_path / "v.jsonl", lines))
    assert (found.pairs, found.both, found.right, found.row()["consistent"]) == (7, 0, 7, None)


def test_judgments_as_judgebench_writes_them(tmp_path):
    items = keyed("judgebench").items
    lines = []
    for item in items:
        forward, backward = ("A>B", "B>A") if item.correct == (0,) else ("B>A", "A>B")
        lines.append({"pair_id": item.id, "judgments": [{"decision": forward}, {"decision": backward}]})
    lines[1]["judgments"][1] = None
    lines[2]["judgments"] = lines[2]["judgments"][::-1]
    path = write(tmp_path / "v.jsonl", lines)
    scored = verdict_file.read(path, {"judgebench": keyed("judgebench")})
    found = verdicts.counts(keyed("judgebench"), scored.judged["judgebench"])
    assert (found.pairs, found.right, found.ties, found.unread) == (5, 4, 0, 1)


def test_chosen_and_rejected_columns(tmp_path):
    lines = [{"row": at + 1, "chosen_score": 1.5, "rejected_score": "0.5"} for at in range(7)]
    lines[3]["chosen_score"] = -1
    path = write(tmp_path / "v.jsonl", lines)
    scores, found = counted(path)
    assert found is None
    items = keyed().items
    assert scores[0] == [1.5 if at in items[0].correct else 0.5 for at in range(2)]
    assert scores[3] == [-1 if at in items[3].correct else 0.5 for at in range(2)]
    rows = [{"row": at + 1, "score_chosen": [3, 2, 1], "score_rejected": [0, 0, 0]} for at in range(5)]
    scored = verdict_file.read(write(tmp_path / "r.jsonl", rows), {"rm_bench": keyed("rm_bench")})
    assert scored.scores["rm_bench"] == [[3, 2, 1, 0, 0, 0]] * 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": 2}, "v.jsonl:3: first 2; expected 0 to 1"),
        ({"first": 0, "second": 0}, "v.jsonl:3: reply 0 as first and as second; expected two replies"),
        ({"row": 9}, "v.jsonl:3: no item has row 9; expected one of 7"),
        ({"judgments": "A"}, "v.jsonl:3: judgments that are no list of one or two; expected one for each order"),
        ({"chosen": 1, "rejected": [1, 2]}, "v.jsonl:3: 2 scores in rejected; expected 1, one for each reply"),
        ({"chosen": 1, "rejected": "x"}, "v.jsonl:3: score 'x'; expected a finite number"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, change, message):
    lines = right()
    lines[2] |= change
    with pytest.raises(RawError) as error:
        verdict_file.read(write(tmp_path / "v.jsonl", lines), {NAME: keyed()})
    assert str(error.value) == message


def test_items_without_a_verdict_are_named(tmp_path):
    path = write(tmp_path / "v.jsonl", right()[4:])
    with pytest.raises(RawError) as error:
        verdict_file.read(path, {NAME: keyed()})
    keys = keyed().keys
    assert str(error.value) == (
        f"v.jsonl: {NAME}: 2 of 7 items are missing: row 1 ({keys[0]}); row 2 ({keys[1]}); "
        "expected a line for each"
    )
    assert error.value.hint == "--allow-missing leaves them out"
    other = write(tmp_path / "o.jsonl", [{**line, "benchmark": "VL"} for line in right()])
    with pytest.raises(
        RawError, match=r"no line of vl_rewardbench, but of VL \(14\); expected benchmark vl_reward"
    ):
        verdict_file.read(other, {NAME: keyed()})


# --- the command


def test_command_shows_orders_and_ties(tmp_path):
    path = write(tmp_path / "v.jsonl", right({(0, 0): 0, (0, 1): "tie", (1, 1): order(1, first=0)}))
    done = run("--verdicts", path, "-e", NAME, "--raw", EVAL_ROWS)
    assert done.exit_code == 0, done.output
    assert "right without ties %" in done.stdout
    done = run("--verdicts", path, "-e", NAME, "--raw", EVAL_ROWS, "--json")
    (found,) = json.loads(done.stdout)["results"]
    assert found["orders"]["accuracy"] == pytest.approx(5 / 7)
    assert found["orders"]["accuracy_without_ties"] == 1
    assert found["measures"][0]["right"] == 5
    done = run("--compare", path, write(tmp_path / "s.jsonl", lines_of(NAME)), "-e", NAME, "--raw", EVAL_ROWS)
    assert done.exit_code == 0, done.output
    done = run("--verdicts", path, "-e", NAME, "--raw", EVAL_ROWS, "--rule", "r1_reward")
    assert str(done.exception) == "--rule: v.jsonl has verdicts, not texts; expected a generative model"


def test_missing_items_are_left_out_only_with_allow_missing(tmp_path):
    lines = [line for line in lines_of(NAME, 1) if line["row"] not in (3, 5)]
    path = write(tmp_path / "s.jsonl", lines)
    arguments = ("--scores", path, "-e", NAME, "--raw", EVAL_ROWS)
    done = run(*arguments)
    assert isinstance(done.exception, RawError)
    assert done.exception.hint == "--allow-missing leaves out items without any score, 2 here"
    done = run(*arguments, "--allow-missing")
    assert done.exit_code == 0, done.output
    keys = keyed().keys
    assert f"s.jsonl: {NAME}: 2 of 7 items missing, left out: {keys[2]}; {keys[4]}" in done.stderr
    assert "vl_rewardbench, official split: s.jsonl, 5 of 7 items" in done.stdout
    (found,) = json.loads(run(*arguments, "--allow-missing", "--json").stdout)["results"]
    assert (found["items"], found["missing"]) == (5, [keys[2], keys[4]])
    assert (found["measures"][0]["right"], found["measures"][0]["trials"]) == (4, 5)


def test_two_files_are_compared_on_the_items_of_both(tmp_path):
    a = write(tmp_path / "a.jsonl", [line for line in lines_of(NAME, 1) if line["row"] != 3])
    b = write(tmp_path / "b.jsonl", [line for line in lines_of(NAME) if line["row"] != 4])
    done = run("--compare", a, b, "-e", NAME, "--raw", EVAL_ROWS, "--allow-missing", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [one["measures"][0]["trials"] for one in result["results"]] == [5, 5]
    assert (result["compare"][0]["gained"], result["compare"][0]["lost"]) == (1, 0)


def test_an_item_with_a_part_of_its_scores_is_not_missing(tmp_path):
    path = write(tmp_path / "s.jsonl", lines_of(NAME)[1:])
    done = run("--scores", path, "-e", NAME, "--raw", EVAL_ROWS, "--allow-missing")
    assert isinstance(done.exception, RawError)
    assert "1 of 14 scores are missing: row 1, candidate 0" in str(done.exception)
    assert done.exception.hint == ""


def test_nothing_could_be_missing(tmp_path):
    done = run("--model", tmp_path, "-e", NAME, "--raw", EVAL_ROWS, "--allow-missing")
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith("--allow-missing: given without a file of scores")


def test_a_score_file_is_no_file_of_verdicts(tmp_path):
    assert not verdict_file.is_verdicts(write(tmp_path / "s.jsonl", lines_of(NAME)))
    assert verdict_file.is_verdicts(write(tmp_path / "v.jsonl", right()))
    done = run("--verdicts", tmp_path / "s.jsonl", "-e", NAME, "--raw", EVAL_ROWS)
    assert str(done.exception) == (
        f"--verdicts: s.jsonl has no column of verdicts; expected {verdict_file.COLUMNS}"
    )

import csv
import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from curate import evalsets
from curate.cli import app
from curate.errors import ConfigError, RawError
from curate.evalsets.base import Options
from curate.evaluation import items, metrics, score_file
from tests.support.paths import ROWS

EVAL_ROWS = ROWS / "evalsets"


def keyed(name="vl_rewardbench"):
    return items.load(evalsets.get(name), EVAL_ROWS / name).items


def lines_of(name, *wrong, by="row"):
    """Score lines of a model that is right but for the rows at these places."""
    q = keyed(name)
    keys = q.keys if by == "item" else q.numbers
    return [
        {"benchmark": name, by: key, "candidate": i, "score": float((i in item.correct) != (at in wrong))}
        for at, (key, item) in enumerate(zip(keys, q.items, strict=True))
        for i in range(len(item.replies))
    ]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path, name="vl_rewardbench"):
    return score_file.read(path, {name: keyed(name)}).scores[name]


# --- score files


@pytest.mark.parametrize("by", ["row", "item"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_scores_in_every_format(tmp_path, suffix, by):
    lines = lines_of("vl_rewardbench", 1, by=by)
    path = tmp_path / f"scores.{suffix}"
    if suffix == "jsonl":
        write(path, lines)
    elif suffix == "csv":
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(lines[0]))
            table.writeheader()
            table.writerows(lines)
    else:
        pq.write_table(pa.Table.from_pylist(lines), path)
    assert read(path) == [[1, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0]]


def test_lines_in_any_order_and_of_other_benchmarks(tmp_path):
    lines = [*reversed(lines_of("vl_rewardbench")), *lines_of("judgebench")]
    found = score_file.read(write(tmp_path / "s.jsonl", lines), {"vl_rewardbench": keyed()})
    assert found.scores["vl_rewardbench"][2] == [0.0, 1.0]
    assert found.other == {"judgebench": 10}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": float("nan")}, "s.jsonl:3: score nan; expected a finite number"),
        ({"score": "Infinity"}, "s.jsonl:3: score 'Infinity'; expected a finite number"),
        ({"score": None}, "s.jsonl:3: score None; expected a finite number"),
        ({"score": True}, "s.jsonl:3: score True; expected a finite number"),
        ({"candidate": 2}, "s.jsonl:3: candidate 2; expected 0 to 1"),
        ({"candidate": -1}, "s.jsonl:3: candidate -1; expected 0 to 1"),
        ({"row": 0}, "s.jsonl:3: no item has row 0; expected one of 7"),
        ({"item": "mathverse_12"}, "s.jsonl:3: no item has item mathverse_12; expected one of 7"),
        ({"row": None}, "s.jsonl:3: no row; expected columns benchmark, item or row, candidate, score"),
        ({"score": "1_0"}, "s.jsonl:3: score '1_0'; expected a finite number"),
        ({"score": "٣"}, "s.jsonl:3: score '٣'; expected a finite number"),
        ({"score": [1]}, "s.jsonl:3: score [1]; expected a finite number"),
        (
            {"score": 2**53 + 1},
            "s.jsonl:3: score 9007199254740993; expected a number that a float can tell from its neighbours, "
            "to 9007199254740992",
        ),
        (
            {"score": "9007199254740993"},
            "s.jsonl:3: score 9007199254740993; expected a number that a float can tell from its neighbours, "
            "to 9007199254740992",
        ),
        ({"unscored": float("nan")}, "s.jsonl:3: unscored nan; expected a reason such as too_long, or nothing"),
        ({"unscored": "False"}, "s.jsonl:3: unscored 'False'; expected a reason such as too_long, or nothing"),
        ({"unscored": True}, "s.jsonl:3: unscored True; expected a reason such as too_long, or nothing"),
        (
            {"item": float("nan")},
            "s.jsonl:3: item nan; expected columns benchmark, item or row, candidate, score",
        ),
        (
            {"row": float("nan")},
            "s.jsonl:3: row nan; expected columns benchmark, item or row, candidate, score",
        ),
        ({"benchmark": ""}, "s.jsonl:3: no benchmark; expected columns benchmark, item or row, candidate, score"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, change, message):
    lines = lines_of("vl_rewardbench")
    lines[2] |= change
    with pytest.raises(RawError) as error:
        read(write(tmp_path / "s.jsonl", lines))
    assert str(error.value) == message


def fault_of(tmp_path, lines):
    with pytest.raises(RawError) as error:
        read(write(tmp_path / "s.jsonl", lines))
    return error.value


def test_an_id_is_a_key_where_it_is_unique(tmp_path):
    lines, q = lines_of("vl_rewardbench"), keyed()
    times = Counter(item.id for item in q.items)
    assert sorted(times.values()) == [1, 1, 1, 1, 1, 2]
    for line in lines:
        item = q.items[line["row"] - 1]
        if times[item.id] == 1:
            del line["row"]
            line["item"] = item.id
    assert read(write(tmp_path / "s.jsonl", lines)) == scores_of(q)
    (twice,) = [name for name, count in times.items() if count == 2]
    lines[0] = {**lines[0], "item": twice}
    error = fault_of(tmp_path, lines)
    assert str(error) == f"s.jsonl:1: no item has item {twice}; expected one of 7"
    assert error.hint == "an id that repeats is no key: give row numbers, from 1"


def test_item_and_row_must_agree(tmp_path):
    lines, keys = lines_of("vl_rewardbench"), keyed().keys
    lines[2] |= {"item": keys[1]}
    assert read(write(tmp_path / "s.jsonl", lines)) == scores_of(keyed())
    lines[2] |= {"item": keys[2]}
    assert str(fault_of(tmp_path, lines)) == (
        f"s.jsonl:3: item {keys[2]} is not row 2; expected both of one item, or one of them"
    )


def test_an_item_is_scored_or_unscored(tmp_path):
    lines, key = lines_of("vl_rewardbench"), keyed().keys[0]
    none = {"benchmark": "vl_rewardbench", "row": 1, "unscored": "too_long"}
    assert str(fault_of(tmp_path, [*lines, none])) == (
        f"s.jsonl:15: {key} is unscored and has a score; expected one of them"
    )
    assert str(fault_of(tmp_path, [none, *lines])) == (
        f"s.jsonl:2: a score of {key}, which an earlier line calls unscored; expected one of them"
    )
    lines[0] |= {"unscored": "too_long"}
    assert str(fault_of(tmp_path, lines)) == (
        f"s.jsonl:1: {key} is unscored and has a score; expected one of them"
    )


def test_wrong_names_say_which_were_seen(tmp_path):
    lines = [{**line, "benchmark": "VL-RewardBench"} for line in lines_of("vl_rewardbench")]
    assert str(fault_of(tmp_path, lines)) == (
        "s.jsonl: no line of vl_rewardbench, but of VL-RewardBench (14); expected benchmark vl_rewardbench"
    )
    lines = [{"Benchmark": "vl_rewardbench", "row": 1, "Score": 1}]
    assert str(fault_of(tmp_path, lines)) == (
        "s.jsonl:1: no column benchmark among Benchmark, row, Score; expected columns benchmark, item or row, "
        "candidate, score"
    )


@pytest.mark.parametrize("delimiter", [";", "|"])
def test_other_delimiters_are_read(tmp_path, delimiter):
    lines = [delimiter.join(map(str, line.values())) for line in lines_of("vl_rewardbench")]
    path = tmp_path / "s.csv"
    path.write_text("\n".join([delimiter.join(("benchmark", "row", "candidate", "score")), *lines]) + "\n")
    assert read(path) == scores_of(keyed())


def test_missing_scores_are_named(tmp_path):
    keys = keyed().keys
    with pytest.raises(RawError) as error:
        read(write(tmp_path / "s.jsonl", lines_of("vl_rewardbench")[:-5]))
    assert str(error.value) == (
        f"s.jsonl: vl_rewardbench: 5 of 14 scores are missing: row 5, candidate 1 ({keys[4]}); "
        f"row 6, candidate 0 ({keys[5]}); row 6, candidate 1 ({keys[5]}); ...; "
        "expected one score for every candidate"
    )


def test_a_second_score_is_refused(tmp_path):
    lines = lines_of("vl_rewardbench")
    with pytest.raises(RawError) as error:
        read(write(tmp_path / "s.jsonl", [*lines, lines[0]]))
    assert str(error.value) == f"s.jsonl:15: a second score for candidate 0 of {keyed().keys[0]}; expected one"


def test_no_such_score_file(tmp_path):
    with pytest.raises(RawError, match=r"none\.jsonl: no such file"):
        read(tmp_path / "none.jsonl")


# --- raw files


def test_rows_without_an_item_keep_the_numbers_of_the_others(tmp_path):
    rows = json.loads((EVAL_ROWS / "vl_rewardbench" / "data.json").read_text())
    rows[1]["response"] = ["only one"]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    found = items.load(evalsets.get("vl_rewardbench"), tmp_path)
    assert found.items.numbers == [1, 3, 4, 5, 6, 7]
    assert found.skipped == {"no_pair": 1}


def test_image_bytes_are_not_kept(tmp_path):
    row = {"id": "RLHF-1", "query": "?", "response": ["a", "b"], "human_ranking": [0, 1],
           "image": {"bytes": b"\x89PNG", "path": "1.png"}}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test-0.parquet")
    (item,) = items.load(evalsets.get("vl_rewardbench"), tmp_path).items.items
    assert [(media.kind, media.data) for media in item.media] == [("image", None)]


def test_raw_folder_missing_or_empty(tmp_path):
    evalset = evalsets.get("judgebench")
    with pytest.raises(RawError, match=r"no such directory; expected the raw files of judgebench"):
        items.load(evalset, tmp_path / "judgebench")
    with pytest.raises(RawError, match=r"no file matches data/gpt-\*\.jsonl") as error:
        items.load(evalset, tmp_path)
    assert "ScalerLab/JudgeBench" in error.value.hint
    write(tmp_path / "gpt-1.jsonl", [{"pair_id": "1"}])
    with pytest.raises(RawError, match=r"no item of judgebench: missing_column_label 1"):
        items.load(evalset, tmp_path)


# --- intervals and tests


def scores_of(q, *wrong):
    return [
        [float((i in item.correct) != (at in wrong)) for i in range(len(item.replies))]
        for at, item in enumerate(q.items)
    ]


def test_intervals_of_a_benchmark():
    q = keyed()
    lines = metrics.evaluate(evalsets.get("vl_rewardbench"), q, scores_of(q, 1), Options())
    overall, macro = lines[0], lines[-1]
    assert overall.measure[:6] == ("overall", 6 / 7, 6.0, 7, 0, 6)  # two of the seven share an id
    assert [round(end, 4) for end in overall.wilson] == [0.4869, 0.9743]
    assert overall.bootstrap.low < 6 / 7 <= overall.bootstrap.high == 1.0
    assert (macro.measure.name, macro.wilson, macro.measure.trials) == ("macro", None, None)
    assert lines == metrics.evaluate(evalsets.get("vl_rewardbench"), q, scores_of(q, 1), Options())


def test_compare_counts_what_only_one_got_right():
    q = keyed()
    evalset = evalsets.get("vl_rewardbench")
    deltas = {d.measure: d for d in metrics.compare(evalset, q, scores_of(q, 0, 1, 2), scores_of(q, 0), Options())}
    overall = deltas["overall"]
    assert (overall.a, overall.b, overall.gained, overall.lost, overall.clusters) == (4 / 7, 6 / 7, 2, 0, 6)
    assert (overall.test, round(overall.p, 1)) == ("clustered", 0.5)  # two of the seven share an id
    hallucination, general = deltas["hallucination"], deltas["general"]
    assert (hallucination.gained, hallucination.test, hallucination.p) == (2, "McNemar", 0.5)
    assert (general.gained, general.clusters, general.test, general.p, general.interval) == (
        0,
        1,
        None,
        None,
        None,
    )
    assert (deltas["macro"].gained, deltas["macro"].test) == (None, "clustered")
    assert deltas["macro"].interval.low <= 2 / 9 <= deltas["macro"].interval.high


def test_part_of_a_credit_is_not_right():
    q = keyed("rewardbench2")
    shared = scores_of(q)
    shared[0] = [1, 1, 0, 0]
    deltas = metrics.compare(evalsets.get("rewardbench2"), q, shared, scores_of(q), Options())
    assert [(d.a, d.b, d.gained, d.lost) for d in deltas if d.measure == "Factuality"] == [(0.5, 1.0, 1, 0)]


def test_holm_runs_over_headline_measures_alone():
    q = keyed()
    found = metrics.compare(evalsets.get("vl_rewardbench"), q, scores_of(q, 0, 1, 2), scores_of(q), Options())
    deltas = metrics.corrected(found)
    assert [d.measure for d in deltas if d.corrected is not None] == ["overall", "macro"]
    one, two = sorted(d.p for d in deltas if d.headline)
    assert sorted(d.corrected for d in deltas if d.headline) == [2 * one, max(2 * one, two)]


@pytest.mark.parametrize("name", evalsets.names())
def test_a_model_does_not_differ_from_itself(name):
    q = keyed(name)
    scores = scores_of(q, 0)
    deltas = metrics.corrected(metrics.compare(evalsets.get(name), q, scores, scores, Options(), resamples=50))
    assert {d.b - d.a for d in deltas} == {0.0}
    assert {d.interval for d in deltas} <= {(0.0, 0.0), None}
    assert ({d.corrected for d in deltas} | {d.p for d in deltas}) - {None} == {1.0}


def repeated(name, times):
    """The items of an eval set, each so often, as items that have nothing to do with each other."""
    some = [
        replace(item, id=f"{item.id}-{i}", cluster=f"{item.cluster}-{i}")
        for i in range(times) for item in keyed(name).items
    ]  # fmt: skip
    return items.KeyedItems(some, [f"{at}" for at in range(len(some))], list(range(1, len(some) + 1)))


@pytest.mark.parametrize("name", evalsets.names())
def test_all_right_against_all_wrong_is_significant(name):
    """Also among the headlines of all eval sets."""
    q, evalset = repeated(name, 40), evalsets.get(name)
    family = sum(len(evalsets.get(one).headline) for one in evalsets.names())
    assert family == 13
    wrong = scores_of(q, *range(len(q.items)))
    found = metrics.compare(
        evalset, q, wrong, scores_of(q), Options(), resamples=10, draws=metrics.draws_for(family)
    )
    headline = [delta for delta in found if delta.headline]
    assert {delta.measure for delta in headline} == set(evalset.headline)
    others = [headline[0]._replace(p=0.9)] * (family - len(headline))
    tested = [delta for delta in metrics.corrected([*headline, *others]) if delta.b > delta.a and delta.p < 0.9]
    assert len(tested) == len(headline)
    assert all(delta.corrected <= 0.001 for delta in tested)


def test_trials_that_share_an_item_have_no_mcnemar():
    q = repeated("rm_bench", 3)
    found = metrics.compare(
        evalsets.get("rm_bench"), q, scores_of(q), scores_of(q, 0), Options(), resamples=10, draws=50
    )
    assert {delta.test for delta in found} <= {"clustered", None}


@pytest.mark.parametrize("name", evalsets.names())
def test_two_random_models_rarely_differ(name):
    """One in 20 at 5 %, whatever an item's replies have in common."""
    q, evalset = repeated(name, 8), evalsets.get(name)
    draw = random.Random(7)
    rejected = total = 0
    for _ in range(120):
        one, two = (
            [[draw.random() + (i in item.correct) / 2 for i in range(len(item.replies))] for item in q.items]
            for _ in "AB"
        )
        found = metrics.compare(evalset, q, one, two, Options(), resamples=2, draws=200)
        headline = [delta.p for delta in found if delta.headline]
        rejected += sum(p <= 0.05 for p in headline)
        total += len(headline)
    assert rejected / total <= 0.1  # 0.05 and 2.5 standard deviations of 120


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=7, max_size=7))
def test_only_the_order_of_scores_matters(pairs):
    """Stretching and shifting the scores leaves every number as it is; so does the split for the overall."""
    q = keyed()
    evalset = evalsets.get("vl_rewardbench")
    plain = [[float(a), float(b)] for a, b in pairs]
    moved = [[3 * a - 7, 3 * b - 7] for a, b in plain]
    one, two = (metrics.evaluate(evalset, q, scores, Options(), resamples=5) for scores in (plain, moved))
    assert one == two
    other = metrics.evaluate(evalset, q, plain, Options(split="r1_reward"), resamples=5)
    assert other[0].measure == one[0].measure
    assert one[0].measure.ties == sum(a == b for a, b in pairs)


# --- the command


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})


def test_command_prints_the_metrics(tmp_path):
    scores = write(tmp_path / "a.jsonl", lines_of("vl_rewardbench", 1))
    done = run("--scores", scores, "--eval-set", "vl_rewardbench", "--raw", EVAL_ROWS)
    assert done.exit_code == 0, done.output
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[0] == ["vl_rewardbench,", "official", "split:", "a.jsonl"]
    assert table[2][:8] == ["overall", "85.71", "6", "7", "0", "6", "[48.7,", "97.4]"]
    assert table[4][:6] == ["hallucination", "66.67", "2", "3", "0", "3"]
    assert table[6][:6] == ["macro", "88.89", "-", "-", "-", "6"]
    assert "vl_rewardbench: 7 items, 1,250 published: not the whole eval set" in done.stderr


def test_command_compares_two_files_over_benchmarks(tmp_path):
    a = write(tmp_path / "a.jsonl", [*lines_of("vl_rewardbench", 1), *lines_of("judgebench", 0)])
    b = write(tmp_path / "b.jsonl", [*lines_of("vl_rewardbench"), *lines_of("judgebench", 0)])
    done = run(
        "--compare", a, b, "-e", "vl_rewardbench", "-e", "judgebench", "--raw", EVAL_ROWS, "--json",
        "--split", "unified_reward",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(r["benchmark"], r["split"], Path(r["scores"]).name) for r in found["results"]] == [
        ("vl_rewardbench", "unified_reward", "a.jsonl"), ("vl_rewardbench", "unified_reward", "b.jsonl"),
        ("judgebench", "gpt", "a.jsonl"), ("judgebench", "gpt", "b.jsonl"),
    ]  # fmt: skip
    general = next(m for m in found["results"][0]["measures"] if m["name"] == "general")
    assert (general["value"], general["right"], general["trials"], general["ties"]) == (0.5, 1.0, 2, 0)
    first = found["compare"][0]
    assert (first["measure"], first["gained"], first["lost"], first["p"]) == ("overall", 1, 0, 1.0)
    assert {delta["benchmark"] for delta in found["compare"]} == {"vl_rewardbench", "judgebench"}


def test_command_shows_the_comparison(tmp_path):
    a = write(tmp_path / "a.jsonl", lines_of("judgebench", 0))
    b = write(tmp_path / "b.jsonl", lines_of("judgebench"))
    done = run("--compare", a, b, "-e", "judgebench", "--raw", EVAL_ROWS)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    at = lines.index("judgebench: B against A; corrected: Holm's p over 1 headline measure")
    assert " ".join(lines[at + 2].split()) == "overall 80.00 100.00 +20.00 [0.0, 60.0] 1 0 5 McNemar 1.000 1.000"
    assert lines[at + 3] == "judgebench: parts, p not corrected"
    assert max(map(len, lines[at:])) < 110


def test_command_reads_the_workspace(tmp_path):
    shutil.copytree(EVAL_ROWS / "rewardbench", tmp_path / "raw" / "rewardbench")
    scores = write(tmp_path / "a.jsonl", lines_of("rewardbench"))
    done = run("--scores", scores, "-e", "rewardbench", "--workspace", tmp_path, "--prior-sets", "55", "--json")
    assert done.exit_code == 0, done.output
    values = {m["name"]: m["value"] for m in json.loads(done.stdout)["results"][0]["measures"]}
    assert (values["overall"], values["overall_with_prior_sets"]) == (1.0, pytest.approx((4 + 0.275) / 4.5))


ONE = ("--scores", "a.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-e", "judgebench", "--split", "r1_reward", *ONE],
            "--split: found 'r1_reward' for judgebench; expected one of gpt, claude",
        ),
        (
            ["-e", "vl_rewardbench", "--split", "mine", *ONE],
            "--split: found 'mine' for vl_rewardbench; expected one of official, r1_reward, unified_reward",
        ),
        (
            ["-e", "judgebench", "--prior-sets", "50", *ONE],
            "--prior-sets: given without rewardbench; expected --eval-set rewardbench",
        ),
        (
            ["-e", "rewardbench", "--prior-sets", "50", "--compare", "a.jsonl", "b.jsonl"],
            "--prior-sets: given with --compare; expected one of them",
        ),
        (
            ["-e", "judgbench", *ONE],
            "--eval-set: no eval set is called 'judgbench'; expected a bundled eval set or a manifest",
        ),
        (
            ["-e", "judgebench"],
            "evaluate: no scores; expected one of --model DIR, --scores FILE, --verdicts FILE, --compare A B, "
            "--ensemble",
        ),
        (
            ["-e", "judgebench", *ONE, "--model", "runs/best"],
            "evaluate: --model and --scores given; expected one of --model DIR, --scores FILE, --verdicts FILE, "
            "--compare A B, --ensemble",
        ),
        (
            ["-e", "judgebench", "--model", "a.jsonl"],
            "--model: a.jsonl is no directory; expected a reward model's",
        ),
        (["-e", "judgebench", "--scores", EVAL_ROWS], f"--scores: {EVAL_ROWS} is a directory; expected a file"),
    ],
)
def test_command_refuses_options_that_nothing_reads(arguments, message):
    done = run("--raw", EVAL_ROWS, *arguments)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == message


# --- items without a score


def unscored(name, at, why="too_long: 5,000 tokens, limit 4,096"):
    """The lines of a model that is right but could not score the item at this place."""
    key = keyed(name).keys[at]
    lines = [line for line in lines_of(name, by="item") if line["item"] != key]
    return [*lines, {"benchmark": name, "item": key, "unscored": why}]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_item_without_a_score_is_refused_by_name(tmp_path, suffix):
    lines = unscored("vl_rewardbench", 2)
    path = write(tmp_path / "s.jsonl", lines)
    if suffix == "csv":
        path = tmp_path / "s.csv"
        pl.DataFrame(lines).write_csv(path)
    with pytest.raises(RawError) as error:
        read(path)
    assert str(error.value) == (
        f"s.{suffix}: vl_rewardbench: 1 of 7 items could not be scored: row 3 ({keyed().keys[2]}): "
        "too_long: 5,000 tokens, limit 4,096; expected a score for each"
    )
    assert error.value.hint == "--allow-unscored counts them as wrong"


@pytest.mark.parametrize("name", evalsets.names())
def test_an_item_without_a_score_is_wrong_under_every_metric(tmp_path, name):
    """It never beats being scored wrong, and is no tie."""
    q = keyed(name)
    path = write(tmp_path / "s.jsonl", unscored(name, 0))
    scored = score_file.read(path, {name: q}, allow_unscored=True)
    assert scored.unscored[name] == {0: "too_long: 5,000 tokens, limit 4,096"}
    evalset = evalsets.get(name)
    lines = metrics.evaluate(evalset, q, scored.scores[name], Options(), resamples=2)
    wrong = metrics.evaluate(evalset, q, scores_of(q, 0), Options(), resamples=2)
    assert [line.measure for line in lines] == [line.measure for line in wrong]
    assert lines[0].measure.value is None or not any(line.measure.ties for line in lines)


def test_items_without_a_score_count_only_with_allow_unscored(tmp_path):
    path = write(tmp_path / "s.jsonl", unscored("vl_rewardbench", 2))
    arguments = ("--scores", path, "-e", "vl_rewardbench", "--raw", EVAL_ROWS)
    assert isinstance(run(*arguments).exception, RawError)
    done = run(*arguments, "--allow-unscored", "--json")
    assert done.exit_code == 0, done.output
    key = keyed().keys[2]
    assert (
        f"s.jsonl: vl_rewardbench: 1 of 7 items unscored, counted as wrong: {key}: too_long: 5,000 tokens, "
        "limit 4,096"
    ) in done.stderr
    (found,) = json.loads(done.stdout)["results"]
    assert found["unscored"] == {key: "too_long: 5,000 tokens, limit 4,096"}
    assert (found["measures"][0]["right"], found["measures"][0]["ties"]) == (6.0, 0)


# --- files with a line for each reply or item


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_template_becomes_a_score_file(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    done = run("-e", "vl_rewardbench", "-e", "judgebench", "--raw", EVAL_ROWS, "--template", path)
    assert done.exit_code == 0, done.output
    with pytest.raises(RawError, match=r"score (None|''); expected a finite number"):
        read(path)
    if suffix == "csv":
        with path.open(newline="") as stream:
            lines = list(csv.DictReader(stream))
    else:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["benchmark"] for line in lines] == ["vl_rewardbench"] * 14 + ["judgebench"] * 10
    for line in lines:
        q = keyed(line["benchmark"])
        line["score"] = float(int(line["candidate"]) in q.items[int(line["row"]) - 1].correct)
    filled = write(tmp_path / "filled.jsonl", lines)
    assert read(filled) == scores_of(keyed())
    assert read(filled, "judgebench") == scores_of(keyed("judgebench"))


def test_who_won_what_is_written_by_item(tmp_path):
    a = write(tmp_path / "a.jsonl", lines_of("rm_bench", 0))
    b = write(tmp_path / "b.jsonl", lines_of("rm_bench", 1))
    out = tmp_path / "items.jsonl"
    done = run("--compare", a, b, "-e", "rm_bench", "--raw", EVAL_ROWS, "--per-item", out)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["item"], line["row"]) for line in found] == list(
        zip(keyed("rm_bench").keys, keyed("rm_bench").numbers, strict=True)
    )
    assert [(line["a"], line["b"], line["more"]) for line in found[:3]] == [(0, 1, "b"), (1, 0, "a"), (1, 1, "")]
    out = tmp_path / "items.csv"
    done = run("--scores", a, "-e", "rm_bench", "--raw", EVAL_ROWS, "--per-item", out)
    assert out.read_text().splitlines()[0] == "benchmark,item,row,category,a"


def test_repeated_splits_combine(tmp_path):
    a = write(tmp_path / "a.jsonl", lines_of("vl_rewardbench"))
    done = run(
        "--scores", a, "-e", "vl_rewardbench", "--raw", EVAL_ROWS, "--json", "--split", "r1_reward",
        "--split", "r1_reward",
    )  # fmt: skip
    assert json.loads(done.stdout)["results"][0]["split"] == "r1_reward"
    both = ("-e", "vl_rewardbench", "-e", "judgebench", "--split", "r1_reward", "--split", "claude")
    done = run("--scores", a, *both, "--raw", EVAL_ROWS)
    assert "split" not in str(done.exception)  # judgebench's files of `claude` are what is missing
    assert isinstance(done.exception, RawError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-e", "vl_rewardbench", "--split", "official", "--split", "r1_reward", *ONE],
            "--split: official and r1_reward for vl_rewardbench; expected one of them",
        ),
        (
            ["-e", "vl_rewardbench", "--template", "t.jsonl", *ONE],
            "--template: given with scores; expected --eval-set alone",
        ),
        (
            ["-e", "vl_rewardbench", "--template", "t.txt"],
            "--template: t.txt; expected a file that ends in .jsonl or .csv",
        ),
        (
            ["-e", "vl_rewardbench", "--per-item", "t.parquet", *ONE],
            "--per-item: t.parquet; expected a file that ends in .jsonl or .csv",
        ),
    ],
)
def test_wrong_options_of_files(arguments, message):
    done = run("--raw", EVAL_ROWS, *arguments)
    assert str(done.exception) == message

"""The doctor on texts, pairs and mixes of which a person can tell what is wrong; and on real rows."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from curate.analysis import layout_kernels
from curate.analysis.baseline import checked, uncompared, worse
from curate.analysis.doctor import Settings, examine
from curate.analysis.intervals import Clusters, Share
from curate.analysis.rulers import rulers
from curate.analysis.tables import tables
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.hashing import Hashes
from curate.inputs import Inputs
from curate.inspect import candidates
from curate.inspect.targets import Target, find
from curate.pairs.normalize import locate, normalize_all
from curate.pairs.pool import PairsPool
from curate.screening.screen import screen
from curate.sources.swe_arena import VOTES
from curate.statistics import wilson
from curate.steps import build
from curate.tables import Table
from curate.text.buffers import strings
from curate.workspace import Workspace
from tests.support.finished_work import fault, made, mix_directory, project, run  # noqa: F401 - fixtures
from tests.support.pairs import turn, write_pairs
from tests.support.paths import REAL as REAL_SETS
from tests.support.rulers import lengths

REAL = Path("/work/shared/real/hh-rlhf/harmless-base_test.jsonl.gz")
Rows = Sequence[Mapping[str, Any]]

# ------------------------------------------------------------------------------------------------ texts


def counted(*texts: str) -> list[dict[str, int]]:
    import pyarrow as pa

    found = layout_kernels.layout(*strings(pa.array(texts, pa.string())))
    return [dict(zip(layout_kernels.LAYOUT, row, strict=True)) for row in found.tolist()]


def test_marks_of_a_text():
    text = "# Zehn Äpfel!\n\n1. **Rot**\n  - grün?\n10) *gelb*\n-5 1234. -  x"
    assert counted(text) == [{"chars": len(text), "lines": 5, "digits": 8, "exclamations": 1, "questions": 1}]


@pytest.mark.parametrize(
    ("what", "count", "text"),
    [
        ("exclamations", 4, "好！很好﹗ Ողջույն՜ ❗"),
        ("exclamations", 3, "‼⁉⁈"),
        ("questions", 4, "吗？ لماذا؟ Ինչո՞ւ ፧"),
        ("questions", 3, "⁇⁉⁈"),
        ("questions", 2, "Τι κάνεις; Γιατί; a = 1; b"),
        ("questions", 1, "Τι\u037e"),
        ("questions", 0, "a; б; 好；¿"),
        ("digits", 12, "１２３ ٠١٢ ०१२ ๓๔ 5 一二 Ⅷ ①"),
        ("lines", 5, "a\nb\r\nc\rd\u2028e\u2029f"),
        ("chars", 5, "好！é😀x"),
    ],
)
def test_marks_of_other_scripts(what: str, count: int, text: str):
    [found] = counted(text)
    assert found[what] == count


@given(st.text("#-*1 \n\té日!?7", max_size=40))
def test_marks_are_what_counting_finds(text: str):
    assert counted(text) == [{
        "chars": len(text), "lines": text.count("\n"), "digits": len(re.findall("[0-9]", text)),
        "exclamations": text.count("!"), "questions": text.count("?"),
    }]  # fmt: skip


@given(st.lists(st.tuples(st.text("aé日😀", max_size=4), st.text("aé日😀", max_size=4)), max_size=4))
def test_shared_signs_are_the_common_prefix(texts: list[tuple[str, str]]):
    import pyarrow as pa

    left, right = (strings(pa.array([pair[i] for pair in texts], pa.string())) for i in (0, 1))
    alike = [takewhile(lambda signs: signs[0] == signs[1], zip(*pair, strict=False)) for pair in texts]
    expected = [len(list(signs)) for signs in alike]
    assert layout_kernels.shared_chars(left, right).tolist() == expected


def test_words_of_the_prompt():
    import pyarrow as pa

    prompts = ["Is the cat on the mat?", "", "x " * 500, "Das ist ÜBEL"]
    replies = ["The cat is off.", "No.", "x y", "übel, übel!"]
    found = layout_kernels.words_of_prompt(strings(pa.array(prompts)), strings(pa.array(replies)))
    assert found.tolist() == [750, 0, 500, 1000]
    assert layout_kernels.words_of_prompt(strings(pa.array([""])), strings(pa.array([""]))).tolist() == [0]


# ------------------------------------------------------------------------------------------------ rulers


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_rulers_are_what_counting_finds(sizes: list[tuple[int, int]]):
    chosen, rejected = zip(*sizes, strict=True)
    found = rulers(lengths(chosen, rejected), Clusters(np.arange(len(sizes), dtype=np.uint64)))
    assert "first" not in found
    longer = found["longer"]
    assert longer["differs"].hits == sum(c != r for c, r in sizes)
    assert longer["wins"].hits == sum(c > r for c, r in sizes)
    auc = np.mean([(c > r) + (c == r) / 2 for c in chosen for r in rejected])
    assert longer["auc"].value == pytest.approx(auc)
    assert found["digits"]["wins"].value is None
    assert found["digits"]["auc"].value == 0.5


def test_the_interval_of_an_auc_is_as_wide_as_the_auc_varies():
    draw = np.random.Generator(np.random.PCG64(2))

    def sample() -> Share:
        chosen, rejected = draw.integers(0, 60, 500) + 5, draw.integers(0, 60, 500)
        groups = draw.integers(0, 1 << 63, 500).astype(np.uint64)
        return rulers(lengths(chosen, rejected), Clusters(groups))["longer"]["auc"]

    found = [sample() for _ in range(100)]
    spread = 2 * 1.96 * np.std([auc.value for auc in found])
    assert np.mean([auc.high - auc.low for auc in found]) == pytest.approx(spread, rel=0.2)


# ------------------------------------------------------------------------------------------------ pairs


def target(home: Path, rows: Rows, label: str = "pool", part_rows: int = 1000) -> Target:
    numbered = [{"source": label, "row": f"{label}:{i}", **row} for i, row in enumerate(rows)]
    parts = write_pairs(home / label, numbered, part_rows=part_rows)
    return Target(pool=PairsPool(label=label, source=label, directory=home / label, priority=0, parts=parts))


def figures(*targets: Target, **settings: Any) -> dict[str, Any]:
    with Local() as engine:
        return examine(targets, Settings(**settings), engine)["sources"]


def hits(found: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {name: share["hits"] for name, share in found.items() if share["hits"]}


SICK: Rows = [
    {"prompt": "One?", "chosen": "Same.", "rejected": "Same."},
    {"prompt": "Two?", "chosen": "**Bold** it is.", "rejected": "Bold it is."},
    {"prompt": "Three?", "chosen": " ", "rejected": "N/A"},
    {"prompt": "Four?", "chosen": "I'm sorry, but I can't help with that.", "rejected": "As an AI, I can."},
    {"prompt": "Five <image>?", "media": ["a"], "chosen": "It is.", "rejected": "It is not.", "margin": 0.0},
    {"prompt": [turn("user", "Six?")], "media": ["a"], "chosen": "So.", "rejected": "No."},
    {"prompt": "Seven?", "chosen": "Yes.", "rejected": "No.", "margin": 2.0, "category": "short"},
    {"prompt": "Seven?", "chosen": "Yes.", "rejected": "No.", "margin": 1.0},
    {"prompt": "Eight?", "chosen": "Left.", "rejected": "Right."},
    {"prompt": "Eight?", "chosen": "Right.", "rejected": "Left."},
    {"prompt": [turn("assistant", "Nine?")], "chosen": "Nein.", "rejected": "No."},
    {"prompt": "Ten?" + " x" * 48, "chosen": "a" * 20 + "b", "rejected": "a" * 20 + "c"},  # 100 and 21 signs
]


def test_every_planted_fault_is_found_and_no_other(tmp_path: Path):
    found = figures(target(tmp_path, SICK, part_rows=5), lengths=(119, 120, 121, 5000))["pool"]
    assert hits(found["faults"]) == {
        "identical/identical": 1, "formatting_only/markdown": 1, "empty_reply/empty": 1,
        "refusal/refusal_chosen": 1, "media_mismatch/placeholder_left": 1, "media_mismatch/count": 1,
        "ties/tie": 1, "turn_structure/roles_do_not_alternate": 1, "repeated": 1, "contradicted": 2,
        "truncation/119_chars": 1, "truncation/120_chars": 1,
    }  # fmt: skip
    assert (found["pairs"], found["groups"]) == (12, 12)
    assert found["numbers"]["margin"] == {"pairs": 3, "quantiles": [0.0, 0.0, 1.0, 2.0, 2.0]}
    assert found["categories"] == {"none": 11, "short": 1}
    assert found["images"] == {"pairs": 2, "different": 1, "most_prompts": 2}
    assert found["rulers"]["as_an_ai"]["wins"]["value"] == 0
    assert found["rulers"]["bold"]["wins"] == {
        "hits": 1,
        "of": 1,
        "clusters": 1,
        "value": 1,
        "low": wilson(1, 1).low,
        "high": 1,
    }


def test_faults_are_those_that_the_steps_see(tmp_path: Path):
    """Truncation at any length by one sketch is the step's verdict."""
    texts = ["", "a", "ab", "abc", "äbc", "äbd", "äbcdefgh", "äbcdefgi"]
    rows = [{"prompt": "p" * n, "chosen": c, "rejected": r} for n in (1, 4) for c in texts for r in texts]
    one = target(tmp_path, rows)
    found = figures(one, lengths=tuple(range(1, 12)))["pool"]["faults"]
    for length in range(1, 12):
        with Local() as engine:
            screened = screen(
                [one.pool], [("truncation", build("truncation", {"max_length": length}, "$"))], 0, engine
            )
        assert found[f"truncation/{length}_chars"]["hits"] == screened.pools[0].decisions.height


def test_lengths_are_tokens_with_a_tokenizer(tmp_path: Path):
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    one = target(
        tmp_path, [{"prompt": "a b", "chosen": "c c a", "rejected": "c c b"}, {"prompt": "b", "chosen": "b"}]
    )
    found = figures(one, lengths=(2, 4, 5), tokenizer=str(tmp_path / "words.json"))["pool"]
    truncated = {name: count for name, count in hits(found["faults"]).items() if name.startswith("truncation")}
    assert truncated == {"truncation/2_tokens": 1, "truncation/4_tokens": 1}


def test_languages_of_questions(tmp_path: Path):
    questions = [
        "Where does the river begin, and where does it end?",
        "Wo entspringt der Fluss, und wo mündet er?",
    ]
    found = figures(target(tmp_path, [{"prompt": text} for text in (*questions, questions[0])]), languages=True)[
        "pool"
    ]
    assert found["languages"] == {"en": 2, "de": 1}


def test_sources_are_separate_and_linked(tmp_path: Path):
    first = target(tmp_path, [{"prompt": f"{i}?", "media": ["x"]} for i in range(15)], "first")
    swapped = {"chosen": "rejected", "rejected": "chosen"}
    more = [{"prompt": "0?", "media": ["x"], **swapped}, *({"prompt": f"b{i}?", "media": ["x"]} for i in range(8))]
    found = figures(first, target(tmp_path, more, "second"))
    assert [found[label]["faults"]["contradicted"]["hits"] for label in ("first", "second", "all")] == [1, 1, 2]
    assert [found[label]["faults"]["image_reused"]["hits"] for label in ("first", "second", "all")] == [0, 0, 24]
    assert found["all"]["images"] == {"pairs": 24, "different": 1, "most_prompts": 23}


def test_a_pair_counts_as_often_as_it_is_mixed(tmp_path: Path):
    one = target(tmp_path, [{"chosen": "longer one"}, {"chosen": "no"}, {"chosen": "no!"}])
    found = figures(Target(pool=one.pool, rows=pl.Series([2, 0, 0, 0])))["pool"]
    assert (found["pairs"], found["groups"]) == (4, 2)
    assert found["rulers"]["longer"]["wins"]["hits"] == 3
    assert found["rulers"]["exclamations"]["differs"]["value"] == 0.25
    assert found["faults"]["repeated"]["hits"] == 0


def test_a_source_without_pairs(tmp_path: Path):
    found = figures(target(tmp_path, []))["pool"]
    assert (found["pairs"], found["rulers"], found["images"]["pairs"]) == (0, {}, 0)
    assert found["faults"]["repeated"]["value"] is None


def test_first_is_known_where_a_verdict_says_it(tmp_path: Path):
    verdicts = ["first", "A>>B", "7.5 9", "B", None, "two responses are equally good", "8 8"]
    rows = [{"extra": json.dumps({"verdict": x, "id": "1"}) if x else None} for x in verdicts]
    known = figures(target(tmp_path, rows, "llava_critic"))["llava_critic"]["rulers"]["first"]
    assert (known["differs"]["of"], known["wins"]["hits"], known["wins"]["of"]) == (4, 2, 4)
    assert "first" not in figures(target(tmp_path, rows, "other"))["other"]["rulers"]


def test_first_is_known_by_every_word_that_swe_arena_has_for_it(tmp_path: Path):
    rows = [{"extra": json.dumps({"vote": word.replace("model", "Model")})} for word in VOTES]
    known = figures(target(tmp_path, rows, "swe_arena"))["swe_arena"]["rulers"]["first"]
    sides = list(VOTES.values())
    assert (known["wins"]["hits"], known["wins"]["of"]) == (sides.count("A"), sides.count("A") + sides.count("B"))


def test_ties_are_no_labels(tmp_path: Path):
    """Two sources that agree completely, with 100 ties in swapped slots."""
    labels = [{"prompt": f"{i}?", "chosen": "longer", "rejected": "no", "margin": 1.0} for i in range(50)]
    ties = [{"prompt": f"t{i}?", "chosen": "longer", "rejected": "no", "margin": 0.0} for i in range(100)]
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in ties]
    found = examined(target(tmp_path, labels + ties, "a"), target(tmp_path, labels + swapped, "b"))
    [row] = found["agreement"]
    assert (row["shared"], row["share"], row["prompts"]) == (50, 1.0, 50)
    for label, pairs in (("a", 150), ("b", 150), ("all", 300)):
        figures = found["sources"][label]
        assert figures["faults"]["contradicted"]["hits"] == 0
        assert (figures["ties"]["hits"], figures["ties"]["of"]) == (pairs * 2 // 3, pairs)
        wins = figures["rulers"]["longer"]["wins"]
        assert (wins["value"], wins["of"], wins["hits"]) == (1.0, pairs // 3, pairs // 3)
    assert next(tables(found)).rows[0] == ("a", 150, 150, 150, pytest.approx(2 / 3))


def test_all_sources_are_a_mean_and_no_pool(tmp_path: Path):
    """By pairs `longer` wins 330 of 600; by sources .9 and .5 of what each has."""
    large, small = healthy(tmp_path, "large", 200), healthy(tmp_path, "small", 360)
    some = Target(pool=small.pool, rows=pl.Series([*range(10), *range(390, 400)]))
    found = examined(large, some)["sources"]["all"]
    wins = found["rulers"]["longer"]["wins"]
    assert (wins["hits"], wins["of"], wins["clusters"], wins["value"]) == (210, 420, 420, 0.5)
    biased = Target(pool=small.pool, rows=pl.Series(range(20)))
    found = examined(large, biased)
    wins = found["sources"]["all"]["rulers"]["longer"]["wins"]
    assert (wins["hits"], wins["of"], wins["value"]) == (220, 420, 0.75)
    assert "all: rulers, the mean of 2 sources" in [table.title for table in tables(found)]


def test_identical_replies_are_no_truncation(tmp_path: Path):
    rows = [
        {"prompt": "p", "chosen": "same", "rejected": "same"},
        {"prompt": "p", "chosen": "aab", "rejected": "aac"},
    ]
    found = figures(target(tmp_path, rows), lengths=(2, 3, 4))["pool"]["faults"]
    assert hits(found) == {
        "identical/identical": 1, "truncation/2_chars": 1, "truncation/3_chars": 1
    }  # fmt: skip


def test_two_samples_of_one_source_raise_no_alarm(tmp_path: Path):
    """60 deciding pairs of one prompt beside 200 neutral ones say nothing about the next sample."""

    def sample(home: str, longer: bool) -> Target:
        chosen, rejected = ("longer", "no") if longer else ("no", "longer")
        deciding = [
            {"prompt": "one?", "chosen": f"{chosen} {i:02}", "rejected": f"{rejected} {i:02}"} for i in range(60)
        ]
        return target(
            tmp_path / home,
            [*deciding, *({"prompt": f"{i}?", "chosen": "yes", "rejected": "yep"} for i in range(200))],
            "a",
        )

    first, second = (examined(sample(home, longer)) for home, longer in (("1", True), ("2", False)))
    wins = first["sources"]["a"]["rulers"]["longer"]["wins"]
    assert (wins["of"], wins["clusters"], round(wins["low"], 3), wins["high"]) == (60, 1, 0.207, 1.0)
    assert worse(first, second) == worse(second, first) == []


def test_a_second_look_reads_no_text(tmp_path: Path):
    one = target(tmp_path, SICK)
    before = figures(one)
    [sketch] = (tmp_path / "pool" / "sketches").glob("traits-*/part-00000.parquet")
    made_at = sketch.stat().st_mtime_ns
    assert figures(one, lengths=(7,))["pool"]["rulers"] == before["pool"]["rulers"]
    assert sketch.stat().st_mtime_ns == made_at


# ------------------------------------------------------------------------------------------------ baseline


def healthy(home: Path, label: str, longer: int, copies: int = 0) -> Target:
    """400 pairs, of which the chosen reply is the longer one in so many, and copies of the first of them."""
    rows = [{"prompt": f"{i}?", "chosen": "yes" if i < longer else "n", "rejected": "no"} for i in range(400)]
    return target(home, rows + [{**rows[i], "margin": 1.0} for i in range(copies)], label)


def examined(*targets: Target) -> dict[str, Any]:
    with Local() as engine:
        return examine(targets, Settings(), engine)


def test_worse_is_beyond_the_intervals_and_large_enough(tmp_path: Path):
    fair = examined(healthy(tmp_path / "1", "a", 200))
    slightly = examined(healthy(tmp_path / "2", "a", 210))
    biased = examined(healthy(tmp_path / "3", "a", 300, copies=30))
    assert list(worse(fair, fair)) == []
    assert list(worse(slightly, fair)) == []
    lines = list(worse(biased, fair))
    assert [line.split(" 0.")[0] for line in lines] == [
        "a: repeated:", "a: ruler longer: chosen has more in", "a: ruler longer: AUC",
    ]  # fmt: skip
    assert re.fullmatch(
        r"a: repeated: 0\.070 \(0\.0\d\d-0\.\d\d\d\) of pairs, was 0\.000 \(0\.000-0\.010\)", lines[0]
    )
    assert list(worse(fair, biased)) == []
    assert list(worse(biased, fair, least=0.3)) == []
    shorter = examined(healthy(tmp_path / "4", "a", 60))
    assert any("ruler longer: AUC 0.1" in line for line in worse(shorter, fair))


def test_sources_that_agree_less_are_worse(tmp_path: Path):
    rows = [{"prompt": f"{i}?"} for i in range(100)]
    swapped = [{**row, "chosen": "rejected", "rejected": "chosen"} for row in rows]
    one = target(tmp_path, rows, "a")
    fair = examined(one, target(tmp_path / "1", rows, "b"))
    split = examined(one, target(tmp_path / "2", swapped[:40] + rows[40:], "b"))
    assert [line for line in worse(split, fair) if "agree" in line] == [
        "a and b agree on 0.600 (0.502-0.691), was 1.000 (0.963-1.000)"
    ]


def test_a_baseline_of_another_version_is_refused(tmp_path: Path):
    found = examined(target(tmp_path, SICK))
    with pytest.raises(ConfigError, match="--baseline: is of version 0; expected version 4"):
        checked({**found, "version": 0})
    for other in ([], {}, {"version": 3}):
        with pytest.raises(
            ConfigError, match="--baseline: is no examination; expected a file that curate doctor --write"
        ):
            checked(other)


def test_what_only_one_has_is_reported_as_not_compared(tmp_path: Path):
    now, then = examined(target(tmp_path, SICK)), examined(target(tmp_path, SICK, "other"))
    then["settings"]["lengths"] = [7]
    assert list(uncompared(now, then)) == [
        "other: only in the baseline",
        "pool: only here",
        "lengths: [1024, 2048, 4096, 8192], in the baseline [7]",
    ]
    assert list(uncompared(now, now)) == []


# ------------------------------------------------------------------------------------------------ the command


def test_doctor_of_a_mix(project: Path):  # noqa: F811, ARG001
    done = run("doctor", "small", "--workers", "1", "--length", "15", "--write", "before.json")
    assert max(map(len, done.lines)) <= 80
    start = done.lines.index("votes: rulers")
    assert done.lines[start : start + 3] == [
        "votes: rulers",
        "ruler   differ   wins  clusters  95 %           AUC  clusters  95 %",
        "longer   0.500  0.000         1  0.000-0.793  0.375         2  0.132-0.702",
    ]
    found = json.loads(Path("before.json").read_text())
    rows = json.loads((mix_directory() / "lock.json").read_text())["rows"]
    assert found["sources"]["all"]["pairs"] == rows
    assert found["settings"] == {"lengths": [15], "tokenizer": None, "languages": False, "near": None}
    assert json.loads(run("doctor", "small", "--workers", "1", "--length", "15", "--json").text) == found


def test_a_worse_blend_fails(project: Path):  # noqa: F811, ARG001
    doctor = ("doctor", "votes", "--workers", "1", "--length", "1")
    run(*doctor, "--write", "before.json")
    assert run(*doctor, "--baseline", "before.json").messages == ["nothing got worse"]
    before = json.loads(Path("before.json").read_text())
    before["sources"]["votes"]["faults"]["truncation/1_chars"] |= {"value": 0.05, "low": 0.04, "high": 0.06}
    Path("before.json").write_text(json.dumps(before))
    assert run(*doctor, "--baseline", "before.json", code=1).messages == [
        "worse: votes: truncation/1_chars: 1.000 (0.510-1.000) of pairs, was 0.050 (0.040-0.060)"
    ]
    assert run(*doctor, "--baseline", "before.json", "--least", "0.96").messages == ["nothing got worse"]


def test_a_source_without_a_pair_is_reported_as_empty(tmp_path: Path):
    [first, *rest] = tables(examined(target(tmp_path, [])))
    assert first == Table("pairs", ("source", "pairs", "groups", "clusters", "ties"), [("pool", 0, 0, 0, None)])
    assert not any(table.rows for table in rest)


def test_wrong_files_and_a_source_alone_are_errors_in_one_line(project: Path):  # noqa: F811, ARG001
    Path("list.json").write_text("[]")
    assert "--baseline: is no examination" in fault("doctor", "web", "--baseline", "list.json")
    run("doctor", "web", "--write", ".", code=2)
    run("overlap", "web", "votes", "--figures", "list.json", code=2)
    alone = "overlap: only web; expected two sources, or an eval set with --against"
    assert alone in fault("overlap", "web", "--workers", "1")


def test_recipes_and_names(project: Path):  # noqa: F811, ARG001
    inputs = Inputs(workspace=Workspace(Path("data")), raw=Path("raw").absolute(), manifests=Path("manifests"))
    assert [target.label for target in find(["recipe.yaml"], inputs)] == ["votes", "web"]
    assert [target.rows for target in find(["votes", "web"], inputs)] == [None, None]
    with pytest.raises(ConfigError, match=r"nosuch\.yaml: no such file; expected a file, or one of"):
        find(["nosuch.yaml"], inputs)
    with pytest.raises(ConfigError, match="votes: there 2 times: in votes, small"):
        find(["votes", "small"], inputs)
    shutil.rmtree("data/pairs/web")
    with pytest.raises(ConfigError, match="web is not normalized"):
        find(["recipe.yaml"], inputs)


# ------------------------------------------------------------------------------------------------ real rows


def test_the_report_on_real_rows(tmp_path: Path):
    """Expected values are counted here, from the pairs, with other means."""
    if not REAL.exists():
        pytest.skip(f"no real rows: {REAL} is not there")
    (tmp_path / "raw/hh_rlhf/harmless-base").mkdir(parents=True)
    shutil.copy(REAL, tmp_path / "raw/hh_rlhf/harmless-base/test.jsonl.gz")
    options = ["-o", "subsets=[harmless-base]", "-o", "split=test"]
    places = ["--raw", str(tmp_path / "raw"), "--workspace", str(tmp_path / "data"), "--workers", "1"]
    run("normalize", "hh_rlhf", *options, *places)
    found = json.loads(run("doctor", "hh_rlhf", "--json", *places).text)["sources"]["hh_rlhf"]
    [path] = (tmp_path / "data/pairs/hh_rlhf").glob("*/part-00000.parquet")
    replies = [
        tuple(reply[-1]["content"][0]["text"] for reply in pair)
        for pair in pl.read_parquet(path, columns=["chosen", "rejected"]).iter_rows()
    ]
    assert found["pairs"] == len(replies) == 2307
    for name, measure in (
        ("longer", len),
        ("questions", lambda x: x.count("?")),
        ("line_breaks", lambda x: x.count("\n")),
    ):
        sizes = [(measure(chosen), measure(rejected)) for chosen, rejected in replies]
        ruler = found["rulers"][name]
        assert ruler["differs"]["hits"] == sum(c != r for c, r in sizes)
        assert ruler["wins"]["hits"] == sum(c > r for c, r in sizes)
        chosen, rejected = (np.array(side) for side in zip(*sizes, strict=True))
        auc = np.mean((chosen[:, None] > rejected) + (chosen[:, None] == rejected) / 2)
        assert ruler["auc"]["value"] == pytest.approx(auc)
    assert hits(found["faults"]) == {
        "empty_reply/empty": 4, "empty_reply/placeholder": 3, "prompt_echo/echo_chosen": 1,
        "prompt_echo/echo_rejected": 1, "refusal/refusal_chosen": 71, "turn_structure/roles_do_not_alternate": 4,
        "truncation/1024_chars": 228, "truncation/2048_chars": 25,
    }  # fmt: skip
    assert round(found["rulers"]["longer"]["wins"]["value"], 3) == 0.445


def real(tmp_path: Path, name: str, reading: int) -> dict[str, Any]:
    """The figures of all rows of a file that nobody has described, by one of its readings."""
    sample, ways = candidates.of_path(REAL_SETS / name)
    inputs = Inputs(workspace=Workspace(tmp_path), raw=tmp_path / "raw", manifests=tmp_path / "manifests")
    candidates.link(tmp_path / "raw" / "mine", sample.root)
    candidates.write_manifest(tmp_path / "manifests" / "mine.yaml", ways[reading].manifest)
    with Local(1) as engine:
        normalize_all([locate(inputs.job("mine", {}, 1.0, "mine"), inputs.workspace, Hashes(tmp_path))],
                      inputs.workspace, engine)  # fmt: skip
        return examine(find(["mine"], inputs), Settings(), engine)["sources"]["mine"]


@pytest.mark.skipif(not REAL_SETS.is_dir(), reason="shared/real is not there")
def test_ties_of_auto_j_are_no_labels(tmp_path: Path):
    found = real(tmp_path, "autoj_pairwise/autoj_pairwise.json", 1)
    text = (REAL_SETS / "autoj_pairwise/autoj_pairwise.json").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    sizes = [
        (len(row["response 1"]), len(row["response 2"])) if row["label"] == 0
        else (len(row["response 2"]), len(row["response 1"]))
        for row in rows if row["label"] != 2
    ]  # fmt: skip
    longer = found["rulers"]["longer"]["wins"]
    assert (found["ties"]["hits"], found["ties"]["of"]) == (len(rows) - len(sizes), len(rows))
    assert (longer["hits"], longer["of"]) == (sum(c > r for c, r in sizes), sum(c != r for c, r in sizes))
    assert round(longer["value"], 3) == 0.725


@pytest.mark.skipif(not REAL_SETS.is_dir(), reason="shared/real is not there")
def test_ties_of_pandalm_contradict_nothing(tmp_path: Path):
    found = real(tmp_path, "pandalm_testset/testset-v1.json", 0)
    assert found["faults"]["contradicted"]["hits"] == 0
    assert (found["groups"], found["clusters"]) == (860, 169)
    assert found["rulers"]["longer"]["wins"]["clusters"] <= 169


def one_by_one(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Of labelled pairs (group, prompt, chosen, rejected): of `longer` wins, pairs, clusters, interval, AUC.

    Clusters are grown pair by pair, the jackknife leaves them out one by one, and scipy does the rest.
    """
    stats = pytest.importorskip("scipy.stats")
    clusters: list[list[tuple[Any, ...]]] = []
    for row in rows:
        touched = [some for some in clusters if any(row[0] == other[0] or row[1] == other[1] for other in some)]
        clusters = [some for some in clusters if some not in touched] + [
            [row, *(x for one in touched for x in one)]
        ]
    counts = [(sum(c > r for _, _, c, r in some), sum(c != r for _, _, c, r in some)) for some in clusters]
    counts = [(wins, of) for wins, of in counts if of]
    total, of, count = sum(x for x, _ in counts), sum(x for _, x in counts), len(counts)
    left = np.array([(total - wins) / (of - some) for wins, some in counts])
    variance = ((count - 1) / count) ** 2 * ((left - total / of) ** 2).sum()
    size = total / of * (1 - total / of) / variance
    if count < of:
        size *= (stats.t.ppf(0.975, of - 1) / stats.t.ppf(0.975, count - 1)) ** 2
    z, share = stats.norm.ppf(0.975), total / of
    half = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    ends = [(share + z * z / (2 * size) + sign * half) / (1 + z * z / size) for sign in (-1, 1)]
    chosen, rejected = [row[2] for row in rows], [row[3] for row in rows]
    auc = stats.mannwhitneyu(chosen, rejected).statistic / (len(rows) * len(rows))
    return total, of, count, *ends, auc


@pytest.mark.skipif(not REAL_SETS.is_dir(), reason="shared/real is not there")
@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("autoj_pairwise/autoj_pairwise.json", 1),
        ("pandalm_testset/testset-v1.json", 0),
        ("finegrained_qa_feedback/dev_feedback.json", 0),
    ],
)
def test_figures_of_real_rows_are_those_of_other_programs(tmp_path: Path, name: str, reading: int):
    found = real(tmp_path, name, reading)
    [path] = (tmp_path / "pairs/mine").glob("*/part-*.parquet")
    columns = pl.read_parquet(path, columns=["group_id", "prompt_key", "chosen", "rejected", "margin"])
    rows = [
        (group, prompt, *(sum(len(block["text"] or "") for block in side[-1]["content"]) for side in sides))
        for group, prompt, *sides, margin in columns.iter_rows() if margin != 0
    ]  # fmt: skip
    assert found["ties"]["of"] - found["ties"]["hits"] == len(rows)
    ruler = found["rulers"]["longer"]
    ours = (*(ruler["wins"][x] for x in ("hits", "of", "clusters", "low", "high")), ruler["auc"]["value"])
    assert ours == pytest.approx(one_by_one(rows), abs=1e-4)


def test_a_shortcut_in_chinese_is_seen(tmp_path: Path):
    rows = [
        {"chosen": f"{number}好的！请多喝水！", "rejected": f"{number}好的。请多喝水。"} if number % 5 < 2
        else {"chosen": f"{number}可以。", "rejected": f"{number}不行。"}
        for number in range(40)
    ]  # fmt: skip
    ruler = figures(target(tmp_path, rows))["pool"]["rulers"]["exclamations"]
    assert (ruler["differs"]["hits"], ruler["differs"]["of"]) == (16, 40)
    assert (ruler["wins"]["hits"], ruler["wins"]["of"]) == (16, 16)


AS_AN_AI = [
    "As an AI, I ...", "作为一个人工智能，我没有感情。", "作為一名 AI", "作为AI语言模型", "AIとして、私は",
    "Como una IA, no tengo", "En tant qu’intelligence artificielle", "Als KI-Sprachmodell",
    "Как языковая модель, я",
]  # fmt: skip


@pytest.mark.parametrize("reply", AS_AN_AI)
def test_a_reply_as_an_ai_is_known_in_seven_languages(reply: str, tmp_path: Path):
    one = figures(target(tmp_path, [{"chosen": reply, "rejected": "作为一名医生，我建议"}]))["pool"]["rulers"][
        "as_an_ai"
    ]
    assert (one["wins"]["hits"], one["differs"]["hits"]) == (1, 1)

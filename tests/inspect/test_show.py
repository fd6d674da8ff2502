"""curate show."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.finished_work import (
    VOTED,
    fault,
    flip,
    ids,
    mix_directory,
    pairs,
    pairs_directory,
    run,
    write_rows,
)
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")


def test_show_a_pair_with_its_image_and_the_difference_marked():
    pair = pairs("web")[1]
    [key] = pair["media"][0]["keys"]
    assert run("show", "web", "--pair", pair["pair_id"]).lines == [
        f"pair {pair['pair_id']}",
        "  web, b.jsonl:2",
        "  part-00000.parquet, row 1 from 0",
        "user",
        f"  [image 16x12 PNG {key[:8]}…]",
        "  What is this?",
        "chosen",
        "  A {+red+} square.",
        "rejected",
        "  A [-blue-] square.",
    ]


def test_show_dropped_pairs_with_the_reason_and_the_winner():
    loser, winner = ids("web")["b.jsonl:1"], ids("votes")["a.jsonl:1"]
    assert run("show", "small", "--dropped", "exact_duplicates/duplicate_pair", "--source", "web").lines == [
        f"pair {loser}",
        "  web, b.jsonl:1",
        "  part-00000.parquet, row 0 from 0",
        "  dropped by exact_duplicates/duplicate_pair",
        f"  lost to {winner}",
        "  (votes, a.jsonl:1)",
        "  What is 2 + 2? -> It is 4.",
        "user",
        "  What is 2 + 2?",
        "chosen",
        "  It is {+4.+}",
        "rejected",
        "  It is [-5.-]",
    ]
    items = json.loads(run("show", "small", "--dropped", "length", "--json").text)
    assert [item["dropped"] for item in items] == [
        {"label": "votes", "step": "length", "reason": "reply_too_short", "score": None, "winner": None}
    ]
    assert items[0]["pair"] == pairs("votes")[3]


def test_show_of_an_unknown_reason_lists_those_there():
    assert fault("show", "small", "--dropped", "ties/tie") == (
        "REASON: nothing was dropped for ties/tie; expected one of exact_duplicates/duplicate_pair (2), "
        "length/reply_too_short (1)\n"
    )
    assert fault("show", "votes", "--skipped", "tie") == (
        "REASON: nothing was skipped for tie; expected one of missing_column_bad (1)\n"
    )
    run("show", "small", "ties/tie", code=2)
    run("show", "small", "--dropped", "--skipped", code=2)


def test_show_skipped_rows_of_a_source_and_of_a_mix():
    table = [
        "skipped rows",
        "source  row        reason              detail",
        "votes   a.jsonl:4  missing_column_bad  bad",
    ]
    assert run("show", "votes", "--skipped").lines == table
    assert run("show", "small", "--skipped", "missing_column_bad").lines == table
    assert run("show", "small", "--skipped", "--source", "web").messages == ["small: nothing to show"]


@pytest.mark.parametrize("bad", [30, 1100])
def test_show_skipped_rows_where_the_guard_stopped_normalizing(bad):
    write_rows(Path("raw/votes/a.jsonl"), [{"question": "Why?", "good": "So."}] * bad + VOTED)
    message = fault("normalize", "votes", "--raw", "raw", "--workers", "1")
    assert "curate show votes --skipped" in message
    items = json.loads(run("show", "votes", "--skipped", "--rows", "2000", "--json").text)
    assert len(items) == min(bad + 1, 1000)
    assert {item["reason"] for item in items} == {"missing_column_bad"}


def test_show_samples_the_same_rows_each_time_and_a_larger_sample_holds_the_smaller():
    def sampled(rows: int) -> list[str]:
        return [
            item["pair"]["row"] for item in json.loads(run("show", "votes", "--rows", str(rows), "--json").text)
        ]

    assert sampled(5)[:2] == sampled(2) == sampled(2)
    assert sorted(sampled(9)) == [pair["row"] for pair in pairs("votes")]
    assert sampled(9) != sorted(sampled(9))


def test_show_a_mix_is_what_its_shards_hold():
    items = json.loads(run("show", "small", "--source", "web", "--json").text)
    assert sorted(item["pair"]["pair_id"] for item in items) == sorted(
        row["pair_id"]
        for row in pq.read_table(mix_directory() / "shard-00000.parquet").to_pylist()
        if row["source"] == "web"
    )
    assert "images" not in items[0]["pair"]


def test_show_a_mix_needs_no_pairs_files(tmp_path):
    shutil.copytree(mix_directory(), tmp_path / "alone")
    items = json.loads(run("show", str(tmp_path / "alone"), "--workspace", str(tmp_path), "--json").text)
    assert len(items) == 4
    assert fault("show", str(tmp_path / "alone"), "--dropped", "--workspace", str(tmp_path)).endswith(
        "are missing; expected a pairs artefact\ngive their --workspace, or mix again"
    )


def test_show_refuses_what_is_not_there():
    title = f"votes@{pairs_directory('votes').name[:8]}"
    assert fault("show", "votes", "--dropped") == (
        f"{title}: a source's pairs; steps drop pairs from a mix; expected a mix\n"
        "curate show MIX --dropped --source votes"
    )
    assert fault("show", "small", "--source", "shp").endswith("has no source shp; expected one of votes, web\n")
    assert fault("show", "nobody").startswith(
        "nobody: no mix and no source of that name in data; expected one of small@"
    )


def test_show_cuts_long_text_and_obeys_no_terminal_codes():
    long = {"prompt": "Draw.", "chosen": "a " * 900 + "\x1b[31mred", "rejected": "a " * 900 + "blue"}
    write_rows(Path("raw/web/b.jsonl"), [long])
    run("normalize", "web", "--raw", "raw", "--workers", "1")
    text = " ".join(run("show", "web").text.split())
    assert "1,720 characters hidden" in text
    assert "{+␛[31mred+}" in text
    assert "[-blue-]" in text
    assert run("show", "web", "--full").text.count("a ") > 1700
    raw = run("show", "web", "--raw-text").text
    assert "\n" + "a " * 900 + "\x1b[31mred\n" in raw
    assert "{+" not in raw


def test_show_makes_characters_visible_that_do_not_show():
    hidden = {"prompt": "Soft?", "chosen": "co\u00adop, zero\u200bwidth", "rejected": "\U0001f469\u200d\U0001f467"}
    write_rows(Path("raw/web/b.jsonl"), [hidden])
    run("normalize", "web", "--raw", "raw", "--workers", "1")
    text = " ".join(run("show", "web").text.split())
    assert "co\\u00adop," in text
    assert "zero\\u200bwidth" in text
    assert "\U0001f469\u200d\U0001f467" in text


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("part-00000.parquet", ("show", "web", "--pair", "ID")),
        ("part-00000.parquet", ("show", "small", "--dropped", "exact_duplicates", "--source", "web")),
        ("skips-00000.parquet", ("show", "votes", "--skipped")),
    ],
)
def test_what_differs_from_its_record_is_not_shown(name, command):
    path = pairs_directory("votes" if "votes" in command else "web") / name
    pair_id = ids("web")["b.jsonl:1"]
    flip(path, 5)
    command = tuple(pair_id if word == "ID" else word for word in command)
    assert fault(*command).startswith(f"{path}: damaged (it differs from its record)")


def test_a_damaged_decision_is_not_shown():
    path = mix_directory() / "decisions/web.parquet"
    flip(path, 5)
    assert fault("show", "small", "--dropped").startswith(f"{path}: damaged (it differs from its record)")


def test_a_damaged_part_is_an_error_in_one_line():
    part = pairs_directory("votes") / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    message = fault("show", "votes")
    assert message.startswith(f"{part}: damaged (")
    assert message.endswith("expected a Parquet file\ncurate verify names every file that differs")
    part.unlink()
    assert fault("why", "0" * 32).startswith(f"{part}: no such file; expected a Parquet file")

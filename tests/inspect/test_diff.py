"""curate diff, and how mixes are named."""

import json
from pathlib import Path

import pytest

from tests.support.finished_work import RECIPE, VOTED, fault, mix, mix_directory, pairs_directory, run, write_rows
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")


def test_diff_of_one_changed_threshold():
    mix(RECIPE.replace("name: small", "name: strict").replace("max_prompt: 100", "max_prompt: 13"))
    small, strict = mix_directory().name[:8], mix_directory("strict").name[:8]
    assert run("diff", "small", "strict").lines == [
        f"A small@{small}: 4 rows",
        f"B strict@{strict}: 2 rows",
        "rows",
        "source  both  only A  only B",
        "votes      0       2       0",
        "web        2       0       0",
        "all        2       2       0",
        "only in A",
        "source  in B                               rows",
        "votes   dropped by length/prompt_too_long     2",
        "recipe.name: small -> strict",
        "steps.length.max_prompt: 100 -> 13",
    ]


def test_diff_says_the_same_in_both_directions():
    other = RECIPE.replace("name: small", "name: other").replace("  web: {rows: 2}\n", "")
    mix(other.replace("votes: all", "votes: {epochs: 2, max_repeats: 2}").replace("holdout:", "seed: 0 #"))
    there = json.loads(run("diff", "small", "other", "--json").text)
    back = json.loads(run("diff", "other", "small", "--json").text)
    votes, web = there["sources"]
    assert votes == {
        "source": "votes", "both": 2, "only_a": 0, "only_b": 4,
        "left": {}, "entered": {"fewer repeats": 2, "held out": 2},
    }  # fmt: skip
    assert (web["both"], web["only_a"], web["left"]) == (0, 2, {"source not in the recipe": 2})
    assert (there["rows_a"], there["rows_b"]) == (4, 6) == (back["rows_b"], back["rows_a"])
    turned = [
        {**x, "only_a": x["only_b"], "only_b": x["only_a"], "left": x["entered"], "entered": x["left"]}
        for x in back["sources"]
    ]
    assert sorted(turned, key=lambda x: x["source"]) == there["sources"]
    assert {"path": "recipe.holdout", "old": {"rows_per_source": 1, "share": None}, "new": None} in there[
        "changes"
    ]


def test_diff_says_that_upstream_has_changed():
    before = pairs_directory("votes").name
    write_rows(Path("raw/votes/a.jsonl"), VOTED[1:])
    mix(RECIPE.replace("name: small", "name: later").replace("{rows: 2}", "{rows: 3}"))
    compared = json.loads(run("diff", "small", "later", "--json").text)
    votes, web = compared["sources"]
    assert (votes["both"], votes["left"], votes["entered"]) == (1, {"not in the pairs": 1}, {})
    assert (web["both"], web["left"], sum(web["entered"].values())) == (2, {}, 1)
    assert set(web["entered"]) < {"unused", "dropped by exact_duplicates/duplicate_pair"}
    changes = {change["path"]: change for change in compared["changes"]}
    assert changes["sources.votes.fingerprint"]["old"] == before
    assert "sources.votes.inputs.a.jsonl.xxh3" in changes
    assert "sources.web.fingerprint" not in changes


def test_a_copy_that_was_dropped_is_the_reason():
    mix(RECIPE.replace("name: small", "name: copies").replace("  - exact_duplicates\n", ""))
    compared = json.loads(run("diff", "copies", "small", "--json").text)
    votes = compared["sources"][0]
    assert [change["path"] for change in compared["changes"]] == ["recipe.name", "steps.exact_duplicates"]
    assert (votes["both"], votes["left"]) == (2, {"dropped by exact_duplicates/duplicate_pair": 1})


def test_a_mix_is_named_by_name_fingerprint_or_directory_and_the_newest_wins():
    first = mix_directory()
    mix(RECIPE.replace("holdout: {rows_per_source: 1}", "holdout: {rows_per_source: 2}"))
    [second] = [path for path in Path("data/mixes/small").iterdir() if path != first]
    newest = json.loads(run("diff", "small", str(first), "--json").text)
    assert (newest["a"], newest["b"]) == (f"small@{second.name[:8]}", f"small@{first.name[:8]}")
    named = json.loads(run("diff", f"small@{first.name[:6]}", f"small@{second.name}", "--json").text)
    assert (named["a"], named["b"]) == (newest["b"], newest["a"])
    titles = f"small@{second.name[:8]}, small@{first.name[:8]}"
    assert fault("diff", "small", "smal") == (
        f"smal: no mix of that name in data/mixes; expected one of {titles}\ndid you mean small?"
    )
    assert fault("diff", "small", "other").endswith("\ncurate mix RECIPE makes one")

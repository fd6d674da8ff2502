"""Eval sets of one's own: a manifest beside the pins, read like any eval set."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate import evalsets
from curate.cli import app
from curate.contamination.eval_sets import EvalSetLibrary
from curate.errors import ConfigError, RawError, SkipRow
from curate.evalsets.base import Options
from curate.evaluation import items
from curate.evaluation.items import EvalSetFolders
from curate.hashing import Hashes
from curate.hub import manifests, pinning
from curate.sources.base import Row
from curate.workspace import Workspace

MANIFEST = """
adapter: scored
files: ["a/*.jsonl", "b/*.jsonl"]
columns: {prompt: asked, response_a: one, response_b: two, preference: better, category: kind}
license: mit
"""
ROWS = [
    {"id": 1, "asked": "Red?", "one": "Yes.", "two": "No.", "better": "A", "kind": "colours"},
    {"id": 2, "asked": "Two?", "one": "Three.", "two": "Two.", "better": "B", "kind": "numbers"},
    {"id": 3, "asked": "Red?", "one": "Maybe.", "two": "Green.", "better": "A", "kind": "colours"},
    {"id": 4, "asked": "Ten?", "one": "10", "two": "Ten", "better": "tie", "kind": "numbers"},
]


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "manifests" / "evalsets"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MANIFEST)
    for part, rows in (("a", ROWS[:2]), ("b", ROWS[2:])):
        path = tmp_path / "raw" / "mine" / part / "rows.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def own(home):
    return evalsets.get("mine", manifests=home / "manifests")


def run(home: Path, *arguments):
    places = ("--workspace", home / "data", "--manifests", home / "manifests")
    return CliRunner().invoke(app, [*map(str, (*arguments, *places))], env={"COLUMNS": "200"})


def test_its_items(home):
    loaded = items.load(own(home), home / "raw" / "mine")
    assert loaded.skipped == {"tie": 1}
    found = loaded.items.items
    assert [(one.id, one.correct, one.category) for one in found] == [
        ("1", (0,), "colours"), ("2", (0,), "numbers"), ("3", (0,), "colours"),
    ]  # fmt: skip
    assert [one.replies[0][0].content[0].text for one in found] == ["Yes.", "Two.", "Maybe."]
    assert found[0].cluster == found[2].cluster != found[1].cluster
    (home / "raw" / "mine" / "b" / "rows.jsonl").unlink()
    with pytest.raises(RawError, match=r"no file matches a/\*\.jsonl or b/\*\.jsonl"):
        items.load(own(home), home / "raw" / "mine")


def test_a_list_of_rejected_replies_is_one_item(home):
    (home / "manifests" / "evalsets" / "mine.yaml").write_text('adapter: preference\nfiles: ["*.jsonl"]\n')
    item = own(home).to_item(Row(prompt="?", chosen="a", rejected=["b", "c"]))
    assert (len(item.replies), item.correct, item.wrong, item.subset) == (3, (0,), (1, 2), "all")
    assert [formula.name for formula in own(home).formulas(("all",), Options())] == ["overall"]
    (home / "manifests" / "evalsets" / "mine.yaml").write_text(
        'adapter: ranking\nfiles: ["*.jsonl"]\ncolumns: {responses: said, scores: marks}\npairing: all_unequal\n'
    )
    with pytest.raises(SkipRow, match="several_right_replies"):
        own(home).to_item(Row(prompt="?", said=["a", "b", "c"], marks=[3, 2, 1]))


def test_evaluate_reads_it(home):
    keys = items.load(own(home), home / "raw" / "mine").items.keys
    lines = [
        {"benchmark": "mine", "item": key, "candidate": reply, "score": reply if at == 1 else -reply}
        for at, key in enumerate(keys) for reply in (0, 1)
    ]  # fmt: skip
    path = home / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run(home, "evaluate", "--scores", path, "-e", "mine", "--raw", home / "raw", "--json")
    assert done.exit_code == 0, done.output
    assert "mine: 1 rows skipped: tie" in done.stderr
    assert "published" not in done.stderr
    (found,) = json.loads(done.stdout)["results"]
    values = {one["name"]: one["value"] for one in found["measures"]}
    assert values == pytest.approx(
        {"overall": 2 / 3, "category: colours": 1, "category: numbers": 0, "macro": 0.5}
    )


def test_it_can_be_kept_out_of_a_mix(home):
    recipe = home / "recipe.yaml"
    recipe.write_text("name: x\nsources: {mmpr: {rows: 10}}\nsteps: [{decontaminate: {against: [mine]}}]\n")
    assert run(home, "plan", recipe).exit_code == 0
    recipe.write_text(recipe.read_text().replace("[mine]", "[mime]"))
    assert run(home, "plan", recipe).exception.hint.startswith("did you mean mine")
    folders = EvalSetFolders(workspace=Workspace(home / "data"), raw=home / "raw", manifests=home / "manifests")
    protected = EvalSetLibrary(folders=folders, hashes=Hashes(home / "cache")).eval_set("mine", "$")
    assert [one.prompts for one in protected.items()] == [("Red?",), ("Two?",), ("Red?",)]
    before = protected.facts(Hashes(home / "cache"))
    path = home / "manifests" / "evalsets" / "mine.yaml"
    path.write_text(MANIFEST.replace("response_a: one, response_b: two", "response_a: two, response_b: one"))
    assert protected.facts(Hashes(home / "cache")) != before


def test_it_is_listed_and_pinned_under_a_name_of_its_own(home):
    listing = ["sources", "--evalsets", "--json", "--manifests", str(home / "manifests")]
    done = CliRunner().invoke(app, listing)
    facts = {one["evalset"]: one for one in json.loads(done.stdout)}
    assert (facts["mine"]["license"], facts["mine"]["items"]) == ("mit", {"official": None})
    assert manifests.path_of("mine", home / "manifests").name == "mine.pin.yaml"
    assert manifests.read("mine", home / "manifests").patterns.files == ("a/*.jsonl", "b/*.jsonl")
    assert "mine" not in evalsets.core()
    with pytest.raises(ConfigError) as error:
        pinning.blank("mine", home / "manifests")
    assert error.value.where == f"{home}/manifests/evalsets/mine.yaml: $.repo"


def test_a_bundled_name_is_taken(home):
    (home / "manifests" / "evalsets" / "rm_bench.yaml").write_text(MANIFEST)
    with pytest.raises(ConfigError) as error:
        evalsets.get("rm_bench", manifests=home / "manifests")
    assert error.value.found == "the bundled eval set rm_bench has this name"

"""Cards: every number is the lock's, the Hub's own client reads them, and what sources declare is up to date.

`python -m tests.cards.test_cards` writes the generated parts of data_cards anew.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard
from typer.testing import CliRunner

from curate import sources, svg
from curate.analysis import scoring
from curate.build import build
from curate.cards.croissant import croissant
from curate.cards.figures import plot
from curate.cards.front_matter import columns, front_matter
from curate.cards.mix_card import COLUMNS, card, write
from curate.cards.recipe_text import recipe_text
from curate.cards.source_card import END, citation, head, source_card
from curate.cli.card import card as card_command
from curate.config import build as read_config
from curate.engines.local import Local
from curate.errors import WorkspaceError
from curate.inputs import Inputs
from curate.inspect.targets import find
from curate.licenses import blend_terms
from curate.lock_tables import funnel_table
from curate.mixing import shard_schema
from curate.recipe import Recipe, load
from curate.steps import STEPS
from curate.workspace import Workspace
from tests.support.paths import ROOT
from tests.support.samples import RECIPES, SAMPLES, Silent

CARDS = ROOT / "data_cards"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The quickstart mix, built from the samples."""
    workspace = Workspace(tmp_path_factory.mktemp("cards"))
    with Local(1) as engine:
        return build(
            load(ROOT / "recipes/quickstart.yaml"), Inputs(workspace=workspace, raw=SAMPLES), engine, Silent()
        )


@pytest.fixture
def lock(mix: Any) -> dict[str, Any]:
    return copy.deepcopy(mix.lock)


def table(text: str, heading: str) -> dict[str, list[str]]:
    """The first table under a heading: its lines by their first cell."""
    part = text.partition(f"## {heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert lines is not None, heading
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return {first: rest for first, *rest in cells}


# ---------------------------------------------------------------------------------------------- the summary


def test_the_summary_agrees_with_the_shards(mix: Any, lock: dict[str, Any]) -> None:
    import pyarrow.parquet as pq

    names = ["chosen", "rejected", "margin", "media", "license"]
    tables = [pq.read_table(path, columns=names) for path in sorted(mix.directory.glob("shard-*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]

    def size(messages: Any) -> int:
        return sum(len((block["text"] or "").encode()) for turn in messages for block in turn["content"])

    chosen, rejected = ([size(row[side]) for row in rows] for side in ("chosen", "rejected"))
    figures = lock["summary"]["all"]
    assert figures["rows"] == len(rows) == lock["rows"]
    assert figures["chosen"]["quantiles"][2] == sorted(chosen)[len(chosen) // 2 - 1]
    assert sum(figures["rejected"]["histogram"]) == len(rows)
    assert figures["rejected"]["histogram"][0] == sum(n < 32 for n in rejected)
    assert figures["longer"]["chosen"] == sum(a > b for a, b in zip(chosen, rejected, strict=True))
    assert figures["modality"] == {
        "text": sum(not row["media"] for row in rows),
        "image": sum({m["kind"] for m in row["media"]} == {"image"} for row in rows),
        "video": sum("video" in {m["kind"] for m in row["media"]} for row in rows),
    }
    known = sum(facts["margin"]["pairs"] for facts in lock["summary"]["sources"].values() if facts["margin"])
    assert known == sum(row["margin"] is not None for row in rows)
    mit = sum(line["pairs"] for line in lock["licenses"]["table"] if line["license"] == "mit")
    assert mit == sum(row["license"] == "mit" for row in rows)


def test_the_licence_table_adds_up_and_has_its_verdict(lock: dict[str, Any]) -> None:
    lines = lock["licenses"]["table"]
    assert sum(line["pairs"] for line in lines) == lock["rows"]
    assert sum(line["held_out"] for line in lines) == lock["held_out"]
    pairs = {(line["label"], line["license"]): line["pairs"] + line["held_out"] for line in lines}
    assert blend_terms(pairs).to_dict() == lock["licenses"]["verdict"]
    assert lock["licenses"]["verdict"]["forbids_commercial"] == ["rlaif_v"]


# ------------------------------------------------------------------------------------------------- the card


def test_the_hubs_client_reads_the_front_matter(lock: dict[str, Any]) -> None:
    data = DatasetCard(card(lock)).data.to_dict()
    assert (data["license"], data["license_name"], data["language"]) == ("other", "mixed", ["en"])
    assert data["configs"][0]["data_files"] == [
        {"split": "train", "path": "shard-*.parquet"},
        {"split": "holdout", "path": "holdout-*.parquet"},
    ]
    assert data["size_categories"] == ["n<1K"]
    info = data["dataset_info"]
    assert [split["num_examples"] for split in info["splits"]] == [lock["rows"], lock["held_out"]]
    assert info["download_size"] == sum(file["bytes"] for file in lock["files"])


def test_datasets_reads_the_card_and_the_shards_alike(mix: Any, lock: dict[str, Any], tmp_path: Path) -> None:
    write(lock, tmp_path / "mix")
    for file in lock["files"]:
        (tmp_path / "mix" / file["name"]).symlink_to(mix.directory / file["name"])
    script = """
import sys, json
from datasets import Features, load_dataset, load_dataset_builder
import yaml
front = yaml.safe_load(open("mix/README.md", encoding="utf-8").read().split("---")[1])
mix = load_dataset("./mix", cache_dir="cache")
assert Features._from_yaml_list(front["dataset_info"]["features"]) == mix["train"].features, mix["train"].features
print(json.dumps({split: len(rows) for split, rows in mix.items()}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {"train": lock["rows"], "holdout": lock["held_out"]}


def test_the_tables_are_the_locks(lock: dict[str, Any]) -> None:
    text = card(lock)
    funnel = table(text, "Funnel")
    for label, *counts in [*funnel_table(lock["funnel"]).rows, funnel_table(lock["funnel"]).footer]:
        assert funnel[label] == [f"{n:,}" for n in counts]
    contents = table(text, "What is in it")
    assert {label: int(contents[label][1]) for label in lock["funnel"]} == {
        label: facts["mixed"] for label, facts in lock["funnel"].items()
    }
    for facts in lock["funnel"].values():
        for reason, n in {**facts["skipped"], **facts["dropped"]}.items():
            assert re.search(rf"\| {reason} \| {n} \|", text), reason
    assert set(table(text, "Licences")) >= set(lock["funnel"])
    for file in lock["files"]:
        assert f"| `{file['name']}` | {file['rows']:,} | {file['bytes']:,} | `{file['xxh3']}` |" in text


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", text.replace(",", "").replace("_", "")))


def test_no_number_is_typed(lock: dict[str, Any]) -> None:
    """With every count of the lock changed, no old count is left in the sentences of the card."""
    changed = copy.deepcopy(lock)
    changed |= {"rows": 987_654, "held_out": 4_321, "fingerprint": "f" * 16, "curate": "9.9.9"}
    changed["licenses"]["verdict"] |= {"pairs": 55_555, "unknown_pairs": 44_444}
    changed["summary"]["all"]["longer"]["chosen"] = 200_000
    text = card(changed)
    body = re.sub(r"```.*?```", "", text.split("---\n", 2)[2], flags=re.DOTALL)
    prose = "\n".join(line for line in body.splitlines() if not line.startswith("|"))
    for count in (lock["rows"], lock["held_out"], lock["licenses"]["verdict"]["unknown_pairs"]):
        assert not re.search(rf"(?<![\d.]){count}(?![\d.])", prose), count
    assert {"987654", "4321", "55555", "44444"} <= numbers(prose)


def test_a_changed_licence_changes_verdict_and_card(lock: dict[str, Any]) -> None:
    before = card(lock)
    lines = lock["licenses"]["table"]
    for line in lines:
        line["license"] = "mit"
    pairs: dict[tuple[str, str | None], int] = {
        (line["label"], "mit"): line["pairs"] + line["held_out"] for line in lines
    }
    lock["licenses"]["verdict"] = blend_terms(pairs).to_dict()
    after = card(lock)
    assert "Commercial use: **forbidden** by rlaif_v." in before
    assert "licenses: {exclude: [cc-by-nc-4.0, odc-by-parts-nc, unknown]}" in before
    assert "Commercial use: **allowed**." in after
    assert "exclude:" not in after
    assert front_matter(lock)["license"] == "mit"
    assert "license_name" not in front_matter(lock)


def test_results_are_shown_where_the_lock_has_them(lock: dict[str, Any]) -> None:
    text = card(lock)
    assert "## Decontamination" not in text
    lock["decontamination"] = {"n_grams": 13, "clusters": 1234, "vl_rewardbench": {"items": 1250, "hits": 3}}
    text = card(lock)
    assert "## Decontamination\n\n- n grams: 13\n- clusters: 1,234\n" in text
    assert table(text, "Decontamination")["vl_rewardbench"] == ["1,250", "3"]


def test_the_steps_are_those_that_ran_with_what_they_dropped(lock: dict[str, Any]) -> None:
    steps = table(card(lock), "Steps")
    assert [name for name in steps if name.startswith("`")] == [f"`{name}`" for name, _ in lock["steps"]]
    assert sum(int(dropped) for name, (_, dropped) in steps.items() if name.startswith("`")) == sum(
        sum(facts["dropped"].values()) for facts in lock["funnel"].values()
    )


LOOKED = {
    "near_dedup": ("Near-duplicates were looked for by `near_dedup`", "Near-duplicates were not looked for"),
    "exact_duplicates": ("Equal pairs were looked for by `exact_duplicates`", "Equal pairs were not looked for"),
    "decontaminate": (
        "Items of benchmarks were looked for by `decontaminate`",
        "Nothing was compared with benchm",
    ),
    "image_duplicates": ("Copies of images were looked for by `image_duplicates`", "no such limit"),
    "label_conflicts": ("Contradicting labels were looked for by `label_conflicts`", "no such limit"),
}


@pytest.mark.parametrize("name", LOOKED)
def test_what_was_looked_for_follows_from_the_steps_though_they_dropped_nothing(
    name: str, lock: dict[str, Any]
) -> None:
    looked, not_looked = LOOKED[name]
    lock["steps"] = [one for one in lock["steps"] if one[0] != name]
    text = card(lock)
    assert looked not in text
    assert not_looked in text or not_looked == "no such limit"
    lock["steps"].append([name, {"version": 1}])
    text = card(lock)
    assert f"- {looked}.\n" in text
    assert not_looked not in text
    assert table(text, "Steps")[f"`{name}`"][0] == "1"


def test_the_card_of_a_mix_with_one_step_says_what_that_step_looked_for(tmp_path: Path) -> None:
    """One mix for each step that there is."""
    (tmp_path / "labels.jsonl").touch()
    (tmp_path / "protected.txt").write_text("How many moons does the planet Mars have in our solar system?\n")
    options = {
        "decontaminate": {"text": [str(tmp_path / "protected.txt")]}, "truncation": {"max_length": 1000},
        "language": {"keep": ["en"]}, "length": {"max_reply": 4000}, "licenses": {"exclude": ["cc-by-nd-4.0"]},
        "labels": {"file": str(tmp_path / "labels.jsonl")}, "reward_margin": {"scores": "audit"},
    }  # fmt: skip
    for name in sorted(STEPS, key=lambda name: name in ("label_audit", "reward_margin")):
        steps = [{name: options[name]} if name in options else name]
        given = {"name": "one", "sources": {"hh_rlhf": "all"}, "steps": steps}
        with Local(1) as engine:
            inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=SAMPLES)
            if name == "label_audit":
                _score(inputs, tmp_path / "scores.jsonl")
            lock = build(read_config(given, Recipe, "$"), inputs, engine, Silent()).lock
        text = card(lock)
        assert f"`{name}`" in table(text, "Steps"), name
        for other, (looked, not_looked) in LOOKED.items():
            assert (f"- {looked}.\n" in text) == (other == name), (name, other)
            assert other != name or not_looked not in text


def _score(inputs: Inputs, path: Path) -> None:
    """Give the pairs of hh_rlhf scores called audit, one of them known."""
    targets = find(["hh_rlhf"], inputs)
    [pool] = {target.pool for target in targets}
    pair_id = pq.read_table(pool.directory / pool.parts[0], columns=["pair_id"])["pair_id"][0].as_py()
    path.write_text(json.dumps({"pair_id": pair_id, "margin": 1.0, "wrong": 0.0}) + "\n")
    scoring.by_file(targets, path, "audit", "external", lambda _: None)


def test_a_lock_without_a_summary_is_old(lock: dict[str, Any]) -> None:
    del lock["summary"]
    with pytest.raises(WorkspaceError, match="lock of quickstart: it has no summary; expected a lock"):
        card(lock)


def test_every_column_is_explained() -> None:
    assert sorted(COLUMNS) == sorted(
        shard_schema.columns(
            embed=True, messages=shard_schema.message_type(fields=True, text=False), weighted=True
        ).names
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_of_a_card_is_an_equal_recipe(path: Path) -> None:
    recipe = load(path)
    assert read_config(yaml.safe_load(recipe_text(recipe.to_dict())), Recipe, "$") == recipe


def test_a_recipe_with_everything_is_written_as_it_is_meant() -> None:
    given = """
name: r
rows: 100
licenses: {exclude: [unknown]}
priority: [z, b]
sources:
  a: {source: ultrafeedback, share: 0.5, cap: 40, options: {pairing: ultra_all}}
  b: {of: [povid, rlaif_v], share: 0.3}
  z: {source: mmpr, share: 0.2}
holdout: {share: 0.1}
steps: [ties: false, identical]
max_skip: {mmpr: 0.2}
"""
    recipe = read_config(yaml.safe_load(given), Recipe, "$")
    written = recipe_text(recipe.to_dict())
    assert read_config(yaml.safe_load(written), Recipe, "$") == recipe
    assert "priority: [b, a, z]" not in written
    assert yaml.safe_load(written)["sources"]["z"] == {"source": "mmpr", "share": 0.2}


# ------------------------------------------------------------------------------------------ plots, croissant


def test_plots_are_well_formed_and_show_the_sources(lock: dict[str, Any]) -> None:
    from xml.etree import ElementTree

    drawn = plot(lock)
    assert sorted(drawn) == ["lengths", "longer", "margins", "sources"]
    for text in drawn.values():
        ElementTree.fromstring(text)
    assert all(label in drawn["sources"] for label in lock["funnel"])
    assert drawn["sources"].count("<circle") == 2 * len(lock["funnel"])
    for facts in lock["summary"]["sources"].values():
        facts["margin"] = None
    assert "margins" not in plot(lock)
    assert "margins.svg" not in card(lock)


VALIDATE = """
import json, logging, sys
import mlcroissant
logging.disable(logging.CRITICAL)
whole = mlcroissant.Dataset(jsonld="mix/croissant.json")
assert not whole.metadata.issues.errors, whole.metadata.issues.errors
document = json.load(open("mix/croissant.json", encoding="utf-8"))
# mlcroissant 1.1 cannot read lists of structs, so the rows are read through one flat column
document["recordSet"] = [
    {**records, "field": [f for f in records["field"] if f["name"].endswith("/pair_id")]}
    for records in document["recordSet"]
]
json.dump(document, open("mix/flat.json", "w", encoding="utf-8"))
flat = mlcroissant.Dataset(jsonld="mix/flat.json")
print(json.dumps({split: [row[split + "/pair_id"].decode() for row in flat.records(split)]
                  for split in ("train", "holdout")}))
"""


def test_mlcroissant_validates_and_reads_the_metadata(mix: Any, lock: dict[str, Any], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write(lock, tmp_path / "mix")
    for file in lock["files"]:
        (tmp_path / "mix" / file["name"]).write_bytes((mix.directory / file["name"]).read_bytes())
    # in a process of its own: its imports warn, and warnings are errors here
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for split, name in (("train", "shard"), ("holdout", "holdout")):
        paths = sorted(mix.directory.glob(f"{name}-*.parquet"))
        ids = [i for path in paths for i in pq.read_table(path, columns=["pair_id"])["pair_id"].to_pylist()]
        assert sorted(json.loads(done.stdout)[split]) == sorted(ids)


def test_croissant_names_every_file_with_its_hash(mix: Any, lock: dict[str, Any]) -> None:
    from hashlib import sha256

    nodes = {node["@id"]: node for node in croissant(lock, columns(lock))["distribution"]}
    for file in lock["files"]:
        assert nodes[file["name"]]["sha256"] == sha256((mix.directory / file["name"]).read_bytes()).hexdigest()


def test_the_build_leaves_the_card_beside_the_lock(mix: Any, lock: dict[str, Any]) -> None:
    assert (mix.directory / "README.md").read_text(encoding="utf-8") == card(lock)
    assert {path.name for path in (mix.directory / "plots").iterdir()} == {f"{name}.svg" for name in plot(lock)}
    assert json.loads((mix.directory / "croissant.json").read_text()) == croissant(lock, columns(lock))


# ------------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize("name", sources.names())
def test_every_source_has_a_card_whose_facts_are_up_to_date(name: str) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert text == source_card(name, sources.get(name), CARDS), "python -m tests.cards.test_cards writes it anew"
    body = text.partition(END)[2]
    for part in ("What it is", "How it was made", "What the adapter does", "Unverified", "Citation"):
        assert f"## {part}\n" in body, part


def test_there_is_no_card_without_a_source() -> None:
    assert sorted(path.stem for path in CARDS.glob("*.md")) == sources.names()


def test_the_head_of_a_source_lists_its_options_and_terms() -> None:
    text = head("mm_rlhf", sources.get("mm_rlhf"))
    assert "| `data` | `pairs` | `pairs`, `ranked` |" in text
    assert "| licence | unknown: commercial use unknown, changes unknown |" in text
    assert "eprint = {2502.10391}" in citation("mm_rlhf", sources.get("mm_rlhf"))


def test_an_entry_below_its_cap_is_a_line(mix: Any) -> None:
    lock = copy.deepcopy(mix.lock)
    entry = next(one for one in lock["recipe"]["entries"] if one["label"] == "helpsteer3")
    line = next(one for one in lock["plan"]["sources"] if one["label"] == "helpsteer3")
    assert entry["cap"] == 20
    below = f"- helpsteer3: {line['rows']:,} pairs are all there are; the recipe takes up to 2,000"
    assert "pairs are all there are" not in card(lock) or line["rows"] < 20
    entry["cap"] = 2000
    assert below in card(lock)


def test_the_command_prints_either(mix: Any) -> None:
    import typer

    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("card")(card_command)
    run = CliRunner()
    of_mix = run.invoke(app, ["card", str(mix.directory)])
    assert of_mix.stdout == card(mix.lock)
    of_source = run.invoke(app, ["card", "rlaif_v", "--cards", str(CARDS)])
    assert of_source.stdout == (CARDS / "rlaif_v.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    for source in sources.names():
        (CARDS / f"{source}.md").write_text(source_card(source, sources.get(source), CARDS), encoding="utf-8")


def test_a_long_name_keeps_both_ends_and_is_whole_on_hover():
    names = [
        "wildchat_ultrafeedback",
        "a_source_whose_name_is_long_part_one",
        "a_source_whose_name_is_long_part_two",
    ]
    drawn = svg.shares("Shares", [(name, [1, 1]) for name in names], [("a", "#000"), ("b", "#fff")])
    assert [svg.fitted(name) for name in names] == [
        "wildchat_ultrafeedback", "a_source_wh…g_part_one", "a_source_wh…g_part_two",
    ]  # fmt: skip
    assert all(f"<title>{name}</title>" in drawn for name in names[1:])

"""Names of recipes and ablations, a user's own before the bundled, and what stands beside them."""

import json
from pathlib import Path

import pytest

from curate import bundled, recipe
from curate.ablation import arms, spec
from curate.errors import ConfigError
from curate.hub import manifests
from curate.inputs import Inputs, jobs
from curate.workspace import Workspace
from tests.support.finished_work import run
from tests.support.paths import ROOT

OWN = "name: own\nabout: Mine\nsources: {hh_rlhf: all}\n"
ALL = ["basereward", "basereward_clean", "eleven_sets", "quickstart", "r1_reward_200k", "text_only"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CURATE_HOME", raising=False)
    return tmp_path


def own(text: str = OWN, name: str = "recipes/quickstart.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_names_are_found_from_any_directory():
    assert list(bundled.named("recipe")) == ALL
    assert list(bundled.named("ablation")) == sorted(path.stem for path in (ROOT / "recipes/ablations").iterdir())
    assert bundled.find("quickstart") == ROOT / "recipes/quickstart.yaml"
    assert bundled.find("text_only", "ablation") == ROOT / "recipes/ablations/text_only.yaml"
    assert bundled.find("text_only") == ROOT / "recipes/text_only.yaml"


def test_a_path_is_a_path_and_ones_own_come_first():
    mine = own()
    assert bundled.find("quickstart") == mine
    assert list(bundled.named("recipe")) == ALL
    Path("quickstart").write_text(OWN)
    assert bundled.find("quickstart") == Path("quickstart"), "a file of that very name is a path"
    assert bundled.find(ROOT / "recipes/quickstart.yaml") == ROOT / "recipes/quickstart.yaml"
    Path("basereward").mkdir()
    assert bundled.find("basereward") == ROOT / "recipes/basereward.yaml", "a directory is not a recipe"


LISTED = f"expected a file, or one of {', '.join(ALL)}"


@pytest.mark.parametrize(
    ("text", "found", "hint"),
    [
        ("quickstrat", "no recipe has this name, and it is not a file", "did you mean quickstart?"),
        ("recipes/basereward.yaml", "no such file", "did you mean basereward?"),
        ("x.yml", "no such file", "the path of a YAML file is a recipe too"),
        ("zzz", "no recipe has this name, and it is not a file", "the path of a YAML file is a recipe too"),
        ("", "no recipe has this name, and it is not a file", "the path of a YAML file is a recipe too"),
        ("a" * 5000, "no recipe has this name, and it is not a file", "the path of a YAML file is a recipe too"),
    ],
)
def test_what_is_neither_says_what_there_is(text, found, hint):
    with pytest.raises(ConfigError) as caught:
        bundled.find(text)
    assert (str(caught.value), caught.value.hint) == (f"{text}: {found}; {LISTED}", hint)


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "quickstrat"),
        ("mix", "quickstrat"),
        ("rethreshold", "quickstrat"),
        ("fetch", "quickstrat.yaml"),
        ("train", "quickstrat.yaml"),
        ("doctor", "quickstrat.yaml"),
        ("overlap", "quickstrat.yaml"),
        ("ablate", "--recipe", "quickstrat", "--preset", "tiny_cpu", "--all", "--plan"),
        ("ablate", "heads", "--recipe", "quickstrat", "--plan"),
    ],
    ids=" ".join,
)
def test_every_command_that_takes_a_recipe_takes_its_name(command):
    with pytest.raises(ConfigError) as caught:
        run(*command)
    assert LISTED in str(caught.value)
    assert caught.value.hint == "did you mean quickstart?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("baseward", "did you mean basereward?"),
        ("rlaif", "did you mean rlaif_v?"),
        ("judgebnch", "did you mean judgebench?"),
        ("zzz", "curate sources, curate sources --evalsets and curate recipes list them"),
    ],
)
def test_fetch_accepts_sources_eval_sets_and_recipes(name, hint):
    with pytest.raises(ConfigError) as caught:
        run("fetch", name)
    assert str(caught.value) == f"{name}: no source, eval set or recipe has this name"
    assert caught.value.hint.startswith(hint.removesuffix("?"))


def test_plan_by_name(tmp_path):
    empty = ["--workspace", str(tmp_path / "data")]
    there = json.loads(run("plan", "quickstart", "--json", *empty).text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert json.loads(run("plan", "recipes/quickstart.yaml", "--json", *empty).text) == there
    assert [entry["label"] for entry in there["sources"]][:2] == ["mm_rlhf", "wildvision_battle"]


def test_an_ablation_by_name_finds_its_recipe():
    study = spec.load("heads")
    assert (study.title, study.recipe.name, study.preset) == ("heads", "r1_reward_200k", "basereward_7b")
    mine = own("name: mine\nrecipe: quickstart\npreset: tiny_cpu\nbaseline: a\narms: {a: {}}\n", "mine.yaml")
    assert spec.load(mine).recipe.raw == ROOT / "samples"
    assert arms.load("quickstart", ["shp"])[0].raw == ROOT / "samples", "also with a dataset that is added"


def test_a_mix_that_is_not_there_yet_is_one_command_away():
    with pytest.raises(ConfigError) as caught:
        run("train", "quickstart")
    assert caught.value.hint == "curate mix quickstart makes one"
    with pytest.raises(ConfigError) as caught:
        run("report", "other")
    assert caught.value.hint == "curate mix RECIPE makes one"


# --- curate recipes


def test_recipes_are_listed():
    own(name="recipes/own.yaml")
    own("name: bad\n", "recipes/bad.yaml")
    done = run("recipes", "--json")
    facts = json.loads(done.text)
    assert [fact["recipe"] for fact in facts] == sorted([*ALL, "own"])
    assert facts[3] == {
        "recipe": "own", "about": "Mine", "sources": 1, "rows": None, "from": "recipes/own.yaml",
        "file": "recipes/own.yaml",
    }  # fmt: skip
    assert {fact["from"] for fact in facts if fact["recipe"] != "own"} == {"bundled"}
    assert done.messages == ["not listed: recipes/bad.yaml: $: sources not given; expected a value for sources"]
    lines = run("recipes").lines
    assert lines[0] == "recipes"
    assert [line.split()[0] for line in lines[2:]] == sorted([*ALL, "own"])


def test_ablations_are_listed():
    facts = {fact["ablation"]: fact for fact in json.loads(run("recipes", "--ablations", "--json").text)}
    assert list(facts) == list(bundled.named("ablation"))
    assert facts["heads"] == {
        "ablation": "heads", "about": "Layers and activation of the reward head", "recipe": "r1_reward_200k",
        "arms": 9, "preset": "basereward_7b", "seeds": 3, "from": "bundled",
        "file": str(ROOT / "recipes/ablations/heads.yaml"),
    }  # fmt: skip


# --- where raw files are


def raw_of(text: str) -> Path:
    """Where the raw files of hh_rlhf are, by the recipe."""
    found = recipe.load(text)
    return jobs(found, Inputs(workspace=Workspace(Path("data"))))["hh_rlhf"].raw


def test_raw_is_beside_the_recipe_or_beside_the_folder_recipes(elsewhere, monkeypatch):
    text = OWN + "raw: rows/here\n"
    own(text, "recipes/a.yaml")
    own(text, "b.yaml")
    assert recipe.load("a").raw == recipe.load("b.yaml").raw == elsewhere / "rows/here"
    monkeypatch.chdir("recipes")
    assert recipe.load("a.yaml").raw == elsewhere / "rows/here"


def test_of_a_source_without_a_folder_there_the_workspace_has_the_files(elsewhere):
    own(OWN + "raw: rows\n", "a.yaml")
    assert raw_of("a.yaml") == Path("data/raw/hh_rlhf")
    Path("rows/hh_rlhf").mkdir(parents=True)
    assert raw_of("a.yaml") == elsewhere / "rows/hh_rlhf"
    given = Inputs(workspace=Workspace(Path("data")), raw=Path("given"))
    assert jobs(recipe.load("a.yaml"), given)["hh_rlhf"].raw == Path("given/hh_rlhf"), "--raw comes first"


def test_raw_defines_nothing():
    plain, placed = (recipe.load(own(OWN + line, "a.yaml")) for line in ("", "raw: rows\n"))
    assert placed == plain
    assert placed.to_dict() == plain.to_dict()
    assert placed.material() == plain.material()


@pytest.mark.parametrize("raw", ["/etc", "..", "rows/../../x", "~/rows", "''", "'a\\..\\b'"])
def test_a_recipe_from_elsewhere_cannot_choose_any_directory(raw):
    own(f"{OWN}raw: {raw}\n", "a.yaml")
    with pytest.raises(ConfigError) as caught:
        recipe.load("a.yaml")
    assert str(caught.value).startswith("a.yaml: $.raw: found text ")
    assert caught.value.hint == "--raw DIR takes any directory"


# --- manifests and cards


def test_the_bundled_manifest_is_read_where_the_directory_has_none(elsewhere, monkeypatch):
    text = (ROOT / "manifests/hh_rlhf.yaml").read_text().replace("revision: main", "revision: other")
    monkeypatch.setattr(bundled, "folder", lambda name: elsewhere / "bundled" / name)
    own(text, "bundled/manifests/hh_rlhf.yaml")
    assert manifests.read("hh_rlhf", Path("manifests")).revision == "other"
    own(text.replace("other", "mine"), "manifests/hh_rlhf.yaml")
    assert manifests.read("hh_rlhf", Path("manifests")).revision == "mine"
    judgebench = (ROOT / "manifests/evalsets/judgebench.yaml").read_text().replace("revision: main", "revision: b")
    own(judgebench, "bundled/manifests/evalsets/judgebench.yaml")
    assert manifests.read("judgebench", Path("manifests")).revision == "b"


def test_cards_of_sources_are_whole_from_any_directory():
    written = (ROOT / "data_cards/hh_rlhf.md").read_text()
    assert run("card", "hh_rlhf").text == written
    own(written.replace("## Citation", "Mine.\n\n## Citation"), "data_cards/hh_rlhf.md")
    assert "Mine." in run("card", "hh_rlhf").text

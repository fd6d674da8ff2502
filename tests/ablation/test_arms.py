"""Arms differ by exactly a dataset's pairs; ablation files say what they mean."""

import pyarrow.parquet as pq
import pytest

from curate.ablation import arms, probe, spec
from curate.ablation.arms import Arm
from curate.ablation.study import Budget, Study, check, prepare
from curate.build import build_family
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.inputs import Inputs
from curate.inspect.artefacts import find_mix
from curate.recipe import Recipe, load
from curate.workspace import Workspace
from tests.support import planted
from tests.support.paths import ROOT

QUICKSTART = ROOT / "recipes" / "quickstart.yaml"


def chosen(*datasets, mode=None, baseline=(), path=QUICKSTART):
    recipe, added = arms.load(path, datasets)
    return arms.choose(recipe, added, datasets, mode, baseline)


def left_out(found):
    return {arm.name: arm.without for arm in found}


def test_a_dataset_of_the_recipe_is_left_out():
    assert left_out(chosen("mmpr", "povid")) == {
        "baseline": (), "without-mmpr": ("mmpr",), "without-povid": ("povid",),
    }  # fmt: skip


def test_a_dataset_that_the_recipe_lacks_is_added_last_in_priority():
    recipe, added = arms.load(QUICKSTART, ["shp"])
    assert added == ("shp",)
    assert recipe.priority[-1] == "shp"
    assert left_out(arms.choose(recipe, added, ["shp"], None, ())) == {"baseline": ("shp",), "with-shp": ()}


def test_add_one_to_a_smaller_baseline():
    labels = [entry.label for entry in load(QUICKSTART).entries]
    found = chosen("mmpr", mode="add-one", baseline=["rlaif_v", "mm_rlhf"])
    aside = set(labels) - {"rlaif_v", "mm_rlhf"}
    assert set(found[0].without) == aside
    assert set(found[1].without) == aside - {"mmpr"}


def test_a_single_dataset_is_an_entry_or_a_source_inside_one():
    only = chosen("ranked", "povid", mode="single")
    others = {f"entry:{entry.label}" for entry in load(QUICKSTART).entries if entry.label != "ranked"}
    assert set(only[1].without) == others
    assert set(only[2].without) == others | {"vlfeedback"}
    assert only[1].mode == "single"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"datasets": ["mmrp"]}, "--dataset"),
        ({"datasets": ["mmpr"], "mode": "leave-one-out", "baseline": ["rlaif_v"]}, "the baseline has no mmpr"),
        ({"datasets": ["mmpr"], "mode": "add-one", "baseline": ["mmpr"]}, "the baseline has mmpr already"),
        (
            {"datasets": ["mmpr"], "mode": "leave-one-out", "baseline": ["mmpr"]},
            "nothing would be left to train on",
        ),
        ({"datasets": ["mmpr"], "baseline": ["mmprr"]}, "--baseline-mix[0].mmprr: unknown key"),
    ],
)
def test_arms_that_cannot_be(given, message):
    recipe = load(QUICKSTART)
    with pytest.raises(ConfigError) as error:
        arms.choose(recipe, (), given["datasets"], given.get("mode"), given.get("baseline", ()))
    assert message in str(error.value)


def test_removed_pairs_keep_the_order():
    assert arms.removed("abcdef", "acf") == [1, 3, 4]
    assert arms.removed("abca", "aa") == [1, 2]
    assert arms.removed("abc", "ca") is None
    assert arms.removed("abc", "abcd") is None


def test_a_recipe_says_what_it_is_without():
    value = {"name": "x", "sources": {"mmpr": "all", "shp": "all"}, "without": ["shp", "shp", "entry:mmpr"]}
    assert Recipe.from_config(value, "$").without == ("entry:mmpr", "shp")
    whole = Recipe.from_config(value | {"without": []}, "$")
    assert "without" not in whole.material()  # fingerprints of mixes made before stay what they were
    with pytest.raises(ConfigError, match=r"\$\.without\[0\]\.mmpt: unknown key"):
        Recipe.from_config(value | {"without": ["mmpt"]}, "$")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Quickstart arms built from the samples: by mode and dataset, and where."""
    workspace = Workspace(tmp_path_factory.mktemp("arms") / "data")
    inputs = Inputs(workspace=workspace, raw=ROOT / "samples", manifests=ROOT / "manifests")
    found = [*chosen("mmpr", "povid", "ranked"), chosen("tulu3_if", mode="single")[1]]
    recipe = load(QUICKSTART)
    with Local(1) as engine:
        built = build_family([arm.recipe(recipe) for arm in found], inputs, engine, Terminal())
    return recipe, found, dict(zip([arm.name for arm in found], built, strict=True))


def rows(built, kind="shard"):
    tables = [
        pq.read_table(path, columns=["pair_id", "source", "repeat"])
        for path in sorted(built.directory.glob(f"{kind}-*.parquet"))
    ]
    return [tuple(row.values()) for table in tables for row in table.to_pylist()]


def test_the_mixes_of_arms_are_apart_and_the_recipes_name_means_its_own(samples, monkeypatch):
    _, _, mixes = samples
    baseline, arm = mixes["baseline"], mixes["without-mmpr"]
    root = baseline.directory.parents[2]
    assert baseline.directory.relative_to(root).parts[:2] == ("mixes", "quickstart")
    assert arm.directory.relative_to(root).parts[:2] == ("arms", "quickstart")
    assert [built.lock["name"] for built in (baseline, arm)] == ["quickstart", "quickstart-without-mmpr"]
    monkeypatch.chdir(ROOT)
    for text in ("quickstart", str(QUICKSTART)):  # the arms were built later
        assert find_mix(text, Workspace(root)).directory == baseline.directory
    assert sorted(path.name for path in (root / "mixes").iterdir()) == ["quickstart"]


def test_arms_lack_exactly_the_pairs_of_the_dataset(samples):
    _, _, built = samples
    whole = rows(built["baseline"])
    assert len(whole) == 279
    for name, lost in {"mmpr": {"mmpr"}, "povid": {"povid"}, "ranked": {"povid", "vlfeedback"}}.items():
        assert rows(built[f"without-{name}"]) == [row for row in whole if row[1] not in lost]
    assert rows(built["only-tulu3_if"]) == [row for row in whole if row[1] == "tulu3_if"]
    held = {name: sorted(rows(mix, "holdout")) for name, mix in built.items()}
    assert all(found == held["baseline"] for found in held.values())


def test_locks_of_arms_account_for_what_is_left_out(samples):
    _, _, built = samples
    lock, whole = built["without-povid"].lock, built["baseline"].lock
    funnel, before = lock["funnel"]["povid"], whole["funnel"]["povid"]
    assert (funnel["mixed"], funnel["unused"]) == (0, before["unused"] + before["selected"])
    assert lock["rows"] == whole["rows"] - before["mixed"]
    assert lock["recipe"]["without"] == ["povid"]
    by_label = {line["label"]: line["rows"] for line in lock["plan"]["sources"]}
    assert by_label["ranked"] == 60 - before["mixed"]
    assert {lock["funnel"][x]["dropped"] == whole["funnel"][x]["dropped"] for x in whole["funnel"]} == {True}


def test_a_wrong_arm_would_be_noticed(samples):
    recipe, found, built = samples
    study = Study(title="x", about="", recipe=recipe, arms=tuple(found[:2]), seeds=1, preset="tiny_cpu")
    check(study, built)
    with pytest.raises(AssertionError, match="it differs by its dataset's pairs alone"):
        check(study, {**built, "without-mmpr": built["without-povid"]})


# --- ablation files


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes" / "ablations").glob("*.yaml")), ids=lambda path: path.stem
)
def test_bundled_files_can_be_read(path):
    study = spec.load(path)
    assert study.title == path.stem
    assert len(study.arms) > 3


FILE = """
name: mine
recipe: RECIPE
preset: tiny_cpu
baseline: lr=0.001,layers=2
seeds: 2
budget: steps=10
settings: {batch_pairs: 8}
grid: {lr: [1e-3], head.layers: [1, 2], without: [[], [mmpr]]}
"""


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("RECIPE", str(QUICKSTART)))
    return path


def test_a_grid_is_every_combination(tmp_path):
    study = spec.load(write(tmp_path, FILE.replace("lr=0.001,layers=2", "lr=0.001,layers=2,without=nothing")))
    assert [(arm.name, arm.settings, arm.without) for arm in study.arms] == [
        ("lr=0.001,layers=2,without=nothing", ("lr=0.001", "head.layers=2"), ()),
        ("lr=0.001,layers=1,without=nothing", ("lr=0.001", "head.layers=1"), ()),
        ("lr=0.001,layers=1,without=mmpr", ("lr=0.001", "head.layers=1"), ("mmpr",)),
        ("lr=0.001,layers=2,without=mmpr", ("lr=0.001", "head.layers=2"), ("mmpr",)),
    ]
    assert (study.seeds, str(study.budget), study.settings) == (2, "steps=10", ("batch_pairs=8",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 2", "seed: 2", "$.seed: unknown key"),
        ("seeds: 2", "seeds: 0", "seeds is 0, but must be at least 1"),
        ("[mmpr]", "[mmrp]", "unknown key"),
        ("grid:", "arms: {a: {}}\ngrid:", "arms or grid: one of them"),
        ("steps=10", "step=10", "--budget: found 'step=10'; expected pairs=N or steps=N"),
        ("lr=0.001,layers=2", "base", "$.baseline.base: unknown key"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, old, new, message):
    text = FILE.replace("lr=0.001,layers=2", "lr=0.001,layers=2,without=nothing").replace(
        old if "layers" not in old else "lr=0.001,layers=2,without=nothing", new
    )
    with pytest.raises(ConfigError) as error:
        spec.load(write(tmp_path, text))
    assert message in str(error.value)


def test_a_budget_goes_through_a_small_mix_again():
    assert Budget.parse("pairs=1000").of(300) == ("max_pairs=1000", "epochs=6.66667")
    assert Budget.parse("pairs=100").of(300) == ("max_pairs=100", "epochs=2")


def test_a_probe_refuses_arms_that_it_cannot_tell_apart():
    study = spec.load(ROOT / "recipes" / "ablations" / "learning_rates.yaml")
    with pytest.raises(ConfigError) as error:
        probe.check(study)
    assert str(error.value) == (
        "--probe: arm lr=3e-06 sets lr; expected settings of head, loss or features"
    )  # fmt: skip
    assert error.value.hint == "head_lr is the rate of a probe"
    probe.check(spec.load(ROOT / "recipes" / "ablations" / "heads.yaml"))
    with pytest.raises(ConfigError, match="--probe: arm critic sets paradigm; expected settings of head"):
        probe.check(spec.load(ROOT / "recipes" / "ablations" / "paradigms.yaml"))


def test_nothing_to_compare_on(tmp_path):
    planted.write(tmp_path)
    text = (tmp_path / "planted.yaml").read_text().replace("holdout: {rows_per_source: 60}\n", "")
    (tmp_path / "planted.yaml").write_text(text)
    (tmp_path / "raw" / "judgebench").rename(tmp_path / "gone")
    inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=tmp_path / "raw", manifests=tmp_path / "manifests")
    recipe = load(tmp_path / "planted.yaml")
    study = Study(title="x", about="", recipe=recipe, arms=(Arm(name="baseline"),), seeds=1, preset="tiny_cpu")
    with pytest.raises(ConfigError, match="nothing to compare arms on"), Local(1) as engine:
        prepare(study, inputs, [], engine, Terminal())


def test_an_eval_set_that_was_not_fetched_fails_before_anything_is_built(tmp_path):
    planted.write(tmp_path)
    inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=tmp_path / "raw", manifests=tmp_path / "manifests")
    recipe = load(tmp_path / "planted.yaml")
    study = Study(title="x", about="", recipe=recipe, arms=(Arm(name="baseline"),), seeds=1, preset="tiny_cpu")
    with pytest.raises(ConfigError) as error, Local(1) as engine:
        prepare(study, inputs, ["judgebench", "rm_bench"], engine, Terminal())
    assert str(error.value) == f"--eval-set: no files of rm_bench in {tmp_path / 'raw' / 'rm_bench'}"
    assert error.value.hint == "curate fetch rm_bench"
    assert not (tmp_path / "data" / "pairs").exists()
    assert not (tmp_path / "data" / "mixes").exists()

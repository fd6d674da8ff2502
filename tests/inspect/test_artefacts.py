"""What a name means: the mix of a recipe as it reads now, an arm by its own name, or an error that lists all."""

import json
import os
from pathlib import Path

import pytest

from curate.checksums import write_record
from curate.inspect.artefacts import find_mix
from curate.workspace import Workspace, read_json
from tests.support.finished_work import RECIPE, fault, mix, mix_directory, run
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")
OTHER = RECIPE.replace("rows: 2", "rows: 1")


def found(text: str) -> str:
    return find_mix(text, Workspace(Path("data"))).directory.name


@pytest.fixture
def two():
    """The fingerprints of the mixes of RECIPE and of OTHER, which was built last; recipe.yaml is RECIPE again."""
    first = mix_directory().name
    mix(OTHER)
    (second,) = {path.name for path in Path("data/mixes/small").iterdir()} - {first}
    Path("recipe.yaml").write_text(RECIPE)
    return first, second


def test_a_recipe_file_names_the_mix_that_it_would_build_and_not_the_newest(two, caplog):
    first, second = two
    assert found("recipe.yaml") == first
    assert caplog.messages == [
        f"recipe.yaml: taking small@{first[:8]}, the last that was built of the recipe as it reads now; by their "
        f"own names: small@{second[:8]}"
    ]
    Path("recipe.yaml").write_text(OTHER)
    assert found("recipe.yaml") == second


def test_a_recipes_name_means_its_mix_as_it_reads_now(two):
    Path("recipes").mkdir()
    Path("recipe.yaml").rename("recipes/small.yaml")
    assert found("small") == two[0]
    Path("recipes/small.yaml").write_text(OTHER)
    assert found("small") == two[1]
    assert found(f"small@{two[0][:8]}") == two[0]


def test_a_recipe_that_was_edited_since_is_an_error_that_says_how_to_go_on(two):
    Path("recipe.yaml").write_text(RECIPE.replace("rows: 2", "rows: 3"))
    message = fault("card", "recipe.yaml")
    assert message.startswith("recipe.yaml: the recipe reads otherwise than when small@")
    assert "curate mix recipe.yaml builds it" in message
    assert all(f"small@{name[:8]}" in message for name in two)


def test_a_name_without_a_recipe_means_what_was_built_last_and_says_so(two, caplog):
    assert found("small") == two[1]
    assert caplog.messages == [
        f"small: taking small@{two[1][:8]}, the last that was built; by their own names: small@{two[0][:8]}"
    ]
    mix(RECIPE)  # up to date, so that this is the one that its recipe gave last
    assert found("small") == two[0]


def test_an_arm_answers_to_its_own_name_and_never_to_the_recipes(two):
    first, arm = two
    Path("data/arms/small").mkdir(parents=True)
    Path("data/mixes/small", arm).rename(Path("data/arms/small", arm))
    write_record(
        Path("data/runs/study-1/ablation.json"), {"arms": {"without-web": {"fingerprint": arm, "mix": "/gone"}}}
    )
    assert found("small") == found("recipe.yaml") == first
    assert found("study-1/without-web") == arm
    assert fault("card", f"small@{arm}").startswith(
        f"small@{arm}: no mix of that name in data/mixes; expected one of"
    )
    assert "study-1/without-web" in fault("card", "study-1/with-web")
    for command in ("card", "show", "verify"):
        run(command, "study-1/without-web")
    run("diff", "recipe.yaml", "study-1/without-web")
    for name, trained in (("small", first), ("recipe.yaml", first), ("study-1/without-web", arm)):
        run("train", name, "--prepare", "--preset", "tiny_cpu", "--out", f"run-{trained}")
        assert f"/{trained}\n" in Path(f"run-{trained}/config.yaml").read_text()


@pytest.mark.usefixtures("project")
def test_a_prepared_run_is_json_on_demand():
    train = ("train", "small", "--prepare", "--preset", "tiny_cpu", "--out", "run")
    alone = json.loads(run(*train, "--json").text)
    assert alone == {"command": run(*train).text.strip()}
    assert list(json.loads(run(*train, "--json", "--nodes", "2").text)) == ["torchrun", "deepspeed", "slurm"]


@pytest.mark.parametrize("text", ["null", "[]", "{}", "1"])
def test_a_lock_that_is_none_is_one_line_in_every_command_and_mix_mends_it(text):
    lock = mix_directory() / "lock.json"
    before = lock.read_bytes()
    lock.write_text(text)
    for command in ("show", "card", "diff"):
        arguments = (command, "small", "small") if command == "diff" else (command, "small")
        line, hint = fault(*arguments).split("\n")
        assert line.startswith(f"{lock}: ")
        assert hint.startswith("curate mix of its recipe")
    assert [line.split(": ")[0] for line in run("verify", code=1).lines] == [str(lock)]
    mix(RECIPE)
    assert lock.read_bytes() == before


def test_a_mix_whose_shard_differs_is_not_trained_on_shown_or_compared():
    shard = mix_directory() / "shard-00000.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    for command in (("show", "small"), ("diff", "small", "small"), ("train", "small", "--prepare")):
        assert fault(*command).startswith(f"{shard}: damaged (it differs from its record)")
    os.utime(shard, ns=(0, 0))
    mix(RECIPE)
    run("show", "small")


def test_the_card_is_written_again_where_it_differs_from_its_lock():
    card = mix_directory() / "README.md"
    before, lock = card.read_bytes(), read_json(mix_directory() / "lock.json")
    card.write_bytes(before.replace(b"small", b"large"))
    assert [line.split(": ")[0] for line in run("verify", code=1).lines] == [str(card)]
    mix(RECIPE)
    assert (card.read_bytes(), json.loads((mix_directory() / "lock.json").read_text())) == (before, lock)

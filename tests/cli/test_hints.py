"""Hints lead somewhere: their commands exist, keep the places that were given, run, and end."""

import re

import pytest

from curate import recipe, steps
from curate.cli.hints import with_places
from curate.errors import CurateError
from docs.outputs import printed
from tests.support.hints import faults, typed
from tests.support.paths import ROOT

SMALL = "name: small\nraw: samples\nsources: {hh_rlhf: {rows: 5}}\n"
TWO = "name: two\nsources: {hard: {source: ultrafeedback, all: true, options: {pairing: ultra_hard}}, mine: all}\n"
MINE = 'adapter: preference\nfiles: ["*.jsonl"]\n'


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    for name, text in {"recipes/small": SMALL, "recipes/two": TWO, "manifests/mine": MINE}.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def hints(line):
    return re.findall(r"^hint: (.*)$", printed(line), re.MULTILINE)


def followed(line, before=()):
    """Do what the hints of a command say, and what the hints of that say; all the commands, in order."""
    assert line not in before, f"a hint leads back to {line}"
    done = []
    for hint in hints(line):
        for command in typed(hint):
            done += [*followed(command, (*before, line)), command]
    return done


@pytest.mark.parametrize(
    "line",
    ["curate card small", "curate show small --workspace 'other place'"],
)
@pytest.mark.usefixtures("home")
def test_after_what_the_hint_says_the_command_works(line):
    assert len(hints(line)) == 1
    assert followed(line)[0].startswith("curate mix ")
    assert hints(line) == []


def test_a_chain_of_hints_has_an_end(home):
    """Offline the last command fails, and says so without sending anyone back."""
    offline = {
        "curate normalize ultrafeedback": ["curate pin ultrafeedback", "curate fetch ultrafeedback"],
        "curate fetch ultrafeedback": ["curate pin ultrafeedback"],
        "curate evaluate -e rewardbench2 --scores votes.csv": [
            "curate pin rewardbench2",
            "curate fetch rewardbench2",
        ],
        "curate mix two": ["curate pin ultrafeedback", "curate fetch ultrafeedback"],
        "curate normalize mine": [],
        "curate fetch mine": [],
        "curate pin mine": [],
        "curate fetch two": ["curate pin ultrafeedback"],
    }
    (home / "votes.csv").write_text("item,candidate,score\n")
    assert {line: followed(line) for line in offline} == offline
    assert "mine: its files are your own, nothing to fetch\n" in printed("curate fetch two")


@pytest.mark.usefixtures("home")
def test_a_name_that_a_hint_proposes_is_taken():
    for line, right in (("curate plan smal", "small"), ("curate normalize hh_rlh --raw samples", "hh_rlhf")):
        assert hints(line)[0].startswith(f"did you mean {right}")
        wrong = next(word for word in line.split() if right.startswith(word))
        assert hints(line.replace(wrong, right)) == []


def test_own_files_that_a_hint_sends_to_their_folder_are_found_there(home):
    [hint] = hints("curate fetch mine")
    place = home / re.search(r"(\w+)/ among the raw files, ([\w/]+)", hint).expand(r"\2/\1")
    place.mkdir(parents=True)
    (place / "a.jsonl").write_text('{"prompt": "a?", "chosen": "b", "rejected": "c"}\n')
    assert "\nmine       1        0      1\n" in printed("curate normalize mine")


@pytest.mark.parametrize(
    ("before", "hint", "after"),
    [
        (
            "sources: {shp: all, a: {of: [shp, povid], rows: 5}}",
            "set max_repeats: 2 on a if its pairs may occur in the mix twice",
            "sources: {shp: all, a: {of: [shp, povid], rows: 5, max_repeats: 2}}",
        ),
        (
            "sources: {shp: {share: 1.0}}",
            "add rows: N, as many as the mix shall have",
            "sources: {shp: {share: 1.0}}\nrows: 30",
        ),
        ("sources: {shp: {rows: 10}}\nrows: 30", "leave rows out", "sources: {shp: {rows: 10}}"),
        (
            "sources: {shp: 1.0}",
            "a quota is typed: all, {rows: 1000}, {share: 0.3} or {epochs: 1.5}",
            "sources: {shp: {epochs: 1.0}}",
        ),
        ("sources: {shp: all}\nprioriti: [shp]", "did you mean priority?", "sources: {shp: all}\npriority: [shp]"),
        (
            "sources: {shp: all}\nsteps: [identcal]",
            "did you mean identical?",
            "sources: {shp: all}\nsteps: [identical]",
        ),
        (
            "sources: {shp: all}\nsteps: [language: {kep: [en]}]",
            "did you mean keep?",
            "sources: {shp: all}\nsteps: [language: {keep: [en]}]",
        ),
    ],
)
def test_a_recipe_that_follows_its_hint_is_read(tmp_path, before, hint, after):
    path = tmp_path / "t.yaml"

    def read(text):
        path.write_text(f"name: t\n{text}\n")
        found = recipe.load(path)
        return steps.build_all(found.steps, found.where)

    with pytest.raises(CurateError) as caught:
        read(before)
    assert caught.value.hint == hint
    assert read(after)


@pytest.mark.parametrize(
    ("arguments", "hint", "expected"),
    [
        (["--workspace", "w"], "curate mix a makes one", "curate mix --workspace w a makes one"),
        (
            ["--workspace=w x"],
            "curate fetch a, or curate pin a",
            "curate fetch --workspace 'w x' a, or curate pin a",
        ),
        (["--manifests", "m", "--raw", "r"], "curate pin a", "curate pin --manifests m a"),
        (["--raw", "r"], "give --raw, or curate mix a", "give --raw, or curate mix a"),
        (["--workspace"], "curate mix a", "curate mix a"),
        ([], "curate mix a", "curate mix a"),
        (["--workspace", "w"], "no version of curate is newer", "no version of curate is newer"),
    ],
)
def test_a_hint_keeps_the_places_that_were_given(arguments, hint, expected):
    assert with_places(hint, ["show", "a", *arguments]) == expected


def test_a_hint_with_a_command_or_an_option_that_there_is_not_is_seen():
    assert faults("curate mix RECIPE makes one; curate show MIX --dropped --source hh_rlhf") == []
    assert faults("every node needs this version of curate and of Python") == []
    assert faults("run curate blend a") == ["no command 'blend': run curate blend a"]
    assert faults("curate mix a, or curate fetch b --all") == [
        "curate fetch has no --all: curate mix a, or curate fetch b --all"
    ]
    assert typed("curate fetch a b brings them; or curate mix RECIPE") == ["curate fetch a b"]

from pathlib import Path

import pytest

from curate import steps
from curate.config import build
from curate.errors import ConfigError
from curate.recipe import Entry, Holdout, Pool, Quota, Recipe, ShardSettings, load

IDENTICAL = steps.build("identical", None, "")

FULL = """
name: full-1
about: One line
seed: 7
rows: 400
priority: [shp, mmpr]
sources:
  mmpr: {rows: 100}
  shp: {share: 0.5, cap: 300, per_group: 5}
  ultra_hard: {source: ultrafeedback, share: 0.25, options: {pairing: ultra_hard}, max_repeats: 2}
holdout: {rows_per_source: 20}
steps:
  - exact_duplicates
  - reply_length: {min_chars: 2}
shards: {max_mb: 1, media: reference}
max_skip: {ultrafeedback: 0.2}
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "r.yaml"
    path.write_text(text)
    return path


def recipe(sources, **fields):
    return build({"name": "r", "sources": sources, **fields}, Recipe, "$")


def refusal(sources, **fields):
    with pytest.raises(ConfigError) as caught:
        recipe(sources, **fields)
    return str(caught.value), caught.value.hint


def test_a_recipe_is_read_whole(tmp_path):
    read = load(write(tmp_path, FULL))
    assert (read.name, read.about, read.seed, read.rows) == ("full-1", "One line", 7, 400)
    assert read.entries == (
        Entry(
            label="mmpr",
            pools=("mmpr",),
            quota=Quota(kind="rows", value=100),
            cap=None,
            per_group=None,
            max_repeats=1,
        ),
        Entry(
            label="shp",
            pools=("shp",),
            quota=Quota(kind="share", value=0.5),
            cap=300,
            per_group=5,
            max_repeats=1,
        ),
        Entry(
            label="ultra_hard",
            pools=("ultra_hard",),
            quota=Quota(kind="share", value=0.25),
            cap=None,
            per_group=None,
            max_repeats=2,
        ),
    )
    assert read.pools == (
        Pool(label="mmpr", source="mmpr", options={}),
        Pool(label="shp", source="shp", options={}),
        Pool(label="ultra_hard", source="ultrafeedback", options={"pairing": "ultra_hard"}),
    )
    assert read.priority == ("shp", "mmpr", "ultra_hard")
    assert read.holdout == Holdout(rows_per_source=20)
    assert read.steps == (("ties", None), ("exact_duplicates", None), ("reply_length", {"min_chars": 2}))
    assert read.shards == ShardSettings(max_mb=1, media="reference")
    assert read.max_skip == {"ultrafeedback": 0.2}


def test_defaults_of_a_short_recipe():
    read = recipe({"a": "all", "b": {"epochs": 1.5}}, max_repeats=2)
    assert [entry.quota for entry in read.entries] == [
        Quota(kind="all", value=1),
        Quota(kind="epochs", value=1.5),
    ]
    assert [entry.max_repeats for entry in read.entries] == [2, 2]
    assert (read.seed, read.rows, read.holdout, read.priority) == (0, None, None, ("a", "b"))
    assert read.steps == (("ties", None),)
    assert read.shards == ShardSettings(max_mb=256, media="embed")


def test_sources_that_share_a_quota_have_a_pool_each():
    read = recipe({"r1": {"of": ["vlfeedback", "povid"], "rows": 10}, "shp": "all"}, priority=["shp"])
    assert read.entries[0].pools == ("vlfeedback", "povid")
    assert read.priority == ("shp", "vlfeedback", "povid")


def test_two_pairings_of_one_source_are_two_pools():
    read = recipe({"ultra": "all", "hard": {"source": "ultra", "all": True, "options": {"pairing": "hard"}}})
    assert [pool.label for pool in read.pools] == ["ultra", "hard"]


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        (1.0, "$.sources.mmpr: found 1.0; expected a typed quota"),
        ("1", "$.sources.mmpr: found text '1'; expected a typed quota"),
        (None, "$.sources.mmpr: found nothing; expected a typed quota"),
        ({}, "$.sources.mmpr: found no quota; expected exactly one of rows, share, epochs, all"),
        (
            {"rows": 1, "share": 0.5},
            "$.sources.mmpr: found rows and share; expected exactly one of rows, share, epochs, all",
        ),
        (
            {"rows": "1"},
            "$.sources.mmpr.rows: found text '1'; expected a whole number of rows, such as rows: 1000",
        ),
        ({"rows": 1.0}, "$.sources.mmpr.rows: found 1.0; expected a whole number of rows, such as rows: 1000"),
        ({"rows": True}, "$.sources.mmpr.rows: found true; expected a whole number of rows, such as rows: 1000"),
        ({"rows": 0}, "$.sources.mmpr.rows: found 0; expected a whole number of rows, such as rows: 1000"),
        ({"share": 1.5}, "$.sources.mmpr.share: found 1.5; expected a share of the mix, such as share: 0.3"),
        (
            {"epochs": "2"},
            "$.sources.mmpr.epochs: found text '2'; expected a number of epochs, such as epochs: 1.5",
        ),
        ({"all": False}, "$.sources.mmpr.all: found false; expected all: true"),
    ],
)
def test_a_quota_must_be_typed(quota, message):
    assert refusal({"mmpr": quota}) == (
        message,
        "a quota is typed: all, {rows: 1000}, {share: 0.3} or {epochs: 1.5}",
    )


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"rowz": 3}, "$.rowz: unknown key", "did you mean rows?"),
        ({"sources": {"a": {"row": 3}}}, "$.sources.a.row: unknown key", "did you mean rows?"),
        ({"sources": {}}, "$.sources: no source; expected at least one", "curate sources lists them"),
        ({"name": "a b"}, "$.name: found text 'a b'; expected letters, digits, _ and -", ""),
        ({"sources": {"a/b": "all"}}, "$.sources.a/b: found text 'a/b'; expected letters, digits, _ and -", ""),
        ({"seed": -1}, "$.seed: found -1; expected a whole number from 0 to 2**63 - 1", ""),
        ({"max_repeats": 0}, "$.max_repeats: found 0; expected 1 or more", ""),
        (
            {"sources": {"a": {"all": True, "per_group": 0}}},
            "$.sources.a.per_group: found 0; expected 1 or more",
            "",
        ),
        (
            {"sources": {"a": {"rows": 3, "cap": 2}}},
            "$.sources.a.cap: a cap beside rows; expected one of them",
            "rows: N takes exactly N",
        ),
        (
            {"sources": {"a": {"of": ["b", "c"], "all": True, "options": {"k": 1}}}},
            "$.sources.a: options beside of; expected one or the other",
            "of: [a, b] names sources as they are",
        ),
        (
            {"sources": {"a": {"of": ["b", "b"], "all": True}}},
            "$.sources.a.of: b is named twice; expected each source once",
            "",
        ),
        (
            {"sources": {"a": {"of": [], "all": True}}},
            "$.sources.a.of: an empty list; expected each source once",
            "",
        ),
        (
            {"priority": ["mpr"]},
            "$.priority[0]: no source is labelled mpr; expected a label under sources",
            "did you mean mmpr? If mpr is right, correct it under sources",
        ),
        ({"priority": ["shp", "shp"]}, "$.priority[1]: shp is named twice; expected each label once", ""),
        ({"max_skip": {"mmp": 0.1}}, "$.max_skip.mmp: unknown key", "did you mean mmpr?"),
        ({"max_skip": {"shp": 2.0}}, "$.max_skip.shp: found 2.0; expected a share from 0 to 1", ""),
        ({"holdout": {}}, "$.holdout: a holdout is either {rows_per_source: 20} or {share: 0.01}", ""),
        ({"holdout": {"share": 1.0}}, "$.holdout: share is 1.0, but must be between 0 and 1", ""),
        (
            {"holdout": {"rows_per_source": 0}},
            "$.holdout: rows_per_source is 0, but must be at least 1",
            "",
        ),
        (
            {"require": "critiques"},
            "$.require: found text 'critiques'; expected a list, such as [critiques]",
            "",
        ),
        (
            {"require": ["critiques"], "steps": ["require"]},
            "$.steps[0]: require is listed twice; expected each step once",
            "",
        ),
        ({"shards": {"max_mb": 0}}, "$.shards: max_mb is 0, but must be between 0 and 1000", ""),
        (
            {"shards": {"media": "embedded"}},
            "$.shards.media: found text 'embedded'; expected embed or reference",
            "did you mean embed?",
        ),
        (
            {"steps": [{"a": 1, "b": 2}]},
            "$.steps[0]: found a mapping; expected a step: `- name` or `- name: {...}`",
            "",
        ),
        ({"steps": ["a", "a"]}, "$.steps[1]: a is listed twice; expected each step once", ""),
        (
            {"steps": [{"a": False}]},
            "$.steps[0]: a: false; expected a step that is on by default",
            "remove the line",
        ),
    ],
)
def test_faults_are_named_with_their_path(fields, message, hint):
    given = {"sources": {"mmpr": "all", "shp": "all"}, **fields}
    assert refusal(**given) == (message, hint)


def test_shares_and_rows_must_make_the_total():
    assert refusal({"a": {"share": 0.5}, "b": {"share": 0.5}}) == (
        "$.rows: not given; expected the total that the shares are of",
        "add rows: N, as many as the mix shall have",
    )
    some = {"a": {"share": 0.5}, "b": {"rows": 200}}
    assert refusal(some)[1] == "add rows: 400"
    assert recipe(some, rows=400).rows == 400, "the hint is followed"
    message, _ = refusal({"a": {"share": 0.5}, "b": {"share": 0.4}}, rows=1000)
    assert message == (
        "$.sources: the shares sum to 0.9, the other quotas to 0 of 1,000 rows; expected shares that sum to 1"
    )
    message, _ = refusal({"a": {"share": 0.5}, "b": {"rows": 200}}, rows=1000)
    assert message == (
        "$.sources: the shares sum to 0.5, the other quotas to 200 of 1,000 rows; expected shares that sum to 0.8"
    )
    message, _ = refusal({"a": {"share": 0.5}, "b": {"rows": 2000}}, rows=1000)
    assert message.endswith("expected rows above 2,000")
    assert refusal({"a": {"rows": 300}, "b": {"rows": 200}}, rows=1000) == (
        "$.rows: found 1,000; expected 500, the sum of the quotas",
        "leave rows out",
    )
    assert recipe({"a": {"share": 0.7}, "b": {"share": 0.2}, "c": {"share": 0.1}}, rows=10**9).rows == 10**9


def test_a_source_reached_twice_needs_repeats():
    sources = {"povid": "all", "r1": {"of": ["vlfeedback", "povid"], "rows": 5}}
    assert refusal(sources) == (
        "$.sources.r1: povid is already reached through povid; expected each source once",
        "set max_repeats: 2 on r1 if its pairs may occur in the mix twice",
    )
    sources["r1"]["max_repeats"] = 2
    assert [pool.label for pool in recipe(sources).pools] == ["povid", "vlfeedback"]


def test_a_label_must_not_hide_another_source():
    sources = {"shp": {"source": "hh", "all": True, "options": {"k": 1}}, "x": {"source": "shp", "all": True}}
    message, hint = refusal(sources)
    assert message == (
        "$.sources.shp: the label of an entry with options is the name of another source in this recipe; "
        "expected a label of its own"
    )
    assert hint == "name it, for example, shp_2: {source: ..., options: ...}"


def test_ties_can_be_moved_set_and_switched_off():
    assert recipe({"a": "all"}, steps=["x", "ties"]).steps == (("x", None), ("ties", None))
    assert recipe({"a": "all"}, steps=[{"ties": False}, "x"]).steps == (("x", None),)


def test_what_a_recipe_requires_is_its_first_step_after_licences():
    read = recipe({"a": "all"}, require=["critiques"], licenses={"allow": ["mit"]}, steps=["identical"])
    assert [name for name, _ in read.steps] == ["licenses", "require", "ties", "identical"]
    assert dict(read.steps)["require"] == {"what": ["critiques"]}
    assert recipe({"a": "all"}).material() == recipe({"a": "all"}, require=None).material()


def test_the_plain_value_holds_defaults_and_no_path(tmp_path):
    first = load(write(tmp_path, FULL))
    (tmp_path / "other").mkdir()
    second = load(write(tmp_path / "other", "# moved\n" + FULL))
    assert first == second
    assert first.to_dict() == second.to_dict()
    plain = first.to_dict()
    assert plain["entries"][0] == {
        "label": "mmpr",
        "pools": ["mmpr"],
        "quota": {"kind": "rows", "value": 100},
        "cap": None,
        "per_group": None,
        "max_repeats": 1,
    }
    assert plain["steps"] == [["ties", None], ["exact_duplicates", None], ["reply_length", {"min_chars": 2}]]
    assert str(tmp_path) not in str(plain)


def test_words_and_guards_do_not_define_a_mix():
    base = recipe({"a": "all"})
    assert recipe({"a": "all"}, about="words", max_skip={"a": 0.5}).material() == base.material()
    assert recipe({"a": "all"}, seed=1).material() != base.material()


def test_steps_are_built_from_their_fields():
    read = recipe({"a": "all"}, steps=["identical"])
    assert steps.build_all(read.steps, read.where) == [
        ("ties", steps.build("ties", None, "")),
        ("identical", IDENTICAL),
    ]
    with pytest.raises(ConfigError, match=r"^\$\.steps\.identicl: no step is called 'identicl'"):
        steps.build_all(recipe({"a": "all"}, steps=["identicl"]).steps, "$")

"""Licences: what a blend of them allows, and the step that filters on them."""

from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curate import steps
from curate.config import build
from curate.errors import ConfigError
from curate.licenses import TERMS, Terms, blend_terms, terms, with_condition
from curate.recipe import Recipe
from curate.steps import build as build_step
from curate.steps.licenses import Licenses

BLEND = {
    ("mmpr", "mit"): 2_000,
    ("rlaif_v", "cc-by-nc-4.0"): 83,
    ("olmo2_mix", None): 378,
    ("tulu3_if", "odc-by"): 65,
}
ORDER = ("allowed", "unknown", "parts not", "forbidden")


def test_terms_of_single_licences() -> None:
    assert terms("mit") == Terms()
    assert terms("CC0-1.0") == Terms(attribution="no")
    assert terms("cc-by-nc-sa-3.0") == Terms(commercial="forbidden", share_alike="yes")
    assert terms("cc-by-nd-4.0") == Terms(derivatives="forbidden")
    for name in (None, "", "other", "unknown", "llama3.1", "bigcode-openrail-m", "no-such-licence"):
        assert terms(name).commercial == "unknown", name


def test_a_condition_is_a_value_of_its_own() -> None:
    assert terms("odc-by").commercial == "allowed"
    assert terms("odc-by-parts-nc") == Terms(commercial="parts not", share_alike="unknown")
    found = blend_terms({("tulu3_if", "odc-by-parts-nc"): 65, ("mmpr", "mit"): 2_000})
    assert (found.commercial, found.parts_not_commercial) == ("parts not", ("tulu3_if",))
    assert (found.forbids_commercial, found.unknown_pairs, found.redistribution) == ((), 0, "allowed")
    assert blend_terms({("a", "odc-by-parts-nc"): 1, ("b", None): 1}).commercial == "parts not"
    assert blend_terms({("a", "odc-by-parts-nc"): 1, ("b", "cc-by-nc-4.0"): 1}).commercial == "forbidden"


@pytest.mark.parametrize(
    ("pinned", "declared", "expected"),
    [
        ("odc-by", "odc-by-parts-nc", "odc-by-parts-nc"),
        ("ODC-BY", "odc-by-parts-nc", "odc-by-parts-nc"),
        (None, "odc-by-parts-nc", "odc-by-parts-nc"),
        ("mit", "odc-by-parts-nc", "mit"),
        ("odc-by", "mit", "odc-by"),
        ("odc-by", None, "odc-by"),
        (None, "mit", "mit"),
        (None, None, None),
    ],
)
def test_the_licence_pinned_upstream_keeps_the_condition_of_the_card(
    pinned: Any, declared: Any, expected: Any
) -> None:
    assert with_condition(pinned, declared) == expected


def test_the_verdict_of_a_blend_names_who_forbids_and_what_is_unknown() -> None:
    found = blend_terms(BLEND)
    assert (found.commercial, found.redistribution) == ("forbidden", "unknown")
    assert found.forbids_commercial == ("rlaif_v",)
    assert found.forbids_redistribution == ()
    assert (found.unknown, found.unknown_pairs, found.pairs) == ({"olmo2_mix": 378}, 378, 2_526)
    assert (found.attribution, found.share_alike) == ("yes", "unknown")
    assert (found.license, found.license_name) == ("other", "mixed")


def test_a_blend_of_one_licence_has_that_licence() -> None:
    found = blend_terms({("a", "cc-by-4.0"): 3, ("b", "CC-BY-4.0"): 4, ("c", None): 0})
    assert (found.license, found.license_name, found.unknown_pairs) == ("cc-by-4.0", None, 0)
    assert (found.commercial, found.redistribution) == ("allowed", "allowed")


@pytest.mark.parametrize(
    ("name", "front"),
    [
        (None, ("unknown", None)),
        ("other", ("other", "other")),
        ("inf", ("other", "inf")),
        ("mit", ("mit", None)),
        ("odc-by-parts-nc", ("other", "odc-by-parts-nc")),
    ],
)
def test_the_id_on_the_card(name: str | None, front: tuple[str, str | None]) -> None:
    found = blend_terms({("a", name): 1})
    assert (found.license, found.license_name) == front


def test_what_forbids_changed_copies_forbids_sharing_a_mix() -> None:
    found = blend_terms({("a", "cc-by-nd-4.0"): 1, ("b", "mit"): 1})
    assert (found.redistribution, found.forbids_redistribution) == ("forbidden", ("a",))


def test_licences_that_cannot_hold_together() -> None:
    found = blend_terms({("a", "cc-by-sa-4.0"): 1, ("b", "odbl"): 1, ("c", "cc-by-nc-4.0"): 1, ("d", "mit"): 1})
    assert found.conflicts == (
        "cc-by-sa-4.0 and odbl each require that the whole be under them",
        "cc-by-sa-4.0 requires that all may use the whole commercially, cc-by-nc-4.0 forbids it for its part",
        "odbl requires that all may use the whole commercially, cc-by-nc-4.0 forbids it for its part",
    )
    assert blend_terms(BLEND).conflicts == ()


def test_nothing_is_allowed_of_an_empty_blend() -> None:
    assert (blend_terms({}).commercial, blend_terms({}).license, blend_terms({}).license_name) == (
        "unknown",
        "other",
        "mixed",
    )


licences = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from([*TERMS, "no-such-licence"])),
    st.integers(1, 9),
    min_size=1,
)


@given(licences, licences)
def test_more_pairs_never_allow_more(one: dict[Any, int], two: dict[Any, int]) -> None:
    both = blend_terms(two | one)
    for what in ("commercial", "redistribution"):
        assert ORDER.index(getattr(both, what)) >= ORDER.index(getattr(blend_terms(one), what))
    assert both.commercial != "allowed" or both.unknown_pairs == 0


ROWS = pl.DataFrame({"license": ["mit", None, "CC-BY-NC-4.0", " ", "Unknown", "apache-2.0"]})


def reasons(step: Licenses) -> list[str | None]:
    return ROWS.select(step.reason()).to_series().to_list()


def test_the_step_allows_only_what_is_listed() -> None:
    assert reasons(Licenses(allow=("mit", "cc-by-nc-4.0"), exclude=())) == [
        None, "not_allowed_unknown", None, "not_allowed_unknown", "not_allowed_unknown", "not_allowed_apache-2.0",
    ]  # fmt: skip


def test_the_step_accepts_ids_with_a_condition() -> None:
    rows = pl.DataFrame({"license": ["odc-by", "odc-by-parts-nc", "mit"]})

    def found(step: Licenses) -> list[str | None]:
        return rows.select(step.reason()).to_series().to_list()

    assert found(Licenses(exclude=("odc-by-parts-nc",))) == [None, "excluded_odc-by-parts-nc", None]
    assert found(Licenses(exclude=("odc-by",))) == ["excluded_odc-by", "excluded_odc-by-parts-nc", None]
    assert found(Licenses(allow=("odc-by", "mit"))) == [None, "not_allowed_odc-by-parts-nc", None]
    assert found(Licenses(allow=("odc-by-parts-nc",)))[1] is None


def test_the_step_excludes_what_is_listed() -> None:
    assert reasons(Licenses(exclude=("unknown", "cc-by-nc-4.0"))) == [
        None, "excluded_unknown", "excluded_cc-by-nc-4.0", "excluded_unknown", "excluded_unknown", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "$: neither allow nor exclude is given; give one as a list of licence ids"),
        ({"exclude": ["cc-by-nc"]}, "$: no licence has the id 'cc-by-nc'; did you mean 'cc-by-nc-4.0'?"),
        ({"allow": ["MIT"]}, "$: found 'MIT'; licence ids are in lower case: 'mit'"),
        ({"allow": ["mit"], "exclude": ["mit"]}, "$: mit is both allowed and excluded"),
    ],
)
def test_a_list_that_cannot_be_meant(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_step("licenses", fields, "$")
    assert str(caught.value) == message


def read(text: str) -> Recipe:
    made: Recipe = build(yaml.safe_load(text), Recipe, "$")
    return made


def test_as_a_key_of_a_recipe_it_is_the_first_step() -> None:
    given = read("{name: r, sources: {rlaif_v: all}, licenses: {exclude: [unknown]}, steps: [identical]}")
    assert given.steps == (("licenses", {"exclude": ["unknown"]}), ("ties", None), ("identical", None))
    assert steps.build_all(given.steps, given.where)[0] == ("licenses", Licenses(exclude=("unknown",)))


def test_it_is_not_both_a_key_and_a_step() -> None:
    text = "{name: r, sources: {rlaif_v: all}, licenses: {allow: [mit]}, steps: [licenses: {allow: [mit]}]}"
    with pytest.raises(ConfigError, match="licenses is listed twice"):
        read(text)

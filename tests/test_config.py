"""Strict YAML: values arrive typed, faults are named by their path."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import pytest

from curate.config import load, parse_yaml
from curate.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    kind: Literal["embed", "reference"] = "embed"


@dataclass(frozen=True)
class Outer:
    name: str
    rows: int | None = None
    lr: float = 1.0
    flag: bool = False
    inner: Inner = field(default_factory=Inner)
    items: tuple[Inner, ...] = ()
    table: dict[str, int] = field(default_factory=dict)


def read(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return load(path, Outer)


def test_values(tmp_path):
    text = "name: x\nrows: 3\nlr: 3e-6\ninner: {share: 1}\nitems: [{kind: reference}]\ntable: {a: 1}\n"
    assert read(tmp_path, text) == Outer(
        name="x", rows=3, lr=3e-6, inner=Inner(share=1.0), items=(Inner(kind="reference"),), table={"a": 1}
    )


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "Y"])
def test_only_true_and_false_are_true_and_false(tmp_path, word):
    assert read(tmp_path, f"name: {word}\ntable: {{{word}: 1}}\n") == Outer(name=word, table={word: 1})


def test_a_date_stays_text(tmp_path):
    assert read(tmp_path, "name: 2024-01-01\n").name == "2024-01-01"


@pytest.mark.parametrize(
    ("text", "fault", "hint"),
    [
        ("name: x\nrow: 3", "$.row: unknown key", "did you mean rows?"),
        ("name: x\nzzz: 3", "$.zzz: unknown key", "known keys: name, rows, lr, flag, inner, items, table"),
        ("rows: 3", "$: name not given; expected a value for name", ""),
        ("name: x\nrows: '3'", "$.rows: found text '3'; expected a whole number or nothing", "remove the quotes"),
        ("name: x\nrows: 3.0", "$.rows: found 3.0; expected a whole number or nothing", ""),
        ("name: x\nlr: true", "$.lr: found true; expected a number", ""),
        ("name: x\nflag: 1", "$.flag: found 1; expected true or false", ""),
        ("name: 3", "$.name: found 3; expected text", ""),
        ("name: x\ninner: {kind: embeded}", "$.inner.kind: found text 'embeded'; expected embed or reference",
         "did you mean embed?"),
        ("name: x\nitems: [{}, {share: a}]", "$.items[1].share: found text 'a'; expected a number", ""),
        ("name: x\nitems: {}", "$.items: found a mapping; expected a list", ""),
        ("name: x\ntable: {a: b}", "$.table.a: found text 'b'; expected a whole number", ""),
    ],
)  # fmt: skip
def test_faults(tmp_path, text, fault, hint):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'r.yaml'}: {fault}"
    assert caught.value.hint == hint


def test_a_key_given_twice(tmp_path):
    with pytest.raises(ConfigError, match=r"r\.yaml, line 2: key 'name' is given twice"):
        read(tmp_path, "name: x\nname: y\n")


def test_no_yaml(tmp_path):
    with pytest.raises(ConfigError, match=r"r\.yaml, line 2: not YAML"):
        read(tmp_path, "name: [x\n")


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file; expected a YAML file"):
        load(tmp_path / "nope.yaml", Outer)


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGED = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))
DEEP = "51 lists or mappings inside each other; expected at most 50"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BOMB, "line 19: holds 1,048,575 values by its aliases; expected 1,000,000"),
        (MERGED, "line 19: holds 1,572,859 values by its aliases; expected 1,000,000"),
        ("a:\n  - &a [*a]", "line 2: an alias of a list or mapping that it is in; expected an end"),
        ("a: " + "[" * 100_000, f"line 1: {DEEP}"),
        ("a:\n" + "".join(f"{' ' * i}- \n" for i in range(1, 60)), f"line 51: {DEEP}"),
        ("a: 1\nb: \x07", "line 2: not YAML: the character '\\x07'; expected text without control characters"),
        ("a: 1\nb: \x9b", "line 2: not YAML: the character '\\x9b'; expected text without control characters"),
        (
            "a: !!python/object/apply:os.system [x]",
            "line 1: not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'; expected valid YAML",
        ),
        ("\na: !!int x", "line 2: 'x' is no int (invalid literal for int() with base 10: 'x'); expected int"),
        ("a: 0x_", "line 1: '0x_' is no int (invalid literal for int() with base 16: ''); expected int"),
        ("a: !!bool x", "line 1: 'x' is no bool ('x'); expected bool"),
        ("{[1]: 2}", "line 1: a list or mapping as a key; expected text as a key"),
        ("a: !!map [x]", "line 1: no mapping under the tag of one; expected a mapping"),
        ("a: '\\ud800'\nb: \"\\ud800\"", "line 2: '\\ud800' is no str"),
        ('a: "\\U99999999"', "line 1: not YAML: "),
        ("a: " + "9" * 5000, "line 1: '9999999999999999999999999999999999999999' is no int"),
    ],
)
def test_yaml_made_to_harm_is_one_clear_line(text, fault):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).startswith(f"f.yaml, {fault}")


def test_every_odd_scalar_is_a_value_or_one_clear_line():
    tags = ("null", "bool", "int", "float", "str", "seq", "map", "set", "binary", "timestamp", "omap", "merge")
    scalars = (
        "",
        "._",
        "0b",
        "0b_",
        "0o8",
        "08",
        "1:30",
        "190:20:30.15",
        "1_",
        "+.inf",
        ".nan",
        "=",
        "<<",
        "~",
        "-",
    )
    for text in [*scalars, *(f"!!{tag} {scalar}" for tag in tags for scalar in (*scalars, "[x]", "{x: 1}"))]:
        with suppress(ConfigError):  # nothing else
            parse_yaml(f"a: {text}", "f.yaml")
    assert parse_yaml("a: 1:30", "f.yaml") == {"a": "1:30"}  # not the 90 of base 60


def test_an_alias_within_reason_is_what_it_names():
    text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n"
    assert parse_yaml(text, "f.yaml") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_path_that_is_no_file_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="is a directory; expected a YAML file"):
        load(tmp_path, Outer)

"""Strict YAML into frozen dataclasses: unknown keys, wrong types and doubled keys are errors with their path.

A class may read a shorthand of its own with a classmethod `from_config(value, where)`.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from yaml.reader import ReaderError

from curate.errors import ConfigError

T = TypeVar("T")


MOST_BYTES = 16 << 20
"""The largest YAML file; the manifest of a source with 50,000 files is smaller."""
MOST_NODES = 1_000_000
"""The most values in a YAML file, those that aliases repeat counted each time."""
MOST_DEEP = 50
"""The most lists and mappings inside each other in a YAML file."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, 3e-6 is a number, and `on` and dates are text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._deep = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self._deep == MOST_DEEP:  # what follows is not even scanned
            raise ConfigError(
                f"line {self.line + 1}",
                f"{MOST_DEEP + 1} lists or mappings inside each other",
                f"at most {MOST_DEEP}",
            )
        self._deep += 1
        node = super().compose_node(parent, index)
        self._deep -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half a surrogate pair can be written nowhere
            return value
        except (ValueError, LookupError, OverflowError) as error:  # !!int x, 0x_, ._, a number of 5,000 digits
            kind = node.tag.rpartition(":")[2]
            raise ConfigError(_line(node), f"{str(node.value)[:40]!r} is no {kind} ({error})", kind) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(_line(node), "no mapping under the tag of one", "a mapping")
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(_line(key_node), "a list or mapping as a key", "text as a key")
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(_line(key_node), f"key {key!r} is given twice", "each key once")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


# only what JSON has too: no dates, bytes, sets or objects, whatever a tag says
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in {"null", "bool", "int", "float", "str", "seq", "map"}
}


DROPPED = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
_Loader.yaml_implicit_resolvers = {
    # 1:30 is text, not the 90 of base 60
    first: [
        (tag, re.compile(rf"(?!.*:)(?:{pattern.pattern})", re.X))
        for tag, pattern in resolvers
        if tag not in DROPPED
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """The parsed file. Raises ConfigError if it is missing or not YAML."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(MOST_BYTES + 1).decode()
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "a YAML file", did_you_mean_path(path)) from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(str(path), str(error.strerror).lower(), "a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"not UTF-8 text ({error.reason})", "a YAML file") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text, `where` being what an error names.

    Raises ConfigError where it is not YAML, or beyond MOST_BYTES, MOST_NODES or MOST_DEEP.
    """
    if len(text) > MOST_BYTES:
        raise ConfigError(where, f"is longer than {MOST_BYTES >> 20} MB", "a YAML file that a person wrote")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    except ConfigError as error:
        raise ConfigError(f"{where}, {error.where}", error.found, error.expected, error.hint) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{where}, line {line}", f"not YAML: {error.problem}", "valid YAML") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"not YAML: the character {chr(int(error.character))!a}"
        raise ConfigError(f"{where}, line {line}", found, "text without control characters") from None
    except (ValueError, OverflowError) as error:  # "\U99999999"
        line = loader.line + 1 if loader is not None else 1
        raise ConfigError(f"{where}, line {line}", f"not YAML: {error}", "valid YAML") from None


def _check_size(root: yaml.Node) -> None:
    """Raise ConfigError for a document that its aliases make too large, or endless."""
    sizes: dict[yaml.Node, int] = {}
    above: set[yaml.Node] = set()

    def size(node: yaml.Node) -> int:
        if node in above:
            raise ConfigError(_line(node), "an alias of a list or mapping that it is in", "an end")
        if node not in sizes:
            above.add(node)
            sizes[node] = 1 + sum(map(size, _inside(node)))
            above.remove(node)
            if sizes[node] > MOST_NODES:
                raise ConfigError(_line(node), f"holds {sizes[node]:,} values by its aliases", f"{MOST_NODES:,}")
        return sizes[node]

    size(root)


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def load(path: Path, kind: type[T]) -> T:
    """The file as an instance of `kind`. Raises ConfigError with the path of the fault inside the file."""
    value: T = build(read_yaml(path), kind, f"{path}: $")
    return value


def build(value: Any, kind: Any, where: str) -> Any:
    """`value` as a `kind`: a dataclass, a scalar, list, tuple, dict, Literal or union of these."""
    if hasattr(kind, "from_config"):
        return kind.from_config(value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(value, kind, where)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(value, args, where)
    if origin is Literal:
        return _literal(value, args, where)
    if origin in (list, tuple):
        items = [build(item, args[0], f"{where}[{i}]") for i, item in enumerate(_expect(value, list, where))]
        return items if origin is list else tuple(items)
    if origin is dict:
        table = _expect(value, dict, where)
        return {_expect(key, str, where): build(item, args[1], f"{where}.{key}") for key, item in table.items()}
    return _expect(value, kind, where)


NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false",
         list: "a list", tuple: "a list", dict: "a mapping", type(None): "nothing"}  # fmt: skip


def _expect(value: Any, kind: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    hint = "remove the quotes" if kind in (int, float) and isinstance(value, str) and _is_number(value) else ""
    raise ConfigError(where, f"found {show(value)}", NAMES.get(kind, kind.__name__), hint)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", value) is not None


def show(value: Any) -> str:
    """The value as a user wrote it, short, with its type if that is the fault."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text {value[:60]!r}"
    if isinstance(value, list | dict):
        return NAMES[type(value)]
    return f"{value!r}".lower() if isinstance(value, bool) else f"{value!r}"


def _dataclass(value: Any, kind: type[Any], where: str) -> Any:
    table = {} if value is None else _expect(value, dict, where)
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind) if f.init}
    for key in table:
        check_key(key, known, where)
    missing = [
        name
        for name, f in known.items()
        if name not in table and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(where, f"{', '.join(missing)} not given", f"a value for {missing[0]}")
    values = {name: build(item, hints[name], f"{where}.{name}") for name, item in table.items()}
    try:
        return kind(**values)
    except ValueError as error:  # a __post_init__ that refuses
        raise ConfigError(where, str(error)) from None


def check_key(key: Any, known: typing.Iterable[str], where: str) -> None:
    """Raise ConfigError, with the closest known key, if `key` is not one of `known`."""
    names = list(known)
    if key in names:
        return
    hint = did_you_mean(str(key), names, f"known keys: {', '.join(names)}")
    raise ConfigError(f"{where}.{key}", "unknown key", "", hint)


def closest(name: str, known: typing.Iterable[str], most: int = 1, *, cutoff: float = 0.6) -> list[str]:
    """Up to `most` of the `known` names that are spelled like `name`, the closest first."""
    return get_close_matches(name, list(known), most, cutoff)


def did_you_mean(name: str, known: typing.Iterable[str], otherwise: str, most: int = 1) -> str:
    """The hint for an unknown name: up to `most` known ones that are spelled like it, or else `otherwise`."""
    close = closest(name, known, most)
    return f"did you mean {', '.join(close)}?" if close else otherwise


def did_you_mean_path(path: Path, otherwise: str = "") -> str:
    """The hint for a path with nothing there: what is there in its folder and is spelled like it, or `otherwise`.

    Endings do not count: they make all names of one kind alike.
    """
    try:
        there = {one.stem: one for one in sorted(path.parent.iterdir(), reverse=True)}
    except OSError:
        return otherwise
    close = closest(path.stem, there, cutoff=0.7)
    return f"did you mean {there[close[0]]}?" if close else otherwise


def _union(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    """The first member that accepts the value; if none does, the error of the one that matched most of it."""
    if value is None and type(None) in kinds:
        return None  # a dataclass among them would take it for an empty mapping
    tables = [kind for kind in kinds if dataclasses.is_dataclass(kind) or get_origin(kind) is dict]
    if isinstance(value, dict) and len(tables) == 1:
        return build(value, tables[0], where)  # so that its own refusal is reported
    nearest: ConfigError | None = None
    for kind in kinds:
        try:
            return build(value, kind, where)
        except ConfigError as error:
            if nearest is None or len(error.where) > len(nearest.where):
                nearest = error
    assert nearest is not None
    if nearest.where != where:
        raise nearest
    expected = " or ".join(dict.fromkeys(NAMES.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds))
    raise ConfigError(where, f"found {show(value)}", expected, nearest.hint)


def _literal(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    hint = did_you_mean(str(value), [str(choice) for choice in choices], "")
    raise ConfigError(where, f"found {show(value)}", " or ".join(str(c) for c in choices), hint)

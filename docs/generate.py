"""What the pages take from the code: conf.py has each `<!-- generate: NAME -->` filled in.

So steps, sources, eval sets, commands and settings are described in one place, their docstrings, and the pages
say what the code does.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from curate import evalsets, sources, steps
from curate.cli import commands
from curate.exports.formats import FORMATS

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"^<!-- generate: (\w+) -->$", re.MULTILINE)


def filled(page: str) -> str:
    """The page with what its marks name. Raises KeyError for an unknown mark."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), page)


# ---------------------------------------------------------------------------------------------------- docstrings


def prose(text: str) -> str:
    """The docstring as Markdown: names with their meanings as a table, other laid-out text as it is written."""
    return "\n\n".join(_block(block) for block in re.split(r"\n\s*\n", text.strip()))


def _block(block: str) -> str:
    meanings = _meanings(block)
    if meanings:
        return table(
            ("name", "meaning"), [(f"`{name}`".replace("|", "\\|"), cell(text)) for name, text in meanings]
        )
    return f"```text\n{block}\n```" if _laid_out(block) else _escaped(block)


def _meanings(block: str) -> list[tuple[str, str]]:
    """The rows of a block of lines `name   what it is` whose texts begin in one column; [] for another block."""
    rows: list[tuple[str, str]] = []
    at = -1
    for line in block.splitlines():
        head = re.match(r"(\S+(?: \S+)*) {2,}(?=\S)", line)
        if head and at in (-1, head.end()):
            at = head.end()
            rows.append((head[1].strip("`"), line[at:]))
        elif rows and line[:at].isspace():
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line[at:].strip()}")
        else:
            return []
    return rows


def _laid_out(block: str) -> bool:
    return any(line.startswith(" ") or re.search(r"\S {2,}\S", line) for line in block.splitlines())


def _escaped(block: str) -> str:
    """Outside code, `<image>` is text and no tag, `_` emphasises nothing, and `*` only a word or more."""
    kept = r"(`[^`]*`|(?<!\w)\*\w[^*]*\*(?!\w))"  # every second piece is one of these
    pieces = re.split(kept, block)
    return "".join(p if at % 2 else re.sub(r"([<*_\[\]])", r"\\\1", p) for at, p in enumerate(pieces))


def cell(value: Any) -> str:
    """The value in a cell of a table."""
    return _escaped(str(value)).replace("|", "\\|") if value not in (None, "", ()) else "–"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def kind(annotation: Any) -> str:
    """A type as a reader of YAML would name it: `a | b`, `list of text`, `number`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in inner)
    if origin in (Union, UnionType):
        return " | ".join(kind(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {kind(inner[0])}"
    if origin in (dict, Mapping):
        return f"mapping of {kind(inner[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def default(field: "dataclasses.Field[Any]") -> str:
    """The default of a field as YAML would write it; `required` without one."""
    value = field.default
    if value is dataclasses.MISSING:
        return "required" if field.default_factory is dataclasses.MISSING else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`" if value else "none"
    return "none" if value is None else f"`{value}`"


def fields(one: Any) -> str:
    """A table of the fields that a recipe may set; a sentence where there are none."""
    listed = [field for field in dataclasses.fields(one) if field.init]
    if not listed:
        return "It has no options."
    rows = [(f"`{f.name}`", cell(kind(f.type)), default(f)) for f in listed]
    return table(("option", "value", "default"), rows)


# -------------------------------------------------------------------------------------------------------- pages


def _steps() -> str:
    return "\n\n".join(f"## {name}\n\n{_step(step)}" for name, step in sorted(steps.STEPS.items()))


def _step(step: type[Any]) -> str:
    module = import_module(step.__module__)
    inherited = [base for base in step.__mro__[1:] if dataclasses.is_dataclass(base)]
    texts = [prose(inspect.getdoc(one) or "") for one in (module, step, *inherited)]
    level = "one pair at a time" if steps.is_row_step(step) else "pairs against each other"  # type: ignore[arg-type]
    return "\n\n".join([*texts, fields(step), f"Looks at {level}. Version {step.version}."])


def _sources() -> str:
    return "\n\n".join([_source_table(), *(f"## {name}\n\n{_source(name)}" for name in sources.names())])


def _source_table() -> str:
    rows = []
    for name in sources.names():
        one = sources.get(name)
        link = f"[`{name}`](#{name})"
        rows.append(
            (link, one.modality, cell(one.license), cell(one.annotator), _count(one.rows), _count(one.pairs))
        )
    return table(("source", "modality", "licence", "annotator", "rows", "pairs"), rows)


def _source(name: str) -> str:
    one = sources.get(name)
    module = import_module(f"curate.sources.{name}")
    facts = {
        "repository": f"[{one.repo}](https://huggingface.co/datasets/{one.repo})",
        "files": _patterns(one.files) if one.files else "by the index of the publisher, or by options",
        "media": _patterns(one.media),
        "looked up here, never fetched": _patterns(one.local_media),
        "licence": one.license or "not stated",
        "annotator": one.annotator,
        "languages": ", ".join(one.languages),
        "paper": one.paper,
        "rows as published": _count(one.rows),
        "pairs": _count(one.pairs),
        "rows that may be skipped": f"{one.max_skip:.0%}",
    }
    listed = "\n".join(f"- {key}: {value}" for key, value in facts.items() if value not in (None, "", "–"))
    parts = [prose(inspect.getdoc(module) or ""), listed]
    if one.options is not None:
        parts += ["Options:", prose(inspect.getdoc(one.options) or ""), fields(one.options)]
    return "\n\n".join(parts)


def _patterns(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _count(number: int | None) -> str:
    return f"{number:,}" if number else "–"


def _eval_sets() -> str:
    rows, texts = [], []
    for name in evalsets.names():
        one = evalsets.get(name)
        splits = ", ".join(one.splits)
        rows.append((f"[`{name}`](#{name})", one.modality, cell(one.license), cell(splits), _count(one.rows)))
        module = inspect.getdoc(import_module(f"curate.evalsets.{name}")) or ""
        facts = f"Repository: [{one.repo}](https://huggingface.co/datasets/{one.repo})."
        against = "It is one of those that `against: all` stands for." if one.core else "Name it to decontaminate."
        texts.append(f"## {name}\n\n{prose(module)}\n\n{facts} {against}")
    return "\n\n".join([table(("eval set", "modality", "licence", "splits", "items"), rows), *texts])


def _exports() -> str:
    parts = []
    for name, form in FORMATS.items():
        module = inspect.getdoc(import_module(form.__module__)) or ""
        takes = ", ".join(f"`--{option}`" for option in sorted(form.options)) or "none"
        parts.append(f"## {name}\n\n{_escaped(form.about)}.\n\n{prose(module)}\n\nOptions: {takes}.")
    return "\n\n".join(parts)


def _commands() -> str:
    parts = []
    for title, names in commands.GROUPS.items():
        parts += [f"## {title}", *(_command(name) for name in names)]
    return "\n\n".join(parts)


def _command(name: str) -> str:
    command = commands.load(name)
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["curate", name, *command.collect_usage_pieces(context)])
    rows = [(_names(one), _help(one)) for one in command.get_params(context) if one.name != "help"]
    more = prose(inspect.cleandoc(command.help or ""))
    return f"### curate {name}\n\n```text\n{usage}\n```\n\n{more}\n\n{table(('name', 'meaning'), rows)}"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return f"`{', '.join([*parameter.opts, *parameter.secondary_opts])}{value}`".replace("|", "\\|")


def _help(parameter: Any) -> str:
    text = (parameter.help or "").replace("\\[", "[")  # rich's escape
    env = f" Environment: {parameter.envvar}." if getattr(parameter, "envvar", None) else ""
    shown = parameter.default
    plain = isinstance(shown, str | int | float | Path) and not isinstance(shown, bool) and "[" not in text
    return cell(text + env) + (f" Default: `{shown}`." if plain else "")


def _grammar(module: str) -> str:
    return f"```text\n{inspect.getdoc(import_module(module))}\n```"


def _settings() -> str:
    """The dataclasses of the trainer's config as they are written, without what checks them."""
    source = (ROOT / "trainer" / "config.py").read_text(encoding="utf-8")
    return "\n\n".join(_class(source, one) for one in ast.parse(source).body if isinstance(one, ast.ClassDef))


def _class(source: str, one: ast.ClassDef) -> str:
    values = [node for node in one.body if isinstance(node, ast.AnnAssign)]
    lines = source.splitlines()
    first = _first_line(one, values[0], lines)
    last = max(_last_line(node) for node in values)
    body = textwrap.dedent("\n".join(lines[first:last]))
    text = prose(ast.get_docstring(one) or "")
    return f"## {one.name}\n\n{text}\n\n```python\n{body.strip()}\n```"


def _first_line(one: ast.ClassDef, value: ast.AnnAssign, lines: Sequence[str]) -> int:
    """The line of the first value, or of the comments above it."""
    first = value.lineno - 1
    while first > one.lineno and lines[first - 1].strip().startswith("#"):
        first -= 1
    return first


def _last_line(node: ast.AnnAssign) -> int:
    return node.end_lineno or node.lineno


def _presets() -> str:
    rows: Iterator[tuple[str, str]] = (
        (f"`{path.stem}`", cell(path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")))
        for path in sorted((ROOT / "trainer" / "presets").glob("*.yaml"))
    )
    return table(("preset", "what it is"), list(rows))


PARTS = {
    "steps": _steps,
    "sources": _sources,
    "eval_sets": _eval_sets,
    "exports": _exports,
    "commands": _commands,
    "recipe_grammar": lambda: _grammar("curate.recipe"),
    "manifest_grammar": lambda: _grammar("curate.sources.generic"),
    "settings": _settings,
    "presets": _presets,
}

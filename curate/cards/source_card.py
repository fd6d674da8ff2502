"""The card of a source: a head made from its facts, a body written by people, and its citation."""

import dataclasses
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from curate.bundled import own_or_bundled
from curate.cards.markdown import HUB, hub_page, markdown
from curate.licenses import known_id, terms
from curate.sources.base import Source
from curate.tables import Table
from curate.text.inert import Markdown, code, fenced, link, markdown_text, terminal_text

END = "<!-- the facts above are written by `curate card`; the words below by people -->"


def head(name: str, source: Source) -> str:
    """Title, facts and options of a source, as its adapter declares them."""
    grants = terms(source.license)
    facts = {
        "dataset": hub_page(source.repo),
        "paper": _paper(source.paper),
        "modality": source.modality,
        "languages": ", ".join(source.languages),
        "licence": f"{known_id(source.license)}: commercial use {grants.commercial}, changes {grants.derivatives}",
        "judged by": source.annotator or "not stated",
        "rows, as published": source.rows,
        "pairs, as published or derived": source.pairs,
        "files": _codes(source.files) or "as the options say",
        "media": _codes(source.media) or None,
        "media, read where they are, not fetched": _codes(source.local_media) or None,
        "rows that may be skipped": f"{source.max_skip:.0%}".replace("%", " %"),
        "version of the adapter": str(source.version),
    }
    rows = [(what, value) for what, value in facts.items() if value is not None]
    return "\n\n".join([f"# {markdown_text(name)}", markdown(Table("", ("", ""), rows)), _options(source), END])


def citation(name: str, source: Source) -> str:
    """The dataset as BibTeX; authors are left to the paper that it names."""
    eprint = source.paper.removeprefix("arXiv:")
    paper = f"  eprint = {{{eprint}}},\n  archivePrefix = {{arXiv}},\n" if eprint else ""
    hub = (
        f"  howpublished = {{Hugging Face Hub}},\n  url = {{{HUB}{source.repo}}},\n" if "/" in source.repo else ""
    )
    entry = f"@misc{{{name},\n  title = {{{{{source.repo}}}}},\n{paper}{hub}}}"
    return f"## Citation\n\n{fenced(entry, 'bibtex')}\n"


def source_card(name: str, source: Source, cards: Path) -> str:
    """The whole card of a source; its body is from `cards/<name>.md`, else from the bundled card, if any."""
    path = own_or_bundled(cards / f"{name}.md", "data_cards")
    body = _body(path.read_text(encoding="utf-8")) if path.exists() else ""
    return terminal_text("\n\n".join(part for part in (head(name, source), body, citation(name, source)) if part))


def _body(text: str) -> str:
    """The text between the generated head and the generated citation."""
    return text.partition(END)[2].rpartition("## Citation")[0].strip()


def _paper(paper: str) -> str | None:
    if not paper:
        return None
    return link(paper, "https://arxiv.org/abs/", paper.removeprefix("arXiv:"))


def _options(source: Source) -> str:
    if source.options is None:
        return "It has no options."
    hints = typing.get_type_hints(source.options)
    rows = [
        (code(field.name), _value(field.default), _choices(hints[field.name]))
        for field in dataclasses.fields(source.options)
    ]
    return markdown(Table("", ("option", "default", "choices"), rows))


def _value(default: Any) -> Markdown:
    return _codes(default if isinstance(default, tuple) else (default,))


def _codes(texts: Iterable[Any]) -> Markdown:
    return Markdown(", ".join(code(str(text)) for text in texts))


def _choices(kind: Any) -> Markdown:
    """The literals that an option takes, or the kind of its value."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return _codes(arguments)
    if origin is tuple:
        return Markdown(f"a list of {_choices(arguments[0])}")
    return Markdown({float: "a number", int: "a whole number", str: "text", bool: "true or false"}[kind])

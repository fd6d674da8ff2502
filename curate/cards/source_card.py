"""The card of a source: a head made from its facts, a body written by people, and its citation."""

import dataclasses
import typing
from pathlib import Path
from typing import Any, Literal

from curate.bundled import own_or_bundled
from curate.cards.markdown import cell, markdown
from curate.licenses import known_id, terms
from curate.sources.base import Source
from curate.tables import Table

END = "<!-- the facts above are written by `curate card`; the words below by people -->"


def head(name: str, source: Source) -> str:
    """Title, facts and options of a source, as its adapter declares them."""
    grants = terms(source.license)
    facts = {
        "dataset": f"[{source.repo}](https://huggingface.co/datasets/{source.repo})",
        "paper": _paper(source.paper),
        "modality": source.modality,
        "languages": ", ".join(source.languages),
        "licence": f"{known_id(source.license)}: commercial use {grants.commercial}, changes {grants.derivatives}",
        "judged by": source.annotator or "not stated",
        "rows, as published": source.rows,
        "pairs, as published or derived": source.pairs,
        "files": ", ".join(f"`{pattern}`" for pattern in source.files) or "as the options say",
        "media": ", ".join(f"`{pattern}`" for pattern in source.media) or None,
        "media, read where they are, not fetched": ", ".join(f"`{name}`" for name in source.local_media) or None,
        "rows that may be skipped": f"{source.max_skip:.0%}".replace("%", " %"),
        "version of the adapter": str(source.version),
    }
    rows = [(what, cell(value)) for what, value in facts.items() if value is not None]
    return "\n\n".join([f"# {name}", markdown(Table("", ("", ""), rows)), _options(source), END])


def citation(name: str, source: Source) -> str:
    """The dataset as BibTeX; authors are left to the paper that it names."""
    eprint = source.paper.removeprefix("arXiv:")
    paper = f"  eprint = {{{eprint}}},\n  archivePrefix = {{arXiv}},\n" if eprint else ""
    url = f"https://huggingface.co/datasets/{source.repo}"
    return (
        "## Citation\n\n```bibtex\n"
        f"@misc{{{name},\n  title = {{{{{source.repo}}}}},\n{paper}  howpublished = {{Hugging Face Hub}},\n"
        f"  url = {{{url}}},\n}}\n```\n"
    )


def source_card(name: str, source: Source, cards: Path) -> str:
    """The whole card of a source; its body is from `cards/<name>.md`, else from the bundled card, if any."""
    path = own_or_bundled(cards / f"{name}.md", "data_cards")
    body = _body(path.read_text(encoding="utf-8")) if path.exists() else ""
    return "\n\n".join(part for part in (head(name, source), body, citation(name, source)) if part)


def _body(text: str) -> str:
    """The text between the generated head and the generated citation."""
    return text.partition(END)[2].rpartition("## Citation")[0].strip()


def _paper(paper: str) -> str | None:
    if not paper:
        return None
    return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})"


def _options(source: Source) -> str:
    if source.options is None:
        return "It has no options."
    hints = typing.get_type_hints(source.options)
    rows = [
        (f"`{field.name}`", _value(field.default), _choices(hints[field.name]))
        for field in dataclasses.fields(source.options)
    ]
    return markdown(Table("", ("option", "default", "choices"), rows))


def _value(default: Any) -> str:
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{default}`"


def _choices(kind: Any) -> str:
    """The literals that an option takes, or the kind of its value."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"a list of {_choices(arguments[0])}"
    return {float: "a number", int: "a whole number", str: "text", bool: "true or false"}[kind]

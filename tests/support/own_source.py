"""A user's own source for tests: its manifest written, its rows read by hand."""

from pathlib import Path
from typing import Any

import pytest

from curate.errors import SkipRow
from curate.sources import generic
from curate.sources.base import Row, Source


def manifest(directory: Path, text: str, name: str = "mine") -> Path:
    """The manifest of that name in the directory."""
    path = directory / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def source(directory: Path, text: str) -> Source:
    """A source whose manifest says `text`; its files are *.jsonl unless it says so."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    files = [] if any(line.startswith("files:") for line in lines) else ['files: ["*.jsonl"]']
    return generic.load(manifest(directory, "\n".join([*lines, *files]) + "\n"))


def plain(drafts):
    """Drafts as tests/rows/<source>.yaml writes them."""
    out = []
    for draft in drafts:
        pair = {side: [turn(m) for m in getattr(draft, side)] for side in ("prompt", "chosen", "rejected")}
        pair["media"] = [item.path or item.data for item in draft.media]
        for name in ("margin", "chosen_score", "rejected_score", "category", "group", "annotator", "license"):
            pair[name] = getattr(draft, name)
        out.append({name: value for name, value in pair.items() if value not in (None, [])})
    return out


def turn(message):
    return f"{message.role}: " + "".join(f"[{b.type}]" if b.text is None else b.text for b in message.content)


def pairs(directory: Path, text: str, **row: Any):
    """What the manifest makes of one row."""
    return plain(source(directory, text).to_pairs(Row(row)))


def reason(directory: Path, text: str, **row: Any) -> str:
    """Why the manifest makes nothing of one row."""
    with pytest.raises(SkipRow) as caught:
        pairs(directory, text, **row)
    return caught.value.reason

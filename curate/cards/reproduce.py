"""The section of a card that says how the mix is made again, byte for byte."""

import shlex
from collections.abc import Mapping
from typing import Any

from curate import sources
from curate.cards.markdown import markdown
from curate.tables import Table
from curate.text.inert import code, fenced, markdown_text

Lock = Mapping[str, Any]


def reproduce(lock: Lock) -> str:
    """Return the section: commands that bring the very files, and what they cannot bring."""
    name, short = lock["name"], lock["fingerprint"][:8]
    commits = {origin["source"]: origin["revision"] for origin in lock["origins"].values()}
    pinned = {source: commit for source, commit in commits.items() if commit is not None}
    lines = [
        f"curate pin {shlex.quote(source)} --revision {shlex.quote(commit)}" for source, commit in pinned.items()
    ]
    if pinned:
        lines.append(f"curate fetch {' '.join(map(shlex.quote, pinned))}")
    lines += [f"curate mix {name}.yaml", f"curate verify {name}@{short}"]
    return "\n\n".join(
        [
            "## Reproduce",
            f"Save the recipe above as `{name}.yaml`. From the same files of the sources "
            f"`curate` {lock['curate']} makes the same shards, byte for byte{_of(pinned)}:",
            *_notes(lock, [source for source in commits if source not in pinned]),
            fenced("\n".join(lines), "sh"),
            markdown(_files(lock)),
        ]
    )


def _of(pinned: Mapping[str, str]) -> str:
    return " (the commits below are those that were read, whatever upstream has today)" if pinned else ""


def _notes(lock: Lock, unknown: list[str]) -> list[str]:
    """What the commands need that they do not bring."""
    bundled = set(sources.names())
    own = [origin["source"] for origin in lock["origins"].values() if origin["source"] not in bundled]
    notes = []
    if unknown:
        notes.append(
            f"The raw files of {_listed(unknown)} were the maker's own, of no recorded commit: put the same files "
            "into `data/raw/SOURCE` of each before."
        )
    if own:
        listed = _listed(own)
        notes.append(f"The maker's manifests of {listed} must be in `manifests/`: they say how rows are read.")
    return notes


def _listed(names: list[str]) -> str:
    return ", ".join(markdown_text(name) for name in dict.fromkeys(names))


def _files(lock: Lock) -> Table:
    rows = [(code(file["name"]), file["rows"], file["bytes"], code(file["xxh3"])) for file in lock["files"]]
    return Table("", ("file", "pairs", "bytes", "xxh3-128"), rows)

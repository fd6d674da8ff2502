"""Writes a finished mix as a trainer's loader takes it: a part for each shard, the settings, and the receipt.

    OUT/train/part-00000.*  ...        the mix, in its order
    OUT/validation/part-00000.*  ...   the holdout
    OUT/...                            settings to paste, and what else the format needs
    OUT/export.json                    the receipt

Parts are written in any order by any number of workers, with the same bytes. Finished ones leave a record, so that
a killed export goes on where it was.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import xxhash

from curate import export_receipt, parquet
from curate.checksums import check_file, hash_file, record, write_record
from curate.engines.base import Engine, Listener
from curate.errors import ConfigError, WorkspaceError
from curate.exports.base import SPLITS, TRAIN, Format, Mixture, Place, Written
from curate.exports.pair import Pair, read
from curate.images.store import ImageStore
from curate.inspect.artefacts import Mix
from curate.lock_file import AGAIN
from curate.tables import Table
from curate.workspace import Workspace, atomic

VERSION = 1
COUNTS = ("read", "written", "videos_as_frames")
BEGUN = "begun.json"
"""The record, among those of finished parts, of what the directory will hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One shard to export; `digest` identifies all that its bytes follow from."""

    shard: Path
    xxh3: str
    place: Place
    format: Format
    images: Path | None
    digest: str

    def __str__(self) -> str:
        return f"exporting {self.shard}"

    @property
    def record(self) -> Path:
        """Where the facts of the finished part are kept while others are missing."""
        return self.place.root / export_receipt.UNFINISHED / f"{self.place.split}-{self.place.number:05d}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A finished export: its receipt, and whether this run wrote it."""

    directory: Path
    facts: dict[str, Any]
    fresh: bool


def mixture(mix: Mix) -> Mixture:
    """What is the same for all pairs of a mix."""
    embedded = False
    for path in mix.files("shard")[:1]:  # all have the same columns
        with parquet.opened(path, "a Parquet file") as file:
            embedded = "images" in file.schema_arrow.names
    referred = mix.lock["recipe"]["shards"]["media"] == "reference" and mix.lock.get("content") != "text"
    return Mixture(
        name=str(mix.lock["name"]), media=embedded or referred, fields=bool(mix.lock.get("message_fields"))
    )


def export(
    mix: Mix, form: Format, out: Path, workspace: Workspace, engine: Engine, listen: Listener | None = None
) -> Exported:
    """Write the mix into the directory `out`, which is new or has the same export, finished or not.

    Raises WorkspaceError where something else is there, where a file of a finished export is damaged, and where a
    shard or an image is.
    """
    identity = _identity(mix, form)
    digest = xxhash.xxh3_128_hexdigest(json.dumps(identity, sort_keys=True).encode())
    head = {"digest": digest, **identity}
    if (there := _finished(out, head)) is not None:
        _sweep(out)  # a run may have been killed after it wrote the receipt
        return Exported(directory=out, facts=there, fresh=False)
    _begin(out, head)
    parts = list(_parts(mix, form, out, workspace, digest))
    made = list(engine.map(_write, parts, listen))
    facts = _finish(out, head, form, parts, made)
    _sweep(out)
    return Exported(directory=out, facts=facts, fresh=True)


def _identity(mix: Mix, form: Format) -> dict[str, Any]:
    options = {name: getattr(form, name) for name in sorted(form.options)}
    return {
        "export": VERSION,
        "format": form.name,
        "version": form.version,
        "options": options,
        "mix": {"name": mix.lock["name"], "fingerprint": mix.lock["fingerprint"]},
        "shards": [{name: file[name] for name in ("name", "rows", "xxh3")} for file in mix.lock["files"]],
    }


def _finished(out: Path, head: Mapping[str, Any]) -> dict[str, Any] | None:
    """The receipt of this very export. Raises WorkspaceError where it is of another one, or files differ."""
    facts = export_receipt.read(out)
    if facts is None:
        return None
    _check_same(out, head, facts, "has")
    if line := next(export_receipt.differing(out, facts), ""):
        raise WorkspaceError(str(out), f"not as it was written: {line}", "", f"delete {out} and export again")
    return facts


def _begin(out: Path, head: Mapping[str, Any]) -> None:
    """Record in a new directory what it will hold. Raises WorkspaceError where it is not new.

    The directory of a killed run of this very export counts as new; that of another would keep files of both.
    """
    path = out / export_receipt.UNFINISHED / BEGUN
    if (begun := record(path)) is not None:
        _check_same(out, head, begun, "has a part of")
        return
    if out.exists() and not (out.is_dir() and _is_blank(out)):
        found = "is not empty, and no export of curate" if out.is_dir() else "is not a directory"
        raise WorkspaceError(str(out), found, "a new directory", "name another with --out")
    write_record(path, head)


def _check_same(out: Path, head: Mapping[str, Any], there: Mapping[str, Any], has: str) -> None:
    if there["digest"] != head["digest"]:
        found = f"{has} the mix {there['mix']['name']}@{there['mix']['fingerprint'][:8]} for {there['format']}"
        if all(there[name] == head[name] for name in ("mix", "format")):
            found += " with other options, or by another version"
        raise WorkspaceError(str(out), found, "a new directory, or the same export", "name another with --out")


def _is_blank(out: Path) -> bool:
    """Whether it holds no export: it is empty, or has only what a run killed before its first record leaves."""
    unfinished = out / export_receipt.UNFINISHED
    return all(path == unfinished for path in out.iterdir()) and (
        not unfinished.exists() or (unfinished.is_dir() and not list(unfinished.glob("[!.]*")))
    )


def _parts(mix: Mix, form: Format, out: Path, workspace: Workspace, digest: str) -> Iterator[Part]:
    images = workspace.images if form.mix.media and mix.lock["recipe"]["shards"]["media"] == "reference" else None
    for split, kind in SPLITS.items():
        first = 0
        for number, file in enumerate(file for file in mix.lock["files"] if file["name"].startswith(kind)):
            place = Place(root=out, split=split, number=number, first=first)
            shard = mix.directory / file["name"]
            yield Part(shard=shard, xxh3=file["xxh3"], place=place, format=form, images=images, digest=digest)
            first += file["rows"]


def _write(part: Part) -> dict[str, Any]:
    """Write one part unless it is there; its facts."""
    if (done := _done(part)) is not None:
        return done
    check_file(part.shard, part.xxh3, "the file that its lock records", AGAIN)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    without: Counter[str] = Counter()

    def carried() -> Iterator[Pair]:
        for pair in read(part.shard, ImageStore(part.images) if part.images else None):
            counts["read"] += 1
            if (reason := part.format.fault(pair)) is not None:
                left_out[reason] += 1
                continue
            counts["written"] += 1
            counts["videos_as_frames"] += pair.videos if "videos" in part.format.options else 0
            without.update(part.format.without(pair))
            yield pair

    pairs = carried()
    first = next(pairs, None)
    written = Written(files=[]) if first is None else part.format.write(chain([first], pairs), part.place)
    facts = {
        "digest": part.digest,
        **{name: counts[name] for name in COUNTS},
        "left_out": dict(sorted(left_out.items())),
        "written_without": dict(sorted(without.items())),
        "files": [_file(part.place.root, path) for path in written.files],
        "facts": written.facts,
    }
    write_record(part.record, facts)
    return facts


def _file(root: Path, path: Path) -> dict[str, Any]:
    return {"name": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "xxh3": hash_file(path)}


def _done(part: Part) -> dict[str, Any] | None:
    """The facts of a part that a killed run has finished, if its files are there as they were written."""
    facts = record(part.record)
    if facts is None or facts["digest"] != part.digest:
        return None
    root = part.place.root
    whole = all((root / x["name"]).is_file() and _file(root, root / x["name"]) == x for x in facts["files"])
    return facts if whole else None


def _finish(
    out: Path,
    head: Mapping[str, Any],
    form: Format,
    parts: Sequence[Part],
    made: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Write the settings, and the receipt last; its facts."""
    splits: dict[str, list[Mapping[str, Any]]] = {}
    for part, facts in zip(parts, made, strict=True):
        splits.setdefault(part.place.split, []).append(facts)
    sums = {split: _summed(some) for split, some in splits.items()}
    if not sums.get(TRAIN, {}).get("written"):
        reasons = ", ".join(
            f"{reason} {pairs:,}" for reason, pairs in sums.get(TRAIN, {}).get("left_out", {}).items()
        )
        found = f"no pair of the mix can be written: {reasons or 'it has none'}"
        raise ConfigError(f"--to {form.name}", found, "a mix with pairs that this format can carry")
    texts = form.finish(
        {split: [facts["facts"] for facts in some] for split, some in splits.items() if sums[split]["written"]}
    )
    for name, text in texts.items():
        with atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    files = [entry for facts in made for entry in facts["files"]] + [_file(out, out / name) for name in texts]
    images = export_receipt.images(out)
    receipted = {
        **head,
        "splits": sums,
        "images": {"files": len(images), "bytes": sum(path.stat().st_size for path in images)},
        "settings": [name for name in texts if "/" not in name],
        "files": files,
    }
    write_record(out / export_receipt.NAME, receipted)
    return receipted


def _summed(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The account of a split: what was read is what was written and what was left out."""
    total: dict[str, Any] = {name: sum(facts[name] for facts in some) for name in COUNTS}
    for name in ("left_out", "written_without"):
        total[name] = dict(sorted(sum((Counter(facts[name]) for facts in some), Counter()).items()))
    assert total["read"] == total["written"] + sum(total["left_out"].values()), "every pair is accounted for"
    return total


def _sweep(out: Path) -> None:
    """Remove the records of parts, and half-written files of a killed run, where there are any."""
    unfinished = out / export_receipt.UNFINISHED
    if unfinished.is_dir():
        for path in [*unfinished.iterdir(), *out.rglob(".*.tmp")]:
            path.unlink(missing_ok=True)
        unfinished.rmdir()


def account(exported: Exported) -> Table:
    """The numbers of pairs by split: written, written without something, and left out by reason."""
    splits = exported.facts["splits"]
    rows: list[tuple[Any, ...]] = []
    kinds: list[tuple[str, Callable[[Mapping[str, Any]], Mapping[str, int]]]] = [
        ("", lambda one: {"pairs of the mix": one["read"]}),
        ("left out: ", lambda one: one["left_out"]),
        ("", lambda one: {"written": one["written"]}),
        ("without ", lambda one: one["written_without"]),
        ("", lambda one: {"videos as frames": one["videos_as_frames"]} if one["videos_as_frames"] else {}),
    ]
    for prefix, of in kinds:
        names = dict.fromkeys(name for one in splits.values() for name in of(one))
        rows += [(f"{prefix}{name}", *(of(one).get(name, 0) for one in splits.values())) for name in names]
    return Table(f"export for {exported.facts['format']}", ("pairs", *splits), rows)

"""Scores of pairs: what a model gave both replies, or how likely a label is wrong, kept beside the pairs.

    <pairs>/rewards/NAME/part-00000.parquet   SCORES, a row for each pair of the part, in its order
    <pairs>/rewards/NAME/receipt.json         what gave them and the files' hashes; written last

Each file has its checksum beside it. A receipt has:

name, source, pairs    of the scores, of the source, and the fingerprint of the pairs artefact
provenance    external: by a model that trained on none of these pairs, as far as is known; cross-fitted: each by a
              model that did not see its group of pairs; in-sample: by a model that trained on some of them
by            what gave the scores: {kind: model, file, heads or audit, ...}
trained_on    the mixes that it was trained on; null where that is not known
overlap       how many of the pairs are in those mixes; null where that is not known
scored        pairs with a margin; `unscored` are the others by reason
files         [{name, rows, xxh3}], by part
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from curate.checksums import SUFFIX, check_file, hash_file, published, read_record, write_record
from curate.errors import ConfigError, WorkspaceError
from curate.pairs.pool import PairsPool

Provenance = Literal["external", "cross-fitted", "in-sample"]
PROVENANCES: tuple[Provenance, ...] = get_args(Provenance)

VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FOLDER, RECEIPT = "rewards", "receipt.json"
FACTS = ("name", "provenance", "by", "trained_on", "overlap", "scored", "unscored", "files")
NOT_WANTED = "not_wanted"
"""The problem of a pair that is not in what was to be scored, such as a mix of some of the pairs."""

SCORES: dict[str, Any] = {
    "chosen": pl.Float64,
    "rejected": pl.Float64,
    "margin": pl.Float64,
    "wrong": pl.Float64,
    "problem": pl.String,
}
"""Columns of a file of scores.

chosen, rejected   the replies' rewards; null where only their difference is known
margin             chosen less rejected; null where the pair has no score, and `problem` then says why
wrong              the chance that the label is wrong; null but for an audit's
"""


def check_name(name: str, where: str = "--name") -> str:
    """Return the name of scores. Raises ConfigError, at `where`, for one that is no folder's name."""
    if not NAME.fullmatch(name):
        raise ConfigError(where, f"found {name!r}", "letters, digits, and _ . - after the first")
    return name


def folder(pairs: Path, name: str) -> Path:
    """The directory of the scores of that name beside a pairs artefact."""
    return pairs / FOLDER / name


def write_part(frame: pl.DataFrame, path: Path) -> None:
    """Publish the scores of one part."""
    with published(path) as temporary:
        frame.select(pl.col(name).cast(kind) for name, kind in SCORES.items()).write_parquet(temporary)


def finish(pool: PairsPool, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the receipt of scores whose parts are there, with these facts, and return it."""
    place = folder(pool.directory, name)
    frames = [pl.read_parquet(place / part) for part in pool.parts]
    problems = pl.concat([pl.DataFrame(schema=SCORES), *frames]).filter(pl.col("margin").is_null())["problem"]
    counted = problems.fill_null("unknown").value_counts().sort("problem").iter_rows()
    receipt = {
        "version": VERSION,
        "name": name,
        "source": pool.source,
        "pairs": pool.directory.name,
        **facts,
        "scored": sum(frame.height for frame in frames) - problems.len(),
        "unscored": dict(counted),
        "files": [
            {"name": part, "rows": frame.height, "xxh3": hash_file(place / part)}
            for part, frame in zip(pool.parts, frames, strict=True)
        ],
    }
    write_record(place / RECEIPT, receipt)
    return receipt


def receipt_of(pairs: Path, label: str, name: str, where: str, wants: str = "margin") -> dict[str, Any]:
    """The receipt of the scores of that name. Raises ConfigError, at `where`, if the pairs of a pool have none.

    `wants` is the column of SCORES that is needed; the hint names the command that writes it.
    """
    path = folder(pairs, check_name(name, where)) / RECEIPT
    if not path.exists():
        there = names(pairs)
        expected = f"one of {', '.join(there)}" if there else "scores of its pairs"
        of, called = pairs.parent.name, f"--name {name}"
        how = f"curate score {of} {called} with --model, --from or --folds"
        how = f"curate audit {of} {called} --preset PRESET" if wants == "wrong" else how
        hint = f"{how} makes them, of a recipe's file for all its sources"
        raise ConfigError(where, f"{label} has no scores {name!r}", expected, hint)
    receipt = read_record(path, "the receipt of scores", f"delete {path.parent} and score again")
    if missing := [key for key in FACTS if key not in receipt]:
        found = f"no {missing[0]}"
        raise WorkspaceError(str(path), found, "the receipt of scores", f"delete {path.parent} and score again")
    return receipt


def check_free(pool: PairsPool, name: str, by: Mapping[str, Any]) -> None:
    """Raise ConfigError where a pool has scores of that name by another model or file, or by another command."""
    path = folder(pool.directory, name) / RECEIPT
    if not path.exists():
        return
    other = receipt_of(pool.directory, pool.label, name, "--name")["by"]
    if other["kind"] == by["kind"] and (
        other.get("path") == by.get("path") or _models(other) == _models(by) is not None
    ):
        return
    found = (
        f"the scores {name!r} of {pool.label} are by {' '.join(filter(None, (other['kind'], other.get('path'))))}"
    )
    raise ConfigError(
        "--name", found, "a name of its own", f"another --name; or delete {path.parent}, if it may go"
    )


def _models(by: Mapping[str, Any]) -> list[Any] | None:
    """What identifies the models of scores, wherever they lie; None for scores by anything else."""
    return sorted(by["models"].values(), key=str) if "models" in by else None


def names(pairs: Path) -> list[str]:
    """The names of the finished scores beside a pairs artefact."""
    return sorted(path.parent.name for path in pairs.glob(f"{FOLDER}/*/{RECEIPT}"))


def read(pool: PairsPool, name: str, where: str) -> pl.DataFrame:
    """The SCORES of all pairs of a pool, in file order. Raises ConfigError, WorkspaceError for a damaged file."""
    return read_parts(
        folder(pool.directory, name), receipt_of(pool.directory, pool.label, name, where), pool.parts
    )


def read_parts(place: Path, receipt: Mapping[str, Any], parts: Sequence[str]) -> pl.DataFrame:
    """The SCORES of some parts. Raises WorkspaceError for a file that is not as the receipt says."""
    hashes = {file["name"]: file["xxh3"] for file in receipt["files"]}
    for part in parts:
        check_file(place / part, hashes.get(part, ""), "the scores as written", f"delete {place} and score again")
    return pl.concat([pl.DataFrame(schema=SCORES), *(pl.read_parquet(place / part) for part in parts)])


def forget(place: Path) -> None:
    """Remove the scores in a directory, the receipt first, so that they are made anew."""
    for path in sorted(place.glob("*"), key=lambda path: not path.name.startswith(RECEIPT)):
        if path.name.startswith(RECEIPT) or path.suffix in (".parquet", SUFFIX):
            path.unlink()

"""Make a manifest from a repository on the Hub: resolve the commit, choose the files, count the rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate import config, evalsets
from curate.errors import ConfigError, HubError
from curate.hub import client, manifests
from curate.hub.expected_rows import CHOICES
from curate.hub.manifests import Drift, File, Manifest, Rows
from curate.hub.retry import RetryPolicy

MOST_ROWS = 1 << 48  # of one split; a card may state anything
FOOTER = 64 << 10  # most footers are smaller; a larger one costs a second request


def pin(name: str, directory: Path, revision: str | None, workers: int, policy: RetryPolicy) -> Manifest:
    """Write the manifest of a source as it is upstream now, at `revision` or else at its pinned revision.

    Raises HubError, and ConfigError for an unknown source.
    """
    facts = blank(name, directory)
    path = manifests.path_of(name, directory)
    if revision is None and path.exists():
        revision = config.load(path, Manifest).revision
    manifest = observe(facts, revision or "main", workers, policy)
    manifests.write(manifest, directory)
    return manifest


def blank(name: str, directory: Path) -> Manifest:
    """The unpinned manifest of a source or eval set. Raises ConfigError for a user's own without a repository."""
    facts = manifests.blank(name, manifests.subject(name, directory))
    if "/" not in facts.repo:
        path = evalsets.own(directory).get(name, directory / f"{name}.yaml")
        expected = "owner/name of a dataset on the Hub"
        raise ConfigError(f"{path}: $.repo", "not given", expected, manifests.own_files(name))
    return facts


def drift(pinned: Manifest, workers: int, policy: RetryPolicy) -> list[Drift]:
    """The differences between a manifest and its source upstream. Raises HubError."""
    known = {file.hash: file.rows for file in pinned.files if file.rows is not None}
    return manifests.compare(pinned, observe(pinned, pinned.revision, workers, policy, known))


def observe(
    facts: Manifest, revision: str, workers: int, policy: RetryPolicy, known: Mapping[str, int] | None = None
) -> Manifest:
    """The manifest of a source as it is upstream at a revision; `known` gives rows of files by hash.

    Raises HubError, also if the repository has none of the files that the adapter reads.
    """
    snapshot = client.resolve(facts.repo, revision, policy)
    files = manifests.needed(snapshot.files, facts.patterns)
    if facts.source in evalsets.names():
        files = _in_one_layout(facts, files, snapshot.commit)
    else:
        _check_found(facts, files, snapshot.commit)
    files = with_rows(facts, snapshot.commit, files, workers, policy, known or {})
    return dataclasses.replace(
        facts,
        revision=revision,
        commit=snapshot.commit,
        license=_license(snapshot.card),
        gated=snapshot.gated,
        rows=_counted(facts, files, _card_rows(snapshot.card.get("dataset_info"))),
        files=files,
    )


def _check_found(facts: Manifest, files: Sequence[File], commit: str) -> None:
    """Each pattern of row files must match, unless the adapter chooses among them (`row_files`)."""
    unmatched = [p for p in facts.patterns.files if not any(manifests.matches(file.path, p) for file in files)]
    chooses = facts.source in CHOICES
    if unmatched and (not chooses or len(unmatched) == len(facts.patterns.files)):
        raise _no_such_file(facts, unmatched[0], commit)


def _no_such_file(facts: Manifest, pattern: str, commit: str) -> HubError:
    hint = f"upstream has changed its layout; an older --revision may work; see {client.page(facts.repo)}"
    return HubError(f"{facts.repo}@{commit[:10]}", f"no file matches {pattern}", "", hint)


def _in_one_layout(facts: Manifest, files: Sequence[File], commit: str) -> tuple[File, ...]:
    """Of an eval set's files those of the first layout that is there, for each split, and the media."""
    chosen = []
    for layouts in evalsets.get(facts.source).layouts.values():
        there = [pattern for pattern in layouts if any(manifests.matches(file.path, pattern) for file in files)]
        if not there:
            raise _no_such_file(facts, " or ".join(layouts), commit)
        chosen.append(there[0])
    return tuple(
        file
        for file in files
        if not manifests.is_row_file(file.path, facts.patterns)
        or any(manifests.matches(file.path, pattern) for pattern in chosen)
    )


def with_rows(
    facts: Manifest,
    commit: str,
    files: Sequence[File],
    workers: int,
    policy: RetryPolicy,
    known: Mapping[str, int],
) -> tuple[File, ...]:
    """The files, Parquet ones with their number of rows, read from the end of each. Raises HubError."""

    def counted(file: File) -> File:
        if not file.path.endswith(".parquet") or not manifests.is_row_file(file.path, facts.patterns):
            return file
        if file.rows is not None:
            return file
        rows = known.get(file.hash)
        if rows is None:
            rows = _parquet_rows(facts.repo, commit, file, policy)
        return dataclasses.replace(file, rows=rows)

    with ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(counted, files))


def _parquet_rows(repo: str, commit: str, file: File, policy: RetryPolicy) -> int | None:
    """The rows that a Parquet footer states; None where there is no such footer."""
    data = client.tail(repo, commit, file, FOOTER, policy)
    length = int.from_bytes(data[-8:-4], "little") + 8
    if data[-4:] != b"PAR1" or length > file.bytes:
        return None
    if length > len(data):
        data = client.tail(repo, commit, file, length, policy)
    try:
        rows: int = pq.read_metadata(pa.BufferReader(b"PAR1" + data[-length:])).num_rows
    except (pa.ArrowInvalid, OSError):
        return None
    return rows


def _counted(facts: Manifest, files: Sequence[File], card: Mapping[tuple[str, str], int]) -> Rows:
    counts = [file.rows for file in files if manifests.is_row_file(file.path, facts.patterns)]
    known = [count for count in counts if count is not None]
    expected, origin = facts.rows.expected, facts.rows.origin
    if len(known) == len(counts):
        return Rows(expected=expected, origin=origin, counted=sum(known), counted_by="parquet footers")
    paths = [file.path for file in files if manifests.is_row_file(file.path, facts.patterns)]
    stated = [rows for (name, split), rows in card.items() if _is_about(name, split, paths)]
    if stated:
        return Rows(expected=expected, origin=origin, counted=sum(stated), counted_by="dataset card")
    return Rows(expected=expected, origin=origin)


def _is_about(name: str, split: str, paths: Sequence[str]) -> bool:
    """Whether a config and split of a card are what these files hold, judged by their names."""
    return any(split in path and (name == "default" or name in path) for path in paths)


def _license(card: Mapping[str, Any]) -> str | None:
    """The licence tag; the licence's name where the tag is `other`; all of them where there are several."""
    found = card.get("license")
    if isinstance(found, list):
        return ", ".join(name for name in found if isinstance(name, str)) or None
    if found == "other":
        name = card.get("license_name")
        return name if isinstance(name, str) and name else found
    return found if isinstance(found, str) else None


def _card_rows(found: Any) -> dict[tuple[str, str], int]:
    """Rows by (config, split), as far as the card states them."""
    configs = found if isinstance(found, list) else [found]
    out = {}
    for entry in configs:
        splits = entry.get("splits") if isinstance(entry, dict) else None
        for split in splits if isinstance(splits, list) else []:
            rows = split.get("num_examples") if isinstance(split, dict) else None
            if type(rows) is int and 0 <= rows < MOST_ROWS:  # exactly: True is an int to isinstance
                out[str(entry.get("config_name", "default")), str(split.get("name"))] = rows
    return out

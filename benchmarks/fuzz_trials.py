"""What one seed tries, and what must hold whatever it tried.

direct    mutated rows straight to an adapter: nothing but SkipRow comes out, and its pairs can be written
row       one mutated row among valid ones, in a file: the run does not end, the other rows give the same pairs
table     a Parquet or Arrow file with mutated columns: the run does not end
bytes     a file with mutated bytes: the run ends, if at all, with an error of one line
archive   an archive with odd members: likewise
"""

import dataclasses
import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import fuzz_mutations as mutations
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_cases import Case, by_row, form_source, some_options, source_rows

from curate import sources
from curate.engines.local import Local
from curate.errors import ConfigError, CurateError, RawError, SkipRow
from curate.hashing import Hashes
from curate.pairs.columns import PairColumns, finish, group_id
from curate.pairs.keys import load_keys
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.rawfiles.rows import rows, slices
from curate.schema import PAIRS_FILE, Media
from curate.sources.base import Draft, Row, Source
from curate.text.inert import terminal_line
from curate.workspace import Workspace

DIRECT = 20
"""Mutated rows of one trial `direct`."""
REASON = re.compile(r"[a-z]\w*|missing_column_.+", re.ASCII)
"""Snake case, but for the columns of upstream in it."""


class Fault(Exception):  # noqa: N818
    """What must hold does not."""


# --------------------------------------------------------------------------------------------------- trial: direct


def try_direct(rng: random.Random, scratch: Path) -> tuple[str, str, dict[str, int]]:
    """(name, format, outcomes) of mutated rows given straight to an adapter. Raises Fault."""
    if rng.random() < 0.4:
        name = rng.choice(sorted(inputs.FORMS))
        source, known = form_source(name, "*", scratch), [Row(row) for row in inputs.FORMS[name].rows]
        for row in known:
            row.file = rng.choice(("a.jsonl", "a.csv"))
    else:
        name = rng.choice([name for name in sources.names() if name != "vilreward"])  # it reads its file again
        source, known = sources.get(name), source_rows(name)
    options = some_options(rng, source)
    outcomes: dict[str, int] = {}
    columns = PairColumns("fuzz", source.license, source.annotator, None)
    for _ in range(DIRECT):
        old = rng.choice(known)
        row = Row(mutations.mutate_row(rng, old, other=True))
        row.file, row.context = old.file, old.context
        try:
            outcome = _adapted(source, row, options, columns)
        except Exception as error:
            raise Fault(
                f"{name}, {options}: {error!r:.300} for {row!r:.1500}\n{traceback.format_exc(limit=-6)}"
            ) from error
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    try:
        columns.take().validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise Fault(f"{name}, {options}: {error!r:.300} from the pairs of mutated rows") from error
    return name, "direct", outcomes


def _adapted(source: Source, row: Row, options: Any, columns: PairColumns) -> str:
    """ "pairs" or "skip"; the pairs are in the columns then."""
    try:
        drafts: list[Draft] = list(source.to_pairs(row, options) if source.options else source.to_pairs(row))
        found = [finish("fuzz", draft, _media(draft), 0) for draft in drafts]
        for pair in found:
            columns.add("x:1", group_id("fuzz", pair.draft.group, found), pair)
    except SkipRow as skip:
        _check_skip(skip.reason, skip.detail)
        return "skip"
    except RecursionError:  # the driver makes it a skip
        return "skip"
    return "pairs" if found else "skip"


def _media(draft: Draft) -> tuple[Media, ...]:
    return tuple(Media(item.kind, ("0" * 32,)) for item in draft.media)


def _check_skip(reason: str, detail: str) -> None:
    if not REASON.fullmatch(reason) or not isinstance(detail, str):
        raise Fault(f"the reason {reason!r} with the detail {detail!r}")


# ---------------------------------------------------------------------------------------------------------- checks


def run(case: Case, workspace: Path) -> str:
    """Normalize a case and check what comes out; "pairs", "all skipped" or the name of the error. Raises Fault."""
    space = Workspace(workspace)
    job = Job(name="fuzz", source=case.source, raw=case.raw, options=case.options, max_skip=1.0)
    try:
        (done,) = normalize_all([locate(job, space, Hashes(space.cache))], space, Local())
    except CurateError as error:
        check_error(case, error)
        return type(error).__name__
    except Exception as error:
        raise Fault(f"{error!r:.500}\n{traceback.format_exc(limit=-8)}") from error
    try:
        check_artefact(case, done)
        check_slices(case, done)
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"in a check: {error!r:.500}\n{traceback.format_exc(limit=-8)}") from error
    return "pairs" if done.manifest["pairs"] else "all skipped"


def run_command(case: Case, scratch: Path, expected: str) -> str:
    """Normalize a case through the command line: "ok" or "error", as `run` found. Raises Fault."""
    name = "fuzz" if case.source.manifest else case.name
    case.raw.rename(scratch / name)
    manifests = scratch / "manifests"
    manifests.mkdir()
    if case.source.manifest:
        shutil.copy(case.source.manifest, manifests / "fuzz.yaml")
    usual = case.source.options() if case.source.options else None
    options = dataclasses.asdict(case.options) if case.options else {}
    options = {key: value for key, value in options.items() if value != getattr(usual, key)}
    command = [sys.executable, "-m", "curate", "normalize", name, "--raw", scratch, "--manifests", manifests]
    command += ["--workspace", scratch / "again", "--max-skip", "1", "--workers", "1", "--json"]
    command += [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    done = subprocess.run([str(part) for part in command], capture_output=True, cwd=scratch, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    if "Traceback" in err or done.returncode not in (0, 1):
        raise Fault(f"the command ended with {done.returncode}: {err[-3000:]}")
    if done.returncode != (expected not in ("pairs", "all skipped")):
        raise Fault(f"the command ended with {done.returncode}, and in process it was {expected}: {err[-1500:]}")
    lines = [line for line in err.splitlines() if not line.startswith(("error: ", "hint: "))]
    if done.returncode and (lines or not all(map(str.isprintable, err.splitlines()))):
        raise Fault(f"an error that is not one printable line and a hint: {err!r:.1500}")
    if not done.returncode:
        json.loads(out)
    return "error" if done.returncode else "ok"


def check_error(case: Case, error: CurateError) -> None:
    """One line as it is printed, of a kind that raw files may cause, and only where a whole file is at fault."""
    for text in map(terminal_line, (str(error), error.hint)):
        if len(text.splitlines()) > 1 or len(text) > 1500:
            raise Fault(f"an error that is not one line of text: {text!r:.1500}")
    # a column that looks like media or scores, and that the manifest does not name, is to stop the run
    watched = isinstance(error, ConfigError) and bool(case.source.manifest) and "nothing reads the" in str(error)
    if not isinstance(error, RawError) and not watched:
        raise Fault(f"{type(error).__name__} from a raw file: {error}")
    if case.strict and not watched:
        raise Fault(f"one row or column ended the run: {error}")


def check_artefact(case: Case, done: Artefact) -> None:
    """The accounts of rows and columns add up, and the files are what the receipts say."""
    manifest = done.manifest
    _equal("rows", manifest["rows"], manifest["gave"] + sum(manifest["skipped"].values()))
    _equal("pairs", manifest["pairs"], sum(part["pairs"] for part in manifest["parts"]))
    seen: set[str] = set()
    for part in manifest["parts"]:
        _check_part(done.directory, part)
        seen |= set(part["columns"])
    columns = manifest["columns"]
    names = [name for kind in ("used", "ignored", "not_used") for name in columns[kind]]
    _equal("columns", sorted(names), sorted(seen))
    _equal("keys", len(load_keys(done.directory, done.parts)), manifest["pairs"])
    for reason in manifest["skipped"]:
        _check_skip(reason, "")
    if case.before is not None:
        _check_others(case, done)


def check_slices(case: Case, done: Artefact) -> None:
    """A file gives the same rows when it is cut into slices."""
    cut = slices(case.raw, done.files, target=100)
    if len(cut) == len(done.files):
        return
    whole = [repr(row) for part in slices(case.raw, done.files) for row in rows(part)]
    _equal("rows of slices", [repr(row) for part in cut for row in rows(part)], whole)


def _check_part(directory: Path, part: Mapping[str, Any]) -> None:
    table = pq.read_table(directory / part["file"], use_threads=False)
    table.validate(full=True)
    _equal("schema", table.schema.remove_metadata(), PAIRS_FILE)
    _equal("pairs of a part", table.num_rows, part["pairs"])
    skips = pq.read_table(directory / part["file"].replace("part-", "skips-"), use_threads=False).to_pylist()
    _equal("skips of a part", len(skips), sum(part["skipped"].values()))
    _equal("rows of a part", part["rows"], part["gave"] + len(skips))
    for skip in skips:
        _check_skip(skip["reason"], skip["detail"])


def _check_others(case: Case, done: Artefact) -> None:
    """Rows that were not mutated give the pairs that they gave before."""
    found = {at: ids for at, ids in by_row(done).items() if at != case.touched}
    _equal(
        "pairs of other rows", found, {at: ids for at, ids in (case.before or {}).items() if at != case.touched}
    )


def _equal(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Fault(f"{what}: {found!r:.700}, not {expected!r:.700}")


def seeds(text: str) -> Iterator[int]:
    """The seeds of "A:B", B excluded."""
    first, _, last = text.partition(":")
    return itertools.islice(itertools.count(int(first)), int(last) - int(first))

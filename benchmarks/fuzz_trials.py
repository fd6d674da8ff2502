"""What one seed tries, and what must hold whatever it tried.

direct    mutated rows straight to an adapter: nothing but SkipRow comes out, and its pairs can be written
row       one mutated row among valid ones, in a file: the run does not end, the other rows give the pairs as before
table     a Parquet or Arrow file with mutated columns: the run does not end
bytes     a file with mutated bytes: the run ends, if at all, with an error of one line
archive   an archive with odd members: likewise
"""

import dataclasses
import functools
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import fuzz_mutations as mutations
import pyarrow as pa
import pyarrow.parquet as pq

from curate import sources
from curate.engines.local import Local
from curate.errors import ConfigError, CurateError, RawError, SkipRow
from curate.hashing import Hashes
from curate.pairs.columns import PairColumns, finish, group_id
from curate.pairs.keys import load_keys
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.rawfiles.row_files import row_files
from curate.rawfiles.rows import kind_of, rows, slices
from curate.schema import PAIRS_FILE, Media
from curate.sources import generic
from curate.sources.base import Draft, Row, Source
from curate.workspace import Workspace

ROWS = Path(__file__).parents[1] / "tests" / "rows"
DIRECT = 20
"""Mutated rows of one trial `direct`."""
REASON = re.compile(r"[a-z]\w*|missing_column_.+", re.ASCII)
"""Snake case, but for the columns of upstream in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A source and a raw directory, with what was done to it.

    `name` is the bundled source, or the form; `strict` says that the run must not end.
    """

    trial: str
    name: str
    format: str
    source: Source
    raw: Path
    options: Any = None
    strict: bool = False
    may_watch: bool = False
    before: Mapping[int, tuple[str, ...]] | None = None
    touched: int = 0


class Fault(Exception):  # noqa: N818
    """What must hold does not."""


# ------------------------------------------------------------------------------------------------------------ targets


@functools.cache
def form_source(name: str, files: str, scratch: Path) -> Source:
    """The source of a form whose files match a pattern."""
    path = scratch / "manifests" / f"{files.encode().hex()}" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{inputs.FORMS[name].manifest}files: [{json.dumps(files)}]\n", encoding="utf-8")
    return generic.load(path)


@functools.cache
def source_rows(name: str) -> list[Row]:
    """All rows of a bundled source's tests, with its default options and others."""
    source, raw = sources.get(name), ROWS / name
    found: list[Row] = []
    for options in [source.options()] if source.options else [None]:
        for part in slices(raw, row_files(source, raw, options)):
            found += [row for _, row in rows(part) if isinstance(row, Row)]
    return found


def some_options(rng: random.Random, source: Source) -> Any:
    """Options of a source: its defaults, or others of those that are a choice between words."""
    if source.options is None:
        return None
    chosen = source.options()
    if rng.random() < 0.5:
        hints = typing.get_type_hints(source.options)
        for name, hint in hints.items():
            if typing.get_origin(hint) is typing.Literal:
                chosen = replace(chosen, **{name: rng.choice(typing.get_args(hint))})
    return chosen


# ------------------------------------------------------------------------------------------------------- trial: direct


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
    for _ in range(DIRECT):
        old = rng.choice(known)
        row = Row(mutations.mutate_row(rng, old, other=True))
        row.file, row.context = old.file, old.context
        try:
            outcome = _adapted(source, row, options)
        except Exception as error:
            raise Fault(f"{name}, {options}: {error!r:.300} for {row!r:.1500}\n{traceback.format_exc(limit=-6)}") from error
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return name, "direct", outcomes


def _adapted(source: Source, row: Row, options: Any) -> str:
    columns = PairColumns("fuzz", source.license, source.annotator, None)
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
    columns.take().validate(full=True)
    return "pairs" if found else "skip"


def _media(draft: Draft) -> tuple[Media, ...]:
    return tuple(Media(item.kind, ("0" * 32,)) for item in draft.media)


def _check_skip(reason: str, detail: str) -> None:
    if not REASON.fullmatch(reason) or not isinstance(detail, str):
        raise Fault(f"the reason {reason!r} with the detail {detail!r}")


# ------------------------------------------------------------------------------------------------- trials with files


def case_row(rng: random.Random, scratch: Path) -> Case:
    """One mutated row among valid ones of a form, in any format."""
    name = rng.choice(sorted(inputs.FORMS))
    form = inputs.FORMS[name]
    kind = rng.choice(inputs.kinds_of(form))
    at, before = rng.randrange(len(form.rows)), list(form.rows)
    row = mutations.mutate_row(rng, before[at], other="json" not in kind)
    after = [*before[:at], row, *before[at + 1 :]]
    kind, data = _encoded(after, before, kind)
    case = _form_case(rng, scratch, name, kind, data, trial="row")
    same = kind in ("jsonl", "json", "wrapped.json", "objects.json")
    known = pairs_of_form(name, scratch) if same else None
    return replace(case, strict=_strict(kind, row), may_watch=True, before=known, touched=at + 1)


def _encoded(after: inputs.Rows, before: inputs.Rows, kind: str) -> tuple[str, bytes]:
    """(format, file): the mutated rows in this format, else in JSON Lines, else the rows as they were."""
    for rows, way in ((after, kind), (after, "jsonl")):
        try:
            return way, inputs.encoded(rows, way)
        except (ValueError, TypeError, OverflowError, pa.ArrowException):  # a column of Arrow has one type
            continue
    return kind, inputs.encoded(before, kind)


def _strict(kind: str, row: Mapping[str, Any]) -> bool:
    """Whether the run may not end: a header that a row gives two names of one kind is a fault of the file."""
    return kind not in ("csv", "tsv") or "" not in row


def case_line(rng: random.Random, scratch: Path) -> Case:
    """A line of JSON Lines or of CSV whose bytes are mutated; a quote may take in the rest of a CSV file."""
    kind = rng.choice(("jsonl", "jsonl", "csv"))
    name = rng.choice([name for name, form in inputs.FORMS.items() if kind in inputs.kinds_of(form)])
    data = mutations.mutate_line(rng, inputs.encoded(inputs.FORMS[name].rows * 2, kind))
    case = _form_case(rng, scratch, name, kind, data, trial="row")
    return replace(case, strict=kind == "jsonl" or data.count(b'"') % 2 == 0, may_watch=True)


def case_names(rng: random.Random, scratch: Path) -> Case:
    """Files with odd names, and a folder of `datasets`, its state mutated."""
    name = rng.choice(sorted(inputs.FORMS))
    kind = rng.choice([kind for kind in inputs.kinds_of(inputs.FORMS[name]) if "." not in kind])
    data = inputs.encoded(inputs.FORMS[name].rows, kind)
    case = _form_case(rng, scratch, name, kind, data, trial="names")
    for odd in rng.sample(mutations.NAMES, 3):
        if ".." not in odd.split("/") and odd[:1] not in "/" and odd[-1:] != "/" and len(odd) < 200:
            _put(case.raw / os.fsdecode(odd.encode("utf-8", "surrogateescape")), data)
    state = json.dumps({"_data_files": [{"filename": "data-0.arrow"}, {"filename": "data-1.arrow"}]}).encode()
    for path in ("data-0.arrow", "data-1.arrow"):
        _put(case.raw / "saved" / path, data)
    _put(case.raw / "saved" / "state.json", mutations.mutate_bytes(rng, state) if rng.random() < 0.7 else state)
    pattern = rng.choice((f"*.{kind}", "*", "**/*.jsonl", "saved"))
    return replace(case, format=f"names/{kind}", source=form_source(name, pattern, scratch.parent))


def _form_case(rng: random.Random, scratch: Path, name: str, kind: str, data: bytes, *, trial: str) -> Case:
    """A raw directory with the form's media, and with the data packed at random."""
    form, raw = inputs.FORMS[name], scratch / "raw"
    for path, content in form.media.items():
        _put(raw / path, content)
    packed, container = rng.choice(inputs.PACKED), rng.choice(inputs.CONTAINERS)
    file = f"rows.{kind}" + (f".{packed}" if packed else "")
    data = inputs.pack(data, packed)
    if container:
        _put(raw / f"all.{container}", inputs.archive({f"data/{file}": data, "note.txt": b"x"}, container))
    else:
        _put(raw / file, data)
    pattern = f"all.{container}!rows.*" if container else "rows.*"
    return Case(
        trial=trial,
        name=name,
        format="/".join(filter(None, (container, kind, packed))),
        source=form_source(name, pattern, scratch.parent),
        raw=raw,
    )


def case_table(rng: random.Random, scratch: Path) -> Case:
    """A Parquet or Arrow file with mutated columns, of a form or of a bundled source."""
    if rng.random() < 0.5:
        name = rng.choice(sorted(inputs.FORMS))
        kind = rng.choice(("parquet", "arrow", "stream.arrow"))
        table = pa.Table.from_pylist(inputs.FORMS[name].rows)
        data = _written(mutations.mutate_table(rng, table), table, kind)
        case = _form_case(rng, scratch, name, kind, data, trial="table")
        return replace(case, strict=_one_of_each(data, kind), may_watch=True)
    name, path, case = _source_case(rng, scratch, "table", lambda path: path.suffix == ".parquet")
    table = pq.read_table(path)
    data = _written(mutations.mutate_table(rng, table), table, "parquet")
    path.write_bytes(data)
    return replace(case, strict=_one_of_each(data, "parquet"))


def _written(table: pa.Table, before: pa.Table, kind: str) -> bytes:
    try:
        return inputs.table_bytes(table, kind)
    except (pa.ArrowException, ValueError):  # the format has no such type
        return inputs.table_bytes(before, kind)


def _one_of_each(data: bytes, kind: str) -> bool:
    """Whether every column has a name of its own; else the file is refused."""
    reader = pa.BufferReader(data)
    if kind == "parquet":
        names = pq.ParquetFile(reader).schema_arrow.names
    else:
        names = (pa.ipc.open_file(reader) if kind == "arrow" else pa.ipc.open_stream(reader)).schema.names
    return len(set(names)) == len(names)


def case_source_row(rng: random.Random, scratch: Path) -> Case:
    """A file of a bundled source with one mutated row."""
    _, path, case = _source_case(rng, scratch, "row", lambda path: _text_kind(path) is not None)
    kind, packed = typing.cast(tuple[str, str], _text_kind(path))
    (part,) = slices(path.parent, [_row_file(path)])
    found = [dict(row) for _, row in rows(part) if isinstance(row, Row)]
    at = rng.randrange(len(found))
    found[at] = mutations.mutate_row(rng, found[at])
    path.write_bytes(inputs.pack(inputs.encoded(found, kind), packed))
    return replace(case, strict=case.name != "vilreward", format=f"{kind}{packed and '/'}{packed}")


def _text_kind(path: Path) -> tuple[str, str] | None:
    try:
        kind, packed = kind_of(path.name)
    except RawError:
        return None
    if kind == "json" and path.name != "meta.json":
        return ("json" if path.read_bytes()[:1] == b"[" else "jsonl"), packed
    return (kind, packed) if kind == "jsonl" else None


def _row_file(path: Path) -> Any:
    from curate.sources.base import RowFile

    return RowFile(path=path)


def case_bytes(rng: random.Random, scratch: Path) -> Case:
    """A file with mutated bytes: rows, media or archive, of a form or of a bundled source."""
    if rng.random() < 0.6:
        name = rng.choice(sorted(inputs.FORMS))
        form = inputs.FORMS[name]
        kind = rng.choice(inputs.kinds_of(form))
        data = inputs.encoded(form.rows, kind)
        inside = rng.random() < 0.3  # before it is packed: what is unpacked is whole then
        case = _form_case(
            rng, scratch, name, kind, mutations.mutate_bytes(rng, data) if inside else data, trial="bytes"
        )
        if inside:
            return case
        path = rng.choice([path for path in sorted(case.raw.iterdir()) if path.is_file()])
    else:
        _, path, case = _source_case(rng, scratch, "bytes", lambda _: True)
    path.write_bytes(mutations.mutate_bytes(rng, path.read_bytes()))
    return case


def case_archive(rng: random.Random, scratch: Path) -> Case:
    """An archive of rows or of pictures with odd members."""
    name = rng.choice([name for name in sorted(inputs.FORMS) if inputs.FORMS[name].media or rng.random() < 0.3])
    form, raw = inputs.FORMS[name], scratch / "raw"
    kind = rng.choice([kind for kind in inputs.kinds_of(form) if "." not in kind])
    container = rng.choice(("zip", "tar"))
    data = inputs.encoded(form.rows, kind)
    _put(raw / f"all.{container}", mutations.odd_archive(rng, {f"rows.{kind}": data, "b.jsonl": data}, container))
    if form.media:
        packed = mutations.odd_archive(rng, dict(form.media), rng.choice(("zip", "tar")))
        path = raw / next(iter(form.media)).split("/")[0]  # the manifest names a folder: an archive does as well
        _put(path, packed if rng.random() < 0.8 else mutations.mutate_bytes(rng, packed))
    pattern = rng.choice((f"all.{container}!*.{kind}", f"all.{container}!*"))
    source = form_source(name, pattern, scratch.parent)
    return Case(trial="archive", name=name, format=f"{container}/{kind}", source=source, raw=raw)


def _source_case(
    rng: random.Random, scratch: Path, trial: str, wanted: Callable[[Path], bool]
) -> tuple[str, Path, Case]:
    """(name, one of its files, the case) of a bundled source that has such a file."""
    while True:
        name = rng.choice(sources.names())
        found = sorted(path for path in (ROWS / name).rglob("*") if path.is_file() and wanted(path))
        if found:
            break
    raw = scratch / "raw"
    shutil.copytree(ROWS / name, raw)
    path = raw / rng.choice(found).relative_to(ROWS / name)
    source = sources.get(name)
    options = some_options(rng, source) if trial == "bytes" else source.options() if source.options else None
    form = "".join(path.suffixes[-2:] if path.suffix in (".gz", ".zst") else path.suffixes[-1:]).strip(".")
    return name, path, Case(trial=trial, name=name, format=form, source=source, raw=raw, options=options)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


TRIALS: dict[Callable[[random.Random, Path], Case], int] = {
    case_row: 32, case_line: 8, case_table: 14, case_source_row: 12, case_bytes: 26, case_archive: 8, case_names: 4,
}  # fmt: skip


def make_case(rng: random.Random, scratch: Path) -> Case:
    """The case of a seed, its raw directory written under `scratch`."""
    return rng.choices(list(TRIALS), list(TRIALS.values()))[0](rng, scratch)


# ------------------------------------------------------------------------------------------------------------- checks


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
    check_artefact(case, done)
    check_slices(case, done)
    return "pairs" if done.manifest["pairs"] else "all skipped"


def run_command(case: Case, scratch: Path, expected: str) -> str:
    """Normalize a case through the command line: "ok" or "error", as `run` found. Raises Fault."""
    name = "fuzz" if case.source.manifest else case.name
    case.raw.rename(scratch / name)
    manifests = scratch / "manifests"
    manifests.mkdir()
    if case.source.manifest:
        shutil.copy(case.source.manifest, manifests / "fuzz.yaml")
    options = dataclasses.asdict(case.options) if case.options else {}
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
    """One line, of a kind that a raw file may cause, and only where the file as a whole is at fault."""
    for text in (str(error), error.hint):
        if len(text.splitlines()) > 1 or len(text) > 1500:
            raise Fault(f"an error that is not one line of text: {text!r:.1500}")
    watched = case.may_watch and isinstance(error, ConfigError) and "nothing reads the column" in str(error)
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
    table = pq.read_table(directory / part["file"])
    table.validate(full=True)
    _equal("schema", table.schema.remove_metadata(), PAIRS_FILE)
    _equal("pairs of a part", table.num_rows, part["pairs"])
    skips = pq.read_table(directory / part["file"].replace("part-", "skips-")).to_pylist()
    _equal("skips of a part", len(skips), sum(part["skipped"].values()))
    _equal("rows of a part", part["rows"], part["gave"] + len(skips))
    for skip in skips:
        _check_skip(skip["reason"], skip["detail"])


def _check_others(case: Case, done: Artefact) -> None:
    """Rows that were not mutated give the pairs that they gave before."""
    found = {at: ids for at, ids in by_row(done).items() if at != case.touched}
    _equal("pairs of other rows", found, {at: ids for at, ids in (case.before or {}).items() if at != case.touched})


def by_row(done: Artefact) -> dict[int, tuple[str, ...]]:
    """The ids of the pairs of each row, by its number."""
    out: dict[int, tuple[str, ...]] = {}
    for part in done.parts:
        table = pq.read_table(done.directory / part, columns=["row", "pair_id"]).to_pydict()
        for row, pair in zip(table["row"], table["pair_id"], strict=True):
            number = int(row.rpartition(":")[2])
            out[number] = (*out.get(number, ()), pair)
    return out


@functools.cache
def _pairs_of_form(name: str, scratch: Path) -> dict[int, tuple[str, ...]]:
    here = scratch / f"valid-{name}"
    for path, content in inputs.FORMS[name].media.items():
        _put(here / "raw" / path, content)
    _put(here / "raw" / "rows.jsonl", inputs.encoded(inputs.FORMS[name].rows, "jsonl"))
    space = Workspace(here / "workspace")
    job = Job(name="fuzz", source=form_source(name, "rows.*", scratch), raw=here / "raw", max_skip=0.0)
    (done,) = normalize_all([locate(job, space, Hashes(space.cache))], space, Local())
    return by_row(done)


def pairs_of_form(name: str, scratch: Path) -> Mapping[int, tuple[str, ...]]:
    """The pairs that the valid rows of a form give."""
    return _pairs_of_form(name, scratch.parent)


def _equal(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Fault(f"{what}: {found!r:.700}, not {expected!r:.700}")


def seeds(text: str) -> Iterator[int]:
    """The seeds of "A:B", B excluded."""
    first, _, last = text.partition(":")
    return itertools.islice(itertools.count(int(first)), int(last) - int(first))

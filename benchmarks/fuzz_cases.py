"""Cases for the fuzzer: raw directories with something wrong in them, of every form, format and bundled source."""

import functools
import json
import os
import random
import shutil
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import fuzz_mutations as mutations
import pyarrow as pa
import pyarrow.parquet as pq

from curate import sources
from curate.engines.local import Local
from curate.errors import RawError
from curate.hashing import Hashes
from curate.pairs.normalize import Artefact, Job, locate, normalize_all
from curate.rawfiles.row_files import row_files
from curate.rawfiles.rows import kind_of, rows, slices
from curate.sources import generic
from curate.sources.base import Row, RowFile, Source
from curate.workspace import Workspace

ROWS = Path(__file__).parents[1] / "tests" / "rows"


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
    before: Mapping[int, tuple[str, ...]] | None = None
    touched: int = 0


# --------------------------------------------------------------------------------------------------------- targets


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


# ----------------------------------------------------------------------------------------------- trials with files


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
    return replace(case, strict=_strict(kind, row), before=known, touched=at + 1)


def _encoded(after: inputs.Rows, before: inputs.Rows, kind: str) -> tuple[str, bytes]:
    """(format, file): the mutated rows in this format, else in JSON Lines, else the rows as they were."""
    for way in (kind, "jsonl"):
        try:
            return way, inputs.encoded(after, way)
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
    return replace(case, strict=kind == "jsonl" or data.count(b'"') % 2 == 0)


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
        return replace(case, strict=_one_of_each(data, kind))
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
    (part,) = slices(path.parent, [RowFile(path=path)])
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


def case_bytes(rng: random.Random, scratch: Path) -> Case:
    """A file with mutated bytes: rows, media or archive, of a form or of a bundled source."""
    if rng.random() < 0.6:
        name = rng.choice(sorted(inputs.FORMS))
        form = inputs.FORMS[name]
        kind = rng.choice(inputs.kinds_of(form))
        data = inputs.encoded(form.rows, kind)
        inside = rng.random() < 0.3  # before it is packed: what is unpacked is whole then
        data = mutations.mutate_bytes(rng, data) if inside else data
        case = _form_case(rng, scratch, name, kind, data, trial="bytes")
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
    case_row: 32, case_line: 8, case_table: 14, case_source_row: 12, case_bytes: 26, case_archive: 8,
    case_names: 4,
}  # fmt: skip


def make_case(rng: random.Random, scratch: Path) -> Case:
    """The case of a seed, its raw directory written under `scratch`."""
    return rng.choices(list(TRIALS), list(TRIALS.values()))[0](rng, scratch)


def by_row(done: Artefact) -> dict[int, tuple[str, ...]]:
    """The ids of the pairs of each row, by its number."""
    out: dict[int, tuple[str, ...]] = {}
    for part in done.parts:
        table = pq.read_table(done.directory / part, columns=["row", "pair_id"], use_threads=False).to_pydict()
        for row, pair in zip(table["row"], table["pair_id"], strict=True):
            number = int(row.rpartition(":")[2])
            out[number] = (*out.get(number, ()), pair)
    return out


@functools.cache
def _pairs_of_form(name: str, scratch: Path) -> dict[int, tuple[str, ...]]:
    here, form = scratch / f"valid-{name}", inputs.FORMS[name]
    for path, content in form.media.items():
        _put(here / "raw" / path, content)
    kind = inputs.kinds_of(form)[0]
    _put(here / "raw" / f"rows.{kind}", inputs.encoded(form.rows, kind))
    space = Workspace(here / "workspace")
    job = Job(name="fuzz", source=form_source(name, "rows.*", scratch), raw=here / "raw", max_skip=0.0)
    (done,) = normalize_all([locate(job, space, Hashes(space.cache))], space, Local())
    return by_row(done)


def pairs_of_form(name: str, scratch: Path) -> Mapping[int, tuple[str, ...]]:
    """The pairs that the valid rows of a form give."""
    return _pairs_of_form(name, scratch.parent)

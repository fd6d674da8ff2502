"""Raw files -> pairs: the driver of the sources.

A pairs artefact is a directory of parts (see curate.pairs.part), finished once its manifest.json exists.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate import schema
from curate.checksums import Stamp, made_again, record, stamp, usable, write_record
from curate.engines.base import Engine, Listener
from curate.engines.local import begin, suit
from curate.hashing import Hashes, differing, fingerprint, input_facts, listings
from curate.hub.receipts import upstream
from curate.images.decode import MAX_PIXELS
from curate.images.store import ImageStore
from curate.licenses import with_condition
from curate.pairs.column_account import account, check_finished
from curate.pairs.intact import faults
from curate.pairs.part import RawInput, SliceTask, changed, check_guard, normalize_slice
from curate.rawfiles.media_finder import MediaSpec
from curate.rawfiles.row_files import matching, row_files
from curate.rawfiles.rows import Slice, slices
from curate.sources.base import RowFile, Source
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A source with its options and raw directory: what one pairs artefact is made from.

    `revision` and `license` are those of the commit that was fetched, null for a raw directory of the user's own;
    `pinned` is true where a manifest named that commit before it was fetched. `strict_images` decodes every image
    at once, instead of when a step first needs its pixels.
    `of_recipe` is true where the recipe names the directory: it may hold samples, so that no published size holds.
    """

    name: str
    source: Source
    raw: Path
    options: Any = None
    revision: str | None = None
    license: str | None = None
    pinned: bool = False
    of_recipe: bool = False
    max_skip: float | None = None
    max_pixels: int = MAX_PIXELS
    strict_images: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A pairs artefact on disk; `manifest` is empty until it is finished.

    `stamps` are those of the raw files, by path, from before they were hashed.
    """

    job: Job
    directory: Path
    facts: dict[str, Any]
    files: tuple[RowFile, ...]
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that hold pairs, in order."""
        return tuple(part["file"] for part in self.manifest["parts"])

    @property
    def columns(self) -> dict[str, list[str]]:
        """The account of its columns (`column_account.account`); empty where an earlier version made the pairs."""
        found: dict[str, list[str]] = self.manifest.get("columns", {})
        return found


IMAGES_BY = "structure"
"""How images are checked while pairs are made of them; before there was a choice, all were decoded."""


def locate(job: Job, workspace: Workspace, hashes: Hashes) -> Artefact:
    """Locate the artefact of a job, finished or not. Hashes the raw files (remembered), reads no row."""
    files = row_files(job.source, job.raw, job.options)
    media = [path for pattern in _media(job.source) for path in matching(job.raw, pattern)]
    index = [path for path in job.raw.glob("meta.json") if job.source.row_files is not None]
    read = [*(file.path for file in files), *media, *index]
    stamps = {path: stamp(path) for path in read if path.is_file()}
    facts = {
        "schema": schema.VERSION,
        "source": job.name,
        "adapter": job.source.version,
        "options": _plain(job.options),
        "license": with_condition(job.license, job.source.license),
        "annotator": job.source.annotator,
        "revision": job.revision,
        "max_pixels": job.max_pixels,
        "inputs": input_facts(job.raw, read, hashes, upstream(workspace, job.name, job.raw)),
        **({"images": "decoded" if job.strict_images else IMAGES_BY} if job.source.modality != "text" else {}),
    }
    hashes.save()
    directory = workspace.pairs(job.name, fingerprint(facts))
    manifest = record(directory / "manifest.json") or {}
    return Artefact(
        job=job, directory=directory, facts=facts, files=tuple(files), stamps=stamps, manifest=manifest
    )


def _plain(options: Any) -> dict[str, Any]:
    """Options as they come back from JSON."""
    value: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(options))) if options is not None else {}
    return value


def normalize_all(
    artefacts: Sequence[Artefact],
    workspace: Workspace,
    engine: Engine,
    listen: Listener | None = None,
    finished: Callable[[Artefact], None] = lambda _: None,
) -> list[Artefact]:
    """Make the missing and damaged parts of artefacts and publish their manifests; whole ones stay as they are.

    The slices of all of them are one queue, the largest first, so that no worker waits for the last file of a
    source. `finished` is called with each artefact that was made. Raises GuardError when more rows of a source are
    skipped than allowed, RawError for damaged files and for those that change while they are read.
    """
    store = ImageStore(workspace.images)
    artefacts = [_without_damage(artefact, store) for artefact in artefacts]
    missing = [file for artefact in artefacts if not artefact.manifest for file in artefact.files]
    suit(engine, little=sum(file.path.stat().st_size for file in missing) < LITTLE_BYTES)
    if len(missing) > 1:
        begin(engine, normalize_slice)
    _remember_raw(artefacts, workspace)
    done = list(artefacts)
    waiting: dict[int, dict[int, dict[str, Any]]] = {}
    before: dict[int, dict[str, str]] = {}
    tasks: list[tuple[int, SliceTask]] = []
    for at, artefact in enumerate(artefacts):
        if artefact.manifest:
            check_guard(artefact.job.name, _limit(artefact.job), artefact.manifest["parts"])
            check_finished(artefact.job.source, artefact.columns)
            continue
        waiting[at], before[at] = {}, listings(artefact.job.raw, artefact.facts["inputs"])
        tasks += [(at, task) for task in _tasks(artefact, workspace)]
    tasks.sort(key=lambda item: -item[1].bytes)
    suit(engine, little=sum(task.work for _, task in tasks) < LITTLE_BYTES)
    counts = Counter(at for at, _ in tasks)
    receipts = engine.map(normalize_slice, [task for _, task in tasks], listen)
    for (at, task), receipt in zip(tasks, receipts, strict=True):
        waiting[at][task.number] = receipt
        if len(waiting[at]) == counts[at]:
            _check_inputs(artefacts[at], workspace, before[at])
            done[at] = _publish(artefacts[at], [waiting[at][number] for number in sorted(waiting[at])])
            finished(done[at])
    _remember_images(done, workspace)
    return done


LITTLE_BYTES = 64 << 20
"""Raw text that is made into pairs sooner than processes have started: some 20,000 pairs."""


def _remember_raw(artefacts: Sequence[Artefact], workspace: Workspace) -> None:
    """Write down where raw files are, for `curate verify`."""
    known = record(workspace.cache / RAW) or {}
    now = {f"{one.job.name}/{one.directory.name}": str(one.job.raw.absolute()) for one in artefacts}
    if not now.items() <= known.items():
        write_record(workspace.cache / RAW, {**known, **now})


def raw_folders(workspace: Workspace) -> dict[str, Path]:
    """Where the raw files of pairs, `source/fingerprint`, were when these were last needed."""
    return {name: Path(path) for name, path in (record(workspace.cache / RAW) or {}).items()}


RAW = "raw_folders.json"


def images_known(artefacts: Iterable[Artefact], workspace: Workspace) -> bool:
    """Whether all images of finished artefacts were seen in the store, and no pack was deleted since."""
    known = record(workspace.cache / IMAGES) or {"packs": [], "pairs": []}
    finished = {str(one.directory.relative_to(workspace.root)) for one in artefacts if one.manifest}
    return finished <= set(known["pairs"]) and set(known["packs"]) <= _packs(workspace)


def _remember_images(artefacts: Sequence[Artefact], workspace: Workspace) -> None:
    before = record(workspace.cache / IMAGES) or {"packs": [], "pairs": []}
    packs = _packs(workspace)
    seen = set(before["pairs"]) if set(before["packs"]) <= packs else set()
    seen |= {str(one.directory.relative_to(workspace.root)) for one in artefacts}
    now = {"packs": sorted(packs), "pairs": sorted(seen)}
    if now != before:
        write_record(workspace.cache / IMAGES, now)


def _packs(workspace: Workspace) -> set[str]:
    return {path.stem for path in (workspace.images / "packs").glob("*.parquet")}


IMAGES = "images_seen.json"


def _without_damage(artefact: Artefact, store: ImageStore) -> Artefact:
    """The artefact as it can be used: unfinished where a part is damaged or an image of it is lost."""
    directory, made = artefact.directory, artefact.manifest.get("parts")
    receipts = made if made is not None else [
        found for path in sorted(directory.glob("part-*.json")) if (found := record(path)) is not None
    ]  # fmt: skip
    found = faults(directory, receipts, store)
    for name, what in found.items():
        made_again(directory / name, what)
        (directory / name).with_suffix(".json").unlink(missing_ok=True)
    if found:
        (directory / "manifest.json").unlink(missing_ok=True)
        return dataclasses.replace(artefact, manifest={})
    for receipt in made or ():
        path = (directory / receipt["file"]).with_suffix(".json")
        if not usable(path):
            write_record(path, receipt)
    return artefact


def _check_inputs(artefact: Artefact, workspace: Workspace, before: dict[str, str]) -> None:
    """Raise RawError, and take back what was made of them, where raw files changed while they were read."""
    raw, inputs = artefact.job.raw, artefact.facts["inputs"]
    found = [Path(line.split(": ")[0]) for line in differing(raw, inputs, Hashes(workspace.cache))]
    now = {} if found else listings(raw, inputs)
    found += [raw / name for name in before if now.get(name) != before[name]]
    if found:
        for path in artefact.directory.glob("part-*.json"):
            path.unlink()
        raise changed(found[0])


def _media(source: Source) -> tuple[str, ...]:
    return source.media + source.local_media


def _limit(job: Job) -> float:
    return job.source.max_skip if job.max_skip is None else job.max_skip


def _publish(artefact: Artefact, receipts: Sequence[dict[str, Any]]) -> Artefact:
    check_guard(artefact.job.name, _limit(artefact.job), receipts)
    columns = account(artefact.job.source, receipts)
    manifest = {**artefact.facts, **_totals(receipts), "columns": columns, "parts": list(receipts)}
    write_record(artefact.directory / "manifest.json", manifest)
    return dataclasses.replace(artefact, manifest=manifest)


def _tasks(artefact: Artefact, workspace: Workspace) -> list[SliceTask]:
    job = artefact.job
    media = MediaSpec(
        raw=job.raw, patterns=_media(job.source), match=job.source.media_match, cache=workspace.cache / "archives"
    )
    hashed = {job.raw / entry["path"]: entry["xxh3"] for entry in artefact.facts["inputs"] if "xxh3" in entry}
    inputs = {path: RawInput(path=path, stamp=one, xxh3=hashed[path]) for path, one in artefact.stamps.items()}
    rows = {file.path for file in artefact.files}
    shared = tuple(file for path, file in inputs.items() if path not in rows)
    return [
        SliceTask(
            name=job.name,
            source=job.source,
            options=job.options,
            slices=together,
            inputs=(*dict.fromkeys(inputs[part.file.path] for part in together), *shared),
            media=media,
            images=workspace.images,
            directory=artefact.directory,
            number=number,
            license=artefact.facts["license"],
            revision=job.revision,
            max_pixels=job.max_pixels,
            strict_images=job.strict_images,
            max_skip=_limit(job),
        )
        for number, together in enumerate(_shared_parts(slices(job.raw, artefact.files)))
    ]


MANY, SMALL_BYTES = 64, 4 << 20
"""Of a source with more than MANY slices, whole files share a part up to so many bytes: each part costs time."""


def _shared_parts(found: Sequence[Slice]) -> list[tuple[Slice, ...]]:
    """The slices of each part, in order."""
    if len(found) <= MANY:
        return [(one,) for one in found]
    parts: list[list[Slice]] = []
    size = SMALL_BYTES
    for one in found:
        size += one.bytes
        if size > SMALL_BYTES or one.start or one.stop is not None:
            parts.append([])
            size = one.bytes if one.stop is None else SMALL_BYTES
        parts[-1].append(one)
    return [tuple(part) for part in parts]


def _totals(receipts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    skipped = Counter[str]()
    for receipt in receipts:
        skipped.update(receipt["skipped"])
    rows, pairs = (sum(receipt[name] for receipt in receipts) for name in ("rows", "pairs"))
    gave = sum(receipt["gave"] for receipt in receipts)
    assert rows == gave + sum(skipped.values()), "conservation: rows = rows that gave pairs + skipped"
    return {"rows": rows, "gave": gave, "skipped": dict(skipped.most_common()), "pairs": pairs}

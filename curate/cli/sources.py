"""curate sources, curate normalize."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import curate.sources
from curate import evalsets, tables
from curate.cli import completion
from curate.cli.options import MANIFESTS, CheckOption, JsonOption, ManifestsOption, StrictImagesOption, WorkOptions
from curate.cli.output import data, progress, say, show_table
from curate.errors import ConfigError
from curate.evalsets.base import EvalSet
from curate.pairs.column_account import not_used
from curate.pairs.normalize import locate, normalize_all


def sources(
    of_evalsets: Annotated[bool, typer.Option("--evalsets", help="List the eval sets instead.")] = False,
    manifests: ManifestsOption = MANIFESTS,
    as_json: JsonOption = False,
) -> None:
    """List the sources: the bundled ones and your own manifests."""
    if of_evalsets:
        _evalsets(manifests, as_json=as_json)
        return
    facts = []
    for name in sorted({*curate.sources.names(), *curate.sources.own(manifests)}):
        try:
            facts.append(_facts(name, manifests))
        except ConfigError as error:  # one manifest with a fault; the others are listed all the same
            say(f"{name} left out: {error}")
    if as_json:
        data(facts)
        return
    columns = ("source", "repo", "modality", "license", "pairs")
    show_table(tables.Table("sources", columns, [tuple(fact[c] for c in columns) for fact in facts]))


def _evalsets(manifests: Path | None, *, as_json: bool) -> None:
    found = [evalsets.get(name, manifests=manifests) for name in [*evalsets.names(), *evalsets.own(manifests)]]
    if as_json:
        data([_evalset_facts(one) for one in found])
        return
    columns = ("eval set", "repo", "modality", "license", "splits", "items")
    rows = [
        (one.name, one.repo, one.modality, one.license, ", ".join(one.splits), one.rows or None) for one in found
    ]
    show_table(tables.Table("eval sets", columns, rows))


def _evalset_facts(one: EvalSet) -> dict[str, Any]:
    return {
        "evalset": one.name,
        "repo": one.repo,
        "modality": one.modality,
        "license": one.license,
        "paper": one.paper,
        "items": {split: one.published(split) or None for split in one.splits},
    }


def _facts(name: str, manifests: Any) -> dict[str, Any]:
    source = curate.sources.get(name, manifests)
    return {
        "source": name,
        "repo": source.repo,
        "modality": source.modality,
        "license": source.license,
        "annotator": source.annotator,
        "languages": list(source.languages),
        "paper": source.paper,
        "rows": source.rows,
        "pairs": source.pairs,
        "options": sorted(source.options.__dataclass_fields__) if source.options else [],
    }


def normalize(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Sources to normalize; curate sources lists them.",
            autocompletion=completion.sources,
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the source, as name=value."),
    ] = None,
    max_skip: Annotated[
        float | None, typer.Option("--max-skip", min=0, max=1, help="Share of rows that may give no pair.")
    ] = None,
    check: CheckOption = False,
    strict_images: StrictImagesOption = False,
    *,
    work: WorkOptions,
    as_json: JsonOption = False,
) -> None:
    """Turn the raw files of sources into pairs, with a reason for every row that gives none."""
    inputs = replace(work.inputs, reread=check, strict_images=strict_images)
    found = [inputs.job(name, _options(option or []), max_skip, name) for name in names]
    hashes = inputs.hashes
    with work.open_engine() as engine:
        artefacts = [locate(job, inputs.workspace, hashes) for job in found]
        total = sum(file.path.stat().st_size for artefact in artefacts for file in artefact.files)
        with progress("normalize", total) as listen:
            done = normalize_all(artefacts, inputs.workspace, engine, listen)
    if as_json:
        data([{"directory": str(item.directory), **item.manifest} for item in done])
        return
    _show(done)


def _show(done: list[Any]) -> None:
    lost = [(item.job.name, reason, count) for item in done for reason, count in item.manifest["skipped"].items()]
    if lost:
        show_table(tables.Table("skipped", ("source", "reason", "rows"), lost))
    rows = [
        (item.job.name, item.manifest["rows"], sum(item.manifest["skipped"].values()), item.manifest["pairs"])
        for item in done
    ]
    show_table(tables.Table("pairs", ("source", "rows", "skipped", "pairs"), rows))
    for item in done:
        if line := not_used(item.columns.get("not_used", ())):
            say(f"{item.job.name}: {line}")
        say(f"{item.job.name}: {item.directory}")


def _options(given: list[str]) -> dict[str, Any]:
    import yaml

    out: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("--option", f"found {text!r}", "name=value, such as -o pairing=ultra_all")
        out[name] = yaml.safe_load(value)
    return out

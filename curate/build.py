"""The one orchestrator: normalize -> screen -> mix -> shards -> lock. Every finished stage is reused.

It decides nothing about pairs: it hands artefacts from stage to stage, keeps the accounts, and writes the lock.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from curate import steps
from curate.cards import mix_card
from curate.checksums import write_record
from curate.contamination.strengths import recall_line
from curate.engines.base import Engine, Tick
from curate.engines.local import begin, suit
from curate.errors import InfeasibleError, WorkspaceError
from curate.hashing import Hashes, fingerprint
from curate.images.store import ImageStore
from curate.inputs import Inputs, jobs, pools_of, sizes
from curate.lock import Results, Screening, identity, make_lock
from curate.lock_file import file_facts, read_lock, recorded
from curate.mixing import quotas, select, shards
from curate.mixing.holdout import check_rest, hold_out, without_holdout
from curate.mixing.quotas import Plan
from curate.mixing.scatter import scatter
from curate.mixing.summary import summary
from curate.pairs.normalize import Artefact, images_known, locate, normalize_all
from curate.recipe import Recipe
from curate.screening import score_steps
from curate.screening.screen import screen
from curate.screening.screened import Screened, write_decisions
from curate.steps.base import Step
from curate.workspace import Workspace

PUBLISHED = "pools as published, less the holdout, before anything is read"
COUNTED = "pools before screening, less the holdout"

WHOLE = (
    "shards: all are written: they are cut by size, so one pair more than in an earlier mix moves all later cuts"
)
"""Why a recipe that changed a little, in a threshold say, takes no shards over from its earlier mix."""


FEW_PAIRS = 30_000
"""Fewer are screened and written sooner than processes have started: 20,000 with images in 3.9 s, by two in
5.0."""


class Watcher(Protocol):
    """Follows a build: gets its messages, its plan and its progress."""

    def say(self, text: str) -> None:
        """Show a line of text."""
        ...

    def plan(self, plan: Plan, basis: str) -> None:
        """Show the plan, before the work that it describes; `basis` says where its pool sizes come from."""
        ...

    def progress(self, stage: str, total_bytes: int) -> AbstractContextManager[Callable[[Tick], None]]:
        """Open a stage, and yield a function that takes its ticks."""
        ...


def plan(recipe: Recipe, pools: Mapping[str, int | None]) -> Plan:
    """Return the plan of a recipe from the pairs per pool; the pool of an `of` entry is the sum of its members.

    A holdout is taken off before. Raises InfeasibleError where that leaves nothing, or a quota cannot be met.
    """
    pools = without_holdout(recipe, pools)

    def united(labels: Sequence[str]) -> int | None:
        known = [pools[label] for label in labels]
        return None if None in known else sum(n for n in known if n is not None)

    return quotas.plan(recipe, {entry.label: united(entry.pools) for entry in recipe.entries})


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished mix: its directory and its lock; `fresh` is False when it was there already."""

    directory: Path
    lock: dict[str, Any]
    fresh: bool


def build(recipe: Recipe, inputs: Inputs, engine: Engine, watch: Watcher) -> Built:
    """Make the mix of a recipe, running every missing stage; return a finished mix as it is.

    Raises InfeasibleError before any text is read if the quotas cannot be met, GuardError and RawError from
    normalizing. The caller holds the workspace.
    """
    return build_family([recipe], inputs, engine, watch)[0]


def build_family(recipes: Sequence[Recipe], inputs: Inputs, engine: Engine, watch: Watcher) -> list[Built]:
    """Make the mixes of recipes that differ in names, shards, quotas and what they are `without`; screen once."""
    first, workspace, work = recipes[0], inputs.workspace, _Work(inputs, engine, watch)
    assert len({screening_key(recipe) for recipe in recipes}) == 1, "one screening serves the whole family"
    hashes = inputs.hashes
    listed = inputs.steps(first, hashes)
    artefacts = {label: locate(job, workspace, hashes) for label, job in jobs(first, inputs).items()}
    scored = score_steps.receipts(listed, artefacts, first.where)
    facts = [identity(recipe, listed, artefacts, score_steps.digests(scored)) for recipe in recipes]
    places = [_place(recipe, fingerprint(one), workspace) for recipe, one in zip(recipes, facts, strict=True)]
    built = {at: lock for at, place in enumerate(places) if (lock := _finished(place, hashes, watch)) is not None}
    fresh = [at for at in range(len(recipes)) if at not in built]
    if fresh:
        known = all(artefact.manifest for artefact in artefacts.values())
        _show_plan(first, sizes(artefacts), COUNTED if known else PUBLISHED, watch)
        ImageStore(workspace.images).sweep()
        artefacts = work.normalize(artefacts)
        suit(engine, little=sum(artefact.manifest["pairs"] for artefact in artefacts.values()) < FEW_PAIRS)
        if sum(map(_bytes, artefacts.values())) > shards.FEW_BUCKETS * shards.BUCKET_TEXT:
            begin(engine, scatter)
        screened = work.screen(first, listed, artefacts)
        for at in fresh:
            screening = Screening(listed, artefacts, screened)
            built[at] = work.publish(recipes[at], facts[at], places[at], screening, scored)
            for name, entry in recorded(built[at]).items():
                hashes.remember(places[at] / name, entry["xxh3"])
    elif not images_known(artefacts.values(), workspace):
        work.normalize({label: artefact for label, artefact in artefacts.items() if artefact.manifest})
    hashes.save()
    return [Built(directory=place, lock=built[at], fresh=at in fresh) for at, place in enumerate(places)]


def _bytes(artefact: Artefact) -> int:
    return sum((artefact.directory / part).stat().st_size for part in artefact.parts)


def screening_key(recipe: Recipe) -> str:
    """Identifies what normalizing and screening depend on: all but how much is taken, and how it is written."""
    facts = {name: value for name, value in recipe.material().items() if name not in ("shards", "without", "rows")}
    taken = ("quota", "cap", "max_repeats")
    entries = [{name: value for name, value in one.items() if name not in taken} for one in facts["entries"]]
    return fingerprint(facts | {"entries": entries})


@dataclass(frozen=True, slots=True)
class _Work:
    """The stages of a build, with what all of them need."""

    inputs: Inputs
    engine: Engine
    watch: Watcher

    def normalize(self, artefacts: Mapping[str, Artefact]) -> dict[str, Artefact]:
        """Return the artefacts, finished."""
        labels = {artefact.directory: label for label, artefact in artefacts.items()}

        def finished(artefact: Artefact) -> None:
            facts, lost = artefact.manifest, sum(artefact.manifest["skipped"].values())
            label = labels[artefact.directory]
            self.watch.say(f"{label}: {facts['rows']:,} rows, {facts['pairs']:,} pairs, {lost:,} skipped")

        files = [file.path for artefact in artefacts.values() if not artefact.manifest for file in artefact.files]
        with self.watch.progress("normalize", sum(path.stat().st_size for path in files)) as listen:
            done = normalize_all(list(artefacts.values()), self.inputs.workspace, self.engine, listen, finished)
        return dict(zip(artefacts, done, strict=True))

    def screen(
        self, recipe: Recipe, listed: Sequence[tuple[str, Step]], artefacts: Mapping[str, Artefact]
    ) -> Screened:
        """Run the steps over all pools."""
        watch, images = self.watch, self.inputs.workspace.images
        watch.say(f"screen: {', '.join(name for name, _ in listed) or 'no steps'}")
        for name, banding in steps.bandings(listed).items():
            watch.say(f"{name}: {banding}")
        for name, share in steps.shares(listed).items():
            watch.say(f"{name}: {recall_line(share)}")
        with watch.progress("screen", 0) as listen:
            return screen(
                pools_of(recipe, artefacts), listed, recipe.seed, self.engine, listen, images, watch.say,
                partial(hold_out, recipe),
            )  # fmt: skip

    def publish(
        self,
        recipe: Recipe,
        facts: dict[str, Any],
        directory: Path,
        made: Screening,
        scored: score_steps.Receipts,
    ) -> dict[str, Any]:
        """Select, write decisions, shards, card and, last, the lock; return the lock."""
        artefacts, screened = made.artefacts, made.screened
        kept = {one.pool.label: one.kept_keys() for one in screened.pools}
        chosen = select.select(recipe, kept)
        screened = _after_holdout(screened, chosen)
        pairs = sum(count.kept for count in chosen.counts)
        check_rest(recipe, pairs, pairs - sum(count.held_out for count in chosen.counts))
        self.watch.plan(chosen.plan, "pools as kept")
        self.watch.say(f"shards: {chosen.plan.rows or 0:,} pairs into {directory}")
        if not recipe.arm_of and any(path.parent != directory for path in directory.parent.glob("*/lock.json")):
            self.watch.say(WHOLE)
        write_decisions(screened, directory / "decisions")
        pools = [(artefacts[pool.label].directory, artefacts[pool.label].parts) for pool in recipe.pools]
        images = ImageStore(self.inputs.workspace.images)
        with ThreadPoolExecutor(1) as thread:  # while workers write, this process has nothing else to do
            summed = thread.submit(summary, recipe, artefacts, chosen)
            written = shards.write(chosen, pools, images, recipe.shards, directory, self.engine)
        results = Results(replace(made, screened=screened), chosen, written, summed.result())
        lock = make_lock(recipe, facts, results, directory)
        if scored:
            lock["scores"] = score_steps.facts(scored)
        lock["card"] = file_facts(directory, sorted(mix_card.write(lock, directory)))
        write_record(directory / "lock.json", lock)
        return lock


def _after_holdout(screened: Screened, chosen: select.Selection) -> Screened:
    """What was decided, once it is known which pairs are held out: these no step about training alone touches."""
    pools = [
        one.without_holdout(chosen.holdout.filter(pl.col("pool") == number))
        for number, one in enumerate(screened.pools)
    ]
    place = ["part", "position"]
    for number, one in enumerate(pools):
        held = chosen.holdout.filter(pl.col("pool") == number).select(pl.col(place).cast(pl.UInt32))
        assert held.join(one.decisions, on=place, how="semi").is_empty(), (
            f"{one.pool.label}: a held-out pair is dropped"
        )
    return Screened(pools=tuple(pools))


def _place(recipe: Recipe, mix: str, workspace: Workspace) -> Path:
    """The directory of a mix: that of an arm is apart, so that the recipe's name never means it."""
    return workspace.arm(recipe.arm_of, mix) if recipe.arm_of else workspace.mix(recipe.name, mix)


def _finished(directory: Path, hashes: Hashes, watch: Watcher) -> dict[str, Any] | None:
    """The lock of a mix whose files are all there as recorded; None where it must be built.

    Files that were not written to since they were hashed are not read; `curate verify` reads them all. The lock's
    time says that this is the mix that its recipe gave last.
    """
    path = directory / "lock.json"
    if not path.exists():
        return None
    try:
        lock = read_lock(path)
        damaged = _damaged(directory, lock, hashes)
        if damaged and set(damaged) <= {entry["name"] for entry in lock.get("card", ())}:
            watch.say(f"{directory / damaged[0]} differs from its lock: the card is written again")
            mix_card.write(lock, directory)
            damaged = _damaged(directory, lock, hashes)
        fault = f"{directory / damaged[0]} is missing or differs from its lock" if damaged else ""
    except WorkspaceError as error:
        fault = str(error)
    if fault:
        watch.say(f"{fault}: building again")
        path.unlink()
        return None
    if any(other.stat().st_mtime_ns > path.stat().st_mtime_ns for other in directory.parent.glob("*/lock.json")):
        os.utime(path)
    return lock


def _damaged(directory: Path, lock: Mapping[str, Any], hashes: Hashes) -> list[str]:
    """The files of a mix that differ from their record, by name."""
    return [
        name
        for name, entry in recorded(lock).items()
        if not (directory / name).is_file() or hashes.of(directory / name, ours=True) != entry["xxh3"]
    ]


def _show_plan(recipe: Recipe, pools: Mapping[str, int | None], basis: str, watch: Watcher) -> None:
    if 2 * list(pools.values()).count(None) > len(pools):
        return  # a plan of little but unknown sizes says nothing
    try:
        watch.plan(plan(recipe, pools), basis)
    except InfeasibleError:
        if basis == PUBLISHED:  # raw files may hold more or less than was published: a sample, a subset
            watch.say("the published sizes do not fit this recipe; the raw files decide")
            return
        raise

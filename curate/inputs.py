"""What a build starts from: the steps, jobs and pools of a recipe, and where its raw files are."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from curate import config, sources, steps
from curate.contamination.eval_sets import EvalSetLibrary
from curate.errors import ConfigError
from curate.evaluation.items import EvalSetFolders
from curate.hashing import Hashes
from curate.hub import manifests
from curate.hub.receipts import fetched
from curate.mixing.pool_sizes import PoolSize
from curate.pairs import intact
from curate.pairs.normalize import Artefact, Job, locate
from curate.pairs.pool import PairsPool
from curate.recipe import Pool, Recipe
from curate.steps.base import Step
from curate.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Where a build finds its raw files, its workspace and the user's own manifests.

    All raw files are in `raw` where it is given; else those of a source are in `of_recipe` if it has a folder for
    the source, or in the workspace. `strict_images` as of `Job`.
    """

    workspace: Workspace
    raw: Path | None = None
    manifests: Path | None = None
    of_recipe: Path | None = None
    reread: bool = False
    strict_images: bool = False

    @property
    def hashes(self) -> Hashes:
        """Hashes of raw files: those of the workspace's cache, or with `reread` of the files as they are now."""
        return Hashes(self.workspace.cache, reread=self.reread)

    def of(self, recipe: Recipe) -> Self:
        """The same, with the raw files that a recipe names."""
        return dataclasses.replace(self, of_recipe=recipe.raw)

    def eval_set_folders(self, recipe: Recipe | None = None) -> EvalSetFolders:
        """Where eval sets are: in `raw`, else beside the raw files that the recipe names, or in the workspace."""
        beside = recipe.raw if recipe is not None and recipe.raw is not None and recipe.raw.is_dir() else None
        return EvalSetFolders(workspace=self.workspace, raw=self.raw or beside, manifests=self.manifests)

    def steps(self, recipe: Recipe, hashes: Hashes) -> list[tuple[str, Step]]:
        """The steps of a recipe, bound to the files that they name. Raises ConfigError for what is not there."""
        library = self.eval_set_library(recipe, hashes)
        return steps.bind(steps.build_all(recipe.steps, recipe.where), library, recipe.where)

    def eval_set_library(self, recipe: Recipe, hashes: Hashes) -> EvalSetLibrary:
        """The eval sets that the steps of a recipe can name."""
        return EvalSetLibrary(folders=self.eval_set_folders(recipe), hashes=hashes)

    def job(self, name: str, options: Mapping[str, Any], max_skip: float | None, where: str) -> Job:
        """A source with its options, checked. Raises ConfigError for an unknown source or option."""
        source = sources.get(name, self.manifests, where)
        if options and source.options is None:
            raise ConfigError(f"{where}.options", f"{name} has no options", "no options")
        read = config.build(dict(options), source.options, f"{where}.options") if source.options else None
        job = Job(
            name=name,
            source=source,
            raw=self.workspace.raw(name),
            options=read,
            max_skip=max_skip,
            strict_images=self.strict_images,
        )
        if self.raw is not None:
            return dataclasses.replace(job, raw=self.raw / name)
        if self.of_recipe is not None and (self.of_recipe / name).is_dir():
            return dataclasses.replace(job, raw=self.of_recipe / name, of_recipe=True)
        pinned = manifests.read(name, self.manifests).commit if self.manifests is not None else None
        there = fetched(self.workspace, name, pinned)
        if there is None:
            return job
        return dataclasses.replace(
            job, raw=there.directory, revision=there.revision, license=there.license, pinned=there.pinned
        )


def jobs(recipe: Recipe, inputs: Inputs) -> dict[str, Job]:
    """The job of every pool of a recipe, by label."""
    inputs = inputs.of(recipe)

    def job(pool: Pool) -> Job:
        max_skip = recipe.max_skip.get(pool.source)
        return inputs.job(pool.source, pool.options, max_skip, f"{recipe.where}.sources.{pool.label}")

    return {pool.label: job(pool) for pool in recipe.pools}


def located_pairs(recipe: Recipe, inputs: Inputs, hashes: Hashes) -> dict[str, Artefact | Job]:
    """The pairs artefact of every pool whose raw files are there, finished or not; of the others the job."""
    return {
        label: locate(job, inputs.workspace, hashes) if job.raw.is_dir() else job
        for label, job in jobs(recipe, inputs).items()
    }


def finished_pairs(recipe: Recipe, inputs: Inputs, hashes: Hashes) -> dict[str, Artefact]:
    """The pairs artefact of every pool, by label. Raises ConfigError for one that is not finished."""
    found = {label: locate(job, inputs.workspace, hashes) for label, job in jobs(recipe, inputs).items()}
    for label, artefact in found.items():
        if not artefact.manifest:
            where = f"{recipe.where}.sources"
            hint = f"curate mix {recipe.where.removesuffix(': $')} makes them"
            raise ConfigError(where, f"{label} is not normalized", "the pairs of every source", hint)
        intact.check(artefact.directory, artefact.job.name, artefact.manifest)
    return found


def pools_of(recipe: Recipe, artefacts: Mapping[str, Artefact]) -> list[PairsPool]:
    """What steps see of finished artefacts, in the order of the recipe's pools."""
    return [
        PairsPool(
            label=label,
            source=artefact.job.name,
            directory=artefact.directory,
            priority=recipe.priority.index(label),
            parts=artefact.parts,
        )
        for label, artefact in artefacts.items()
    ]


def sizes(found: Mapping[str, Artefact | Job]) -> dict[str, int | None]:
    """Pairs per pool: counted where they are normalized, as published where not, None where unknown."""
    return {label: size.pairs for label, size in pool_sizes(found).items()}


def pool_sizes(found: Mapping[str, Artefact | Job]) -> dict[str, PoolSize]:
    """The size of every pool, and how it is known."""
    return {label: _pool_size(item) for label, item in found.items()}


def _pool_size(item: Artefact | Job) -> PoolSize:
    if isinstance(item, Artefact) and item.manifest:
        return PoolSize(pairs=item.manifest["pairs"], basis="counted")
    job = item if isinstance(item, Job) else item.job
    source = job.source
    if job.of_recipe:
        return PoolSize(pairs=None, basis="unknown")
    derived = source.derived_pairs(job.options) if source.derived_pairs is not None else None
    if derived is not None:
        return PoolSize(pairs=derived, basis="derived")
    # what is published holds for the default options only
    if source.pairs is None or (source.options is not None and job.options != source.options()):
        return PoolSize(pairs=None, basis="unknown")
    return PoolSize(pairs=source.pairs, basis="published" if source.pairs == source.rows else "derived")

"""What the doctor looks at: pools by the names that people use, and which of their pairs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import bundled
from curate.arrays import series
from curate.errors import ConfigError, WorkspaceError
from curate.inputs import Inputs, finished_pairs, pools_of
from curate.inspect.artefacts import Mix, Pairs, pools
from curate.inspect.candidates import is_bare
from curate.inspect.show import find_target
from curate.pairs import intact, keys
from curate.pairs.files import column
from curate.pairs.pool import PairsPool
from curate.recipe import load

ID = ["id_hi", "id_lo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Pairs of one pool: all of them, or these `rows` of it in file order, each as often as it is listed."""

    pool: PairsPool
    rows: pl.Series | None = None

    @property
    def label(self) -> str:
        """The pool's."""
        return self.pool.label


def find(texts: Sequence[str], inputs: Inputs) -> list[Target]:
    """The pools that texts name: a source, the selected pairs of a mix, or the sources of a recipe.

    A recipe is named by its path, or by its name where no mix and no source has that name.

    Raises ConfigError for what is not there, or named twice, WorkspaceError for what a mix was made from and lost.
    """
    named = [(text, target) for text in texts for target in _find(text, inputs)]
    for label, count in Counter(target.label for _, target in named).items():
        if count > 1:
            by = ", ".join(text for text, target in named if target.label == label)
            raise ConfigError(
                label, f"there {count} times: in {by}", "every source once", "look at them one by one"
            )
    return [_ranked(target, rank) for rank, (_, target) in enumerate(named)]


def _ranked(target: Target, rank: int) -> Target:
    pool = target.pool
    placed = PairsPool(
        label=pool.label, source=pool.source, directory=pool.directory, priority=rank, parts=pool.parts
    )
    return Target(pool=placed, rows=target.rows)


def _find(text: str, inputs: Inputs) -> Iterator[Target]:
    try:
        found = find_target(text, inputs.workspace) if is_bare(Path(text)) or not bundled.is_path(text) else None
    except ConfigError:
        if text not in bundled.named("recipe"):
            raise
        found = None
    if found is None:
        yield from _recipe(text, inputs)
        return
    if isinstance(found, Pairs):
        if not found.manifest:
            raise ConfigError(text, "its pairs are not finished", "a finished artefact", "run curate normalize")
        yield Target(pool=_pool(found.source if "@" not in text else found.title, found))
    else:
        yield from _mix(found, inputs)


def _pool(label: str, pairs: Pairs) -> PairsPool:
    """A pool of finished pairs, after a check of its files."""
    intact.check(pairs.directory, pairs.source, pairs.manifest)
    parts = tuple(part.name for part in pairs.parts)
    return PairsPool(label=label, source=pairs.source, directory=pairs.directory, priority=0, parts=parts)


def _recipe(text: str, inputs: Inputs) -> Iterator[Target]:
    recipe = load(text)
    hashes = inputs.hashes
    for pool in pools_of(recipe, finished_pairs(recipe, inputs, hashes)):
        yield Target(pool=pool)


def _mix(mix: Mix, inputs: Inputs) -> Iterator[Target]:
    """The pools of a mix with the rows that its shards hold; what two pools have counts for the first."""
    left = _ids(mix)
    for label, pairs in pools(mix, inputs.workspace).items():
        pool = _pool(label, pairs)
        there = keys.load_keys(pool.directory, pool.parts).with_row_index("row").filter(pl.col("copy") == 0)
        own = left.filter(pl.col("source") == pool.source)
        yield Target(pool=pool, rows=own.join(there, on=ID)["row"].sort())
        left = left.join(there.with_columns(source=pl.lit(pool.source)), on=["source", *ID], how="anti")
    if left.height:
        found = f"{left.height:,} of its pairs are not in the pairs files that it was made from"
        raise WorkspaceError(str(mix.directory), found, "", "curate verify names every file that differs")


def _ids(mix: Mix) -> pl.DataFrame:
    frames = [pl.DataFrame(schema={**dict.fromkeys(ID, pl.UInt64), "source": pl.String})]
    for path in mix.files("shard"):
        table = column(path, "pair_id", "source")
        high, low = keys.halves(table["pair_id"].combine_chunks(), str(path))
        frames.append(
            pl.DataFrame({"id_hi": high, "id_lo": low, "source": series(table["source"])}, schema=frames[0].schema)
        )
    return pl.concat(frames)

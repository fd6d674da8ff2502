"""What a corpus step may read beyond its key columns: the pairs files of all pools, and sketches of them.

A *sketch* is what a step needs to know of every pair and can compute of one pairs file alone: min-hashes, sets of
n-grams. It is computed once, in parallel, and cached beside the pairs:

    <pairs>/sketches/<name>-<fingerprint>/part-00000.<suffix>
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from curate.checksums import published, usable
from curate.engines.base import Engine, Listener
from curate.pairs.pool import PairsPool


class Sketch(Protocol):
    """A frozen dataclass: its fields and `version` define what it computes; `suffix` is the kind of its files."""

    version: ClassVar[int]
    suffix: ClassVar[str]

    def make(self, pairs: Path, out: Path) -> None:
        """Write the sketch of one pairs file; runs in a worker or a thread, and ticks the rows that it has read.

        What it calls for most of its time leaves the interpreter's lock alone, as Arrow and kernels do.
        """
        ...


@runtime_checkable
class Prepared(Protocol):
    """A sketch that rests on something which all parts share."""

    def prepare(self) -> None:
        """Make it, once, before any part is sketched."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The pools of a recipe in their order, the image store of their pairs, and what runs the work.

    `places` has for each sketch its directory in a pairs artefact.
    """

    pools: tuple[PairsPool, ...]
    images: Path
    seed: int
    engine: Engine
    places: dict[Sketch, str]

    def files(self, sketch: Sketch | None = None) -> list[list[Path]]:
        """For every pool, its pairs files in the order of its parts, or the files of a sketch of them."""
        return [
            [
                pool.directory / part
                if sketch is None
                else _file(pool.directory, self.places[sketch], sketch, part)
                for part in pool.parts
            ]
            for pool in self.pools
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SketchTask:
    sketch: Sketch
    pairs: Path
    out: Path

    def __str__(self) -> str:
        return f"sketching {self.pairs}"


def make_sketches(corpus: Corpus, listen: Listener | None = None) -> None:
    """Compute the sketches of a corpus that are not cached yet."""
    tasks = {
        out: _SketchTask(sketch=sketch, pairs=pairs, out=out)
        for sketch in corpus.places
        for listed in zip(corpus.files(), corpus.files(sketch), strict=True)
        for pairs, out in zip(*listed, strict=True)
        if not usable(out)
    }
    for sketch in dict.fromkeys(task.sketch for task in tasks.values()):
        if isinstance(sketch, Prepared):
            sketch.prepare()
    if tasks:
        for _ in corpus.engine.map(_make, list(tasks.values()), listen, threads=True):
            pass


def _make(task: _SketchTask) -> None:
    with published(task.out) as temporary:
        task.sketch.make(task.pairs, temporary)


def _file(directory: Path, place: str, sketch: Sketch, part: str) -> Path:
    return (directory / place / part).with_suffix(f".{sketch.suffix}")

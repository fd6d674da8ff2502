"""Pairs that hold what they will be measured by: items of eval sets, and texts and images that a user names."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from curate import evalsets
from curate.contamination import decisions
from curate.contamination.findable import Findable, findable
from curate.contamination.hits import ContaminationHits
from curate.contamination.index import PICTURES, load, protected_sets
from curate.contamination.protected import FLOOR, ImageFolder, Library, ProtectedSet, ProtectedSets, TextFile
from curate.contamination.scan import read
from curate.contamination.strengths import SHARES, Strength
from curate.errors import ConfigError, RawError
from curate.images.packs import Packs
from curate.steps.corpus import Corpus, Sketch

Action = Literal["drop", "flag", "keep"]


KINDS_OF = {
    "text": ("file", "a .txt, JSONL, CSV or Parquet file of texts"),
    "images": ("directory", "a directory of images"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What becomes of a pair by what it holds: `drop`, `flag` (it stays, for people to look at) or `keep`.

    prompt        the prompt of an item
    prompt_media  the prompt and the image of one item, however plain the prompt
    response      a reply of an item
    passage       a text of an item without its question, or without the first or last sentences: a public text
    stock_reply   a reply of an item that is given to many questions, such as a refusal
    short_prompt  what is likely to be a short prompt of an item: with a few words around it, or one changed
    media_only    an image of an item, under another question: most often a photograph that both took from COCO
    image_look_alike  a page or chart that cannot be told from an image of an item: other figures would not be seen
    """

    prompt: Action = "drop"
    prompt_media: Action = "drop"
    response: Action = "drop"
    passage: Action = "flag"
    stock_reply: Action = "flag"
    short_prompt: Literal["flag", "keep"] = "flag"
    media_only: Action = "flag"
    image_look_alike: Literal["flag", "keep"] = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decontaminate(Actions):
    """The step as a recipe has it; it must be bound to the files that it names before it can decide.

    against  names of eval sets, or `all`
    text     files with texts, and `images` directories with images, that must be kept out as well
    tolerant whether a grey version of an image, or one with another gamma, is a copy of it too
    strength how much of a document must be found: with less, more changed leaks are found, and more that are none
             (see `curate.contamination.strengths`)
    share    in place of that of `strength`: how much of a document of 26 words or more must be found, weighed by
             rarity; of shorter ones more, and all of one with fewer than 13
    """

    version: ClassVar[int] = 1
    against: tuple[str, ...] | Literal["all"] = ()
    text: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    tolerant: bool = False
    strength: Strength = "medium"
    share: float | None = None

    def __post_init__(self) -> None:
        if not (self.against or self.text or self.images):
            raise ValueError("against, text and images are empty; name eval sets in against, or `all`")
        if self.share is not None and not FLOOR <= self.share <= 1:
            raise ValueError(f"share is {self.share}; it is {FLOOR} to 1")

    @property
    def wanted(self) -> float:
        """The share of a long document that must be found."""
        return SHARES[self.strength] if self.share is None else self.share

    def check_names(self, where: str, manifests: Path | None) -> None:
        """Raise ConfigError, with the closest names, for an unknown eval set in `against`; no file is read."""
        for name in () if self.against == "all" else self.against:
            evalsets.get(name, f"{where}.against", manifests)

    def bind(self, library: Library, where: str) -> "Bound":
        """The step with what it compares with. Raises ConfigError for what is not there, all of it at once."""
        names = evalsets.core() if self.against == "all" else self.against
        sets: list[ProtectedSet] = [library.eval_set(name, f"{where}.against") for name in names]
        missing = [one for one in sets if not _is_there(one, library)]
        if missing:
            listed = " ".join(one.name for one in missing)
            found = f"{listed.replace(' ', ', ')} not fetched"
            raise ConfigError(
                f"{where}.against", found, "the raw files of the eval sets", f"curate fetch {listed}"
            )
        for name in ("text", "images"):
            for path in getattr(self, name):
                if not Path(path).expanduser().exists():
                    kind, expected = KINDS_OF[name]
                    raise ConfigError(f"{where}.{name}", f"{path}: no such {kind}", expected)
        sets += [TextFile(path=Path(path).expanduser()) for path in self.text]
        sets += [ImageFolder(path=Path(path).expanduser()) for path in self.images]
        made = protected_sets(sets, library.cache, library.hashes)
        actions = {name: getattr(self, name) for name in decisions.REASONS}
        return Bound(share=self.wanted, tolerant=self.tolerant, index=made.fingerprint, protected=made, **actions)

    def sketches(self) -> tuple[Sketch, ...]:
        """None: it is not bound."""
        raise AssertionError("decontaminate is not bound")

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:  # noqa: ARG002
        """Nothing: it is not bound."""
        raise AssertionError("decontaminate is not bound")


def findable_items(
    listed: Iterable[tuple[str, Any]], library: Library, where: str
) -> tuple[dict[str, dict[str, Findable]], list[str]]:
    """By step, which items of its sets can be found; and a line for each step whose sets are not here yet."""
    counted, uncounted = {}, []
    for name, step in listed:
        if isinstance(step, Decontaminate):
            try:
                counted[name] = findable(step.bind(library, f"{where}.steps.{name}").protected)
            except (ConfigError, RawError) as error:
                uncounted.append(f"{name}: what can be found is counted once its sets are here: {error}")
    return counted, uncounted


def _is_there(protected: ProtectedSet, library: Library) -> bool:
    try:
        protected.facts(library.hashes)
    except RawError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound(Actions):
    """The step with its index, which is known by what went into it."""

    version: ClassVar[int] = 4
    reads: ClassVar[tuple[str, ...]] = ("pool", "part", "position")
    share: float
    tolerant: bool = False
    index: str
    protected: ProtectedSets = field(metadata={"place": True})

    def sketches(self) -> tuple[Sketch, ...]:
        """The hits of every pairs file."""
        return (self._sketch,)

    @property
    def pixels(self) -> bool:
        """Whether it has images to compare those of the pairs with."""
        return load(self.protected).images.height > 0

    @property
    def _sketch(self) -> ContaminationHits:
        return ContaminationHits(index=self.index, protected=self.protected)

    def decide(self, keys: pl.DataFrame, corpus: Corpus) -> pl.DataFrame:
        """Decisions about the pairs to drop, and flags; the reason is what of an item the pair holds."""
        index = load(self.protected)
        found = read(corpus.files(self._sketch), len(index.rarity))
        images = Packs(self.protected.directory / PICTURES)
        pictured = decisions.pictured(
            keys, corpus.files(), index, images, Packs(corpus.images), corpus.engine, tolerant=self.tolerant
        )
        decided = decisions.decide(found, keys, index, self.share, pictured)
        rank = {name: i for i, name in enumerate(decisions.REASONS)}
        acts = {name: getattr(self, name) for name in decisions.REASONS}
        return (
            decided.with_columns(
                action=pl.col("reason").replace_strict(acts, return_dtype=pl.String),
                rank=pl.col("reason").replace_strict(rank, return_dtype=pl.UInt8),
            )
            .filter(pl.col("action") != "keep")
            .sort("index", "action", "rank")  # drop is before flag in the alphabet
            .unique("index", keep="first", maintain_order=True)
            .select("index", "score", "evidence", "reason", flag=pl.col("action") == "flag")
        )

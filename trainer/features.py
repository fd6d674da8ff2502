"""Pooled features of a frozen backbone, computed once for each pair and each item of an eval set, kept on disk.

ROOT/<id>/facts.json                    the model, and how dialogues were encoded: the id is their fingerprint
ROOT/<id>/pairs-00000.safetensors       chosen, rejected [n, hidden]; lengths, margin, tie of each pair
ROOT/<id>/items-<stem>.safetensors      replies [m, hidden] of an items file, one row for each reply of each item

Names of pairs and items are in the files' metadata. A file is there once it is whole, so a stopped run continues
with the pairs that are missing.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from curate.checksums import hash_file
from curate.evalsets.itemfile import ItemFile, Question
from curate.hashing import fingerprint
from curate.workspace import atomic, write_json
from trainer import hub_models, tiny_models
from trainer.batch import Tree
from trainer.config import MEDIA_BOUNDS, TrainConfig
from trainer.distributed import use_bf16
from trainer.encode import Encoded, Encoder, Row
from trainer.logs import Progress, say
from trainer.media import Unusable
from trainer.model import RewardModel, build
from trainer.packing import pack, token_batches
from trainer.readers import PairsReader

VERSION = 1
PART_PAIRS = 2048


class FeatureCache:
    """The features of one backbone under `root`; the model is loaded when a feature is missing."""

    def __init__(self, config: TrainConfig, root: Path) -> None:
        self._config = config
        self._model: RewardModel | None = None
        source = tiny_models.source(config.model, root / config.model.replace("/", "-"))
        self._source = hub_models.snapshot(source, config.revision)
        self._encoder = Encoder(
            self._source, max_length=config.max_length, **{name: getattr(config, name) for name in MEDIA_BOUNDS}
        )
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = torch.bfloat16 if use_bf16(config.bf16, self._device) else torch.float32
        facts = {
            "version": VERSION, "model": config.model, "weights": _weights(self._source),
            "encoder": self._encoder.facts(), "dtype": str(self._dtype),
        }  # fmt: skip
        self.folder = root / fingerprint(facts)
        if not (self.folder / "facts.json").exists():
            write_json(self.folder / "facts.json", facts)

    @property
    def model(self) -> RewardModel:
        """The frozen backbone; its head is not used."""
        if self._model is None:
            self._model = build(self._source, self._config.head, dtype=self._dtype).eval()
            self._model.to(self._device)
        return self._model

    def add_pairs(self, mix: PairsReader) -> None:
        """Compute the missing features of a mix or any pairs; `unusable` then lists the pairs that have none."""
        present = {name for path in self._parts() for name in _names(path)}
        missing = {*mix.pair_ids()} - present - {*self.unusable}
        progress = Progress("features", 0, len(missing), "pairs")
        rows = _once(mix.rows() if missing else (), missing)
        for first in rows:
            self._write_part(self._encoded(chain([first], islice(rows, PART_PAIRS - 1)), progress))

    @property
    def unusable(self) -> dict[str, str]:
        """The reason of each pair that has no features."""
        path = self.folder / "unusable.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def _encoded(self, rows: Iterable[Row], progress: Progress) -> Iterator[Encoded]:
        """Encode pairs one by one, lazily: thousands with their pixels would take tens of GB."""
        unusable = self.unusable
        before = len(unusable)
        for row in rows:
            try:
                yield self._encoder.pair(row)
            except Unusable as error:
                unusable[row.pair_id] = error.reason
            progress.tick()
        if len(unusable) > before:
            write_json(self.folder / "unusable.json", unusable)

    def _write_part(self, encoded: Iterable[Encoded]) -> None:
        pairs: list[Encoded] = []  # without their trees

        def trees() -> Iterator[tuple[Tree, ...]]:
            for pair in encoded:
                pairs.append(replace(pair, trees=()))
                yield pair.trees

        pooled = list(self._pooled(trees()))
        if not pairs:
            return
        features = torch.cat(pooled).view(len(pairs), 2, -1)
        lengths = [[pair.chosen_length, pair.rejected_length] for pair in pairs]
        tensors = {
            "chosen": features[:, 0].contiguous(), "rejected": features[:, 1].contiguous(),
            "lengths": torch.tensor(lengths), "margin": torch.tensor([pair.margin or 0.0 for pair in pairs]),
            "tie": torch.tensor([pair.tie for pair in pairs]),
        }  # fmt: skip
        number = len(self._parts())
        _save(self.folder / f"pairs-{number:05d}.safetensors", tensors, [pair.pair_id for pair in pairs])
        say(f"features: {len(pairs):,} pairs, part {number + 1}")

    @torch.no_grad()
    def _pooled(self, trees: Iterable[Sequence[Tree]]) -> Iterator[Tensor]:
        """Yield the features of each branch, in order, [branches of a batch, hidden] at a time."""
        device = next(self.model.parameters()).device
        for batch in token_batches(trees, lambda some: sum(tree.tokens for tree in some), self._config.max_tokens):
            flat = [tree for some in batch for tree in some]
            yield self.model.features(pack(flat, self.model.backbone).to(device)).to("cpu", self._dtype)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("pairs-*.safetensors"))

    def pairs(self) -> "PairFeatures":
        """Load the features of all pairs into memory."""
        return PairFeatures.load(self._parts())

    def parts(self) -> Iterator["PairFeatures"]:
        """Load the features of all pairs, a part at a time."""
        return (PairFeatures.load([path]) for path in self._parts())

    def add_items(self, path: Path) -> Path:
        """Compute the features of an items file on first use; `problems` has the reason of an item without any."""
        target = self.folder / f"items-{path.stem}.safetensors"
        if target.exists():
            return target
        file = ItemFile(path)
        names: list[str] = []
        problems: dict[str, str] = {}
        pooled = list(self._pooled(self._item_trees(file, names, problems)))
        features = torch.cat(pooled) if pooled else torch.empty(0, 0)
        facts = {"benchmark": file.benchmark, "problems": json.dumps(problems, ensure_ascii=False)}
        _save(target, {"replies": features}, names, **facts)
        say(f"features: {len(file):,} items of {file.benchmark}")
        return target

    def _item_trees(
        self, file: ItemFile, names: list[str], problems: dict[str, str]
    ) -> Iterator[tuple[Tree, ...]]:
        """Yield the trees of each item, whose replies are added to `names`; or its reason to `problems`."""
        progress = Progress(f"features of {file.benchmark}", 0, len(file))
        for question in file:
            trees = self._trees(question)
            if isinstance(trees, str):
                problems[question.item] = trees
            else:
                names += [question.item] * len(question.replies)
                yield trees
            progress.tick()

    def _trees(self, question: Question) -> tuple[Tree, ...] | str:
        if question.problem is not None:
            return question.problem
        try:
            return self._encoder.dialogue(question.prompt, question.replies, question.media)
        except Unusable as error:
            return error.reason


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """Features of pairs, with the columns that their loss needs; `index` maps a pair's id to its row."""

    index: dict[str, int]
    chosen: Tensor
    rejected: Tensor
    lengths: Tensor
    margin: Tensor
    tie: Tensor

    @classmethod
    def load(cls, parts: Sequence[Path]) -> "PairFeatures":
        """Load all parts as one."""
        names = [name for path in parts for name in _names(path)]
        columns = {
            name: torch.cat([_tensor(path, name) for path in parts])
            for name in ("chosen", "rejected", "lengths", "margin", "tie")
        }
        return cls({name: i for i, name in enumerate(names)}, **columns)


@dataclass(frozen=True, slots=True)
class ReplyFeatures:
    """Features of an items file: one row for each reply, with the name of its item."""

    benchmark: str
    names: list[str]
    features: Tensor
    problems: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> "ReplyFeatures":
        """Load a file that `FeatureCache.add_items` wrote."""
        facts = _metadata(path)
        return cls(facts["benchmark"], _names(path), _tensor(path, "replies"), json.loads(facts["problems"]))


def _once(rows: Iterable[Row], wanted: set[str]) -> Iterator[Row]:
    """Yield the first row of each wanted pair."""
    left = set(wanted)
    for row in rows:
        if row.pair_id in left:
            left.remove(row.pair_id)
            yield row


def _save(path: Path, tensors: dict[str, Tensor], names: Sequence[str], **facts: str) -> None:
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"names": json.dumps(list(names), ensure_ascii=False), **facts})


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def _names(path: Path) -> list[str]:
    return list(json.loads(_metadata(path)["names"]))


def _tensor(path: Path, name: str) -> Tensor:
    with safe_open(path, "pt") as file:
        tensor: Tensor = file.get_tensor(name)
        return tensor


def _weights(source: str) -> Any:
    """Identify the weights: by their hashes, or by the commit of the Hub's snapshot."""
    named = hub_models.identity(source)
    if named is not None:
        return named[1]
    return [[path.name, hash_file(path)] for path in sorted(Path(source).glob("*.safetensors"))]

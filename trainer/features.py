"""Pooled features of a frozen backbone, computed once for each pair and each item of an eval set, kept on disk.

ROOT/<id>/facts.json                    the model, and how dialogues were encoded: the id is their fingerprint
ROOT/<id>/pairs-00000.safetensors       chosen, rejected [n, hidden]; lengths, margin, tie of each pair
ROOT/<id>/items-<stem>.safetensors      replies [m, hidden] of an items file, one row for each reply of each item

Names of pairs and items are in the files' metadata. A file is there once it is whole, so a stopped run continues
with the pairs that are missing.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import cached_file

from curate.checksums import hash_file
from curate.evalsets.itemfile import ItemFile, Question
from curate.hashing import fingerprint
from curate.workspace import atomic, write_json
from trainer import tiny_models
from trainer.batch import Tree
from trainer.config import TrainConfig
from trainer.encode import Encoded, Encoder, Row
from trainer.logs import say
from trainer.media import Unusable
from trainer.model import RewardModel, build
from trainer.packing import pack, token_batches
from trainer.readers import MixReader

VERSION = 1
PART_PAIRS = 2048


class FeatureCache:
    """The features of one backbone under `root`; the model is loaded when a feature is missing."""

    def __init__(self, config: TrainConfig, root: Path) -> None:
        self._config = config
        self._model: RewardModel | None = None
        self._source = tiny_models.source(config.model, root / config.model.replace("/", "-"))
        self._encoder = Encoder(
            self._source, max_length=config.max_length, max_pixels=config.max_pixels, min_pixels=config.min_pixels
        )
        self._cuda = torch.cuda.is_available()
        facts = {
            "version": VERSION, "model": config.model, "weights": _weights(self._source),
            "encoder": self._encoder.facts(), "dtype": str(self._dtype),
        }  # fmt: skip
        self.folder = root / fingerprint(facts)
        if not (self.folder / "facts.json").exists():
            write_json(self.folder / "facts.json", facts)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self._cuda else torch.float32

    @property
    def model(self) -> RewardModel:
        """The frozen backbone; its head is not used."""
        if self._model is None:
            self._model = build(self._source, self._config.head, dtype=self._dtype).eval()
            self._model.to("cuda" if self._cuda else "cpu")
        return self._model

    def add_pairs(self, mix: MixReader) -> None:
        """Compute the missing features of a mix; `unusable` then lists the pairs that have none."""
        present = {name for path in self._parts() for name in _names(path)}
        missing = {*mix.pair_ids()} - present - {*self.unusable}
        rows = []
        for row in mix.rows() if missing else ():
            if row.pair_id in missing:
                missing.remove(row.pair_id)
                rows.append(row)
            if len(rows) == PART_PAIRS:
                self._write_part(self._encoded(rows))
                rows = []
        self._write_part(self._encoded(rows))

    @property
    def unusable(self) -> dict[str, str]:
        """The reason of each pair that has no features."""
        path = self.folder / "unusable.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def _encoded(self, rows: Iterable[Row]) -> list[Encoded]:
        encoded, unusable = [], self.unusable
        for row in rows:
            try:
                encoded.append(self._encoder.pair(row))
            except Unusable as error:
                unusable[row.pair_id] = error.reason
        if len(unusable) > len(self.unusable):
            write_json(self.folder / "unusable.json", unusable)
        return encoded

    def _write_part(self, pairs: Sequence[Encoded]) -> None:
        if not pairs:
            return
        features = torch.cat(list(self._pooled([pair.trees for pair in pairs]))).view(len(pairs), 2, -1)
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

    def add_items(self, path: Path) -> Path:
        """Compute the features of an items file on first use; `problems` has the reason of an item without any."""
        target = self.folder / f"items-{path.stem}.safetensors"
        if target.exists():
            return target
        file = ItemFile(path)
        names, problems, pooled = [], {}, []
        for question in file:
            trees = self._trees(question)
            if isinstance(trees, str):
                problems[question.item] = trees
                continue
            names += [question.item] * len(question.replies)
            pooled.append(trees)
        features = torch.cat(list(self._pooled(pooled))) if pooled else torch.empty(0, 0)
        facts = {"benchmark": file.benchmark, "problems": json.dumps(problems, ensure_ascii=False)}
        _save(target, {"replies": features}, names, **facts)
        say(f"features: {len(file):,} items of {file.benchmark}")
        return target

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
    if Path(source).is_dir():
        return [[path.name, hash_file(path)] for path in sorted(Path(source).glob("*.safetensors"))]
    found = cached_file(source, "config.json")
    return Path(found).parent.name if found else source

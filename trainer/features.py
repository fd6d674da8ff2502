"""Pooled features of a frozen backbone, computed once for each pair and each benchmark item, and kept on disk.

ROOT/<id>/facts.json                    the model, and how dialogues were encoded: the id is their fingerprint
ROOT/<id>/pairs-00000.safetensors       chosen, rejected [n, hidden], and of each pair lengths, margin, tie
ROOT/<id>/items-<stem>.safetensors      replies [m, hidden] of an items file, one row for each reply of each item

Names of pairs and items stand in the files' metadata. A file is there once it is whole, so a stopped run goes on
with the pairs that are missing.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.utils import cached_file

from curate.evalsets.itemfile import ItemFile, Question
from curate.hashing import fingerprint, hash_file
from curate.workspace import atomic, write_json
from trainer import tiny_models
from trainer.batch import Tree
from trainer.config import TrainConfig
from trainer.data import MixReader
from trainer.encode import Encoded, Encoder
from trainer.logs import say
from trainer.media import Unusable
from trainer.model import RewardModel, build
from trainer.packing import pack
from trainer.score import batches

VERSION = 1
PART_PAIRS = 2048

T = TypeVar("T")


class Cache:
    """The features of one backbone under `root`; the model is loaded when the first one is missing."""

    def __init__(self, config: TrainConfig, root: Path) -> None:
        self._config = config
        self._model: RewardModel | None = None
        self._source = _source(config.model, root)
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
        """The backbone, frozen; its head is never asked."""
        if self._model is None:
            self._model = build(self._source, self._config.head, dtype=self._dtype).eval()
            self._model.to("cuda" if self._cuda else "cpu")
        return self._model

    def add_pairs(self, mix: MixReader) -> None:
        """Compute what is missing of a mix; pairs that cannot be used are named, with the reason."""
        missing = {*pair_ids(mix)} - {*self.unusable, *(name for path in self._parts() for name in _names(path))}
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
        """Why there are no features of a pair."""
        path = self.folder / "unusable.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def _encoded(self, rows: Iterable[Any]) -> list[Encoded]:
        out, lost = [], self.unusable
        for row in rows:
            try:
                out.append(self._encoder.pair(row))
            except Unusable as error:
                lost[row.pair_id] = error.reason
        if len(lost) > len(self.unusable):
            write_json(self.folder / "unusable.json", lost)
        return out

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
        """The features of each branch, in order, [branches of a batch, hidden] at a time."""
        device = next(self.model.parameters()).device
        for batch in batches(trees, lambda some: sum(tree.tokens for tree in some), self._config.max_tokens):
            flat = [tree for some in batch for tree in some]
            yield self.model.features(pack(flat, self.model.backbone).to(device)).to("cpu", self._dtype)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("pairs-*.safetensors"))

    def pairs(self) -> "Pairs":
        """All pairs that are there, in memory."""
        return Pairs.load(self._parts())

    def add_items(self, path: Path) -> Path:
        """The features of an items file, computed on first use; an item without any says why in `problems`."""
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
class Pairs:
    """Features of pairs with what their loss needs; `at` says where a pair stands."""

    at: dict[str, int]
    chosen: Tensor
    rejected: Tensor
    lengths: Tensor
    margin: Tensor
    tie: Tensor

    @classmethod
    def load(cls, parts: Sequence[Path]) -> "Pairs":
        """All parts as one."""
        names = [name for path in parts for name in _names(path)]
        columns = {
            name: torch.cat([_tensor(path, name) for path in parts])
            for name in ("chosen", "rejected", "lengths", "margin", "tie")
        }
        return cls({name: i for i, name in enumerate(names)}, **columns)


@dataclass(frozen=True, slots=True)
class Replies:
    """Features of an items file: one row for each reply, with the name of its item."""

    benchmark: str
    names: list[str]
    features: Tensor
    problems: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> "Replies":
        """A file that `Cache.add_items` wrote."""
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


def _source(model: str, root: Path) -> str:
    """The checkpoint's directory or id; `tiny/KIND` is built beside the features, with seed 0."""
    if not model.startswith("tiny/"):
        return model
    built = root / model.replace("/", "-")
    if not (built / "config.json").exists():
        tiny_models.save(model.removeprefix("tiny/"), built)
    return str(built)


def _weights(source: str) -> Any:
    """What tells one set of weights from another: their hashes, or the commit of the Hub's snapshot."""
    if Path(source).is_dir():
        return [[path.name, hash_file(path)] for path in sorted(Path(source).glob("*.safetensors"))]
    found = cached_file(source, "config.json")
    return Path(found).parent.name if found else source


def pair_ids(mix: MixReader) -> list[str]:
    """The mix's pairs in order; nothing else of them is read."""
    shards = sorted(mix.directory.glob("shard-*.parquet"))
    return [name for path in shards for name in pq.read_table(path, columns=["pair_id"])["pair_id"].to_pylist()]

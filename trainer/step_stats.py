"""The statistics of an optimizer step: of one rank, then summed over all, then as a row of metrics.jsonl."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.encode import Encoded


@dataclass(slots=True)
class StepStats:
    """Sums over the pairs of a step; `sources` has each source's pairs, right pairs and sum of margins.

    `critiques` counts the given critiques of a critic's step, whose cross-entropies `critique_loss` sums up; None
    for the naive paradigm.
    """

    loss: float = 0.0
    pairs: int = 0
    sources: dict[str, list[float]] = field(default_factory=dict)
    tokens: int = 0
    flops: int = 0
    critiques: int | None = None
    critique_loss: float = 0.0
    bad: list[str] = field(default_factory=list)  # pairs without a finite loss
    unusable: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, reason) of pairs without pixels
    stop: int = 0  # the signal that this rank got
    save: bool = False  # by the clock of the chief it is time

    def add(self, micro: Sequence[Encoded], losses: Sequence[float], margins: Sequence[float]) -> None:
        """Add a micro-batch. Accuracy is strict; ties have none, and fillers are not counted."""
        for pair, loss, margin in zip(micro, losses, margins, strict=True):
            if not math.isfinite(loss):
                self.bad.append(pair.pair_id)
            if pair.pair_id:
                self.pairs, self.loss = self.pairs + 1, self.loss + loss
            if pair.pair_id and not pair.tie:
                self.add_source(pair.source, [1, margin > 0, margin])

    def add_source(self, source: str, numbers: Sequence[float]) -> None:
        """Add pairs, right pairs and margins of a source."""
        self.sources[source] = [a + b for a, b in zip(self.sources.get(source, [0, 0, 0]), numbers, strict=True)]

    def add_critiques(self, micro: Sequence[Encoded], losses: Sequence[float]) -> None:
        """Add the summed cross-entropies of each pair's critiques."""
        given = sum(count > 0 for pair in micro for tree in pair.trees for count in tree.targets)
        self.critiques = (self.critiques or 0) + given
        self.critique_loss += sum(losses)

    def row(self, seconds: float, peak: float | None) -> dict[str, Any]:
        """Compute means and rates; `peak` is the FLOPs per second of all devices, None if unknown."""
        pairs, right, margin = [sum(column) for column in zip(*self.sources.values(), strict=True)] or [0, 0, 0]
        return {
            "loss": self.loss / self.pairs if self.pairs else None,
            **self._critique_row(),
            "accuracy": right / pairs if pairs else None,
            "margin": margin / pairs if pairs else None,
            "tokens": self.tokens,
            "tokens_per_s": round(self.tokens / seconds, 1),
            "pairs_per_s": round(self.pairs / seconds, 3),
            "mfu": round(self.flops / seconds / peak, 4) if peak else None,
            "sources": {
                name: {"pairs": int(count), "accuracy": right / count, "margin": margin / count}
                for name, (count, right, margin) in sorted(self.sources.items())
            },
        }

    def _critique_row(self) -> dict[str, Any]:
        if self.critiques is None:
            return {}
        mean = self.critique_loss / self.critiques if self.critiques else None
        return {"critiques": self.critiques, "critique_loss": mean}


def sum_ranks(parts: Iterable[StepStats]) -> StepStats:
    """Sum the statistics of all ranks."""
    total = StepStats()
    for part in parts:
        total.loss, total.pairs = total.loss + part.loss, total.pairs + part.pairs
        total.tokens, total.flops = total.tokens + part.tokens, total.flops + part.flops
        total.bad, total.unusable = total.bad + part.bad, total.unusable + part.unusable
        total.stop, total.save = max(total.stop, part.stop), total.save or part.save
        if part.critiques is not None:
            total.critiques = (total.critiques or 0) + part.critiques
            total.critique_loss += part.critique_loss
        for source, numbers in part.sources.items():
            total.add_source(source, numbers)
    return total

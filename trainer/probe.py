"""Heads alone, trained on features that were computed once: many arms in the time of one.

    python -m trainer.probe --features ROOT --items FILE... --runs RUN/config.yaml...

Each config is read as `trainer.train` reads it; of the backbone's settings only those that make features count,
and the head learns at `head_lr` (HEAD_LR where it is not given). Each run directory gets scores/<items>.jsonl and,
last, result.json. It is a probe: it tells what a head can read from a backbone as it is, not what training would
make of the backbone.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curate.errors import CurateError, TrainError
from curate.workspace import atomic, write_json
from trainer import config
from trainer.config import TrainConfig
from trainer.data import MixReader
from trainer.features import Cache, Pairs, Replies, pair_ids
from trainer.logs import fail, say
from trainer.losses import loss
from trainer.model import RewardHead
from trainer.schedule import end, factor, progress

HEAD_LR = 1e-3


def train_head(asked: TrainConfig, pairs: Pairs, order: Tensor) -> RewardHead:
    """A head drawn from the seed and trained on pairs in this order (positions in `pairs`), epoch after epoch.

    The optimizer, the schedule and the limits are those of `trainer.train`. Raises TrainError for a loss that is
    none.
    """
    torch.manual_seed(asked.seed)
    head = RewardHead(pairs.chosen.shape[1], asked.head).to(_device()).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.0, weight_decay=asked.weight_decay)
    peak = asked.head_lr or HEAD_LR
    consumed = step = 0
    while (begin := _done(asked, order, step, consumed)) < 1:
        take = min(asked.batch_pairs, end(asked, len(order)) - consumed)
        batch = order[torch.arange(consumed, consumed + take) % len(order)]
        consumed, step = consumed + take, step + 1
        optimizer.param_groups[0]["lr"] = peak * factor(asked, (begin + _done(asked, order, step, consumed)) / 2)
        value = _loss(head, asked, pairs, batch)
        if not torch.isfinite(value):
            raise TrainError(f"step {step}", f"the loss is {value.item()}", "", "a lower head_lr may help")
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        if asked.clip:
            torch.nn.utils.clip_grad_norm_(head.parameters(), asked.clip)
        optimizer.step()
    return head.eval()


def _done(asked: TrainConfig, order: Tensor, step: int, consumed: int) -> float:
    return progress(asked, len(order), step=step, pairs=consumed, consumed=consumed)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _loss(head: RewardHead, asked: TrainConfig, pairs: Pairs, batch: Tensor) -> Tensor:
    def column(values: Tensor) -> Tensor:
        return values[batch].to(_device())

    lengths = column(pairs.lengths)
    return loss(
        head(column(pairs.chosen)), head(column(pairs.rejected)), asked.loss, margin=column(pairs.margin),
        chosen_length=lengths[:, 0], rejected_length=lengths[:, 1], tie=column(pairs.tie),
    )  # fmt: skip


@torch.no_grad()
def write_scores(head: RewardHead, replies: Replies, path: Path) -> None:
    """A score file (curate.evaluation.score_file) of an items file's features."""
    values = head(replies.features.to(_device())).tolist() if replies.names else []
    if not all(map(_finite, values)):
        raise TrainError(str(path), "a score is no finite number", "", "a lower head_lr may help")
    seen: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for name, value in zip(replies.names, values, strict=True):
        rows.append({"benchmark": replies.benchmark, "item": name, "candidate": seen[name], "score": value})
        seen[name] += 1
    for name, problem in replies.problems.items():
        rows.append({"benchmark": replies.benchmark, "item": name, "unscored": problem})
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _finite(value: float) -> bool:
    return value - value == 0


def probe(runs: Sequence[TrainConfig], root: Path, items: Sequence[Path]) -> None:
    """Train a head for each run, all of one backbone; its features are computed where they are missing."""
    cache = Cache(runs[0], root)
    mixes = {one.mix: MixReader(Path(one.mix), "shard", Path(one.images) if one.images else None) for one in runs}
    for mix in mixes.values():
        cache.add_pairs(mix)
    replies = {path.stem: Replies.load(cache.add_items(path)) for path in items}
    pairs, lost = cache.pairs(), cache.unusable
    for number, one in enumerate(runs, 1):
        start, run, ids = time.monotonic(), Path(one.out), pair_ids(mixes[one.mix])
        order = torch.tensor([pairs.at[name] for name in ids if name in pairs.at])
        if not len(order):
            raise TrainError(
                one.mix, "no pair of it can be used", "", f"{cache.folder / 'unusable.json'} says why"
            )
        head = train_head(one, pairs, order)
        for stem, asked in replies.items():
            write_scores(head, asked, run / "scores" / f"{stem}.jsonl")
        dropped = {"all": dict(Counter(lost[name] for name in ids if name in lost))}
        result = {"probe": True, "pairs": _trained(one, len(order)), "dropped": dropped}
        write_json(run / "result.json", result | {"seconds": time.monotonic() - start})
        say(f"head {number} of {len(runs)}: {run.name}")


def _trained(asked: TrainConfig, pairs: int) -> int:
    limits = [end(asked, pairs), asked.max_pairs, asked.max_steps and asked.max_steps * asked.batch_pairs]
    return min(limit for limit in limits if limit is not None)


def main(arguments: Sequence[str]) -> None:
    """Train all heads that are not trained yet."""
    parser = argparse.ArgumentParser(prog="python -m trainer.probe")
    parser.add_argument("--features", type=Path, required=True, help="where features are kept")
    parser.add_argument("--items", type=Path, nargs="*", default=[], help="items files to score")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="config.yaml of each run")
    given = parser.parse_args(arguments)
    by_backbone: dict[Any, list[TrainConfig]] = {}
    for path in given.runs:
        one = config.read(path)
        if not (Path(one.out) / "result.json").exists():
            key = one.model, one.max_length, one.min_pixels, one.max_pixels
            by_backbone.setdefault(key, []).append(one)
    for runs in by_backbone.values():
        probe(runs, given.features, given.items)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CurateError as error:
        sys.exit(fail(error))

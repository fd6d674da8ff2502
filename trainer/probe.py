"""Trains heads alone, on features that were computed once: many arms in the time of one.

    python -m trainer.probe --features ROOT --items FILE... --runs RUN/config.yaml...

Each config is read as `trainer.train` reads it. Of the backbone's settings only those that change features are
used, and the head learns at `head_lr` (HEAD_LR if it is not given). Each run directory gets scores/<items>.jsonl
and, last, result.json. A probe measures what a head can read from a backbone as it is, not what training would
make of the backbone.
"""

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curate.errors import TrainError
from curate.workspace import atomic, write_json
from trainer import config, programs
from trainer.config import TrainConfig
from trainer.features import FeatureCache, PairFeatures, ReplyFeatures
from trainer.logs import say
from trainer.losses import PairColumns, loss
from trainer.model import RewardHead
from trainer.readers import MixReader
from trainer.schedule import end, factor, progress

HEAD_LR = 1e-3


def train_head(
    run_config: TrainConfig, pairs: PairFeatures, order: Tensor, weights: Tensor | None = None
) -> RewardHead:
    """Draw a head from the seed and train it on pairs in this order (rows of `pairs`), epoch after epoch.

    `weights` has the factor of each one's loss; 1 without it. The optimizer, the schedule and the limits are those
    of `trainer.train`. Raises TrainError if the loss is not finite.
    """
    torch.manual_seed(run_config.seed)
    head = RewardHead(pairs.chosen.shape[1], run_config.head).to(_device()).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.0, weight_decay=run_config.weight_decay)
    peak = HEAD_LR if run_config.head_lr is None else run_config.head_lr
    consumed = step = 0
    done = 0.0
    while done < 1:
        take = min(run_config.batch_pairs, end(run_config, len(order)) - consumed)
        at = torch.arange(consumed, consumed + take) % len(order)
        begin, consumed, step = done, consumed + take, step + 1
        done = progress(run_config, len(order), step=step, pairs=consumed, consumed=consumed)
        optimizer.param_groups[0]["lr"] = peak * factor(run_config, (begin + done) / 2)
        value = _loss(head, run_config, pairs, order[at], None if weights is None else weights[at])
        if not torch.isfinite(value):
            raise TrainError(f"step {step}", f"the loss is {value.item()}", "", "a lower head_lr may help")
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        if run_config.clip:
            torch.nn.utils.clip_grad_norm_(head.parameters(), run_config.clip)
        optimizer.step()
    return head.eval()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _loss(
    head: RewardHead, run_config: TrainConfig, pairs: PairFeatures, batch: Tensor, weights: Tensor | None
) -> Tensor:
    def column(values: Tensor) -> Tensor:
        return values[batch].to(_device())

    lengths = column(pairs.lengths)
    columns = PairColumns(
        margin=column(pairs.margin),
        chosen_length=lengths[:, 0],
        rejected_length=lengths[:, 1],
        tie=column(pairs.tie),
        weight=None if weights is None else weights.to(_device()),
    )
    return loss(head(column(pairs.chosen)), head(column(pairs.rejected)), run_config.loss, columns)


@torch.no_grad()
def write_scores(head: RewardHead, replies: ReplyFeatures, path: Path) -> None:
    """Write a score file (curate.evaluation.score_file) from an items file's features."""
    values = head(replies.features.to(_device())).tolist() if replies.names else []
    if not all(map(math.isfinite, values)):
        raise TrainError(str(path), "a score is not finite", "", "a lower head_lr may help")
    seen: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for name, value in zip(replies.names, values, strict=True):
        rows.append({"benchmark": replies.benchmark, "item": name, "candidate": seen[name], "score": value})
        seen[name] += 1
    for name, problem in replies.problems.items():
        rows.append({"benchmark": replies.benchmark, "item": name, "unscored": problem})
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def probe(runs: Sequence[TrainConfig], root: Path, items: Sequence[Path]) -> None:
    """Train a head for each run, all on one backbone, whose missing features are computed first.

    Raises TrainError for a run whose paradigm has more than a head, or that has no pair to train on.
    """
    for one in runs:
        if one.paradigm != "naive":
            found = f"paradigm {one.paradigm}"
            raise TrainError(one.out, found, "naive: a probe trains reward heads", "leave --probe out")
    cache = FeatureCache(runs[0], root)
    mixes = {one.mix: MixReader(Path(one.mix), "shard", Path(one.images) if one.images else None) for one in runs}
    for mix in mixes.values():
        cache.add_pairs(mix)
    replies = {path.stem: ReplyFeatures.load(cache.add_items(path)) for path in items}
    pairs, unusable = cache.pairs(), cache.unusable
    for number, one in enumerate(runs, 1):
        start, run, ids = time.monotonic(), Path(one.out), mixes[one.mix].pair_ids()
        used = [
            (pairs.index[name], weight)
            for name, weight in zip(ids, mixes[one.mix].weights(), strict=True)
            if name in pairs.index
        ]
        order, weights = torch.tensor([row for row, _ in used]), torch.tensor([weight for _, weight in used])
        if not len(order):
            raise TrainError(
                one.mix, "no pair of it can be used", "", f"{cache.folder / 'unusable.json'} has the reasons"
            )
        head = train_head(one, pairs, order, weights)
        for stem, features in replies.items():
            write_scores(head, features, run / "scores" / f"{stem}.jsonl")
        dropped = {"all": dict(Counter(unusable[name] for name in ids if name in unusable))}
        result = {"probe": True, "pairs": _trained(one, len(order)), "dropped": dropped}
        write_json(run / "result.json", result | {"seconds": time.monotonic() - start})
        say(f"head {number} of {len(runs)}: {run.name}")


def _trained(run_config: TrainConfig, pairs: int) -> int:
    limits = [end(run_config, pairs), run_config.max_pairs]
    if run_config.max_steps is not None:
        limits.append(run_config.max_steps * run_config.batch_pairs)
    return min(limit for limit in limits if limit is not None)


def main(arguments: Sequence[str]) -> None:
    """Train the heads of all runs that have no result yet."""
    parser = argparse.ArgumentParser(prog="python -m trainer.probe")
    parser.add_argument("--features", type=Path, required=True, help="where features are kept")
    parser.add_argument("--items", type=Path, nargs="*", default=[], help="items files to score")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="config.yaml of each run")
    options = parser.parse_args(arguments)
    by_backbone: dict[Any, list[TrainConfig]] = {}
    for path in options.runs:
        one = config.read(path)
        if not (Path(one.out) / "result.json").exists():
            key = (
                one.model,
                one.revision,
                one.bf16,
                one.max_length,
                *(getattr(one, name) for name in config.MEDIA_BOUNDS),
            )
            by_backbone.setdefault(key, []).append(one)
    for runs in by_backbone.values():
        probe(runs, options.features, options.items)


if __name__ == "__main__":
    programs.run(main)

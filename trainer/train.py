"""The training loop, from top to bottom.

    python -m trainer.train RUN/config.yaml                            one process
    torchrun --nproc-per-node 8 -m trainer.train RUN/config.yaml       one machine
    deepspeed --module trainer.train RUN/config.yaml                   or many, by a hostfile

`curate train` writes the config and starts this. The run directory gets mix.lock.json, metrics.jsonl, tb/,
checkpoints/, best/, final/ and, last of all, result.json. Started again, it continues to the same loss curve.
Ctrl-C ends it after the step at hand, with a checkpoint and exit code 130.
"""

import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curate.errors import CurateError, TrainError, WorkspaceError
from curate.workspace import read_json, write_json
from trainer import checkpoint, config
from trainer.batch import Batch
from trainer.checkpoint import State
from trainer.config import TrainConfig
from trainer.data import Batches, PairsReader, Step
from trainer.distributed import Interrupts, backward, leave, lost_peer, start, update
from trainer.encode import Encoded
from trainer.flops import step_flops
from trainer.logs import Clock, Metrics, fail, say
from trainer.losses import pair_losses
from trainer.media import Unusable
from trainer.packing import pack, pad
from trainer.schedule import draw, due, end, factor, progress
from trainer.setup import Run, set_up, sizes
from trainer.step_stats import Tally, summed
from trainer.validation import accuracy


def train(asked: TrainConfig) -> None:
    """One run to its end. Raises CurateError where it cannot go on, SystemExit(130) after Ctrl-C."""
    directory = Path(asked.out)
    if (directory / "result.json").exists():
        return say(f"already trained: {directory}; {summary(read_json(directory / 'result.json'))}")
    world = start()
    with checkpoint.hold(directory, world), Interrupts() as interrupts:
        run = set_up(asked, directory, world)
        newest = checkpoint.newest(directory)
        state = checkpoint.load(run.engine, newest, world) if newest else State()
        if world.chief:
            shutil.copyfile(run.mix.directory / "lock.json", directory / "mix.lock.json")
            say(f"{f'continuing after step {state.step}' if newest else 'starting'}: {sizes(run)}")
        with Metrics(directory, state.step, active=world.chief) as metrics:
            loop(run, state, metrics, interrupts)
            finish(run, state, metrics)
    return None


# --------------------------------------------------------------------------------------------------- the loop


def loop(run: Run, state: State, metrics: Metrics, interrupts: Interrupts) -> None:
    """Steps until the run's share of the mix is used up; after each of them everything on disk is consistent."""
    asked, world, clock = run.asked, run.world, Clock()
    batches = Batches(
        reader=run.mix, encoder=run.encoder, pairs=asked.batch_pairs, max_tokens=asked.max_tokens,
        start=state.consumed, stop=end(asked, len(run.mix)), rank=world.rank, world=world.size,
        workers=asked.workers, share=asked.share_prefix and asked.layout == "packed",
    )  # fmt: skip
    steps = iter(batches)
    while (begin := done(run, state)) < 1 and (step := next(steps, None)):
        torch.manual_seed(draw(asked.seed, state.step, world.rank))  # of dropout: none to save
        tally = accumulate(run, step)
        tally.stop = interrupts.asked
        total = summed(world.gather(tally))
        check("loss", total.loss, run, state, total.bad)
        pairs_before = state.pairs
        advance(state, step, total)
        rate = factor(asked, (begin + done(run, state)) / 2)
        norm = update(run.engine, rate)
        check("gradient norm", norm, run, state, [])
        seconds = clock.lap()
        state.seconds += seconds
        where = {"step": state.step, "pairs": state.pairs, "consumed": state.consumed}
        learning = {"lr": asked.lr * rate, "grad_norm": norm}
        metrics.step(where | learning | total.row(seconds, run.peak), done(run, state))
        if due(asked.eval_every_pairs, pairs_before, state.pairs):
            evaluate(run, state, metrics)
        if total.stop or due(asked.save_every_pairs, pairs_before, state.pairs):
            checkpoint.save(run.engine, run.directory, state, world, keep=asked.keep_checkpoints)
        if total.stop:
            say(f"stopped after step {state.step}; the same command continues")
            raise SystemExit(130)
        clock.lap()


def done(run: Run, state: State) -> float:
    """The share of the run that lies behind; 1 at its end."""
    return progress(run.asked, len(run.mix), step=state.step, pairs=state.pairs, consumed=state.consumed)


def accumulate(run: Run, step: Step) -> Tally:
    """The gradients of the mean loss over all pairs of the step, whatever the micro-batches and ranks."""
    tally, seen = Tally(lost=step.lost), []
    for number, micro in enumerate(step.micro, 1):
        batch = lay_out(run, micro).to(run.world.device)
        scores = run.engine(batch).view(-1, 2)  # chosen, rejected
        losses = weighted_losses(scores, micro, run.asked)
        backward(run.engine, losses.sum() * run.world.size / step.pairs, last=number == len(step.micro))
        seen.append((micro, losses.detach(), (scores[:, 0] - scores[:, 1]).detach()))
        tally.tokens += batch.tokens
        tally.flops += step_flops(batch, run.model.backbone, not run.asked.freeze_vision)
    for micro, losses, margins in seen:  # only now wait for the device
        tally.count(micro, losses.tolist(), margins.tolist())
    return tally


def lay_out(run: Run, micro: Sequence[Encoded]) -> Batch:
    """All replies of a micro-batch, chosen and rejected in turn: packed, or each in a row of its own."""
    trees = [tree for pair in micro for tree in pair.trees]
    if run.asked.layout == "padded":
        return pad(trees, run.model.backbone, dummy_image=run.dummy)
    return pack(trees, run.model.backbone, share=run.asked.share_prefix, dummy_image=run.dummy)


def weighted_losses(scores: Tensor, micro: Sequence[Encoded], asked: TrainConfig) -> Tensor:
    """The loss of each pair, fp32 [n]; 0 for pairs that only fill up."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=scores.device)

    losses = pair_losses(
        scores[:, 0], scores[:, 1], asked.loss,
        margin=column([pair.margin or 0.0 for pair in micro]),
        chosen_length=column([pair.chosen_length for pair in micro]),
        rejected_length=column([pair.rejected_length for pair in micro]),
        tie=column([pair.tie for pair in micro]),
    )  # fmt: skip
    return losses * column([pair.weight for pair in micro])


def check(what: str, value: float, run: Run, state: State, pairs: Sequence[str]) -> None:
    """Raise TrainError where a number is none; what is on disk is then from before."""
    if math.isfinite(value) and not pairs:
        return
    newest = checkpoint.newest(run.directory)
    there = f"checkpoint {newest.name} is kept" if newest else "there is no checkpoint yet"
    named = f" in pairs {', '.join(pairs[:4])}{f' and {len(pairs) - 4} more' if len(pairs) > 4 else ''}"
    step = state.step + (what == "loss")
    hint = "a lower lr or clip may help; curate why PAIR tells where a pair comes from"
    raise TrainError(f"step {step}", f"the {what} is {value}{named if pairs else ''}; {there}", "", hint)


def advance(state: State, step: Step, total: Tally) -> None:
    """Count the step's pairs, and those that were passed over for it."""
    state.step, state.pairs, state.consumed = state.step + 1, state.pairs + total.pairs, step.consumed
    state.tokens, state.flops = state.tokens + total.tokens, state.flops + total.flops
    for (source, reason), number in (step.dropped + total.lost).items():
        reasons = state.dropped.setdefault(source, {})
        reasons[reason] = reasons.get(reason, 0) + number


# ------------------------------------------------------------------------------------- evaluation and the end


def evaluate(run: Run, state: State, metrics: Metrics) -> None:
    """Accuracy on every set; RUN/best is the best model so far on the first of them."""
    for number, (name, reader) in enumerate(run.sets.items()):
        counts = asdict(counted := accuracy(run.engine, encoded(run, reader), run.asked.max_tokens))
        row = {"eval": name, "step": state.step, "accuracy": counted.accuracy, "rows": len(reader), **counts}
        row["sources"] = {source: asdict(c) | {"accuracy": c.accuracy} for source, c in counted.sources.items()}
        state.evals[name] = row
        metrics.evaluation(row)
        if number == 0 and counted.accuracy > state.best_accuracy:
            state.best_accuracy, state.best_step = counted.accuracy, state.step
            save_model(run, "best")


def encoded(run: Run, reader: PairsReader) -> Iterator[Encoded]:
    """This rank's share of a set; what cannot be used makes `rows` more than `pairs`."""
    for row in islice(reader.rows(), run.world.rank, None, run.world.size):
        try:
            yield run.encoder.pair(row)
        except Unusable:
            continue


def save_model(run: Run, name: str) -> None:
    """RUN/name as a model directory that can score."""
    encoder = {key: getattr(run.asked, key) for key in ("max_length", "min_pixels", "max_pixels")}
    checkpoint.save_model(run.model, run.asked.zero, run.directory / name, run.world, encoder)


def finish(run: Run, state: State, metrics: Metrics) -> None:
    """The last evaluation, checkpoint and model; then result.json, which says that the run is finished."""
    if any(row["step"] != state.step for row in state.evals.values()) or not state.evals:
        evaluate(run, state, metrics)
    save_model(run, "final")
    checkpoint.save(run.engine, run.directory, state, run.world, keep=run.asked.keep_checkpoints)
    if run.world.chief:
        mix = {key: run.mix.lock[key] for key in ("name", "fingerprint")}
        result = asdict(state) | {"mix": mix, "encoder": run.encoder.facts()}
        write_json(run.directory / "result.json", result)
        say(f"trained: {run.directory}; {summary(result)}")


def summary(result: dict[str, Any]) -> str:
    """A finished run in words."""
    dropped = sum(number for reasons in result["dropped"].values() for number in reasons.values())
    best = f"; best {result['best_accuracy']:.4f} at step {result['best_step']}" if result["best_step"] else ""
    counts = (
        f"{result['step']:,} step{'s' * (result['step'] != 1)}, {result['pairs']:,} pairs, {dropped:,} dropped"
    )
    return f"{counts}, {result['seconds']:,.0f} s{best}"


def main(arguments: Sequence[str]) -> int:
    """Train as a config file says; 1 after an error, told in one line by one process."""
    chief = os.environ.get("RANK", "0") == "0"
    path = next(
        Path(argument) for argument in arguments if not argument.startswith("--")
    )  # deepspeed adds options
    try:
        train(config.read(path))
    except CurateError as error:
        return fail(error) if chief or isinstance(error, WorkspaceError) else 1  # a disk may be one machine's
    except torch.OutOfMemoryError:
        hint = "try a smaller max_tokens, gradient_checkpointing=true or a higher zero"
        return fail(TrainError("GPU", "out of memory", "", hint))
    except BrokenPipeError:  # whoever started us is gone
        return 1
    except RuntimeError as error:
        if not lost_peer(error):
            raise
        say("this process lost the others")
        return 1
    leave()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The training loop.

    python -m trainer.train RUN/config.yaml                            one process
    torchrun --nproc-per-node 8 -m trainer.train RUN/config.yaml       one machine
    deepspeed --module trainer.train RUN/config.yaml                   or many, by a hostfile
    srun python -m trainer.train RUN/config.yaml                       a Slurm step, one task for each GPU

`curate train` writes the config and starts this module. The run directory gets mix.lock.json, metrics.jsonl, tb/,
checkpoints/, best/, final/ and, last of all, result.json. Started again, a run continues to the same loss curve.
Ctrl-C and SIGTERM end it after the current step, with a checkpoint and exit code 130 or 143.
"""

import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from curate.errors import CurateError, TrainError, WorkspaceError
from curate.workspace import read_json, write_json
from trainer import checkpoint, config
from trainer.batch import Batch
from trainer.checkpoint import State
from trainer.config import MEDIA_BOUNDS, TrainConfig
from trainer.distributed import World, backward, leave, lost_peer, start, update
from trainer.encode import Encoded
from trainer.flops import step_flops
from trainer.interrupts import Interrupts
from trainer.judging import Writer
from trainer.logs import Clock, Metrics, fail, say
from trainer.media import Unusable
from trainer.objective import outcome
from trainer.packing import pack, pad
from trainer.readers import PairsReader
from trainer.schedule import draw, due, end, factor, progress
from trainer.setup import Run, set_up, shares, sizes, slower, writer_settings
from trainer.step_stats import StepStats, sum_ranks
from trainer.steps import Step, Steps
from trainer.validation import accuracy


def train(run_config: TrainConfig) -> None:
    """Train one run to its end. Raises CurateError if it cannot continue, SystemExit after a signal."""
    directory = Path(run_config.out)
    if (directory / "result.json").exists():
        say(f"already trained: {directory}; {summary(read_json(directory / 'result.json'))}")
        return
    world = start()
    with checkpoint.hold(directory, world):
        run = set_up(run_config, directory, world)
        newest = checkpoint.newest(directory)
        state = checkpoint.load(run.engine, newest, world) if newest else State()
        if world.chief:
            shutil.copyfile(run.mix.directory / "lock.json", directory / "mix.lock.json")
            say(f"{f'continuing after step {state.step}' if newest else 'starting'}: {sizes(run)}")
            for line in slower(run):
                say(line)
        with Interrupts() as interrupts, Metrics(directory, state.step, active=world.chief) as metrics:
            if done(run, state) < 1:
                loop(run, state, metrics, interrupts)
            finish(run, state, metrics)


# --------------------------------------------------------------------------------------------------- the loop


def loop(run: Run, state: State, metrics: Metrics, interrupts: Interrupts) -> None:
    """Take steps until the run is done; after each of them everything on disk is consistent."""
    config, clock, saved = run.config, Clock(), time.monotonic()
    for step in steps_left(run, state):
        begin, pairs_before = done(run, state), state.pairs
        torch.manual_seed(draw(config.seed, state.step, run.world.rank))  # of dropout, so none has to be saved
        stats = accumulate(run, step)
        stats.stop = interrupts.received
        stats.save = run.world.chief and overdue(config.save_every_minutes, saved)
        total = sum_ranks(run.world.gather(stats))
        check_finite("loss", total.loss, run, state, total.bad)
        advance(state, step, total)
        rate = factor(config, (begin + done(run, state)) / 2)
        norm = update(run.engine, rate)
        check_finite("gradient norm", norm, run, state, [])
        seconds = clock.lap()
        state.seconds += seconds
        counts = {"step": state.step, "pairs": state.pairs, "consumed": state.consumed}
        learning = {"lr": config.lr * rate, "grad_norm": norm}
        metrics.step(counts | learning | total.row(seconds, run.peak), done(run, state))
        if due(config.eval_every_pairs, pairs_before, state.pairs):
            evaluate(run, state, metrics)
        if total.stop:
            interrupts.in_order()
        if total.stop or total.save or due(config.save_every_pairs, pairs_before, state.pairs):
            checkpoint.save(run.engine, run.directory, state, run.world, keep=config.keep_checkpoints)
            saved = time.monotonic()
        if total.stop:
            say(f"stopped after step {state.step}; the same command continues")
            raise SystemExit(128 + total.stop)
        if done(run, state) == 1:
            return
        clock.lap()


def overdue(minutes: float | None, since: float) -> bool:
    """Whether so many minutes have passed since a moment of the monotonic clock; never if None."""
    return minutes is not None and time.monotonic() - since >= 60 * minutes


def steps_left(run: Run, state: State) -> Steps:
    """Make the steps from the run's position in the mix to the end of its epochs."""
    config = run.config
    return Steps(
        reader=run.mix,
        encoder=run.encoder,
        pairs=config.batch_pairs,
        max_tokens=config.max_tokens,
        start=state.window[0],
        passed=state.window[1],
        window=config.balance_steps,
        stop=end(config, len(run.mix)),
        rank=run.world.rank,
        world=run.world.size,
        workers=config.workers,
        share=shares(config, run.model.backbone),
        lengths=run.lengths,
        lay_out=lambda micro: run.transfer.send(lay_out(run, micro)),
    )


def done(run: Run, state: State) -> float:
    """The finished share of the run; 1 at its end."""
    return progress(run.config, len(run.mix), step=state.step, pairs=state.pairs, consumed=state.consumed)


def accumulate(run: Run, step: Step) -> StepStats:
    """Compute the gradients of the mean loss over all pairs of the step, whatever the micro-batches and ranks."""
    stats, results = StepStats(unusable=step.unusable), []
    for number, micro in enumerate(step.micro, 1):
        assert micro.batch is not None, "the threads that encode lay out"
        batch = micro.batch.arrived()
        found = outcome(run, batch, micro)
        backward(run.engine, found.losses.sum() * run.world.size / step.pairs, last=number == len(step.micro))
        results.append((micro, found._replace(losses=found.losses.detach())))
        stats.tokens += batch.tokens
        stats.flops += step_flops(batch, run.model.backbone, not run.config.freeze_vision)
    for micro, found in results:  # after all of them, since this waits for the device
        stats.add(micro, found.losses.tolist(), found.margins.tolist())
        if found.critiques is not None:
            stats.add_critiques(micro, found.critiques.tolist())
    return stats


def lay_out(run: Run, micro: Sequence[Encoded]) -> Batch:
    """Lay out all replies of a micro-batch, chosen and rejected in turn: packed, or each in a row of its own."""
    trees = [tree for pair in micro for tree in pair.trees]
    if run.config.layout == "padded":
        return pad(trees, run.model.backbone, dummy_image=run.dummy)
    return pack(trees, run.model.backbone, share=run.config.share_prefix, dummy_image=run.dummy)


def check_finite(name: str, value: float, run: Run, state: State, bad_pairs: Sequence[str]) -> None:
    """Raise TrainError if a number of the step is not finite; what is on disk is from before the step."""
    if math.isfinite(value) and not bad_pairs:
        return
    newest = checkpoint.newest(run.directory)
    kept = f"checkpoint {newest.name} is kept" if newest else "there is no checkpoint yet"
    more = f" and {len(bad_pairs) - 4} more" if len(bad_pairs) > 4 else ""
    pairs = f" in pairs {', '.join(bad_pairs[:4])}{more}" if bad_pairs else ""
    step = state.step + (name == "loss")
    hint = "a lower lr or clip may help; curate why PAIR shows where a pair comes from"
    raise TrainError(f"step {step}", f"the {name} is {value}{pairs}; {kept}", "", hint)


def advance(state: State, step: Step, total: StepStats) -> None:
    """Count the step's pairs, and those that were dropped on the way."""
    state.step, state.pairs, state.consumed = state.step + 1, state.pairs + total.pairs, step.consumed
    state.window = [*step.resume]
    state.tokens, state.flops = state.tokens + total.tokens, state.flops + total.flops
    for (source, reason), number in (step.dropped + total.unusable).items():
        reasons = state.dropped.setdefault(source, {})
        reasons[reason] = reasons.get(reason, 0) + number


# ------------------------------------------------------------------------------------- evaluation and the end


def evaluate(run: Run, state: State, metrics: Metrics) -> None:
    """Measure the accuracy on every set; RUN/best is the best model so far on the first of them."""
    for number, (name, reader) in enumerate(run.sets.items()):
        counts = accuracy(run.engine, encoded(run, reader), run.config.max_tokens, run.writer)
        row = {
            "eval": name,
            "step": state.step,
            "accuracy": counts.accuracy,
            "rows": len(reader),
            **asdict(counts),
        }
        if counts.orders is not None:
            row["orders"] = counts.orders.row()
        else:
            del row["orders"]
        row["sources"] = {source: asdict(c) | {"accuracy": c.accuracy} for source, c in counts.sources.items()}
        if run.writer is not None:
            row |= text_counts(run.writer, run.world)
        state.evals[name] = row
        metrics.evaluation(row)
        if number == 0 and counts.accuracy > state.best_accuracy:
            state.best_accuracy, state.best_step = counts.accuracy, state.step
            save_run_model(run, "best")


def text_counts(writer: Writer, world: World) -> dict[str, Any]:
    """Count the texts of an evaluation on all ranks, those that reached the limit, and their mean tokens."""
    written, cut, tokens = map(int, world.total(writer.take_counts()))
    if not written:
        return {}
    return {"texts": written, "texts_cut": cut, "text_tokens": tokens / written}


def encoded(run: Run, reader: PairsReader) -> Iterator[Encoded]:
    """Encode this rank's share of a set; a pair that cannot be used is in `rows` and not in `pairs`."""
    for row in islice(reader.rows(), run.world.rank, None, run.world.size):
        try:
            yield run.encoder.pair(row) if run.writer is None else run.writer.pair(row)
        except Unusable:
            continue


def save_run_model(run: Run, name: str) -> None:
    """Publish RUN/name, a model directory that can score."""
    encoder = {key: getattr(run.config, key) for key in ("max_length", *MEDIA_BOUNDS)}
    encoder |= writer_settings(run.config, run.encoder)
    checkpoint.save_model(run.model, run.config.zero, run.directory / name, run.world, encoder)


def finish(run: Run, state: State, metrics: Metrics) -> None:
    """Make the last evaluation, checkpoint and model; then result.json, which means that the run is finished."""
    if any(row["step"] != state.step for row in state.evals.values()) or not state.evals:
        evaluate(run, state, metrics)
    save_run_model(run, "final")
    checkpoint.save(run.engine, run.directory, state, run.world, keep=run.config.keep_checkpoints)
    if run.world.chief:
        mix = {key: run.mix.lock[key] for key in ("name", "fingerprint")}
        result = asdict(state) | {"mix": mix, "encoder": run.encoder.facts()}
        write_json(run.directory / "result.json", result)
        say(f"trained: {run.directory}; {summary(result)}")


def summary(result: dict[str, Any]) -> str:
    """Describe a finished run in words."""
    dropped = sum(number for reasons in result["dropped"].values() for number in reasons.values())
    best = f"; best {result['best_accuracy']:.4f} at step {result['best_step']}" if result["best_step"] else ""
    counts = (
        f"{result['step']:,} step{'s' * (result['step'] != 1)}, {result['pairs']:,} pairs, {dropped:,} dropped"
    )
    return f"{counts}, {result['seconds']:,.0f} s{best}"


def main(arguments: Sequence[str]) -> int:
    """Train by a config file; returns 1 after an error, which one process prints in one line."""
    chief = os.environ.get("RANK", "0") == "0"
    path = next(Path(text) for text in arguments if not text.startswith("--"))  # deepspeed adds options
    try:
        train(config.read(path))
    except CurateError as error:
        if chief or isinstance(error, WorkspaceError):  # the disk of one machine alone may be full
            fail(error)
        return 1
    except torch.OutOfMemoryError:
        hint = "try a smaller max_tokens, gradient_checkpointing=true or a higher zero"
        return fail(TrainError("GPU", "out of memory", "", hint))
    except KeyboardInterrupt:  # before the first step there is nothing to save
        return 130
    except BrokenPipeError:  # the process that started this one is gone
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

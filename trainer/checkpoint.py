"""Checkpoints that are whole or not there: written under a temporary name, renamed, and `latest` changed last.

    RUN/checkpoints/step-00000020/   DeepSpeed's files, and state.json: how far the run is
    RUN/checkpoints/latest           the name of the newest whole one
    RUN/best, RUN/final              models (save_pretrained)

A kill or a full disk at any moment leaves the checkpoint that `latest` names as it was.
"""

import errno
import fcntl
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from curate.errors import TrainError, WorkspaceError
from curate.workspace import atomic, read_json, sync, write_json
from trainer.distributed import World, whole_state
from trainer.model import RewardModel

LOCK_SECONDS = 10  # how long to wait for the lock of a trainer that is ending
HALF_WRITTEN = re.compile(r"inline_container|iostream|PytorchStreamWriter|No space left|File too large")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class State:
    """How far a run is. Learning rate and random numbers are functions of it, so nothing else is saved."""

    step: int = 0
    pairs: int = 0  # trained on
    consumed: int = 0  # position in the mix, over all epochs
    window: list[int] = field(
        default_factory=lambda: [0, 0]
    )  # where steps continue: a position, and steps after it
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)  # source: reason: pairs
    tokens: int = 0
    flops: int = 0
    seconds: float = 0.0  # in steps
    best_accuracy: float = -1.0  # on the first evaluation set
    best_step: int = 0
    evals: dict[str, dict[str, Any]] = field(default_factory=dict)  # the last of each set


def save(engine: Any, run: Path, state: State, world: World, *, keep: int) -> None:
    """Publish the checkpoint of this step and remove all but the newest `keep`. Every rank must call it.

    Raises WorkspaceError if the disk is full; the previous checkpoint is kept.
    """
    folder, name = run / "checkpoints", f"step-{state.step:08}"
    temporary = folder / f".{name}.tmp"
    if world.chief:
        for stale in folder.glob(".step-*.tmp"):
            shutil.rmtree(stale)
    world.barrier()
    with _writing(folder / name, temporary):
        engine.save_checkpoint(str(folder), tag=temporary.name, save_latest=False, exclude_frozen_parameters=True)
        if world.chief:
            stage = engine.zero_optimization_stage()
            write_json(temporary / "state.json", asdict(state) | {"processes": world.size, "zero": stage})
            publish(temporary, folder / name)
            with atomic(folder / "latest") as latest:
                latest.write_text(name, encoding="utf-8")
            _prune(folder, keep)
    world.barrier()


@contextmanager
def _writing(target: Path, temporary: Path) -> Iterator[None]:
    """Report a full disk in one line, and remove what was half written."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in FULL
        if not full and not HALF_WRITTEN.search(str(error)):
            raise
        shutil.rmtree(temporary, ignore_errors=True)
        found = "no space left to write it" if full else "it could not be written (no space left?)"
        hint = "free some space and run the same command again"
        raise WorkspaceError(str(target), found, "", hint) from None


def publish(temporary: Path, target: Path) -> None:
    """Sync every file of a directory and give the directory its name; an older one of that name is replaced."""
    for path in [*temporary.rglob("*"), temporary]:
        sync(path)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    temporary.rename(target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _prune(folder: Path, keep: int) -> None:
    for path in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(path)


def newest(run: Path) -> Path | None:
    """Find the checkpoint to continue from; None if there is none yet."""
    latest = run / "checkpoints" / "latest"
    return latest.parent / latest.read_text(encoding="utf-8") if latest.exists() else None


def load(engine: Any, path: Path, world: World) -> State:
    """Restore the engine from a checkpoint. Raises TrainError if it does not fit this run or is damaged."""
    facts = read_json(path / "state.json") if path.exists() else None
    hint = f"delete {path.parent} to start over, or name an older checkpoint in {path.parent / 'latest'}"
    if facts is None:
        raise TrainError(str(path), "missing, though `latest` names it", "a checkpoint", hint)
    processes, zero = facts.pop("processes"), facts.pop("zero")
    if zero and processes != world.size:
        found = f"written by {processes} processes, and this run has {world.size}"
        raise TrainError(str(path), found, "the same number", f"--nproc {processes}")
    try:
        engine.load_checkpoint(str(path.parent), tag=path.name, load_module_strict=False)
    except (OSError, RuntimeError, EOFError) as error:
        raise TrainError(
            str(path), f"damaged ({str(error).splitlines()[0][:120]})", "a checkpoint", hint
        ) from None
    return State(**{"window": [facts["consumed"], 0], **facts})  # before there were windows


def save_model(model: RewardModel, stage: int, target: Path, world: World, encoder: Mapping[str, Any]) -> None:
    """Publish the model as a directory that `RewardModel.from_pretrained` reads. Every rank must call it."""
    state = whole_state(model, stage, world)
    temporary = target.with_name(f".{target.name}.tmp")
    if world.chief:
        with _writing(target, temporary):
            shutil.rmtree(temporary, ignore_errors=True)
            model.save_pretrained(temporary, state_dict=state, encoder=encoder)
            publish(temporary, target)
    world.barrier()


@contextmanager
def hold(run: Path, world: World) -> Iterator[None]:
    """Lock a run directory until the block ends, and undo what a killed trainer left half done in it.

    Raises WorkspaceError if another trainer has locked it.
    """
    if not world.chief:
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    with open(run / ".lock", "w", encoding="utf-8") as file:
        if not any(_try_lock(file.fileno()) for _ in range(LOCK_SECONDS)):
            hint = "wait until it ends, or give another --out"
            raise WorkspaceError(str(run), "another trainer is running in it", "", hint)
        _recover(run)
        yield


def _try_lock(handle: int) -> bool:
    """Try to take the lock; a trainer that was just stopped may need a moment to release it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(1)
        return False
    return True


def _recover(run: Path) -> None:
    """If a replacement was killed half way, give the old directory its name back."""
    for old in [*run.glob(".*.old"), *run.glob("checkpoints/.*.old")]:
        target = old.with_name(old.name[1:].removesuffix(".old"))
        if target.exists():
            shutil.rmtree(old)
        else:
            old.rename(target)

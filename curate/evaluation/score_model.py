"""From a reward model's directory to score files: items written for the scorer, and the scorer run.

<workspace>/cache/items/BENCHMARK-ID.parquet        the items with their media (curate.evalsets.itemfile)
<workspace>/scores/MODEL-ID/BENCHMARK-ID.jsonl      a score file (curate.evaluation.score_file), once it is whole

Both ids are hashes of content, so that a file that is there is the right one. The scorer, `python -m
trainer.score`, is a program of its own: nothing here knows torch, or what the files of a model mean.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from curate import trainer_process
from curate.errors import ConfigError, SkipRow
from curate.evalsets import itemfile
from curate.evalsets.base import EvalSet, Item, Options
from curate.evalsets.itemfile import Question
from curate.evaluation.items import Questions, read_items, row_files
from curate.hashing import Hashes, fingerprint, inputs
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.sources.base import MediaSource
from curate.workspace import Workspace, atomic

MODEL_FILE = "reward_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A benchmark as it is asked of a model: its questions, and the raw directory that they come from."""

    evalset: EvalSet
    options: Options
    folder: Path
    questions: Questions


def model_id(model: Path, hashes: Hashes) -> str:
    """What the files of a model's directory hash to. Raises ConfigError where it holds no reward model."""
    if not (model / MODEL_FILE).is_file():
        near = sorted(path.parent for path in model.glob(f"*/{MODEL_FILE}"))
        hint = f"did you mean {' or '.join(map(str, near))}?" if near else "curate train writes one"
        raise ConfigError(str(model), f"no {MODEL_FILE}", "the directory of a reward model", hint)
    files = [path for path in model.rglob("*") if path.is_file() and not path.name.startswith(".")]
    found = fingerprint([*((entry["path"], entry["xxh3"]) for entry in inputs(model, files, hashes))])
    hashes.save()
    return found


def items_file(asked: Asked, workspace: Workspace, hashes: Hashes) -> Path:
    """The items of a benchmark with their media, written on first use. Raises RawError for damaged archives."""
    evalset = asked.evalset
    media = [path for pattern in evalset.media for path in asked.folder.glob(pattern)]
    rows = [file.path for file in row_files(evalset, asked.folder, asked.options)]
    facts = {
        "items": itemfile.VERSION,
        "keys": list(asked.questions.keys),
        "inputs": inputs(asked.folder, [*rows, *media], hashes),
    }
    hashes.save()
    path = workspace.cache / "items" / f"{evalset.name}-{fingerprint(facts)}.parquet"
    if not path.exists():
        spec = MediaSpec(raw=asked.folder, patterns=evalset.media, match="path", cache=workspace.cache)
        with atomic(path) as temporary:
            itemfile.write(temporary, evalset.name, _with_media(asked, spec.open()))
    return path


def _with_media(asked: Asked, finder: MediaFinder) -> Iterator[Question]:
    items = (item for _, item in read_items(asked.evalset, asked.folder, asked.options) if isinstance(item, Item))
    for key, item in zip(asked.questions.keys, items, strict=True):
        try:
            yield Question(key, item.prompt, item.replies, tuple(_bytes(one, finder) for one in item.media))
        except SkipRow as skip:
            yield Question(key, item.prompt, item.replies, problem=f"{skip.reason}: {skip.detail}")


def _bytes(one: MediaSource, finder: MediaFinder) -> bytes | tuple[bytes, ...]:
    if one.data is not None:
        return one.data
    return tuple(finder.frames(one.path)) if one.kind == "video" else finder.find(one.path)


def score_files(
    model: Path, asked: Iterable[Asked], workspace: Workspace, *, max_tokens: int
) -> Mapping[str, Path]:
    """A model's score file for each benchmark; the scorer runs only for those that are not there.

    A stopped scoring continues where it was. Raises ConfigError, RawError, and TrainError where the scorer fails.
    """
    hashes = Hashes(workspace.cache)
    folder = workspace.scores / model_id(model, hashes)
    items = {one.evalset.name: items_file(one, workspace, hashes) for one in asked}
    scores = {name: folder / f"{path.stem}.jsonl" for name, path in items.items()}
    missing = [str(items[name]) for name, path in scores.items() if not path.exists()]
    if missing:
        trainer_process.run_module(
            "trainer.score", [str(model), *missing, "--out", str(folder), "--max-tokens", str(max_tokens)]
        )
    return scores

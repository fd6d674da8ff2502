"""Scores a reward model's directory on eval sets: writes their items for the scorer, and runs the scorer.

<workspace>/cache/items/EVALSET-ID.parquet        the items with their media (curate.evalsets.itemfile)
<workspace>/scores/MODEL-ID/EVALSET-ID.jsonl      a score file (curate.evaluation.score_file), once it is whole
                   MODEL-ID-given, MODEL-ID-5     the same after given critiques, or by five samples

Both ids are hashes of content, so that a file that is there is the right one. The scorer, `python -m
trainer.score`, is a program of its own: nothing here knows torch, or what the files of a model mean.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from curate import trainer_process
from curate.checksums import published, usable
from curate.errors import ConfigError, SkipRow
from curate.evalsets import itemfile
from curate.evalsets.base import Item
from curate.evalsets.itemfile import Question
from curate.evaluation.items import LoadedEvalSet, files_of, media_bytes, media_finder, read_items
from curate.hashing import Hashes, fingerprint, input_facts
from curate.hub.receipts import upstream
from curate.rawfiles.media_finder import MediaFinder
from curate.workspace import Workspace

MODEL_FILE = "reward_config.json"


def model_id(model: Path, hashes: Hashes) -> str:
    """What the files of a model's directory hash to. Raises ConfigError where it holds no reward model."""
    if not (model / MODEL_FILE).is_file():
        near = sorted(path.parent for path in model.glob(f"*/{MODEL_FILE}"))
        hint = f"did you mean {' or '.join(map(str, near))}?" if near else "curate train writes one"
        raise ConfigError(str(model), f"no {MODEL_FILE}", "the directory of a reward model", hint)
    files = [path for path in model.rglob("*") if path.is_file() and not path.name.startswith(".")]
    found = fingerprint([*((entry["path"], entry["xxh3"]) for entry in input_facts(model, files, hashes))])
    hashes.save()
    return found


def items_file(loaded: LoadedEvalSet, workspace: Workspace, hashes: Hashes) -> Path:
    """The items of an eval set with their media, written on first use. Raises RawError for damaged archives."""
    files = files_of(loaded.evalset, loaded.folder, [loaded.options])
    there = upstream(workspace, loaded.evalset.name, loaded.folder)
    facts = {
        "items": itemfile.VERSION,
        "keys": list(loaded.items.keys),
        "inputs": input_facts(loaded.folder, files, hashes, there),
    }
    hashes.save()
    path = workspace.cache / "items" / f"{loaded.evalset.name}-{fingerprint(facts)}.parquet"
    if not usable(path):
        finder = media_finder(loaded.evalset, loaded.folder, workspace.cache)
        with published(path) as temporary:
            itemfile.write(temporary, loaded.evalset.name, _with_media(loaded, finder))
    return path


def _with_media(loaded: LoadedEvalSet, finder: MediaFinder) -> Iterator[Question]:
    rows = read_items(loaded.evalset, loaded.folder, loaded.options)
    wanted = {*loaded.items.numbers}
    items = (item for number, item in rows if isinstance(item, Item) and number in wanted)
    for key, item in zip(loaded.items.keys, items, strict=True):
        try:
            media = tuple(media_bytes(one, finder) for one in item.media)
            yield Question(key, item.prompt, item.replies, media, critiques=item.critiques)
        except SkipRow as skip:
            yield Question(key, item.prompt, item.replies, problem=f"{skip.reason}: {skip.detail}")


class Writing(NamedTuple):
    """How a model writes critiques or verdicts, where not as its directory says; `given` takes the items' own."""

    samples: int | None = None
    given: bool = False

    @property
    def arguments(self) -> list[str]:
        """What the scorer gets."""
        samples = [] if self.samples is None else ["--samples", str(self.samples)]
        return [*samples, *(["--given-critiques"] if self.given else [])]

    @property
    def suffix(self) -> str:
        """What the name of the scores' folder ends with."""
        return "-given" if self.given else "" if self.samples is None else f"-{self.samples}"


AS_SAVED = Writing()


def score_files(
    model: Path,
    evalsets: Iterable[LoadedEvalSet],
    workspace: Workspace,
    *,
    max_tokens: int,
    writing: Writing = AS_SAVED,
) -> Mapping[str, Path]:
    """A model's score file for each eval set; the scorer runs only for those that are not there.

    A stopped scoring is continued. Raises ConfigError, RawError, and TrainError if the scorer fails.
    """
    hashes = Hashes(workspace.cache)
    items = {one.evalset.name: items_file(one, workspace, hashes) for one in evalsets}
    return score_items(model, items, workspace, hashes, max_tokens=max_tokens, writing=writing)


def score_items(
    model: Path,
    items: Mapping[str, Path],
    workspace: Workspace,
    hashes: Hashes,
    *,
    max_tokens: int,
    writing: Writing = AS_SAVED,
) -> Mapping[str, Path]:
    """A model's score file for each items file, as `score_files` makes it."""
    folder = workspace.scores / f"{model_id(model, hashes)}{writing.suffix}"
    scores = {name: folder / f"{path.stem}.jsonl" for name, path in items.items()}
    missing = [str(items[name]) for name, path in scores.items() if not usable(path, unknown=True)]
    if missing:
        where = [str(model), *missing, "--out", str(folder)]
        options = ["--max-tokens", str(max_tokens), *writing.arguments]
        trainer_process.run_module("trainer.score", [*where, *options])
    return scores

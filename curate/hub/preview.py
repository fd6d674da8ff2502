"""The first rows of a dataset on the Hub, read without a download by `datasets`; the only module that imports it.

It knows what we would have to rebuild: which configs and splits a repository has, by its card or by the names of
its files, and how to read the head of each format over ranges. It takes a second to import, so that happens inside
the function. It runs no code of a repository: only the formats below are read, all of them data.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from curate.config import did_you_mean
from curate.errors import HubError
from curate.hub import client
from curate.hub.retry import RetryPolicy, TransientError, retried

FORMATS = ("arrow", "csv", "json", "parquet")  # those that curate.rawfiles reads too; json is JSONL as well
BUILDERS = "datasets.packaged_modules."


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The first `rows` of one split of one config, media as stored: {bytes, path}.

    `files` are the paths of the split's files in the repository at `commit`; `features` describe the columns as
    `datasets.Features.to_dict` does. `configs` and `splits` are what else there is to choose from.
    """

    repo: str
    commit: str
    format: str
    config: str
    configs: tuple[str, ...]
    split: str
    splits: tuple[str, ...]
    files: tuple[str, ...]
    features: dict[str, Any]
    rows: tuple[dict[str, Any], ...]


def preview(
    repo: str,
    policy: RetryPolicy,
    *,
    revision: str = "main",
    config: str | None = None,
    split: str | None = None,
    rows: int = 5,
) -> Preview:
    """The first rows of a dataset at a branch, tag or commit.

    Without a config it is `default`, or else the first; without a split it is `train`, or else the first. Raises
    HubError, also for a config, a split or a format that is not there to be read.
    """
    snapshot = client.resolve(repo, revision, policy)
    _check_addresses(repo, snapshot.card.get("configs"))
    read = partial(_read, repo, snapshot.commit, config, split, rows)
    return retried(policy, f"{repo}@{snapshot.commit[:10]}", read)


def _check_addresses(repo: str, value: object) -> None:
    """Raise HubError where the card names files elsewhere: `datasets` would fetch them from any host."""
    if isinstance(value, str) and "://" in value:
        raise HubError(repo, f"its card names a file elsewhere: {value[:100]}", "files of the repository")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_addresses(repo, part)


def _read(repo: str, commit: str, config: str | None, split: str | None, rows: int) -> Preview:
    """The first rows at a commit. Raises HubError, TransientError."""
    with _translated(repo):
        import datasets

        _quiet(datasets)
        configs = tuple(datasets.get_dataset_config_names(repo, revision=commit))
        chosen = _chosen("config", repo, config, configs, "default")
        builder = datasets.load_dataset_builder(repo, chosen, revision=commit)
        files = {str(name): tuple(map(str, paths)) for name, paths in (builder.config.data_files or {}).items()}
        part = _chosen("split", repo, split, tuple(files), "train")
        found = _format(repo, builder)
        stream = builder.as_streaming_dataset(part)
        if stream.features is not None:  # formats without a schema have no media to decode
            stream = stream.decode(False)
        first = tuple(islice(stream, rows))
        return Preview(
            repo=repo, commit=commit, format=found,
            config=chosen, configs=configs, split=part, splits=tuple(files),
            files=tuple(path.removeprefix(f"hf://datasets/{repo}@{commit}/") for path in files[part]),
            features=(stream.features or datasets.Dataset.from_list(list(first)).features).to_dict(), rows=first,
        )  # fmt: skip


def _quiet(datasets: Any) -> None:
    """No bars and warnings on our terminal, and no minutes of retries: the Hub has answered `client.resolve`."""
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.config.STREAMING_READ_MAX_RETRIES = 2
    datasets.config.STREAMING_READ_RETRY_INTERVAL = 1


def _chosen(what: str, repo: str, name: str | None, there: tuple[str, ...], usual: str) -> str:
    if name is None and there:
        return usual if usual in there else there[0]
    if name in there:
        return str(name)
    hint = did_you_mean(str(name), there, "") if there else "its files have no format that `datasets` knows"
    listed = f"one of {', '.join(there)}" if there else "one"
    raise HubError(repo, f"no {what} {name}" if name else f"no {what}", listed, hint)


def _format(repo: str, builder: Any) -> str:
    """The format of the builder's files. Raises HubError where it is not one that we read."""
    module = type(builder).__module__
    name = module.removeprefix(BUILDERS).split(".")[0] if module.startswith(BUILDERS) else module
    if name not in FORMATS:
        raise HubError(repo, f"its files are in the format {name}", " or ".join(FORMATS))
    return name


@contextmanager
def _translated(repo: str) -> Iterator[None]:
    """The errors of `datasets` as a HubError with the first words of theirs."""
    try:
        yield
    except (HubError, TransientError):
        raise
    except Exception as error:  # a dozen libraries read files of strangers here, and none says what it raises
        for cause in _causes(error):
            if isinstance(cause, HubError | TransientError):
                raise cause from None
        words = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
        raise HubError(repo, f"its first rows cannot be read: {words}", "", f"see {client.page(repo)}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors during which this one was raised."""
    seen = set()
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        error = cause

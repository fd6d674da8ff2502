"""Token counts of prompts and replies, for the steps that take a tokenizer."""

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import polars as pl
import xxhash

from curate.errors import ConfigError

PLACE = {"place": True}
"""Metadata of a field that holds a path: no part of a step's identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of each text without special tokens or chat template, and how many the replies share at their start.

    `digest` identifies the tokenizer by content; its path does not matter.
    """

    version: ClassVar[int] = 1
    columns: ClassVar[dict[str, Any]] = {
        "prompt_tokens": pl.UInt32,
        "chosen_tokens": pl.UInt32,
        "rejected_tokens": pl.UInt32,
        "shared_tokens": pl.UInt32,
    }
    digest: str
    path: Path = field(metadata=PLACE)

    def score(self, view: pl.DataFrame) -> pl.DataFrame:
        """The `columns`, one row per row of the view."""
        prompt = _encode(self.path, self.digest, view["prompt_text"])
        chosen = _encode(self.path, self.digest, view["chosen_text"])
        rejected = _encode(self.path, self.digest, view["rejected_text"])
        values = {
            "prompt_tokens": map(len, prompt),
            "chosen_tokens": map(len, chosen),
            "rejected_tokens": map(len, rejected),
            "shared_tokens": map(_shared, chosen, rejected),
        }
        return pl.DataFrame({name: pl.Series(list(v), dtype=self.columns[name]) for name, v in values.items()})


def token_counts(tokenizer: str) -> TokenCounts:
    """The scorer for a tokenizer.json, a directory that has one, or a model name in the local Hub cache.

    Raises ConfigError where there is none on this machine, or where it is not a tokenizer.
    """
    path = _locate(tokenizer)
    raw = path.read_bytes()
    try:
        fine = "model" in orjson.loads(raw)
    except (orjson.JSONDecodeError, TypeError):
        fine = False
    if not fine:
        raise ConfigError("tokenizer", f"{path} is not a tokenizer", "a tokenizer.json as `tokenizers` saves it")
    return TokenCounts(digest=xxhash.xxh3_128_hexdigest(raw), path=path)


def _locate(tokenizer: str) -> Path:
    given = Path(tokenizer).expanduser()
    for path in (given, given / "tokenizer.json", *_cached(tokenizer)):
        if path.is_file():
            return path.resolve()
    on_hub = not given.exists() and re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", tokenizer)
    hint = f"hf download {tokenizer} tokenizer.json" if on_hub else "give the path of a tokenizer.json"
    found = f"no tokenizer {tokenizer!r} on this machine"
    raise ConfigError("tokenizer", found, "a tokenizer.json, its directory, or a downloaded model", hint)


def _cached(name: str) -> Iterable[Path]:
    """Where the Hub cache would hold the tokenizer of that model; nothing is downloaded."""
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    model = Path(os.environ.get("HF_HUB_CACHE", cache / "hub")) / f"models--{name.replace('/', '--')}"
    main = model / "refs" / "main"
    return [model / "snapshots" / main.read_text().strip() / "tokenizer.json"] if main.is_file() else []


@functools.lru_cache(maxsize=2)
def _load(path: Path, digest: str) -> Any:
    """The tokenizer, once per process. Raises ConfigError if the file has changed since its hash was taken."""
    import tokenizers  # most recipes count characters

    raw = path.read_bytes()
    if xxhash.xxh3_128_hexdigest(raw) != digest:
        raise ConfigError(
            str(path), "changed while it was in use", "the same tokenizer", "run the same command again"
        )
    tokenizer = tokenizers.Tokenizer.from_buffer(raw)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _encode(path: Path, digest: str, texts: pl.Series) -> list["np.ndarray[Any, np.dtype[np.int64]]"]:
    encoded = _load(path, digest).encode_batch_fast(texts.to_list(), add_special_tokens=False)
    return [np.asarray(one.ids, np.int64) for one in encoded]


def _shared(left: "np.ndarray[Any, Any]", right: "np.ndarray[Any, Any]") -> int:
    """How many tokens the two have in common at their start."""
    least = min(len(left), len(right))
    differ = np.flatnonzero(left[:least] != right[:least])
    return int(differ[0]) if len(differ) else least

"""What is known of a model: its own facts, and those of the run and the mix that it is from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from curate.cards.model_card import Form, model_card
from curate.errors import ConfigError
from curate.lock_file import read_lock
from curate.workspace import atomic

MODEL_FILE, MIX_LOCK, RESULT = "reward_config.json", "mix.lock.json", "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The facts of a model's card; those that are None are not known."""

    name: str
    reward: dict[str, Any]
    lock: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    evals: dict[str, Any] | None = None


def read(model: Path, results: Path | None) -> ModelFacts:
    """Read what is beside a model. Raises ConfigError where there is no model, or `results` are something else."""
    if not (model / MODEL_FILE).is_file():
        raise ConfigError(
            str(model), f"no {MODEL_FILE}", "the directory of a reward model", "a run's best/ or final/"
        )
    run = model.absolute().parent
    lock = read_lock(run / MIX_LOCK) if (run / MIX_LOCK).is_file() else None
    result = _json(run / RESULT, "of curate train") if (run / RESULT).is_file() else None
    reward = _json(model / MODEL_FILE, "of a reward model")
    return ModelFacts(name=run.name, reward=reward, lock=lock, result=result, evals=_evals(results, model))


def write_card(facts: ModelFacts, directory: Path) -> None:
    """Write the card into a directory, for the form that the model has there."""
    text = model_card(facts.name, facts.reward, facts.lock, facts.result, facts.evals, form(directory))
    with atomic(directory / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def form(directory: Path) -> Form:
    """How the model in a directory is loaded: by its own files, else by what config.json says of its head."""
    if (directory / MODEL_FILE).exists():
        return "curate"
    config = _json(directory / "config.json", "of a checkpoint")
    return "vllm" if "curate_head" in config else "transformers"


def _evals(results: Path | None, model: Path) -> dict[str, Any] | None:
    if results is None:
        return None
    found = _json(results, "that `curate evaluate --json` printed")
    lines = found.get("results")
    own = [one for one in lines if _same(one, model)] if isinstance(lines, list) else []
    if not own:
        hint = f"curate evaluate --model {model} -e EVAL_SET --json > {results}"
        raise ConfigError(str(results), f"no results of {model}", "what `curate evaluate --json` printed", hint)
    return {**found, "results": own}


def _same(result: Any, model: Path) -> bool:
    named = result.get("model") if isinstance(result, dict) else None
    return isinstance(named, str) and Path(named).absolute() == model.absolute()


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read ({error})", f"the JSON {what}") from None
    if not isinstance(found, dict):
        raise ConfigError(str(path), "not an object", f"the JSON {what}")
    return found

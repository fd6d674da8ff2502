"""The encoder of a saved model, and what writes its critiques or verdicts, as its directory says or otherwise."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import TrainError
from trainer import critic, generative
from trainer.config import CriticConfig, GenerativeConfig
from trainer.critic import Critic, CriticEncoder
from trainer.encode import Encoder
from trainer.generative import Judge, JudgeEncoder
from trainer.judging import Writer, check_writes
from trainer.model import RewardModel


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterOptions:
    """How texts are written, where not as the model's directory says: `samples` of each, by `seed`.

    `given` scores after the given critiques of the items.
    """

    samples: int | None = None
    given: bool = False
    seed: int = 0


AS_SAVED = WriterOptions()


class Readers(NamedTuple):
    """An encoder, what writes texts over it, and what these depend on besides the model's files."""

    encoder: Encoder
    writer: Writer | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    """A model and its directory: what reward_config.json has of its encoder, and how its texts are written.

    Dialogues have at most `positions` tokens and media at most `bounds`; a forward pass has `max_tokens`.
    """

    model: RewardModel
    directory: Path
    facts: dict[str, Any]
    bounds: dict[str, Any]
    options: WriterOptions
    max_tokens: int

    @property
    def positions(self) -> int:
        """The number of positions that the backbone has."""
        base: Any = self.model.base
        positions: int = base.config.get_text_config().max_position_embeddings
        return positions

    def room(self, limit: int, name: str) -> int:
        """How many positions a text of at most `limit` tokens leaves. Raises TrainError without any."""
        if self.positions <= limit:
            what = "a critique" if name == "max_critique" else "a verdict"
            hint = f"lower {name} in reward_config.json"
            found = f"{self.positions} positions"
            raise TrainError(str(self.directory), found, f"more than the {limit} of {what}", hint)
        return self.positions - limit


def readers_of(
    model: RewardModel,
    directory: Path,
    facts: dict[str, Any],
    bounds: dict[str, Any],
    options: WriterOptions,
    max_tokens: int,
) -> Readers:
    """Make the readers of a model whose reward_config.json has these `facts` of its encoder.

    Dialogues are bounded by the backbone's number of positions. Raises TrainError for options that the model's
    paradigm has not, and for a backbone that writes no text.
    """
    saved = _Saved(
        model=model, directory=directory, facts=facts, bounds=bounds, options=options, max_tokens=max_tokens
    )
    _check(directory, model, options)
    if model.paradigm == "naive":
        return Readers(Encoder(directory, max_length=saved.positions, **bounds), None, {})
    return _of_critic(saved) if model.paradigm == "critic" else _of_judge(saved)


def _check(directory: Path, model: RewardModel, options: WriterOptions) -> None:
    if options.given and model.paradigm != "critic":
        raise TrainError(str(directory), f"a {model.paradigm} model, which reads no critiques", "a critic")
    if options.samples is not None and options.samples < 1:
        raise TrainError("--samples", f"found {options.samples}", "at least 1")
    if options.samples is not None and model.paradigm == "naive":
        expected = "a critic or a reasoned judge to sample"
        raise TrainError(str(directory), "a naive model, which writes nothing", expected)


def _of_critic(saved: _Saved) -> Readers:
    directory, options = saved.directory, saved.options
    instruction, config = critic.saved_settings(directory, saved.facts)
    if options.given:
        given = CriticEncoder(directory, instruction=instruction, max_length=saved.positions, **saved.bounds)
        return Readers(given, None, {"critiques": "given"})
    check_writes(saved.model.backbone, str(directory))
    config = replace(config, critiques=options.samples or config.critiques)
    longest = saved.room(config.max_critique, "max_critique")
    encoder = CriticEncoder(directory, instruction=instruction, max_length=longest, **saved.bounds)
    written = {"max_critique": config.max_critique, "samples": config.critiques}
    writer = Critic(encoder, config, seed=options.seed)
    return Readers(encoder, writer, written | _drawn(config.critiques, config, options))


def _of_judge(saved: _Saved) -> Readers:
    directory, options = saved.directory, saved.options
    prompt, config = generative.saved_settings(directory, saved.facts)
    reasoned = config.form == "reasoned"
    if options.samples is not None and not reasoned:
        found = "a judge whose verdict is read from probabilities"
        raise TrainError(str(directory), found, "a critic or a reasoned judge")
    if reasoned:
        check_writes(saved.model.backbone, str(directory))
    config = replace(config, samples=options.samples or config.samples)
    longest = saved.room(config.max_text, "max_text") if reasoned else saved.positions
    encoder = JudgeEncoder(directory, prompt=prompt, reasoned=reasoned, max_length=longest, **saved.bounds)
    written = {"max_text": config.max_text, "samples": config.samples} if reasoned else {}
    writer = Judge(encoder, config, seed=options.seed, max_tokens=saved.max_tokens)
    return Readers(encoder, writer, written | _drawn(config.samples, config, options))


def _drawn(samples: int, config: CriticConfig | GenerativeConfig, options: WriterOptions) -> dict[str, Any]:
    """What several samples depend on."""
    return {"temperature": config.temperature, "seed": options.seed} if samples > 1 else {}

"""What scores replies, by its name: a reward model's directory, the file of an ensemble, or a server's URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from curate.errors import TrainError
from curate.evaluation import ensembles
from curate.evaluation.ensembles import Ensemble, Kind, Member
from curate.schema import Message
from trainer.dialogues import Media, Scored
from trainer.encode import Encoder
from trainer.remote import Remote
from trainer.score import Scorer


class Scores(Protocol):
    """Scores replies."""

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media] | None = None) -> list[Scored]:
        """Score the last message of each dialogue; `media` holds those of each."""
        ...


def open_scorer(name: str | Path, max_tokens: int = 8192, token: str | None = None) -> Scores:
    """Load what scores; `token` is a server's. Raises TrainError or ConfigError where it cannot be used."""
    if str(name).startswith(("http://", "https://")):
        return Remote(str(name), token)
    return load(Path(name), max_tokens)


def load(path: Path, max_tokens: int) -> "Scorer | EnsembleScorer":
    """Load a reward model or an ensemble of them. Raises TrainError or ConfigError where it is neither."""
    if not ensembles.is_ensemble(path):
        return Scorer.load(path, max_tokens)
    ensemble = ensembles.read(path)
    for member in (one for route in ensemble.each.values() for one in route):
        if member.model is None:
            found = f"a score file as a member, {member.scores}"
            raise TrainError(str(path), found, "models: a file has no scores of new replies")
    return EnsembleScorer(ensemble, {one: Scorer.load(one, max_tokens) for one in ensemble.paths})


def encoders(scorer: "Scorer | EnsembleScorer") -> list[Encoder]:
    """The encoders of a model or of an ensemble's members."""
    members = scorer.members.values() if isinstance(scorer, EnsembleScorer) else (scorer,)
    return [member.encoder for member in members]


@dataclass(frozen=True, slots=True)
class EnsembleScorer:
    """The members of an ensemble, loaded, by path."""

    ensemble: Ensemble
    members: Mapping[Path, Scorer]

    def score(self, dialogues: Sequence[Sequence[Message]], media: Sequence[Media] | None = None) -> list[Scored]:
        """Score as `Scorer.score` does: the weighted mean of the members of each dialogue's route."""
        attached = [()] * len(dialogues) if media is None else media
        routes = [self.ensemble.route_of(kind_of(messages)) for messages in dialogues]
        found = [Scored(None, "no_route: the ensemble has no members for its kind")] * len(dialogues)
        for name, members in self.ensemble.each.items():
            places = [place for place, route in enumerate(routes) if route == name]
            columns = self._columns(members, [dialogues[i] for i in places], [attached[i] for i in places])
            for place, column in zip(places, zip(*columns, strict=True), strict=True):
                found[place] = _combined(members, column)
        return found

    def _columns(
        self, members: Sequence[Member], dialogues: Sequence[Sequence[Message]], media: Sequence[Media]
    ) -> list[list[Scored]]:
        return [self.members[member.path].score(dialogues, media) for member in members]


def _combined(members: Sequence[Member], column: Sequence[Scored]) -> Scored:
    scores = [one.score for one in column if one.score is not None]
    if len(scores) < len(column):
        return Scored(None, next(one.problem for one in column if one.score is None))
    [score] = ensembles.combined(members, [[score] for score in scores])
    return Scored(score)


def kind_of(messages: Sequence[Message]) -> Kind:
    """The kind of a dialogue, by its media."""
    blocks = {block.type for message in messages for block in message.content}
    return "video" if "video" in blocks else "image" if "image" in blocks else "text"

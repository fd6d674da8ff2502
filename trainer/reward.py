"""Rewards for reinforcement learning, as paper 5.3 has them: by a rule, by a reward model, or by both.

from trainer.reward import CurateReward
GRPOTrainer(..., reward_funcs=CurateReward("runs/mine/best", match="math"))     # TRL
orms["mine"] = lambda args=None: CurateReward("http://127.0.0.1:8000")          # ms-swift, a plugin
compute_score = CurateReward("http://127.0.0.1:8000", match="math").compute_score  # verl, a file of its own
reward_func = CurateReward("runs/mine/best").reward_func                        # OpenRLHF, a file of its own

reward    given                its value
rule      match                1 if the reply gives the answer, else 0
rm        a model              the score
hybrid    a model and match    1 if the reply gives the answer, else the sigmoid of the score, below 1
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from curate.errors import ConfigError, TrainError
from trainer import answers
from trainer.answers import Match
from trainer.rollouts import Rollout, rollouts, text_of
from trainer.scorers import open_scorer
from trainer.turns import without_end

BELOW_ONE = 1 - 2**-24  # the largest fp32 below 1: a wrong answer never earns what a right one does


class CurateReward:
    """A reward function. `__call__` is what TRL and ms-swift call; other methods are for verl and OpenRLHF.

    model       directory of a reward model, file of an ensemble, or URL of `curate serve`; None for a rule alone
    match       how answers are compared: "math", "exact", or a function of the right answer and the reply
    answer      the column with right answers
    truncated   the reward of a completion that was cut off; None: it is scored as it is
    eos_token_id  what a whole completion ends with, by which TRL's cut ones are known
    unscorable  the share of completions without a reward above which a call raises
    token       what the server asks for

    A completion has no reward (None: TRL leaves it out) if its reply cannot be scored (too long, an image that
    cannot be read), or by a rule alone if its row has no answer. A hybrid without an answer is the sigmoid. A
    generative judge compares the completions of each prompt with one another, every two in both orders, as
    R1-Reward's baseline does: there a group with a reply that cannot be judged has no rewards.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        match: Match | None = None,
        answer: str = "answer",
        truncated: float | None = None,
        *,
        eos_token_id: int | Collection[int] | None = None,
        unscorable: float = 0.5,
        token: str | None = None,
        max_tokens: int = 8192,
    ) -> None:
        if model is None and match is None:
            raise ConfigError("CurateReward", "neither model nor match", "a reward model, a rule, or both")
        if match is not None and match not in ("math", "exact") and not callable(match):
            raise ConfigError("CurateReward", f"match={match!r}", "'math', 'exact', or a function")
        if not 0 <= unscorable < 1:
            raise ConfigError("CurateReward", f"unscorable={unscorable}", "a share of at least 0 and below 1")
        self.match, self.answer, self.truncated, self.unscorable = match, answer, truncated, unscorable
        self._ends = {eos_token_id} if isinstance(eos_token_id, int) else set(eos_token_id or ())
        kind = "rm" if match is None else "rule" if model is None else "hybrid"
        self.__name__ = f"curate_{kind}"  # in TRL's logs
        self._scorer = None if model is None else open_scorer(model, max_tokens, token)

    def __call__(
        self, completions: Sequence[Any], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """Compute the reward of each completion; columns are lists beside them.

        Raises TrainError if more than the share `unscorable` has none, and ConfigError for missing columns.
        """
        cut = self._cut(completions, columns)
        right = self._right(completions, columns)
        rewards: list[float | None] = [None] * len(completions)
        for i in range(len(completions)):
            if cut[i]:
                rewards[i] = self.truncated
            elif self.match is not None and (right[i] or self._scorer is None):
                rewards[i] = None if right[i] is None else float(bool(right[i]))
        problems = self._score(rewards, cut, self._rows(completions, prompts, columns))
        self._report(rewards, right, problems, columns.get("log_metric"))
        return rewards

    def _score(self, rewards: list[float | None], cut: Sequence[bool], rows: Sequence[Rollout]) -> dict[int, str]:
        """Fill in the rewards that are scores; returns why there are none, by place."""
        places = [i for i in range(len(rows)) if rewards[i] is None and not cut[i]]
        if self._scorer is None or not places:
            return {}
        scored = self._scorer.score([rows[i].messages for i in places], [rows[i].images for i in places])
        for place, one in zip(places, scored, strict=True):
            if one.score is not None:
                rewards[place] = one.score if self.match is None else _below_one(one.score)
        return {place: one.problem for place, one in zip(places, scored, strict=True) if one.problem is not None}

    def _rows(self, completions: Sequence[Any], prompts: Any, columns: Mapping[str, Any]) -> list[Rollout]:
        return rollouts(completions, {**columns, "prompts": prompts}) if self._scorer is not None else []

    def _right(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[bool | None]:
        """Whether each completion gives its answer; None where there is no answer, or no rule."""
        if self.match is None:
            return [None] * len(completions)
        given = columns.get(self.answer)
        if given is None:
            found = f"columns {', '.join(sorted(columns)) or 'none'}"
            raise ConfigError(
                "CurateReward", found, f"one of answers, {self.answer!r}", "CurateReward(answer=...)"
            )
        known = [i for i, answer in enumerate(given) if answer is not None]
        texts = [text_of(completions[i]) for i in known]
        found_right = dict(
            zip(known, answers.right([str(given[i]) for i in known], texts, self.match), strict=True)
        )
        return [found_right.get(i) for i in range(len(completions))]

    def _cut(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> list[bool]:
        """Which completions were cut off, if that matters."""
        if self.truncated is None:
            return [False] * len(completions)
        if columns.get("is_truncated") is not None:
            return [bool(one) for one in columns["is_truncated"]]
        ids = columns.get("completion_ids")
        if ids is None or not self._ends:
            found = "no is_truncated, and no eos_token_id to look for in completion_ids"
            hint = "CurateReward(..., eos_token_id=tokenizer.eos_token_id)"
            raise ConfigError("CurateReward", f"truncated={self.truncated}: {found}", "one of them", hint)
        return [not len(one) or int(one[-1]) not in self._ends for one in ids]

    def _report(
        self,
        rewards: Sequence[float | None],
        right: Sequence[bool | None],
        problems: Mapping[int, str],
        log_metric: Any,
    ) -> None:
        """Log shares where the trainer takes them. Raises TrainError for too many completions without a reward."""
        if not rewards:
            return
        missing = sum(reward is None for reward in rewards) / len(rewards)
        if log_metric is not None:
            log_metric(f"{self.__name__}/unscorable", missing)
            if self.match is not None:
                log_metric(f"{self.__name__}/right", sum(map(bool, right)) / len(right))
        if missing > self.unscorable:
            reasons = sorted(set(problems.values())) or [f"no answer in column {self.answer!r}"]
            found = f"{missing:.0%} of {len(rewards)} completions have no reward: {reasons[0]}"
            raise TrainError(
                "CurateReward", found, f"at most {self.unscorable:.0%}", "CurateReward(unscorable=...)"
            )

    def compute_score(
        self,
        data_source: str,  # noqa: ARG002 - verl's signature
        solution_str: str,
        ground_truth: str | None,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> float:
        """Compute the reward of one reply, as verl's custom reward function. Raises TrainError if it has none.

        A model needs the prompt, which verl does not pass: as `prompt` in the data's `extra_info`.
        """
        prompt = (extra_info or {}).get("prompt")
        if prompt is None and self._scorer is not None:
            raise ConfigError(
                "compute_score", "no prompt in extra_info", "a text or messages for the reward model"
            )
        return self._one(solution_str, "" if prompt is None else prompt, ground_truth)

    def reward_func(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str | None], **_: Any
    ) -> dict[str, Any]:
        """Compute rewards as OpenRLHF's function of rendered strings; `query` is the prompt and the reply.

        Raises TrainError for a reply without a reward, and for a query that does not begin with its prompt.
        """
        values = [
            self._one(_reply(query, prompt), prompt, label)
            for query, prompt, label in zip(queries, prompts, labels, strict=True)
        ]
        rewards = torch.tensor(values)
        return {"rewards": rewards, "scores": rewards, "extra_logs": {}}

    def _one(self, reply: str, prompt: Any, answer: str | None) -> float:
        [reward] = self([reply], [prompt], **{self.answer: [answer]})
        if reward is None:
            raise TrainError("CurateReward", "a reply without a reward", "one for each")
        return reward


def _below_one(score: float) -> float:
    """The sigmoid in fp32, and below 1 for the largest score too."""
    return min(float(torch.sigmoid(torch.tensor(score, dtype=torch.float32))), BELOW_ONE)


def _reply(query: str, prompt: str) -> str:
    """What follows the prompt. Raises TrainError if the query does not begin with it."""
    if not query.startswith(prompt):
        raise TrainError(
            "reward_func", f"a query that begins with {query[:40]!r}", "one that begins with its prompt"
        )
    return without_end(query.removeprefix(prompt))

"""Row steps on one pair."""

from typing import Any

from curate.steps import build, is_row_step
from curate.steps.view import READS, TEXTS, make_view
from tests.support.pairs import table


def why(name: str, value: Any = None, /, **pair: Any) -> str | None:
    """The reason that the step gives for one pair; null keeps it."""
    step = build(name, value, "$")
    assert is_row_step(step)
    (batch,) = table([pair]).to_batches()
    frame = make_view(batch, READS)
    if scorer := step.scorer():
        frame = frame.hstack(scorer.score(frame.select(TEXTS)))
    return frame.select(step.reason().alias("reason")).item()

"""What a run says while it works."""

import re

import pytest

from trainer import logs
from trainer.logs import LOGGED, Metrics, Progress, duration


def test_steps_say_the_time_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logs, "LOG_SECONDS", -1.0)
    with Metrics(tmp_path, 0, active=True) as metrics:
        for step, done in ((1, 0.25), (2, 0.5), (3, 1.0)):
            metrics.step({"step": step, **dict.fromkeys(LOGGED, None), "loss": 0.5}, done)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "step 1 (25%): loss 0.5000"
    assert re.fullmatch(r"step 2 \(50%, \d+ s left\): loss 0\.5000", second)
    assert last == "step 3 (100%): loss 0.5000"


def test_progress_begins_with_what_is_to_do(monkeypatch, capsys):
    monkeypatch.setattr(logs, "FIRST_SECONDS", 0.0)
    work = Progress("items", 2, 5)
    for _ in range(3):
        work.tick()
    first, second = capsys.readouterr().err.splitlines()
    assert first == "items: 3 items to do, 2 are done"
    assert re.fullmatch(r"items: 3 of 5 items, [\d,.]+/s, \d+ s left", second)
    Progress("nothing", 5, 5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(8, "8 s"), (90, "2 min"), (720, "12 min"), (12600, "3.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text

"""What the trainer needs to be installed is one list, the one that its extra installs."""

import re
import tomllib

import pytest

from curate import trainer_process
from curate.errors import TrainError
from tests.support.paths import ROOT


def test_the_list_is_the_extra():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["trainer"]
    names = {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in extra}
    assert {"trainer", *names} == set(trainer_process.LIBRARIES)


def test_a_missing_library_is_one_error_for_every_program(monkeypatch):
    monkeypatch.setattr(trainer_process, "LIBRARIES", ("torch", "no_such_library"))
    for start in (trainer_process.check_installed, lambda: trainer_process.run_module("trainer.score", [])):
        with pytest.raises(TrainError, match=r"^trainer: no_such_library not installed; expected"):
            start()

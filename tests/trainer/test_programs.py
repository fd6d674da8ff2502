"""How the trainer's programs end: exit codes, and errors in one line with their hints."""

import errno
import sys

import pytest

from curate.errors import TrainError
from trainer import programs


def raising(error: BaseException):
    def main(arguments):
        assert arguments == ["--model", "m"]
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (TrainError("m", "no model", "a directory", "train one"), 1,
         ["error: m: no model; expected a directory", "hint: train one"]),
        (OSError(errno.ENOSPC, "full", "/data/x"), 1,
         ["error: /data/x: no space left to write",
          "hint: free some space and run the same command again: it continues"]),
        (KeyboardInterrupt(), 130, []),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_an_exit_code(error, code, lines, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "--model", "m"])
    with pytest.raises(SystemExit) as end:
        programs.run(raising(error))
    assert end.value.code == code
    assert capsys.readouterr().err.splitlines() == lines


def test_defects_and_debugging_show_the_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "--model", "m"])
    with pytest.raises(PermissionError):
        programs.run(raising(PermissionError(errno.EACCES, "denied", "x")))
    monkeypatch.setenv("CURATE_DEBUG", "1")
    with pytest.raises(TrainError):
        programs.run(raising(TrainError("m", "no model")))


def test_a_program_that_succeeds_returns(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program", "a", "b"])
    seen: list[str] = []
    programs.run(seen.extend)
    assert seen == ["a", "b"]

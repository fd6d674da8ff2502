"""Tables on a terminal of any width, and in a pipe."""

import pytest

from curate.cli.commands import COMMANDS, GROUPS
from curate.cli.output import say_table, show_table
from curate.tables import Table

ROWS = [("org/some-long-name", 1234567, 0.25), ("other", None, 2.0)]
TABLE = Table("things", ("repo", "pairs", "share"), ROWS, ("", 1234567, None))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_pipe_gets_tabs_and_numbers_that_programs_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "word " * 60
    show_table(Table("things", TABLE.columns, [*ROWS, (f"a\tb\x1b {long}", 0, 1e-9)], TABLE.footer))
    assert printed(capsys) == [
        "things",
        "repo\tpairs\tshare",
        "org/some-long-name\t1234567\t0.25",
        "other\t\t2",
        f"a␉b␛ {long}\t0\t1e-09",
        "\t1234567",
    ]


def test_nothing_is_broken_inside_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "80")
    show_table(TABLE)
    assert printed(capsys) == [
        "things",
        "repo                    pairs  share",
        "org/some-long-name  1,234,567  0.250",
        "other                       -  2.000",
        "                    1,234,567      -",
    ]
    monkeypatch.setenv("COLUMNS", "32")
    show_table(TABLE)
    assert printed(capsys)[2:4] == ["org/            1,234,567  0.250", "some-long-name"]
    monkeypatch.setenv("COLUMNS", "28")
    show_table(TABLE)
    assert printed(capsys)[2:4] == ["org/some-   1,234,567  0.250", "long-name"]


def test_a_table_too_wide_for_its_terminal_is_shown_row_by_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "20")
    show_table(Table("things", ("name", "count"), [("donaudampfschiffe ahoy", 1), ("x", 22)]))
    assert printed(capsys) == [
        "things",
        "name   donaudampfsch",
        "       iffe ahoy",
        "count  1",
        "",
        "name   x",
        "count  22",
        "",
    ]


def test_messages_in_a_pipe_are_as_wide_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("COLUMNS", raising=False)
    say_table(Table("things", ("name", "count"), [("word " * 40, 1)]))
    assert capsys.readouterr().err.splitlines()[2].split() == ["word"] * 40 + ["1"]


def test_every_command_is_in_a_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)

"""Every command in the README exists and takes the options that it is given there."""

import re
import shlex

import pytest

from curate.cli import commands
from tests.support.paths import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [text for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) if not kind]
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("curate ")]


def test_the_readme_has_commands():
    assert len(LINES) > 25


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_is_understood(line):
    _, name, *arguments = shlex.split(line, comments=True)
    command = commands.load(name)
    context = command.make_context(name, arguments, resilient_parsing=True)
    assert not context.args

"""Hints as the user would type them: their commands get the places that the command which failed was given."""

import re
import shlex
from collections.abc import Iterator, Sequence

from curate.cli import commands

PLACES = ("--workspace", "--manifests", "--raw")
COMMAND = re.compile(r"\bcurate ([a-z]+(?:-[a-z]+)*)\b")


def with_places(hint: str, arguments: Sequence[str]) -> str:
    """The hint, each command with those of PLACES in `arguments` that it takes and that the hint does not name."""
    given = [(option, value) for option, value in _given(arguments) if option not in hint]

    def completed(found: re.Match[str]) -> str:
        taken = [f" {option} {shlex.quote(value)}" for option, value in given if _takes(found[1], option)]
        return found[0] + "".join(taken)

    return COMMAND.sub(completed, hint) if given else hint


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option in PLACES and (equals or at + 1 < len(arguments)):
            yield option, value if equals else arguments[at + 1]


def _takes(name: str, option: str) -> bool:
    return name in commands.COMMANDS and any(option in one.opts for one in commands.load(name).params)

"""Hints of errors: the commands in them, whether they exist, and what they are when they are typed."""

import re
import shlex
from itertools import takewhile

from typer.exceptions import TyperException

from curate.cli import commands

NAMED = re.compile(r"\bcurate ([a-z]+(?:-[a-z]+)*)((?:(?![;,|>]| curate ).)*)")
PROSE = {"and", "of", "has", "is", "that"}  # "this version of curate and of Python" names no command


def faults(hint: str) -> list[str]:
    """What is wrong with the commands that a hint names: no such command, or no such option of it."""
    wrong = []
    for name, rest in NAMED.findall(hint):
        if name in PROSE:
            continue
        if name not in commands.COMMANDS:
            wrong.append(f"no command {name!r}: {hint}")
            continue
        options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"'[^']*'", "", rest))  # a name may look like one
        known = {option for one in commands.load(name).params for option in one.opts} if options else set()
        wrong += [f"curate {name} has no {option}: {hint}" for option in options if option not in known]
    return wrong


WORDS = {
    "again", "brings", "builds", "it", "its", "lists", "makes", "names", "of", "one", "or", "prints", "says",
    "them", "which", "writes",
}  # fmt: skip
"""Words after which a hint speaks on, and its command is over."""


def typed(hint: str) -> list[str]:
    """The command lines that a hint says whole, so that a person can type them as they are."""
    lines = []
    for name, rest in NAMED.findall(hint):
        words = list(takewhile(lambda word: word not in WORDS, shlex.split(rest)))
        if name in commands.COMMANDS and not any(word.isupper() for word in words) and _is_whole(name, words):
            lines.append(shlex.join(["curate", name, *words]))
    return lines


def _is_whole(name: str, words: list[str]) -> bool:
    try:
        commands.load(name).make_context(name, list(words))
    except TyperException:
        return False
    return True

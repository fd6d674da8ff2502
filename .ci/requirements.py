"""Print what pyproject.toml asks for: `python .ci/requirements.py [--newest] [EXTRA ...]`, one requirement a line.

The packages that build the project and its dependencies, then those of the named extras; an extra that names
others of our own is followed. `--newest` leaves the upper bounds out. Only the standard library is used: this
runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
OF_OURS = re.compile(rf"{re.escape(PROJECT['project']['name'])}\[([^\]]+)\]")
UPPER_BOUND = re.compile(r",?<=?[^,;]+")


def requirements(extras: list[str]) -> Iterator[str]:
    """Yield each requirement of the build, of the project and of `extras`."""
    yield from PROJECT["build-system"]["requires"]
    yield from PROJECT["project"]["dependencies"]
    for extra in extras:
        yield from _of_extra(extra)


def _of_extra(extra: str) -> Iterator[str]:
    for line in PROJECT["project"]["optional-dependencies"][extra]:
        if ours := OF_OURS.fullmatch(line):
            for inner in ours[1].split(","):
                yield from _of_extra(inner)
        else:
            yield line


def main(arguments: list[str]) -> None:
    """Print the requirements."""
    newest = "--newest" in arguments
    for line in requirements([name for name in arguments if name != "--newest"]):
        print(UPPER_BOUND.sub("", line) if newest else line)


if __name__ == "__main__":
    main(sys.argv[1:])

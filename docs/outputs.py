"""The blocks of README and pages, and the outputs of those that show commands and what they print.

A block ```console has lines `$ curate ...`, each with what it prints on a terminal of 80 columns below it; a line
`...` leaves some of that out. `<!-- file: NAME -->` above a block writes it into the working folder first, and
`<!-- slow -->` says that it takes longer than a few seconds. `python -m docs.outputs` runs all of them on the
bundled samples and puts what they print now into the pages.
"""

import io
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

HERE = Path(__file__).parent
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
ENVIRONMENT = {"COLUMNS": "80", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
PROGRESS = re.compile(r"^\S[^:]*: [\d,]+ (rows|items|pairs), [\d,.]+ \S+/s.*$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page: its kind, its text, and the note above it."""

    page: Path
    kind: str
    text: str
    note: str

    @property
    def file(self) -> str:
        """The file that it is the content of; "" if none."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else ""

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Its commands, each with its output."""
        pieces = re.split(r"^\$ (.*)\n", self.text, flags=re.MULTILINE)
        return list(zip(pieces[1::2], pieces[2::2], strict=True))


def pages() -> list[Path]:
    """README and the pages, in the order in which their commands run: the first hour comes first."""
    return [
        HERE.parent / "README.md",
        *sorted((HERE / "pages").glob("*.md"), key=lambda p: (p.stem != "first-hour", p)),
    ]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, one["kind"], one["text"], one["note"] or "") for one in found]


def printed(line: str) -> str:
    """What a command line prints on stdout and stderr, here and now, in this process."""
    from curate.cli import main
    from curate.cli.output import messages

    name, *arguments = shlex.split(line)
    if name != "curate":
        raise ValueError(f"not a command of curate: {line}")
    out, hook = io.StringIO(), sys.excepthook
    with patch.dict(os.environ, ENVIRONMENT), patch.object(sys, "argv", [name, *arguments]):
        messages.cache_clear()  # it keeps the width that it began with
        with redirect_stdout(out), redirect_stderr(out), suppress(SystemExit):
            main()
        messages.cache_clear()
    sys.excepthook = hook
    lines = [one.rstrip() for one in out.getvalue().splitlines()]
    return "".join(f"{one}\n" for one in lines if not PROGRESS.match(one))


def agrees(shown: str, now: str) -> bool:
    """Whether an output as shown is what is printed now, but for ids, white space and what is left out."""
    pieces = [re.escape(_plain(piece)) for piece in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    return re.fullmatch(r"\s*" + r".*?".join(pieces) + r"\s*", _plain(now), re.DOTALL) is not None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b", "ID", text).split())


def ran(home: Path, *, slow: bool, among: Iterable[Path] | None = None) -> Iterator[tuple[Block, str, str, str]]:
    """Run the commands of all pages in `home`: yield block, command, the output shown and that of now."""
    Path(home, "samples").symlink_to(HERE.parent / "samples")  # as in a checkout
    with chdir(home):
        for page in pages() if among is None else among:
            for block in blocks(page):
                if block.file:
                    Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                    Path(block.file).write_text(block.text, encoding="utf-8")
                if block.kind == "console" and (slow or block.note != "slow"):
                    for line, shown in block.commands:
                        yield block, line, shown, printed(line)


def written(page: str, outputs: Mapping[str, str]) -> str:
    """The page with these outputs of its commands."""
    for line, now in outputs.items():
        head = rf"^\$ {re.escape(line)}\n"
        shown = re.search(rf"({head}).*?(?=^\$ |^```$)", page, re.MULTILINE | re.DOTALL)
        if shown is not None:
            page = page[: shown.end(1)] + now + page[shown.end() :]
    return page


def main() -> None:
    """Put today's outputs into the pages; print those that a page shows in part and that differ."""
    with TemporaryDirectory() as home:
        for block, line, shown, now in list(ran(Path(home), slow=True)):
            if agrees(shown, now):
                continue
            if "\n...\n" in f"\n{shown}":
                print(f"{block.page.name}: by hand: $ {line}\n{now}")  # noqa: T201
                continue
            text = block.page.read_text(encoding="utf-8")
            block.page.write_text(written(text, {line: now}), encoding="utf-8")


if __name__ == "__main__":
    main()

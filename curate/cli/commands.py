"""The commands and their modules. A module is imported when its command is called, so `curate --help` is fast."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException

from curate import own_process
from curate.text.inert import terminal_line

# command -> its module here, and the first line of its help; in the order of `curate --help`
COMMANDS = {
    "init": (
        "init",
        "Look at rows, guess adapter and columns, show the first pairs, and write a manifest and a recipe.",
    ),
    "sources": ("sources", "List the sources: the bundled ones and your own manifests."),
    "recipes": (
        "recipes",
        "List the recipes that have a name: your own in ./recipes, and the bundled ones.",
    ),
    "normalize": (
        "sources",
        "Turn the raw files of sources into pairs, with a reason for every row that gives none.",
    ),
    "pin": ("hub", "Record what the Hub has in manifests: commit, files with hashes, licence, rows."),
    "fetch": ("hub", "Fetch the pinned files of sources and eval sets into the workspace, verified by hash."),
    "plan": ("mix", "Show how many rows each source gives, without reading any text of pairs."),
    "mix": ("mix", "Build the training shards of a recipe, running every stage that is missing."),
    "rethreshold": (
        "rethreshold",
        "Show what near_dedup would drop at other thresholds, from cached sketches; nothing is built.",
    ),
    "why": ("inspect", "Print the history of a pair: its upstream row, and what every mix did with it."),
    "verify": (
        "inspect",
        "Hash every file of the workspace again and list each that differs from its record; exit 1 if any does.",
    ),
    "gc": (
        "gc",
        "List what is in the workspace, how large it is and what refers to it; remove the rest on demand.",
    ),
    "diff": (
        "inspect",
        "Compare two mixes: rows in both, only in A, only in B, the reasons, and what differs in their recipes.",
    ),
    "show": ("inspect", "Print pairs of a mix or a source, dropped pairs, or skipped rows."),
    "doctor": (
        "doctor",
        "Examine every pair: what predicts the label, what is wrong, what is in it, with 95 % intervals.",
    ),
    "overlap": (
        "doctor",
        "Compare sources with each other and with eval sets: equal pairs, near-duplicates, images.",
    ),
    "card": ("card", "Print the card of a mix, made from its lock, or of a source."),
    "report": (
        "report",
        "Write a mix as one HTML file that opens offline: contents, rulers, overlap, leaks, pairs to read.",
    ),
    "browse": (
        "browse",
        "Look at pairs in a browser: filter, search, compare, label; nothing but the label file is ever written.",
    ),
    "publish": ("publish", "Put a finished mix onto the Hub, with its card, recipe and lock."),
    "score": (
        "score",
        "Score both replies of every pair, by a model, anyone's file, or heads or models that did not see them.",
    ),
    "audit": ("audit", "Rank pairs by how likely their label is wrong, and say what is wrong with which source."),
    "evaluate": (
        "evaluate",
        "Print the official metrics of eval sets (reward benchmarks) for a model, or for a file of scores.",
    ),
    "train": ("train", "Train a reward model on a finished mix."),
    "serve": ("serve", "Serve the scores of a reward model or an ensemble over HTTP."),
    "publish-model": ("publish_model", "Put an exported reward model onto the Hub, with its card."),
    "export": (
        "export",
        "Write a reward model as vLLM or transformers load it, or a mix as a trainer's own loader takes it.",
    ),
    "engines": (
        "engines",
        "List the engines, and whether they can be used here; with --address, how large that cluster is.",
    ),
    "ablate": (
        "ablate",
        "Train arms that differ by one dataset (or by one setting), and say which helps, by how much, and how "
        "sure.",
    ),
    "search": (
        "search",
        "Search the mix of a recipe's entries by small runs, and confirm it in full on items that it did not use.",
    ),
}

GROUPS = {
    "Begin": ("init", "sources", "recipes"),
    "Build": ("pin", "fetch", "normalize", "plan", "mix", "rethreshold"),
    "Look": ("show", "browse", "why", "doctor", "overlap", "report", "card", "diff"),
    "Improve": ("score", "audit", "search"),
    "Train and use": ("train", "ablate", "evaluate", "serve", "export"),
    "Share and keep": ("publish", "publish-model", "verify", "gc", "engines"),
}
"""The groups of `curate --help`."""

FIRST = "New here? curate mix quickstart runs offline in seconds; curate init FILE looks at rows of your own."

HELP = {"help_option_names": ["-h", "--help"]}

METAVARS = {
    "bool": "", "int": "N", "int range": "N", "float": "X", "float range": "X", "str": "TEXT", "list[str]": "TEXT",
    "list[int]": "N", "path": "PATH", "file": "FILE", "dir": "DIR", "directory": "DIR",
}  # fmt: skip


class Argument(TyperArgument):
    """An argument that help shows by its name: `MIX`, `[MIX]`, `SOURCE...`, `[SOURCE...]`."""

    def get_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of click
        """The name, in brackets if it may be left out."""
        return [str(self.metavar) if self.required else f"[{self.metavar}]"]

    def display_type_rich(self, ctx: Any) -> str | None:  # noqa: ARG002 - the signature of typer
        """Nothing: the name and the help say it."""
        return None


class Command(TyperCommand):
    """A command whose help shows plain names, `--raw DIR`, and not the types of Python."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` with them, each with a name for its value."""
        return [_readable(parameter, ctx) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, in which `[default: all]` is text, not markup."""
        from rich.markup import escape  # loads the rest of rich

        for parameter in self.params:
            if isinstance(parameter, TyperOption | TyperArgument) and parameter.help:
                parameter.help = escape(parameter.help)
        super().format_help(ctx, formatter)


def _readable(parameter: Any, ctx: Any) -> Any:
    if isinstance(parameter, TyperArgument):
        parameter.__class__ = Argument
        if parameter.metavar is None:
            parameter.metavar = str(parameter.name).upper() + ("..." if parameter.nargs != 1 else "")
    elif isinstance(parameter, TyperOption) and parameter.metavar is None:
        label = parameter.display_type(ctx).strip("<>")
        parameter.metavar = METAVARS.get(label, label)
    return parameter


def _flowing(text: str) -> str:
    """The help with each paragraph in one line, since lines are as wide as the code and terminals are not."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def load(name: str) -> TyperCommand:
    """The command itself: the function of its name in its module."""
    from curate.cli import options  # engines and all: `curate --help` does without

    function = getattr(import_module(f"curate.cli.{COMMANDS[name][0]}"), name.replace("-", "_"))
    own_process.loaded()
    table = typer.Typer()
    table.command(name, cls=Command, context_settings=HELP)(options.expanded(function))
    found = typer.main.get_group(table).commands[name]
    assert isinstance(found, TyperCommand)
    found.help = _flowing(found.help or "")
    return found


class Commands(TyperGroup):
    """All commands with their help; the one that is called is loaded."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        names = [name for group in GROUPS.values() for name in group]
        self.commands = {name: TyperCommand(name, help=COMMANDS[name][1]) for name in names}

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before the command, each with a name for its value."""
        return [_readable(parameter, ctx) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands as plain text: what draws the boxes of their own help takes long to load."""
        super(TyperGroup, self).format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature of click
        """Write each command with its whole line, wrapped, by group."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].help or "") for name in names])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that `args` begins with, loaded."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest

    def make_context(self, *given: Any, **more: Any) -> Any:
        """The context of the options before the command. Raises TyperException, with an inert message."""
        with _inert_usage():
            return super().make_context(*given, **more)

    def invoke(self, ctx: Any) -> Any:
        """Parse and run the command. Raises TyperException, with an inert message."""
        with _inert_usage():
            return super().invoke(ctx)


def _what_to_give(error: TyperException) -> str:
    """What help says of an argument or option that is missing."""
    text = str(getattr(getattr(error, "param", None), "help", None) or "")
    return terminal_line(text.replace("\\[", "[").partition("  [")[0])


def _plainer(message: str) -> str:
    """The message as a sentence, with the closest choice where a value is none of them."""
    message = message.replace("Value error, ", "")
    if found := CHOICES.search(message):
        from curate.config import closest  # `curate --help` does without yaml

        close = closest(found[1], re.findall("'([^']*)'", found[2]))
        message += f" Did you mean '{close[0]}'?" if close else ""
    return message


CHOICES = re.compile(r"'([^']*)' is not one of (.*)\.")


@contextmanager
def _inert_usage() -> Iterator[None]:
    """Errors of usage repeat what was typed, or what a script passed on from a file's name."""
    try:
        yield
    except TyperException as error:
        error.message = terminal_line(_plainer(error.message)) or _what_to_give(error)
        raise

"""The command line: parse, call one function, print. `main` is the only place that catches errors."""

import errno
import io
import logging
import os
import sys
import traceback
from types import TracebackType

import typer

from curate import __version__, own_process
from curate.cli.commands import FIRST, HELP, Commands
from curate.cli.output import fail, say
from curate.errors import CurateError, EngineError, WorkspaceError
from curate.text.inert import terminal_text
from curate.workspace import FULL

app = typer.Typer(
    name="curate",
    cls=Commands,
    help="Preference data in, training shards out, with a reason for every lost row.",
    epilog=FIRST,
    context_settings=HELP,
    pretty_exceptions_enable=False,
    add_completion=True,
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: bool = typer.Option(False, "--version", is_eager=True, help="Print the version and exit."),
) -> None:
    """Options before the command; without a command the help, and exit 2."""
    if show:
        typer.echo(f"curate {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


class _Lines(logging.Handler):
    """Prints what the product says of its own accord, such as that a damaged cache is made again, as a message."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        say(record.getMessage())


logging.getLogger("curate").addHandler(_Lines())

DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os(error: OSError) -> CurateError | None:
    """The CurateError for a full disk or a missing permission; None for any other OSError."""
    where = str(error.filename or "the disk")
    if error.errno in FULL:
        hint = "free some space and run the same command again: it continues from what is finished"
        return WorkspaceError(where, "no space left to write", "", hint)
    if error.errno in DENIED:
        return WorkspaceError(where, "no permission", "", "check its owner, or choose another --workspace")
    return None


def main() -> None:
    """Run a command; exit 1 for a user's error, 2 for usage, 130 after Ctrl-C."""
    sys.excepthook = _traceback
    own_process.start()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for terminals that are not UTF-8
    try:
        app()
    except SystemExit as end:
        if end.code == 130:
            say("stopped; what is finished is kept, the same command continues")
        raise
    except CurateError as error:
        _leave(error)
    except OSError as error:
        known = from_os(error)
        if known is None:
            raise
        _leave(known)
    except MemoryError:
        hint = "the same command continues; --workers 1 needs least memory"
        _leave(EngineError("this process", "no memory left", "", hint))
    finally:
        own_process.loaded()  # where no command was: a test goes on after this


def _traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, in which strings from outside act on no terminal either."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(terminal_text(text))


def _leave(error: CurateError) -> None:
    if os.environ.get("CURATE_DEBUG") == "1":
        raise error
    fail(error)
    sys.exit(1)

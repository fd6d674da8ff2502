"""How the trainer's programs end: with an exit code, and an error in one line."""

import os
import sys
from collections.abc import Callable, Sequence

from curate.errors import CurateError, WorkspaceError
from curate.workspace import FULL
from trainer.logs import fail


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Call a program's `main` with the arguments of the command line.

    Exits with 1 after a user's error or on a full disk, in one line with its hint, and with 130 after Ctrl-C. With
    CURATE_DEBUG=1 errors are raised with their traceback.
    """
    try:
        main(sys.argv[1:])
    except CurateError as error:
        _end(error, error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        hint = "free some space and run the same command again: it continues"
        _end(WorkspaceError(str(error.filename or "the disk"), "no space left to write", "", hint), error)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(error: CurateError, cause: Exception) -> None:
    if os.environ.get("CURATE_DEBUG") == "1":
        raise cause
    sys.exit(fail(error))

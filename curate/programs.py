"""Programs of the trainer, run as processes of their own: `curate` imports neither them nor torch."""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Sequence

from curate.errors import TrainError

NEEDED = ("trainer", "torch", "transformers")


def run(module: str, arguments: Sequence[str]) -> None:
    """Run `python -m module arguments`; its output is ours.

    Raises TrainError where the trainer is not installed or the program died, and SystemExit where it ended by
    itself with an error, since then it has said what was wrong.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        found = f"{' and '.join(missing)} not installed"
        raise TrainError(module, found, "the trainer with its libraries", "pip install 'curate[trainer]'")
    code = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    if code < 0:
        hint = "out of memory? lower --max-tokens; the same command continues" if code == -signal.SIGKILL else ""
        raise TrainError(module, f"ended by {signal.Signals(-code).name}", "", hint)
    if code:
        raise SystemExit(code)

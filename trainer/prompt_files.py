"""The prompts for critiques and verdicts: ours in `prompts/`, or files of the user.

A run keeps a copy, so that it continues with the text that it began with.
"""

from pathlib import Path

import xxhash

from curate.errors import TrainError
from curate.workspace import atomic

OURS = Path(__file__).parent / "prompts"


def read(path: str | None, ours: str, what: str) -> str:
    """Read a prompt; None is our own of the name `ours`. Raises TrainError, naming `what`, without text in it."""
    where = OURS / ours if path is None else Path(path)
    try:
        text = where.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise TrainError(str(where), str(reason), what) from None
    if not text:
        raise TrainError(str(where), "empty", what)
    return text


def keep(path: str | None, ours: str, what: str, kept: Path) -> None:
    """Keep the prompt as `kept` in a run directory. Raises TrainError if the run began with another one."""
    text = read(path, ours, what)
    if not kept.exists():
        with atomic(kept) as temporary:
            temporary.write_text(text, encoding="utf-8")
    elif read(str(kept), ours, what) != text:
        hint = f"copy {kept} back over it, or give another --out"
        raise TrainError(str(path or OURS / ours), "changed since the run began", f"the text of {kept}", hint)


def digest(text: str) -> str:
    """Compute the hash of a prompt that models and runs record."""
    return xxhash.xxh3_64_hexdigest(text.encode())

"""How a package that is missing here gets installed: for hints, which must work as they are."""

import importlib.metadata
import json
import shlex
import shutil
import sys
from pathlib import Path

DISTRIBUTION = "curate-preferences"  # `curate` on the index is somebody else's
CHECKOUT = Path(__file__).parent.parent


def install_command(extra: str) -> str:
    """Return the command that installs what `extra` names, for the Python that runs now."""
    beside = Path(sys.executable).parent
    found = shutil.which("pip")
    pip = "pip" if found and Path(found).parent == beside else f"{shlex.quote(sys.executable)} -m pip"
    return f"{pip} install {_requirement(extra)}"


def _requirement(extra: str) -> str:
    if (CHECKOUT / "pyproject.toml").exists():
        place = "." if Path.cwd() == CHECKOUT else str(CHECKOUT)
        return "-e " + _quoted(f"{place}[{extra}]")
    return _quoted(f"{DISTRIBUTION}[{extra}]{_origin()}")


def _origin() -> str:
    """Return ` @ URL` where this copy was installed from a file or a repository (PEP 610), "" if from an index."""
    try:
        text = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return ""
    if text is None:
        return ""
    origin = json.loads(text)
    vcs = origin.get("vcs_info")
    return f" @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}" if vcs else f" @ {origin['url']}"


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text else shlex.quote(text)

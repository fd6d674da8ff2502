"""Models of the Hub: snapshots in its local cache, each pinned to one commit."""

import json
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from transformers.utils import cached_file, hub

from curate.errors import TrainError
from curate.workspace import read_json, write_json

PROCESSOR_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "chat_template.jinja", "chat_template.json", "processor_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json",
)  # fmt: skip
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CONNECT_SECONDS = 8.0
"""How long a connection to the Hub may take; its client would try for minutes."""
PIN = "model.json"  # in a run directory: which commit of a model of the Hub the run began with


def snapshot(model: str, revision: str | None = None) -> str:
    """The directory of a model: itself, or for a Hub id that of its snapshot in the cache, fetched if need be.

    `revision` is a commit, branch or tag; None is the main branch. Without a network the cache has to do. Raises
    TrainError for a model that neither has.
    """
    if not is_hub_id(model):
        return model
    offline = not reachable()
    folder = Path(_fetched(model, "config.json", revision, offline, needed=True)).parent
    commit = folder.name
    for name in PROCESSOR_FILES:
        _fetched(model, name, commit, offline)
    index = _fetched(model, INDEX, commit, offline)
    names = (
        {WEIGHTS} if not index else set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values())
    )
    for name in sorted(names):
        _fetched(model, name, commit, offline, needed=True)
    return str(folder)


def is_hub_id(model: str) -> bool:
    """Whether a name is a Hub id, `name` or `owner/name`, and not a directory's."""
    return not Path(model).exists() and not model.startswith((".", "/", "~")) and model.count("/") <= 1


def pinned(model: str, revision: str | None, run: Path, *, chief: bool) -> str:
    """`snapshot` of the commit that a run began with, which the chief records in the run directory.

    Every rank calls it; others than the chief do not write.
    """
    path = run / PIN
    if path.exists():
        return snapshot(model, read_json(path)["revision"])
    found = snapshot(model, revision)
    named = identity(found)
    if named is not None and chief:
        run.mkdir(parents=True, exist_ok=True)
        write_json(path, {"model": named[0], "revision": named[1]})
    return found


def identity(directory: str | Path) -> tuple[str, str] | None:
    """The Hub id and the commit of a snapshot's directory; None for any other."""
    parts = Path(directory).parts
    if len(parts) < 3 or parts[-2] != "snapshots" or not parts[-3].startswith("models--"):
        return None
    return parts[-3].removeprefix("models--").replace("--", "/"), parts[-1]


def _fetched(model: str, name: str, revision: str | None, offline: bool, *, needed: bool = False) -> str:
    """The path of a file in the cache; "" for one that the model lacks and that is not needed."""
    try:
        found = cached_file(
            model, name, revision=revision, local_files_only=offline, _raise_exceptions_for_missing_entries=needed
        )
    except (OSError, ValueError) as error:
        if offline:
            found = f"{name} is not in the Hub cache, and {_host()[0]} cannot be reached"
            hint = "check the network, proxy and HF_ENDPOINT, or give a directory"
            raise TrainError(model, found, "a model in the cache", hint) from None
        raise TrainError(model, str(error).strip().split("\n")[0].split(". ")[0], "a model of the Hub") from None
    return found or ""


def reachable() -> bool:
    """Whether the Hub, or the proxy before it, takes a connection within CONNECT_SECONDS; no if offline is set."""
    if hub.is_offline_mode():
        return False
    answered = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(_host(), timeout=CONNECT_SECONDS).close()
            answered.set()
        except OSError:
            pass
        done.set()

    done = threading.Event()
    threading.Thread(target=connect, daemon=True).start()  # a resolver may wait for longer than we do
    done.wait(CONNECT_SECONDS)
    return answered.is_set()


def _host() -> tuple[str, int]:
    """Host and port that requests go to."""
    address = urlsplit(hub.constants.ENDPOINT)
    proxy = getproxies().get(address.scheme)
    if proxy and not proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return address.hostname or "", address.port or (80 if address.scheme == "http" else 443)

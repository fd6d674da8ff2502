"""Publish a model's directory to the Hub: its files are sent first, then they appear in one commit.

Readers see either the old model or the new one. The same files again make no commit. A stopped run continues: what
was sent is not sent again.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curate import __version__
from curate.errors import ConfigError, HubError
from curate.hub import client
from curate.hub.retry import RetryPolicy
from curate.publishing import bundle
from curate.publishing.bundle import Item
from curate.publishing.publish import Published
from curate.publishing.uploads import Display, Repo, Tree

CARD, CONFIG = "README.md", "config.json"
OURS = re.compile(r".*\.safetensors(\.index\.json)?|vllm_plugin/.*")
"""Files of an earlier model that are deleted; whatever else is in the repository stays."""
TEXT_BYTES = 10_000_000  # of a file that is searched for secrets, and sent with the commit


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What to publish, and where."""

    directory: Path
    repo: str
    private: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ConfigError(self.repo, "not the name of a repository", "owner/name")
        for name, hint in ((CONFIG, "curate export writes one"), (CARD, "curate export writes it: its card")):
            if not (self.directory / name).is_file():
                raise ConfigError(
                    str(self.directory), f"no {name}", "the directory of a model with its card", hint
                )


def items_of(directory: Path) -> list[Item]:
    """The files of a directory to publish, those that do not begin with a dot. Raises CurateError for secrets."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path: path.relative_to(directory).as_posix() for path in paths}
    visible = [path for path in paths if not any(part.startswith((".", "__")) for part in Path(names[path]).parts)]
    found = [_item(path, names[path]) for path in visible]
    texts = {
        item.path: item.content.decode("utf-8", "replace") for item in found if isinstance(item.content, bytes)
    }
    bundle.scan(texts, client.token(), directory.absolute())
    return found


def publish_model(request: ModelRequest, policy: RetryPolicy, show: Display) -> Published:
    """Publish a model on the main branch of a model repository, with at most one commit.

    Raises CurateError for secrets in its files, HubError for what the Hub refuses.
    """
    items = items_of(request.directory)
    repo = Repo(name=request.repo, policy=policy, say=show.say, show=show, kind="model")
    client.reachable(policy)
    repo.sign_in()
    state = repo.state()
    if state is None:
        repo.create(private=request.private)
        show.say(f"{request.repo}: made, {'private' if request.private else 'public'}")
    elif state.private != request.private:
        found, hint = ("private", "add --private") if state.private else ("public", "leave --private out")
        raise HubError(request.repo, f"the repository is {found}", "as asked", hint)
    start = repo.branches()["main"]
    tree = repo.tree(start)
    repo.send([item for item in items if _changed(item, tree)], "main")
    title = f"{request.directory.absolute().name}, by curate {__version__}"
    head = repo.land("main", start, items, title, lambda _, there: _obsolete(items, there))
    return Published(page=client.page(request.repo, "model"), commit=head, fresh=head != start)


def _changed(item: Item, tree: Tree) -> bool:
    there = tree.get(item.path)
    return there is None or there.sha256 != item.sha256


def _obsolete(items: Sequence[Item], tree: Tree) -> list[str]:
    """Weights of an earlier model that this one has under other names."""
    kept = {item.path for item in items}
    return [path for path in tree if OURS.fullmatch(path) and path not in kept]


def _item(path: Path, name: str) -> Item:
    size = path.stat().st_size
    if size <= TEXT_BYTES and path.suffix != ".safetensors":
        return bundle.text_item(name, path.read_bytes())
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Item(path=name, size=size, sha256=digest, git_oid=None, content=path)

"""The Hub's API: the table of routes, who is asking, and all that is read; `writes` adds what changes a repo."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlencode

import yaml

from .store import GITATTRIBUTES, Commit, Entry, Refusal, Repo, Store, folder_oid, front_matter
from .wire import Account, Reply, Request, answer, byte_range, may_download, may_read, may_write, signature

Answer = Callable[["Api", Request], Reply]
API = r"/api/(?P<kind>model|dataset|space)s/(?P<space>[^/]+)/(?P<name>[^/]+)"
SITE = r"/(?:(?P<kind>dataset|space)s/)?(?P<space>[^/]+)/(?P<name>[^/]+?)"
ROUTES: list[tuple[str, re.Pattern[str], str, Answer]] = []


def route(method: str, pattern: str, endpoint: str) -> Callable[[Answer], Answer]:
    """Register a method of `Api` under the name that faults and logs know it by."""

    def register(function: Answer) -> Answer:
        ROUTES.append((method, re.compile(pattern), endpoint, function))
        return function

    return register


def find(method: str, path: str) -> tuple[str, Answer, dict[str, str]] | None:
    """The endpoint's name, its function and the parts of the path."""
    for wanted, pattern, endpoint, function in ROUTES:
        if wanted == method and (match := pattern.fullmatch(path)):
            return endpoint, function, {name: unquote(part) for name, part in match.groupdict().items() if part}
    return None


@dataclass(slots=True, kw_only=True)
class Api:
    """Answers requests from a store.

    tokens   who each token is
    page     entries per page of a listing
    link     how the address of a next page begins, if not with the endpoint: a mirror passes on the Hub's own
    cdn      large files are answered with a redirect to a signed URL on another origin (`localhost`)
    """

    store: Store
    tokens: dict[str, Account]
    endpoint: str
    secret: str
    page: int = 1000
    cdn: bool = False
    link: str | None = None

    def repo(self, request: Request) -> Repo:
        """The repo that the path names, if the one who asks may know of it."""
        repo = self.store.repo(
            request.names.get("kind", "model"), f"{request.names['space']}/{request.names['name']}"
        )
        may_read(repo, request.account)
        return repo

    def mine(self, request: Request) -> Repo:
        """The same, if they may write to it."""
        repo = self.repo(request)
        may_write(repo.id, request.account)
        return repo

    # who, and which repos

    @route("GET", r"/api/whoami-v2", "whoami")
    def whoami(self, request: Request) -> Reply:
        account = request.account
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        role = "write" if account.write else "read"
        orgs = [{"type": "org", "name": name} for name in account.orgs]
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        return answer({"type": "user", "name": account.user, "fullname": account.user, "orgs": orgs, "auth": auth})

    @route("POST", r"/api/repos/create", "create")
    def create(self, request: Request) -> Reply:
        wanted = request.json()
        kind, repo_id = self._named(wanted, request)
        private = wanted.get("private", wanted.get("visibility") == "private")
        url = f"{self.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}"
        try:
            repo = self.store.create(kind, repo_id, private=bool(private))
        except Refusal as refused:
            return answer({"error": refused.message, "url": url}, refused.status)
        entry = repo.add(".gitattributes", GITATTRIBUTES.encode())
        repo.commit("main", {".gitattributes": entry}, title="initial commit", author=repo_id.split("/")[0])
        return answer({"url": url, "name": repo_id})

    @route("DELETE", r"/api/repos/delete", "delete")
    def delete(self, request: Request) -> Reply:
        kind, repo_id = self._named(request.json(), request)
        self.store.delete(kind, repo_id)
        return Reply(200)

    @route("PUT", API + "/settings", "settings")
    def settings(self, request: Request) -> Reply:
        repo, wanted = self.mine(request), request.json()
        if "gated" in wanted:
            repo.set(gated=wanted["gated"])
        if "visibility" in wanted or "private" in wanted:
            repo.set(private=wanted.get("private", wanted.get("visibility") == "private"))
        return answer({name: repo.settings[name] for name in ("private", "gated")})

    @route("GET", API + "/auth-check(?P<write>/write)?", "auth-check")
    def auth_check(self, request: Request) -> Reply:
        repo = self.mine(request) if "write" in request.names else self.repo(request)
        may_download(repo, request.account)
        return answer({})

    def _named(self, wanted: Mapping[str, Any], request: Request) -> tuple[str, str]:
        space = wanted.get("organization") or (request.account.user if request.account else "")
        repo_id = f"{space}/{wanted['name']}"
        may_write(repo_id, request.account)
        return wanted.get("type") or "model", repo_id

    # reading

    @route("GET", API + "(?:/revision/(?P<rev>[^/]+))?", "info")
    def info(self, request: Request) -> Reply:
        repo = self.repo(request)
        commit = repo.resolve(request.names.get("rev", "main"))
        settings, card = repo.settings, self.card(repo, commit)
        licenses = card.get("license", [])
        found = {
            "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
            "id": repo.id,
            "author": repo.id.split("/")[0],
            "sha": commit.id,
            "lastModified": commit.date,
            "createdAt": list(repo.history(commit.id))[-1].date,
            **{name: settings[name] for name in ("private", "gated")},
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [f"license:{name}" for name in ([licenses] if isinstance(licenses, str) else licenses)],
            "usedStorage": sum(entry.size for entry in commit.tree.values()),
            "siblings": [self._sibling(p, e, request.flag("blobs")) for p, e in commit.tree.items()],
        }
        return answer({**found, "cardData": card} if card else found)

    @staticmethod
    def card(repo: Repo, commit: Commit) -> dict[str, Any]:
        """The front matter of the README at a commit; {} without one, or with a broken one."""
        entry = commit.tree.get("README.md")
        try:
            found = front_matter(repo.read(entry).decode()) if entry else {}
        except yaml.YAMLError:
            return {}
        return dict(json.loads(json.dumps(found, default=str)))

    @staticmethod
    def _sibling(path: str, entry: Entry, blobs: bool) -> dict[str, Any]:
        if not blobs:
            return {"rfilename": path}
        facts: dict[str, Any] = {"rfilename": path, "size": entry.size, "blobId": entry.oid}
        if entry.sha256:
            facts["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
        return facts

    @route("GET", API + "/tree/(?P<rev>[^/]+)(?:/(?P<path>.+))?", "tree")
    def tree(self, request: Request) -> Reply:
        repo = self.repo(request)
        commit = repo.resolve(request.names["rev"])
        folder = request.names.get("path", "").strip("/")
        under = {p: e for p, e in commit.tree.items() if not folder or p.startswith(f"{folder}/")}
        if folder and not under:
            message = f'Tree path "{folder}" does not exist'
            raise Refusal(404, message, "EntryNotFound", X_Repo_Commit=commit.id)
        names = self._names(under, folder, recursive=request.flag("recursive"))
        page = min(int(request.query.get("limit", self.page)), self.page)
        start = int(request.query.get("cursor", "0"))
        listed = [
            self._item(repo, commit, name, expand=request.flag("expand")) for name in names[start : start + page]
        ]
        if start + page >= len(names):
            return answer(listed)
        query = urlencode({**request.query, "cursor": start + page})
        return answer(listed, Link=f'<{self.link or self.endpoint}{request.path}?{query}>; rel="next"')

    @staticmethod
    def _names(under: Mapping[str, Entry], folder: str, *, recursive: bool) -> list[str]:
        depth = len(PurePosixPath(folder).parts)
        parts = [PurePosixPath(path).parts for path in under]
        deepest = max((len(p) for p in parts), default=0) if recursive else depth + 1
        return sorted({"/".join(p[:n]) for p in parts for n in range(depth + 1, min(len(p), deepest) + 1)})

    @staticmethod
    def _item(repo: Repo, commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
        entry = commit.tree.get(path)
        facts: dict[str, Any] = {"type": "directory", "oid": folder_oid(commit.tree, f"{path}/"), "size": 0}
        if entry is not None:
            facts = {"type": "file", "oid": entry.oid, "size": entry.size}
            if entry.sha256:
                facts["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}
        if expand:
            last = _last_change(repo, commit, path)
            facts["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
        return {**facts, "path": path}

    @route("POST", API + "/paths-info/(?P<rev>[^/]+)", "paths-info")
    def paths_info(self, request: Request) -> Reply:
        repo, form = self.repo(request), request.form()
        commit = repo.resolve(request.names["rev"])
        expand = form.get("expand", ["false"])[-1].lower() == "true"
        wanted = [path.strip("/") for path in form.get("paths", form.get("paths[]", []))]
        known = set(self._names(commit.tree, "", recursive=True))
        return answer([self._item(repo, commit, path, expand=expand) for path in wanted if path in known])

    @route("GET", API + "/refs", "refs")
    def refs(self, request: Request) -> Reply:
        refs, places = self.repo(request).refs, {"branches": "heads", "tags": "tags"}
        listed: dict[str, list[Any]] = {
            kind: [{"name": n, "ref": f"refs/{place}/{n}", "targetCommit": c} for n, c in refs[kind].items()]
            for kind, place in places.items()
        }
        return answer({**listed, "converts": [], "pullRequests": []})

    @route("GET", API + "/commits/(?P<rev>[^/]+)", "commits")
    def commits(self, request: Request) -> Reply:
        history = self.repo(request).history(request.names["rev"])
        items = [{n: getattr(c, n) for n in ("id", "title", "message", "date")} | _authors(c) for c in history]
        return answer(items, X_Total_Count=str(len(items)))

    @route("GET", f"(?P<cdn>/_cdn)?{SITE}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "get")
    def resolve(self, request: Request) -> Reply:
        repo, commit, entry = self._wanted(request)
        path = request.names["path"]
        headers = {"X-Repo-Commit": commit.id, "ETag": f'"{entry.object}"', "Accept-Ranges": "bytes"}
        headers["Content-Disposition"] = f'inline; filename="{quote(path.rsplit("/", 1)[-1])}"'
        if entry.sha256:
            headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.sha256}"'}
        if self.cdn and entry.sha256 and "cdn" not in request.names:
            return Reply(302, b"", {**headers, "Location": self._signed(repo, commit, path)})
        headers["Content-Type"] = "application/octet-stream" if entry.sha256 else "text/plain; charset=utf-8"
        part = byte_range(request.headers.get("Range"), entry.size)
        if part is None:
            return Reply(200, repo.object(entry.object), headers, 0, entry.size)
        start, length = part
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{entry.size}"
        return Reply(206, repo.object(entry.object), headers, start, length)

    def _wanted(self, request: Request) -> tuple[Repo, Commit, Entry]:
        if "cdn" in request.names:
            self.check_signature(request)
            kind = request.names.get("kind", "model")
            repo = self.store.repo(kind, f"{request.names['space']}/{request.names['name']}")
        else:
            repo = self.repo(request)
            may_download(repo, request.account)
        commit = repo.resolve(request.names["rev"])
        entry = commit.tree.get(request.names["path"])
        if entry is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.id)
        return repo, commit, entry

    def _signed(self, repo: Repo, commit: Commit, path: str) -> str:
        kind = "" if repo.type == "model" else f"/{repo.type}s"
        target = f"/_cdn{kind}/{repo.id}/resolve/{commit.id}/{quote(path)}"
        other = self.endpoint.replace("127.0.0.1", "localhost")
        return f"{other}{target}?sig={signature(self.secret, target)}"

    def check_signature(self, request: Request) -> None:
        """Refusal 403 unless this Hub gave out the URL."""
        if request.query.get("sig") != signature(self.secret, request.path):
            raise Refusal(403, "Request has no valid signature")


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit that touched a file, or anything under a folder."""
    last = commit
    for older in repo.history(commit.id):
        if _under(older, path) != _under(commit, path):
            break
        last = older
    return last


def _under(commit: Commit, path: str) -> dict[str, str]:
    return {p: e.oid for p, e in commit.tree.items() if p == path or p.startswith(f"{path}/")}


def _authors(commit: Commit) -> dict[str, Any]:
    return {"authors": [{"user": commit.author}]}

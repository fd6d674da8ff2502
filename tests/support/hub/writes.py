"""What changes a repo: uploads, commits, branches, tags, and the check of a card."""

import base64
import binascii
import hashlib
import re
from typing import Any

from . import cards
from .api import API, SITE, Api, route
from .store import Commit, Entry, Refusal, Repo, is_large, large_entry
from .store import safe_path as safe
from .wire import PIECE, Reply, Request, answer, signature


@route("POST", r"/api/validate-yaml", "yaml")
def validate_yaml(_: Api, request: Request) -> Reply:
    errors, warnings = cards.validate(request.json().get("content", ""))
    found = {"errors": [{"message": m} for m in errors], "warnings": [{"message": m} for m in warnings]}
    return answer(found, 400 if errors else 200)


@route("POST", API + "/preupload/(?P<rev>[^/]+)", "preupload")
def preupload(api: Api, request: Request) -> Reply:
    repo = api.mine(request)
    tree = head(repo, request.names["rev"]).tree
    uploads = []
    for file in request.json()["files"]:
        path, sample = safe(file["path"]), base64.b64decode(file.get("sample", ""))
        mode = "lfs" if is_large(path, file["size"], sample) else "regular"
        known = {"oid": tree[path].object} if path in tree else {}
        uploads.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
    return answer({"files": uploads})


@route("POST", SITE + r"\.git/info/lfs/objects/batch", "batch")
def batch(api: Api, request: Request) -> Reply:
    repo = api.mine(request)
    kind = "" if repo.type == "model" else f"{repo.type}s/"
    objects: list[dict[str, Any]] = []
    for item in request.json()["objects"]:
        facts = {"oid": item["oid"], "size": item["size"]}
        if not repo.object(item["oid"]).exists():
            put = f"/_lfs/{kind}{repo.id}/{item['oid']}"
            upload = {"href": f"{api.endpoint}{put}?sig={signature(api.secret, put)}"}
            verify = {"href": f"{api.endpoint}/{kind}{repo.id}.git/info/lfs/objects/verify"}
            facts["actions"] = {"upload": upload, "verify": verify}
        objects.append(facts)
    return answer({"transfer": "basic", "objects": objects})


@route("PUT", f"/_lfs{SITE}/(?P<oid>[0-9a-f]{{64}})", "put")
def put(api: Api, request: Request) -> Reply:
    api.check_signature(request)
    repo = api.store.repo(request.names.get("kind", "model"), f"{request.names['space']}/{request.names['name']}")
    hashed, oid = hashlib.sha256(), request.names["oid"]
    while data := request.body.read(PIECE):
        hashed.update(data)
    if (digest := hashed.hexdigest()) != oid:
        raise Refusal(400, f"The content has sha256 {digest}, not {oid}")
    request.body.seek(0)
    repo.receive(oid, request.body)
    return Reply(200, b"", {"ETag": f'"{digest}"'})


@route("POST", SITE + r"\.git/info/lfs/objects/verify", "verify")
def verify(api: Api, request: Request) -> Reply:
    repo, wanted = api.mine(request), request.json()
    path = repo.object(str(wanted["oid"]))
    if not path.exists() or path.stat().st_size != wanted["size"]:
        raise Refusal(404, f"Object {wanted['oid']} of {wanted['size']} bytes is not here")
    return answer({})


@route("POST", API + "/commit/(?P<rev>[^/]+)", "commit")
def commit(api: Api, request: Request) -> Reply:
    repo, branch = api.mine(request), request.names["rev"].removeprefix("refs/heads/")
    if request.flag("create_pr"):
        raise Refusal(400, "Pull requests are not simulated")
    header, changes = _operations(repo, head(repo, branch), request)
    made = repo.commit(
        branch,
        changes,
        title=header["summary"],
        message=header.get("description", ""),
        author=request.account.user if request.account else "",
        parent=header.get("parentCommit"),
    )
    url = f"{api.endpoint}/{'' if repo.type == 'model' else f'{repo.type}s/'}{repo.id}/commit/{made.id}"
    return answer({"success": True, "commitOid": made.id, "commitUrl": url, "hookOutput": ""})


def head(repo: Repo, branch: str) -> Commit:
    """The last commit of a branch; Refusal 404 for anything that is no branch."""
    if branch.removeprefix("refs/heads/") not in repo.refs["branches"]:
        raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    return repo.resolve(branch)


def _operations(repo: Repo, before: Commit, request: Request) -> tuple[dict[str, Any], dict[str, Entry | None]]:
    header: dict[str, Any] | None = None
    changes: dict[str, Entry | None] = {}
    for line in request.lines():
        key, value = line["key"], line["value"]
        if key == "header":
            header = value
        elif key == "deletedFolder":
            changes |= _deleted(before, value["path"].rstrip("/") + "/")
        elif key == "deletedFile":
            changes |= _deleted(before, value["path"])
        elif key in ("file", "lfsFile"):
            changes[safe(value["path"])] = _small(repo, value) if key == "file" else _large(repo, value)
        else:
            raise Refusal(400, f"Unknown operation {key!r}")
    if header is None or not header.get("summary"):
        raise Refusal(400, "A commit needs a header with a summary")
    return header, changes


def _deleted(before: Commit, path: str) -> dict[str, Entry | None]:
    deleted = [p for p in before.tree if p == path or (path.endswith("/") and p.startswith(path))]
    if not deleted:
        raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    return dict.fromkeys(deleted)


def _small(repo: Repo, value: dict[str, Any]) -> Entry:
    try:
        data = base64.b64decode(value["content"], validate=True) if value.get("encoding") == "base64" else None
    except binascii.Error as error:
        raise Refusal(400, f"Invalid base64 in {value['path']}: {error}") from None
    data = value["content"].encode() if data is None else data
    if is_large(value["path"], len(data), data[:512]):
        raise Refusal(400, f"{value['path']} is binary or too large: upload it with LFS")
    return repo.add(value["path"], data)


def _large(repo: Repo, value: dict[str, Any]) -> Entry:
    oid = str(value["oid"])
    if not re.fullmatch(r"[0-9a-f]{64}", oid) or not repo.object(oid).exists():
        raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
    size = repo.object(oid).stat().st_size
    if value.get("size", size) != size:  # a copy has no size
        raise Refusal(400, f"{value['path']} has {size} bytes, not {value['size']}")
    return large_entry(oid, size)


@route("POST", API + "/branch/(?P<ref>[^/]+)", "branch")
def create_branch(api: Api, request: Request) -> Reply:
    return _new_ref(api, request, "branches", request.names["ref"], request.json().get("startingPoint", "main"))


@route("POST", API + "/tag/(?P<rev>[^/]+)", "tag")
def create_tag(api: Api, request: Request) -> Reply:
    return _new_ref(api, request, "tags", request.json()["tag"], request.names["rev"])


def _new_ref(api: Api, request: Request, kind: str, name: str, start: str) -> Reply:
    repo = api.mine(request)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) or name.startswith("refs/") or ".." in name:
        raise Refusal(400, f"Invalid reference: {name!r}")
    if name in repo.refs[kind]:
        raise Refusal(409, "Reference already exists")
    repo.point(kind, name, repo.resolve(start).id)
    return Reply(201)


@route("DELETE", API + "/branch/(?P<ref>[^/]+)", "branch")
def delete_branch(api: Api, request: Request) -> Reply:
    if request.names["ref"] == "main":
        raise Refusal(403, "Cannot delete the main branch")
    return _drop_ref(api, request, "branches")


@route("DELETE", API + "/tag/(?P<ref>[^/]+)", "tag")
def delete_tag(api: Api, request: Request) -> Reply:
    return _drop_ref(api, request, "tags")


def _drop_ref(api: Api, request: Request, kind: str) -> Reply:
    repo, name = api.mine(request), request.names["ref"]
    if name not in repo.refs[kind]:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    repo.point(kind, name, None)
    return Reply(204)

"""What downloads leave in place of data: pointers of Git LFS, pages of a server."""

from curate.errors import RawError

BOM = b"\xef\xbb\xbf"


def foreign(head: bytes) -> str:
    """Name what a file is that holds no data, by its first bytes; "" for any other file."""
    text = head.removeprefix(BOM).lstrip()[:64].lower()
    if text.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a Git LFS pointer"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "an XML document" if text.startswith((b"<?xml", b"<error>")) else ""


def refuse_foreign(where: str, head: bytes, expected: str) -> None:
    """Raise RawError for a file that is a pointer to the data, or the page that a server sent in its place."""
    found = foreign(head)
    if found:
        hint = "git lfs pull, or curate fetch" if "LFS" in found else "download the file again, or curate fetch"
        raise RawError(where, f"{found}, not the data", expected, hint)

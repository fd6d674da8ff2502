"""The files of a source by glob patterns, on disk and inside archives."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from curate.errors import RawError
from curate.rawfiles import archives
from curate.rawfiles.archives import composed
from curate.sources.base import RowFile, Source


def row_files(source: Source, raw: Path, options: Any) -> list[RowFile]:
    """The files of a source that hold rows, each once, sorted within a pattern.

    A folder that `datasets` saved stands for its Arrow files. Raises RawError for a pattern that matches nothing,
    and for a link without a target.
    """
    if not raw.is_dir():
        raise RawError(
            str(raw),
            "no such directory",
            f"the raw files of {source.repo}",
            f"{f'curate fetch {raw.name} brings them; or ' if '/' in source.repo else ''}give their parent folder "
            "with --raw",
        )
    if source.row_files is not None:
        return source.row_files(raw, options)
    found: dict[tuple[Path, str], RowFile] = {}
    for pattern in source.files:
        for file in _of_pattern(raw, pattern):
            found.setdefault((file.path, file.member), file)
    return list(found.values())


def _of_pattern(raw: Path, pattern: str) -> list[RowFile]:
    path_pattern, _, member_pattern = pattern.partition("!")
    paths = [file for path in matching(raw, path_pattern) for file in _saved(path)]
    files = [
        RowFile(path=path, member=member)
        for path in paths
        for member in (_members(path, member_pattern) if member_pattern else [""])
    ]
    if not files:
        there = sorted(path.name for path in raw.iterdir())[:5]
        raise RawError(
            str(raw), f"no file matches {pattern}", "", f"the folder holds {', '.join(there) or 'nothing'}"
        )
    return files


def _members(path: Path, pattern: str) -> list[str]:
    hidden = hides(pattern)
    return [name for name in archives.members(path, pattern) if hidden or not hides(name)]


def _saved(path: Path) -> list[Path]:
    """The file; the Arrow files of a folder of Dataset.save_to_disk; nothing for any other folder.

    Raises RawError where such a folder's list of its files is damaged, or names one that is not there.
    """
    state = path / "state.json"
    if not path.is_dir():
        return [path]
    if not state.is_file():
        return []
    try:
        files = [path / Path(entry["filename"]).name for entry in json.loads(state.read_bytes())["_data_files"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RawError(str(state), "damaged", "what Dataset.save_to_disk writes", SAVE_AGAIN) from None
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise RawError(str(missing), "no such file", f"a file, as {state.name} says", SAVE_AGAIN)
    return files


SAVE_AGAIN = "save the dataset again, or fetch it again"


def matching(raw: Path, pattern: str) -> list[Path]:
    """The files and folders under `raw` that the glob pattern matches, sorted; "." is `raw` itself.

    A name in NFC and one in NFD are the same name. Hidden files and folders and __MACOSX are left out, unless the
    pattern names such a one. Raises RawError for a link without a target.
    """
    pattern = "/".join(part for part in pattern.split("/") if part not in ("", "."))
    if not pattern:
        return [raw]
    try:
        found = {*raw.glob(pattern), *_links(raw, pattern)} | (
            set() if pattern.isascii() else set(_same_name(raw, pattern))
        )
    except (ValueError, NotImplementedError) as error:
        raise RawError(str(raw), f"{pattern!r} is no pattern ({error})", "such as data/*.jsonl") from None
    if not hides(pattern):
        found = {path for path in found if not hides(path.relative_to(raw).as_posix())}
    for path in found:
        if path.is_symlink():
            _check_link(path)
    return sorted(found)


def _check_link(path: Path) -> None:
    """Raise RawError for a link without a target, or that leads over too many others, or to itself."""
    try:
        path.stat()
    except FileNotFoundError:
        found = f"a link to {path.readlink()}, which is not there"
        raise RawError(str(path), found, "a file", "fetch the source again") from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        found = "a link to itself, or over more than 40 others"
        raise RawError(str(path), found, "a file", "link it to the file itself") from None


def _links(raw: Path, pattern: str) -> list[Path]:
    """The links that the pattern names without a wildcard: `glob` leaves those without a target out."""
    head, _, name = pattern.rpartition("/")
    if any(mark in name for mark in "*?["):
        return []
    return [folder / name for folder in (raw.glob(head) if head else [raw]) if (folder / name).is_symlink()]


def hides(name: str) -> bool:
    """Whether a path or pattern names what systems and tools leave beside files: hidden files, __MACOSX."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _same_name(raw: Path, pattern: str) -> Iterator[Path]:
    wanted = composed(pattern)
    for path in raw.rglob("*"):
        name = PurePosixPath(composed(path.relative_to(raw).as_posix()))
        if len(name.parts) == len(PurePosixPath(wanted).parts) and name.match(wanted):
            yield path

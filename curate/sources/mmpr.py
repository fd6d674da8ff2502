"""MMPR v1, v1.1 and v1.2: reasoning preferences made by rules, about 130 subsets listed in meta.json.

All versions have one layout: meta.json, annotations.zip (or the directory unpacked from it) and images.zip in byte
pieces; a manifest that pins `OpenGVLab/MMPR` or `-v1.1` needs no other adapter. How often upstream repeats a
subset is kept in `extra` only: the recipe decides the shares. Archives unpacked by hand into folders of their own
names (`annotations/annotations/`, `images/images/`) are read as the archives.

Evidence: the publisher's loader (OpenGVLab/InternVL, internvl_chat/internvl/train/internvl_chat_mpo.py) for
columns, roots and placeholders; a public README that counts 42 `*_correctness_rules` files with about 322 k
rows. The card has 3 M rows for every version, but annotations.zip of v1.2 is a quarter of v1.1's: 0.7 to 1.2 M
rows are likelier than the 2 M of BaseReward's table, and nobody has counted. Sum `length` of meta.json.

Unverified upstream: how rows with `video` look (they are skipped). v1 names annotations by paths of the author's
machine.
"""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from curate.arrays import series
from curate.errors import RawError, SkipRow
from curate.sources.base import Draft, MediaSource, Row, RowFile, Source, reply, text, user, with_media
from curate.sources.by_columns.base import Dialogues, DraftColumns, RowBatch, constant, extras, kept, present
from curate.sources.by_columns.images import prompts, without_placeholder
from curate.sources.images import media_of

ORIGIN = re.compile(r"(?:correctness_rules|format_rules|direct_rules|sr\d\.\d+_(?:with_image|wo_image))$")


def row_files(raw: Path, _options: Any) -> list[RowFile]:
    """The annotation file of each subset of meta.json, in its order. Raises RawError where one is missing."""
    meta = _meta(raw / "meta.json")
    annotations, archive = raw / "annotations", raw / "annotations.zip"
    packed = not annotations.is_dir()
    stored = (
        _members(archive) if packed else [p.relative_to(annotations).as_posix() for p in annotations.rglob("*")]
    )
    files = []
    for subset, facts in meta.items():
        name = _find(raw, subset, str(facts["annotation"]), stored)
        context = {
            "subset": subset,
            "root": facts["root"],
            "repeat_time": facts.get("repeat_time", 1),
            "data_augment": facts.get("data_augment", False),
        }
        path, member = (archive, name) if packed else (annotations / name, "")
        files.append(RowFile(path=path, member=member, context=context))
    return files


def _meta(path: Path) -> dict[str, dict[str, Any]]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RawError(str(path), "no such file", "the meta.json of MMPR", "curate fetch mmpr") from None
    except ValueError as error:
        raise RawError(str(path), f"not JSON ({error})", "the meta.json of MMPR", "fetch the file again") from None
    if not isinstance(meta, dict) or not meta:
        raise RawError(str(path), "lists no subsets", "a mapping of subsets")
    for subset, facts in meta.items():
        missing = [key for key in ("root", "annotation") if not isinstance(facts, dict) or key not in facts]
        if missing:
            raise RawError(str(path), f"subset {subset} has no {' and no '.join(missing)}", "root and annotation")
    return meta


def _members(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as file:
            return file.namelist()
    except FileNotFoundError:
        raise RawError(
            str(archive), "no such file", "annotations.zip or annotations/", "curate fetch mmpr"
        ) from None
    except zipfile.BadZipFile as error:
        raise RawError(str(archive), f"not a whole zip ({error})", "", "fetch the file again") from None


def _find(raw: Path, subset: str, annotation: str, stored: Iterable[str]) -> str:
    """The stored file that agrees with upstream's path from the end until one of the two is used up."""
    wanted = PurePosixPath(annotation.replace("\\", "/")).parts
    found = []
    for name in stored:
        parts = PurePosixPath(name).parts
        shared = min(len(parts), len(wanted))
        if parts[-shared:] == wanted[-shared:]:
            found.append(name)
    if len(found) != 1:
        what = f"{len(found)} files agree with" if found else "no file agrees with"
        raise RawError(
            str(raw), f"{what} {annotation} (subset {subset})", "one annotation file", "curate fetch mmpr"
        )
    return found[0]


def origin(subset: str) -> str | None:
    """How the pairs of a subset were made, from the end of its name; None for another name.

    `sr0.5_wo_image`: the rejected reply is the first half of the chosen one, completed without the image;
    `sr0.0_with_image`: nothing of the chosen one is kept, and the model sees the image.
    """
    found = ORIGIN.search(subset)
    return found[0] if found else None


FACTS = ("subset", "repeat_time", "data_augment")
OF_ROW = ("answer_gt", "chosen_meta", "rejected_meta")


def placed(media: list[MediaSource], root: str) -> list[MediaSource]:
    """The media, their paths below the root of their subset."""
    for item in media:
        if item.path:
            item.path = str(PurePosixPath(root, item.path))
    return media


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; several images need their placeholders in the text, none at all makes a text pair."""
    if row.get("video"):
        raise SkipRow("video_of_unknown_form", str(row["video"])[:80])
    context = row.context
    media = placed(media_of(row.get("image")), context["root"])
    prompt, media = with_media(user(text(row, "question")), media, absent="prepend" if len(media) == 1 else "skip")
    category = origin(context["subset"])
    extra = {key: context[key] for key in FACTS}
    extra |= {key: row[key] for key in OF_ROW if row.get(key) is not None}
    yield Draft(
        prompt=prompt,
        chosen=reply(text(row, "chosen")),
        rejected=reply(text(row, "rejected")),
        media=media,
        category=category,
        annotator="rule" if category else None,
        extra=extra,
    )


def columns(batch: RowBatch) -> DraftColumns:
    """`to_pairs` by columns, of rows with at most one image."""
    context, category = batch.context, origin(batch.context["subset"])
    replies = {side: batch.texts(side) for side in ("chosen", "rejected")}
    paths = series(batch.texts("image")).to_list()
    pictured = np.array([bool(path) for path in paths], np.bool_)
    question, fits = without_placeholder(batch.texts("question"), pictured)
    fits &= present(*replies.values()) & ~present(batch.texts("video"))
    media = [
        _image(path, context["root"]) if fit else None for path, fit in zip(paths, fits.tolist(), strict=True)
    ]
    fits &= np.array([one is not None for one in media], np.bool_)
    count, facts = int(fits.sum()), {key: context[key] for key in FACTS}
    return DraftColumns(
        fits=fits,
        prompt=prompts(kept(question, fits), pictured[fits]),
        **{side: Dialogues.of_texts("assistant", kept(text, fits)) for side, text in replies.items()},
        media=[one for one in media if one is not None],
        category=constant(category, count) if category else None,
        annotator=constant("rule", count) if category else None,
        extra=[facts | of_row for of_row in extras(batch, OF_ROW, fits)],
    )


def _image(path: str | None, root: str) -> list[MediaSource] | None:
    """The image that a row names, none where it names none; None where the adapter must look at it."""
    try:
        return placed(media_of(path), root)
    except SkipRow:
        return None


SOURCE = Source(
    repo="OpenGVLab/MMPR-v1.2",
    row_files=row_files,
    media=("images.zip_*", "images.zip", "images"),
    license="mit",
    modality="image",
    paper="arXiv:2411.10442",
    version=2,
    reads=("image", "video", "question", "chosen", "rejected", "answer_gt", "chosen_meta", "rejected_meta"),
    to_pairs=to_pairs,
    columns=columns,
)

"""The images of items of eval sets: read from the raw files when looked at, those of the next items too."""

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from functools import cached_property
from pathlib import Path

from curate.errors import SkipRow
from curate.evalsets.base import Item
from curate.evaluation.items import LoadedEvalSet, media_bytes, media_finder, read_items
from curate.rawfiles.media_finder import MediaFinder
from curate.sources.base import MediaSource

AHEAD = 20
"""Items that are read in one pass over the raw files, which may be long: images lie between the rows."""
KEPT = 60

Frames = tuple[bytes, ...]


class EvalMedia:
    """The media of the items of one eval set. Safe for threads."""

    def __init__(self, loaded: LoadedEvalSet) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._items: OrderedDict[int, tuple[Frames, ...]] = OrderedDict()
        self._folder = Path(tempfile.mkdtemp(prefix="curate-browse-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    @cached_property
    def _finder(self) -> MediaFinder:
        # indexes of archives go with this process: looking leaves nothing in the workspace
        return media_finder(self._loaded.evalset, self._loaded.folder, self._folder)

    def frame(self, number: int, at: int, frame: int) -> bytes | None:
        """A frame of a medium of the item of a row, its only one if it is an image; None where there is none."""
        with self._lock:
            if number not in self._items:
                self._read(number)
            media = self._items.get(number, ())
        frames = media[at] if at < len(media) else ()
        return frames[frame] if frame < len(frames) else None

    def _read(self, first: int) -> None:
        rows = read_items(self._loaded.evalset, self._loaded.folder, self._loaded.options)
        for number, item in rows:
            if number >= first + AHEAD:
                break
            if number >= first and isinstance(item, Item):
                self._items[number] = tuple(self._frames(one) for one in item.media)
        while len(self._items) > KEPT:
            self._items.popitem(last=False)

    def _frames(self, one: MediaSource) -> Frames:
        try:
            found = media_bytes(one, self._finder)
        except SkipRow:
            return ()
        return found if isinstance(found, tuple) else (found,)

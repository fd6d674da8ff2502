"""Media of drafts -> the image store, in a worker."""

from collections.abc import Sequence
from pathlib import Path

from curate.errors import SkipRow
from curate.images.decode import ImageFacts
from curate.images.store import ImageStore, KnownImage, PackWriter
from curate.rawfiles.foreign import foreign
from curate.rawfiles.media_finder import MediaFinder, MediaSpec
from curate.schema import Media
from curate.sources.base import MediaSource

HEAD = 1024  # bytes by which what is no image is named


class Resolver:
    """Puts a draft's media into the image store; gives their keys, and their size in bytes.

    An image of a directory or an archive that many rows name is read once in a slice.
    """

    def __init__(self, finder: MediaFinder, writer: PackWriter, max_pixels: int, *, strict: bool) -> None:
        self.finder, self.writer, self.max_pixels, self.strict = finder, writer, max_pixels, strict
        self.named: dict[str, ImageFacts | KnownImage] = {}

    def __call__(self, items: Sequence[MediaSource]) -> tuple[tuple[Media, ...], int]:
        """Media as stored, and their bytes. Raises SkipRow for one that is missing or no image."""
        media, total = [], 0
        for item in items:
            frames = self.frames(item)
            media.append(Media(item.kind, tuple(frame.key for frame in frames)))
            total += sum(frame.bytes for frame in frames)
        return tuple(media), total

    def frames(self, item: MediaSource) -> list[ImageFacts | KnownImage]:
        """The images of one entry: one, or the frames of a video."""
        if item.data is not None:
            return [self.put(item.data)]
        if item.kind == "video":
            return [self.put(data) for data in self.finder.frames(item.path)]
        if item.path not in self.named:
            self.named[item.path] = self.put(self.finder.find(item.path))
        return [self.named[item.path]]

    def put(self, data: bytes | memoryview) -> ImageFacts | KnownImage:
        """Keep one image."""
        try:
            return self.writer.put(data, max_pixels=self.max_pixels, strict=self.strict)
        except SkipRow:
            if found := foreign(bytes(data[:HEAD])):
                raise SkipRow("image_not_downloaded", found) from None
            raise


# opened once in each process: an index of millions of images is not read for every slice
_STORES: dict[Path, ImageStore] = {}
_FINDERS: dict[MediaSpec, MediaFinder] = {}
FINDERS = 8  # kept open: slices of several sources come in turn


def store_of(root: Path) -> ImageStore:
    """The image store, as it is now."""
    store = _STORES.setdefault(root, ImageStore(root))
    store.refresh()
    return store


def finder_of(spec: MediaSpec) -> MediaFinder:
    """The finder of these media."""
    if spec not in _FINDERS:
        if len(_FINDERS) == FINDERS:
            _FINDERS.pop(next(iter(_FINDERS)))
        _FINDERS[spec] = spec.open()
    return _FINDERS[spec]

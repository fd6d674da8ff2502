"""Tells a passage that an item quotes from the item: a text without the item's question holds no item."""

import re

import numpy as np

from curate.arrays import I64, U8

QUOTED = 25
"""A passage has so many words, at least."""

SENTENCE = 5
"""What is missing beside it has a sentence of so many words, at least: lists end with shorter ones."""

WHOLE = 0.95
"""The least share of the words of a passage that is found."""

ABSENT, ABSENT_ALONE = 0.8, 0.4
"""The most that is found of a sentence that is missing; and as it is nowhere else in the document."""

END = re.compile(rb"[.?!:;\n]|\xe3\x80\x82|\xef\xbc\x9f|\xef\xbc\x81")  # the last three are CJK signs


def sentences(text: U8) -> I64:
    """Return the numbers of the words of a UTF-8 text that begin a sentence, or a line."""
    from curate.text.word_kernels import words  # numba

    _, begins, ends = words(text, 0, len(text))
    data = text.tobytes()
    first = [0] if len(begins) else []
    gaps = zip(ends[:-1].tolist(), begins[1:].tolist(), strict=True)
    return np.array([*first, *(i for i, gap in enumerate(gaps, 1) if END.search(data, *gap))], np.int64)


def is_passage(there: U8, own: U8, starts: I64) -> bool:
    """Whether a document is found but for its first or its last sentences.

    `there` says of each of its words whether it is found, `own` whether it is so as it is nowhere else in the
    document: the words of a question are in the passage too. `starts` are the document's `sentences`.
    """
    if len(there) < QUOTED or len(starts) < 2 or there.all():
        return False
    found = np.add.reduceat(there, starts, dtype=np.int64)
    sizes = np.diff(np.append(starts, len(there)))
    alone = np.add.reduceat(own, starts, dtype=np.int64)
    absent = (alone <= ABSENT_ALONE * sizes) & (found <= ABSENT * sizes)
    first = int(np.argmin(absent))  # how many are absent at the beginning
    last = len(absent) - int(np.argmin(absent[::-1]))
    inside, size = found[first:last].sum(), sizes[first:last].sum()
    longest = max(sizes[:first].max(initial=0), sizes[last:].max(initial=0))
    return bool(longest >= SENTENCE and size >= QUOTED and inside >= WHOLE * size)

"""What a word is, for all passes over texts; `curate.text.word_kernels` finds and hashes words.

A word is a longest run of letters, digits and underscores; case, punctuation and space do not matter. In Chinese,
Japanese and Korean, which are written without spaces, every character is a word. Characters are not composed or
decomposed.
"""

import numpy as np

from curate.arrays import U16

VERSION = 1
"""Goes up when another hash, or another word, is made of a text; part of every sketch that rests on words."""

FOLDED_TO = 0x600
"""Code points below it are folded by table: Latin, Greek, Cyrillic, Armenian. Few later scripts have case."""


def folded() -> U16:
    """Return for each code point below FOLDED_TO that of its small letter, 0 for one that is no part of a word."""
    table = np.zeros(FOLDED_TO, np.uint16)
    for point in range(0x80, FOLDED_TO):
        character = chr(point)
        if character.isalnum() or 0x300 <= point < 0x370:  # combining accents belong to their letter
            lower = character.lower()
            table[point] = ord(lower) if len(lower) == 1 else point
    return table

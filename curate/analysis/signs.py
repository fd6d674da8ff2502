"""Digits, exclamation and question marks and list markers of all scripts, as a table that kernels read."""

from unicodedata import category

import numpy as np

from curate.arrays import U8

DIGIT, EXCLAMATION, QUESTION, BULLET, NUMERAL = 1, 2, 4, 8, 16
"""What a sign can be; ⁉ is two of them."""

MARKS = {
    EXCLAMATION: "!！﹗︕‼⁈⁉❗❕՜߹᥄",
    QUESTION: "?？﹖︖⁇⁈⁉❓❔؟\u037e՞፧⸮⳺⳻꘏꛷᥅",
    BULLET: "•‣⁃∙◦○●◎■□▪▫◆◇▶►➢➤★☆✓✔✦❖✅☑・･·‧–－",
    NUMERAL: "一二三四五六七八九十百",
}
NUMBERED = ((0x2460, 0x249B), (0x2776, 0x2793), (0x3220, 0x3229), (0x3251, 0x325F), (0x32B1, 0x32BF))
"""Numbers in circles, brackets or with a full stop: as good as bullets."""

SIZE = 1 << 16
"""Code points above are none of these: mathematical digits, emoji."""


def signs() -> U8:
    """Return for each code point below SIZE what it is, a sum of the constants above."""
    table = np.zeros(SIZE, np.uint8)
    table[[point for point in range(SIZE) if category(chr(point)) == "Nd"]] = DIGIT
    for kind, marks in MARKS.items():
        table[[ord(mark) for mark in marks]] |= np.uint8(kind)
    for first, last in NUMBERED:
        table[first : last + 1] |= np.uint8(BULLET)
    table.flags.writeable = False
    return table

"""The tokenizer of the text passes: what a word is, and that its hash knows nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.word_kernels import words


def split(text: str) -> tuple[list[str], list[int]]:
    """The words as they stand in the text, and their hashes."""
    data = text.encode()
    hashes, begins, ends = words(np.frombuffer(data, np.uint8), 0, len(data))
    return [data[i:j].decode() for i, j in zip(begins, ends, strict=True)], hashes.tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello, World! it’s_a test…", ["Hello", "World", "it", "s_a", "test"]),
        ("«Été» straße ПРИВЕТ", ["Été", "straße", "ПРИВЕТ"]),
        ("你好 x한국。", ["你", "好", "x", "한", "국"]),
        ("a\u00a0b—c 😀 d", ["a", "b", "c", "d"]),
        ("x" * 63 + " " + "y" * 64 + "z" * 130, ["x" * 63, "y" * 64 + "z" * 130]),
    ],
)
def test_words(text: str, expected: list[str]):
    assert split(text)[0] == expected


def test_case_is_folded_also_beyond_ascii():
    assert split("HELLO wörld ÉTÉ Привет it s")[1] == split("hello—WÖRLD été! ПРИВЕТ it’s")[1]


@given(
    st.lists(st.text("abcXYZ019_é", min_size=1, max_size=20), max_size=40),
    st.sampled_from([" ", ", ", " … ", "\n\n", "—"]),
)
def test_separators_do_not_matter_and_other_words_have_other_hashes(parts: list[str], separator: str):
    said, hashes = split(separator.join(parts))
    assert said == parts
    assert hashes == [split(part)[1][0] for part in parts]
    assert len(set(hashes)) == len({part.lower() for part in parts})

"""The normal form of words: code points that spell one text are one, and words of other scripts stay apart."""

import unicodedata
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.analysis.traits import Traits
from curate.hashing import fingerprint
from curate.near_duplicates.minhash import MinHash
from curate.steps.near_dedup import NearDedup
from curate.text import normal_form
from curate.text.buffers import EMPTY, Texts, frozen, strings
from curate.text.shingles import sets
from curate.text.word_kernels import most_words, words
from curate.text.words import VERSION
from tests.text.test_word_kernels import split

SENTENCE = "Die schöne Müllerin — “Grüße”, 42 Bücher & 3 Äpfel"
BOLD = {ord(c): chr(0x1D400 + i) for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
WIDE = {point: chr(point + 0xFEE0) for point in range(0x21, 0x7F)} | {0x20: "\u3000"}
LOOKALIKE = str.maketrans("aceopxyisjBHKMT", "асеорхуіѕјВНКМТ")
SMALL_CAPITALS = str.maketrans("abcdefghijklmnopqrstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ")
DARK = {first + at: chr(0x1F170 + at) for first in (0x41, 0x61) for at in range(26)}
PARENTHESISED = {0x61 + at: chr(0x249C + at) for at in range(26)}
OTHER_LOOKALIKE = str.maketrans("BKMYaoxv", "ᏴꓗᎷꓬⲁⲟⲭν")
ENGLISH = "Is it a Big Mistake that you paint over the Kitchen 2 times in a day? Yes, so I see"


def hashes(text: str) -> list[int]:
    return split(text)[1]


@pytest.mark.parametrize(
    "other",
    [
        ENGLISH.upper(),
        ENGLISH.translate(WIDE),
        ENGLISH.translate(BOLD),
        "\u00ad".join(ENGLISH),
        ENGLISH.replace("i", "i\u200b").replace("e", "\ufeffe\u2060").replace("t", "\u200dt"),
        ENGLISH.translate(LOOKALIKE),
        ENGLISH.lower().translate(SMALL_CAPITALS),
        "\u202e" + ENGLISH.replace(" ", "\u2009") + "\u202c",
        ENGLISH.translate(DARK),
        ENGLISH.lower().translate(PARENTHESISED),
        ENGLISH.translate(OTHER_LOOKALIKE),
        "".join(one + "\u0336\u0332\u20dd" * one.isalnum() for one in ENGLISH),
        ENGLISH.replace("2", "\u0662"),
    ],
    ids=["capitals", "full-width", "bold", "soft hyphens", "zero width", "lookalikes", "small capitals", "spaces",
         "dark squares", "parentheses", "Cherokee, Coptic, Lisu", "struck through", "digits"],
)  # fmt: skip
def test_one_text_in_other_code_points_has_the_same_words(other: str):
    assert hashes(other) == hashes(ENGLISH)


def test_accents_ligatures_and_sharp_s():
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert hashes(normalize(form, SENTENCE)) == hashes(SENTENCE)
    assert hashes("eﬃcient ﬁne STRASSE Ⅷ ①") == hashes("efficient fine straße viii 1")
    assert hashes("e\u0323\u0302 e\u0302\u0323") == hashes("ệ ệ")  # marks in another order
    assert hashes("resume schon")[0] != hashes("résumé schön")[0]
    assert hashes("schon") != hashes("schön")
    assert hashes("كتـــاب ١٢") == hashes("كتاب 12") != hashes("كتيب 12")
    assert hashes("п\u02bcять") == hashes("п'ять")
    assert hashes("a\u0338 \U0001fbf1 \U0001f130\U0001f151⒞") == hashes("a 1 abc")
    assert split("x\u0301 \u0301 it´s")[0] == ["x\u0301", "it", "s"]  # an accent of no letter is no word


def test_syllables_and_kana_are_composed():
    text = "한국어 각각 がぎぐ パン"
    assert hashes(normalize("NFD", text)) == hashes(text)
    assert hashes("ﾊﾟﾝ") == hashes("パン")
    assert split(normalize("NFD", "한국"))[0] == [normalize("NFD", "한"), normalize("NFD", "국")]
    assert hashes("が") != hashes("か")
    assert hashes("가") != hashes("각")


@pytest.mark.parametrize(
    ("word", "latin"),
    [
        ("оса", "oca"), ("о_с", "o_c"), ("рот", "pot"), ("сор", "cop"), ("тема", "tema"), ("хор", "xop"),
        ("Вера", "Bepa"), ("νους", "vouc"), ("το", "to"), ("ΑΒΕ", "ABE"), ("на", "ha"), ("IT-отдел", "IT-otdel"),
        ("VIPзал", "VIPzal"), ("ロ", "口"), ("二", "ニ"), ("ı", "i"), ("ł", "l"), ("ø", "o"),
        ("α", "a"), ("β", "ß"), ("ᎪᎳ", "aw"), ("ꓮꓑ", "ap"), ("ⲟⲭ", "ox"), ("ӏов", "lob"), ("ναι", "vai"),
        ("כתב", "כתכ"), ("ה", "ח"), ("و", "9"), ("ه", "o"), ("ا", "l"), ("日", "曰"), ("口", "ロ"), ("へ", "ヘ"),
    ],
)  # fmt: skip
def test_words_of_other_scripts_stay_apart(word: str, latin: str):
    assert hashes(word) != hashes(latin)
    assert hashes(f"{word} это предложение и") != hashes(f"{latin} это предложение и")


def test_a_lookalike_is_latin_only_in_a_latin_word_or_text():
    assert hashes("pаypal") == hashes("paypal")  # a Cyrillic a
    assert hashes("Xбокс") != hashes("xbokc")  # a letter that looks like none
    assert hashes("read а book") == hashes("read a book")
    russian = "слово а, союз"
    assert hashes(f"read {russian}")[2] == hashes(russian)[1] != hashes("a")[0]
    assert hashes("а")[0] != hashes("a")[0]  # nothing shows that this is Latin


def test_greek_letters_of_formulas_and_scripts_quoted_in_latin_texts_stay_apart():
    for greek, latin in (("α", "a"), ("χ²", "x2"), ("ρ", "p"), ("ν", "v"), ("και", "kai")):
        assert hashes(f"the value of {greek} is small") != hashes(f"the value of {latin} is small")
    assert hashes("mαke Α νery long ροem") == hashes("make A very long poem")  # the second is a capital
    for other, latin in (("ⲕⲁⲓ ⲙⲛ", "kai"), ("ᎠᎳ ᏣᎳᎩ", "DW"), ("ꓐꓳ ꓤ", "BO")):  # a letter that looks like none
        assert hashes(f"he writes {other}")[2] != hashes(f"he writes {latin}")[2]


def test_versions_go_up_with_other_words():
    texts = (
        ENGLISH,
        SENTENCE,
        "слово а, союз",
        "한국어 がぎ ﾊﾟﾝ",
        "كتـــاب ١٢",
        "½ ㍿ ⒜ 🅱",
        ENGLISH.translate(LOOKALIKE),
    )
    assert fingerprint([hashes(text) for text in texts]) == "98bcdb17d4423a59"
    assert (VERSION, MinHash.version, NearDedup.version, Traits.version) == (3, 3, 2, 5)


SCRIPTS = st.sampled_from(
    [chr(point)
     for first, last in ((0x370, 0x3FF), (0x400, 0x52F), (0x531, 0x587), (0x4E00, 0x4E80), (0x3041, 0x30FE),
                         (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE30), (0x13A0, 0x13F5),
                         (0x2C80, 0x2CF3), (0xA4D0, 0xA4F7))
     for point in range(first, last + 1) if unicodedata.category(chr(point)) in ("Ll", "Lo")]
)  # fmt: skip


@given(st.text(SCRIPTS, min_size=1, max_size=12), st.text(SCRIPTS, min_size=1, max_size=12))
def test_texts_of_other_scripts_are_equal_only_where_unicode_says_so(left: str, right: str):
    same = normalize("NFKC", left).casefold() == normalize("NFKC", right).casefold()
    assert (hashes(left) == hashes(right)) == same or same


@given(
    st.text(
        st.sampled_from("aßéИйёеоӣ가각한グが①ﬀＡ𝐀 ½…-ŉ\u0301\u0323\u3099\u00ad\u1112\u1161\u11ab\u0f0b"),
        max_size=30,
    )
)
def test_all_normalisations_have_the_same_words_within_the_bound(text: str):
    expected = hashes(text)
    assert len(expected) <= most_words(0, len(text.encode()))
    for form in ("NFC", "NFD"):
        assert hashes(normalize(form, text)) == expected
    if "½" not in text and "\u1112" not in text:
        assert hashes(normalize("NFKC", text)) == expected


@given(st.binary(max_size=60))
def test_bytes_that_are_no_text_do_no_harm(data: bytes):
    found, begins, ends = words(np.frombuffer(data, np.uint8), 0, len(data))
    assert len(found) <= most_words(0, len(data))
    assert (begins < ends).all()
    assert not len(ends) or ends[-1] <= len(data)


def test_no_sign_is_more_words_than_fit_in_its_bytes():
    for point in [p for first, last in normal_form.COMPUTED for p in range(first, last + 1)]:
        data = f"a{chr(point)}".encode() * 4
        assert len(words(np.frombuffer(data, np.uint8), 0, len(data))[0]) <= most_words(0, len(data)), hex(point)


def shingle_of(text: str) -> int:
    offsets, data = strings(pa.array([text]))
    sides = [(data, offsets, frozen(np.array([0, 1]))), EMPTY, EMPTY]
    texts = Texts(*(tuple(some) for some in zip(*sides, strict=True)))
    found, _ = sets(texts, 1, 5, np.array([0]))
    (only,) = found.tolist()
    return int(only)


def test_short_sides_are_equal_where_their_normal_forms_are():
    assert shingle_of("Don’t stop –\u00a0now…") == shingle_of("don't  stop - NOW...")
    assert shingle_of("no\u2011one") == shingle_of("no-one")
    assert shingle_of("Ｗｈｙ？") == shingle_of("why?\u200b")
    assert (
        len({shingle_of(text) for text in ("why?", "why!", "why", "w hy?", "?why", "?", "", "ㄱ㍿", "株式会社")})
        == 9
    )

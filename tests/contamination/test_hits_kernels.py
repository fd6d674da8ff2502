"""The hits of texts: as a plain comparison of each text with each document has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contamination.grams import AROUND, CHANGED, EDITED, SHORT, SIZE, room_for_hits
from curate.contamination.hits_kernels import write_hits, write_near
from curate.contamination.index import load, needed
from curate.contamination.protected import FLOOR, ProtectedItem, ProtectedSets
from curate.contamination.scan_kernels import scan
from curate.text.cover_kernels import fine
from curate.text.word_kernels import words
from tests.support.pieces import covered_words, plain_piece

DICE = Random(5)
NAMES = ["".join(DICE.choices("bdfgklmn", k=4)) for _ in range(60)]
PHRASES = [DICE.choices(NAMES, k=9) for _ in range(12)]
LENGTHS = [*range(4, 16), *range(16, 90, 6), 130, 200, 400]


def made(length: int) -> list[str]:
    """Some words, among them phrases that others have too, of which some are repeated."""
    said: list[str] = []
    while len(said) < length:
        said += DICE.choice(PHRASES)[: DICE.randint(3, 9)] if DICE.random() < 0.5 else [DICE.choice(NAMES)]
    return said[:length]


DOCUMENTS = [made(length) for length in LENGTHS for _ in range(2)]


@dataclass(frozen=True)
class Items:
    """A protected set of DOCUMENTS."""

    name: str = "made"

    def facts(self, _):
        return None

    def items(self) -> Iterator[ProtectedItem]:
        for key, document in enumerate(DOCUMENTS):
            yield ProtectedItem(of=self.name, key=str(key), prompts=(" ".join(document),))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return load(ProtectedSets(fingerprint="made", sets=(Items(),), cache=tmp_path_factory.mktemp("cache")))


def plain_shares(index, document, covered):
    first, end = index.packed.firsts[document : document + 2]
    return [sum(covered[at : at + SIZE]) for at in index.packed.places[first:end].tolist()], slice(first, end)


def plain_hit(index, document, text):
    """(Shares, where its longest part begins and ends) of a document that the text has, else None."""
    own = DOCUMENTS[document]
    if len(own) < SHORT:
        return [SIZE], (-1, -1)
    there, first, end, all_covered = plain_piece(own, text)
    shares, at = plain_shares(index, document, covered_words(there, len(own)))
    found = total = 0.0
    for weight, share in zip(index.packed.weights[at].tolist(), shares, strict=True):
        found, total = found + weight * share, total + weight
    if found < SIZE * total * float(needed(np.array([len(own)]), FLOOR)[0]):
        return None
    inside = [one for one in all_covered if first <= one < end]
    ends = [(i, j) for i in range(len(inside)) for j in range(i, len(inside)) if inside[j] - inside[i] == j - i]
    i, j = max(ends, key=lambda pair: (pair[1] - pair[0], -pair[0]))
    return shares, (inside[i], inside[j] + 1)


def bytes_of(text, first, end):
    if first < 0:
        return first, end
    return len(" ".join([*text[:first], ""])), len(" ".join(text[:end]))


def read(room, count):
    """(Document, near, shares, bytes) of each hit."""
    found, begin = [], 0
    for _, document, near, _, first, end, shares_end in room.rows[:count].tolist():
        found.append((document, near, room.shares[begin:shares_end].tolist(), (first, end)))
        begin = shares_end
    return found


def texts():
    """Parts of documents among other words."""
    part = st.tuples(st.sampled_from(DOCUMENTS), st.integers(0, 400), st.integers(0, 400))
    parts = part.map(lambda one: one[0][min(one[1:]) % len(one[0]) : max(one[1:])])
    return st.lists(parts | st.lists(st.sampled_from(NAMES), max_size=30), min_size=1, max_size=5).map(
        lambda some: [word for one in some for word in one]
    )


def prepared(text):
    data = np.frombuffer(" ".join(text).encode(), np.uint8)
    hashes, begins, ends = words(data, 0, len(data))
    return fine(hashes), begins, ends


@settings(max_examples=30)
@given(texts())
def test_a_text_has_the_documents_that_a_plain_comparison_finds(index, text):
    every, room = np.arange(len(DOCUMENTS), dtype=np.uint32), room_for_hits(index.packed, 1)
    count = write_hits(index.packed, every, 7, *prepared(text), room, 0)
    plain = [(document, plain_hit(index, document, text)) for document in range(len(DOCUMENTS))]
    assert read(room, count) == [(at, 0, hit[0], bytes_of(text, *hit[1])) for at, hit in plain if hit]
    assert set(room.rows[:count, 0].tolist()) == {7}


@settings(max_examples=30)
@given(st.sampled_from([one for one in DOCUMENTS if len(one) < EDITED]), st.data())
def test_what_is_likely_a_short_prompt_has_most_of_its_words_and_few_others(index, document, data):
    text = list(document)
    for _ in range(data.draw(st.integers(0, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from(NAMES))
    text += data.draw(st.lists(st.sampled_from(NAMES), max_size=AROUND + 2))
    every, room = np.arange(len(DOCUMENTS), dtype=np.uint32), room_for_hits(index.packed, 1)
    count = write_near(index.packed, every, 7, *prepared(text), room, 0)
    expected = []
    for at, own in enumerate(DOCUMENTS):
        found = sum(covered_words(plain_piece(own, text)[0], len(own)))
        if len(text) <= len(own) + AROUND and found >= len(own) - (CHANGED if len(own) >= SHORT else 0):
            expected.append((at, found))
    assert [hit[:2] for hit in read(room, count)] == expected


def test_little_room_changes_nothing(index):
    said = [" ".join(one) for one in DOCUMENTS]
    data = np.frombuffer("".join(said).encode(), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in said])])
    offsets.flags.writeable = False  # as those of a file: kernels are compiled for one kind of input

    def scanned(texts):
        counts = np.zeros(len(index.rarity), np.uint32)
        room, at, found, calls = room_for_hits(index.packed, texts), 0, [], 0
        while at < len(said):
            count, at = scan(index.table, index.packed, data, offsets, at, True, counts, room)
            found += zip(room.rows[:count, 0].tolist(), read(room, count), strict=True)
            calls += 1
        return found, counts.tolist(), calls

    little, much = scanned(0), scanned(10_000)
    assert little[:2] == much[:2]
    assert (little[2] > 1, much[2]) == (True, 1)
    assert {(at, at) for at in range(len(said))} <= {(text, hit[0]) for text, hit in much[0]}

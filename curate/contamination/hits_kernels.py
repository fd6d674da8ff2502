"""Compares texts with documents that they may have: how much of which is in one piece of a text, and where."""

from curate.arrays import I64, U8, U32, U64
from curate.compiled import compiled, inlined
from curate.contamination.grams import AROUND, CHANGED, SHARES_END, SHORT, SIZE, Documents, Hits
from curate.contamination.grams_kernels import own_runs
from curate.contamination.passage_kernels import is_passage
from curate.text.cover_kernels import Piece, cover, flags_of, longest, may_be_among, piece_of, text_of


@inlined
def has_room(hits: Hits, written: int, documents: Documents) -> bool:
    """Whether a text that has every document, twice, could still be written."""
    count, used = len(documents.words), _used(hits, written)
    return written + 2 * count <= len(hits.rows) and used + len(documents.places) + count <= len(hits.shares)


@compiled
def write_hits(
    documents: Documents, candidates: U32, text: int, runs: U64, begins: I64, ends: I64, hits: Hits, written: int
) -> int:
    """Write which of these documents one piece of a text has enough of; return how many hits there are by then.

    `text` is its number, `runs` are those of three words, and its words begin and end at these bytes.
    """
    likely = candidates[: _likely(documents, candidates, runs, hits, _used(hits, written))]
    if len(likely) == 0:
        return written
    of_text = text_of(runs, len(begins))
    for document in likely:
        if documents.words[document] < SHORT:
            _write_whole(documents, document, text, 0, hits, written)
            written += 1
            continue
        piece = piece_of(own_runs(documents, document), documents.words[document], of_text)
        if _has_enough(documents, document, piece.there, hits, _used(hits, written)):
            _write(documents, document, text, 0, piece, begins, ends, hits, written)
            written += 1
    return written


@compiled
def write_near(
    documents: Documents, candidates: U32, text: int, runs: U64, begins: I64, ends: I64, hits: Hits, written: int
) -> int:
    """Write which of these short prompts a text has most words of, and few others; as for `write_hits`."""
    if len(candidates) == 0:
        return written
    of_text = text_of(runs, len(begins))
    for document in candidates:
        count = int(documents.words[document])
        if len(begins) > count + AROUND:
            continue
        piece = piece_of(own_runs(documents, document), count, of_text)
        covered = hits.covered[:count]
        cover(piece.there, covered)
        found = int(covered.sum())
        if found < (count if count < SHORT else count - CHANGED):
            continue
        if count < SHORT:
            _write_whole(documents, document, text, found, hits, written)
        else:
            _weigh(documents, document, covered, hits.shares[_used(hits, written) :])
            _write(documents, document, text, found, piece, begins, ends, hits, written)
        written += 1
    return written


@inlined
def _likely(documents: Documents, candidates: U32, runs: U64, hits: Hits, used: int) -> int:
    """Keep, in place, the candidates of which a text may have enough; return how many.

    Most have too little in common with all of the text, let alone with one piece of it: flags show that.
    """
    flags, count = flags_of(runs), 0
    for document in candidates:
        enough = documents.words[document] < SHORT  # it was found whole
        if not enough:
            own = own_runs(documents, document)
            may_be_among(own, flags, hits.there)
            enough = _has_enough(documents, document, hits.there[: len(own)], hits, used)
        candidates[count] = document
        count += int(enough)
    return count


@inlined
def _has_enough(documents: Documents, document: int, there: U8, hits: Hits, used: int) -> bool:
    """Whether the runs of a document that are there are enough of it for a hit; its shares are written if so."""
    covered, count = hits.covered[: documents.words[document]], 0
    cover(there, covered)
    for one in covered:
        count += int(one)
    if SIZE * count < documents.least[document]:  # each word is in so many n-grams, and no weight is above 1
        return False
    return bool(_weigh(documents, document, covered, hits.shares[used:]) >= documents.least[document])


@inlined
def _weigh(documents: Documents, document: int, covered: U8, shares: U8) -> float:
    """Write of each n-gram of a document how many of its words are found; return their weighted sum.

    `covered` says which words are found, and is changed.
    """
    for i in range(len(covered) - SIZE + 1):
        for j in range(1, SIZE):
            covered[i] += covered[i + j]
    found, first = 0.0, documents.firsts[document]
    for i in range(documents.firsts[document + 1] - first):
        shares[i] = covered[documents.places[first + i]]
        found += documents.weights[first + i] * shares[i]
    return found


@compiled
def _write(
    documents: Documents,
    document: int,
    text: int,
    near: int,
    piece: Piece,
    begins: I64,
    ends: I64,
    hits: Hits,
    written: int,
) -> None:
    """Write a hit whose shares are written."""
    first, end = longest(piece)
    begin, stop = (begins[first], ends[end - 1]) if end else (0, 0)
    covered = hits.covered[: documents.words[document]]
    cover(piece.there, covered)
    starts = documents.sentences[documents.sentences_from[document] : documents.sentences_from[document + 1]]
    passage = is_passage(starts, own_runs(documents, document), piece.there, covered)
    _put(documents, document, hits, written, (text, near, int(passage), begin, stop))


@inlined
def _write_whole(documents: Documents, document: int, text: int, near: int, hits: Hits, written: int) -> None:
    """Write a hit of a document of fewer words than SHORT."""
    used = _used(hits, written)
    hits.shares[used : used + documents.firsts[document + 1] - documents.firsts[document]] = SIZE
    _put(documents, document, hits, written, (text, near, 0, -1, -1))


@inlined
def _put(
    documents: Documents, document: int, hits: Hits, written: int, facts: tuple[int, int, int, int, int]
) -> None:
    row, used = hits.rows[written], _used(hits, written)
    row[0], row[1], row[2], row[3], row[4], row[5] = facts[0], document, facts[1], facts[2], facts[3], facts[4]
    row[SHARES_END] = used + documents.firsts[document + 1] - documents.firsts[document]


@inlined
def _used(hits: Hits, written: int) -> int:
    """Where the shares of the next hit begin."""
    return hits.rows[written - 1, SHARES_END] if written else 0

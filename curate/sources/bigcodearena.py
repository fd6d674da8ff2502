"""BigCodeArena preference 5k: votes on code that people ran; the re-release of SWE-Arena preference 5k.

It has the columns of `swe_arena` and is read by its adapter. Evidence: card, file tree (three Parquet files, 799
MB) and collection page of the publisher, which counts 4.73k rows against 5.14k of the older release. Unverified:
the exact count, and how many rows the two share. Do not mix both: a battle in either is the same battle.
"""

from curate.sources.base import Source
from curate.sources.swe_arena import to_pairs

SOURCE = Source(
    repo="bigcode/bigcodearena-preference-5k",
    files=("data/train-*.parquet",),
    license="bigcode-openrail-m",
    annotator="human",
    paper="arXiv:2510.08697",
    reads=("feedback", "models", "states", "chat_session_id"),
    to_pairs=to_pairs,
)

"""EditReward-Data: two edited versions of an image by an instruction; people scored both. The replies are images.

`vote_type` is leftvote, rightvote or a tie, which is a pair with margin 0. Each side has an overall score, the
sum of one for following the instruction and one for quality, from 1 to 4 each.

Evidence: the publisher's card (all columns, 170,772 rows, cc-by-nc-4.0), and the usage guide of a public sample
of 100 rows (AgPerry/EditReward-Data-100: the votes, and what the scores mean). Unverified: whether the two
scores always agree with the vote; a row where they do not is a skip.
"""

from collections.abc import Iterator

from curate.errors import SkipRow
from curate.schema import Block, Message
from curate.sources.base import Draft, Row, Source, number, text, user, with_media
from curate.sources.images import required_media

VOTES = {"leftvote": ("left", "right"), "rightvote": ("right", "left"), "tie": ("left", "right")}
EXTRA = ("unique_key", "pair_index")


def to_pairs(row: Row) -> Iterator[Draft]:
    """One pair a row; the side of a tie that is called chosen is the left one.

    Skips: `vote_unknown`, `scores_contradict_vote`, `not_one_image`.
    """
    vote = row["vote_type"]
    if not isinstance(vote, str) or vote not in VOTES:
        raise SkipRow("vote_unknown", repr(vote)[:80])
    best, worst = VOTES[vote]
    high, low = (number(row, f"{side}_overall_score") for side in (best, worst))
    if vote != "tie" and high < low:
        raise SkipRow("scores_contradict_vote", f"{vote} with {high:g} and {low:g}")
    prompt, source = with_media(user(text(row, "instruction")), required_media(row["source_img"]))
    edited = [item for side in (best, worst) for item in required_media(row[f"{side}_output_image"])]
    if len(edited) != 2:
        raise SkipRow("not_one_image", f"{len(edited)} images in two replies")
    image = [Message("assistant", (Block("image", None),))]
    yield Draft(
        prompt=prompt,
        chosen=image,
        rejected=image,
        media=[*source, *edited],
        margin=0.0 if vote == "tie" else high - low or None,  # equal scores do not undo a vote
        chosen_score=high,
        rejected_score=low,
        extra={name: row[name] for name in EXTRA if row.get(name) is not None}
        | {"chosen_model": row.get(f"{best}_model"), "rejected_model": row.get(f"{worst}_model")},
    )


SOURCE = Source(
    repo="TIGER-Lab/EditReward-Data",
    files=("data/train-*.parquet",),
    license="cc-by-nc-4.0",
    annotator="human",
    modality="image",
    paper="arXiv:2509.26346",
    rows=170_772,
    pairs=170_772,
    reads=(
        "unique_key",
        "pair_index",
        "instruction",
        "source_img",
        "left_output_image",
        "right_output_image",
        "left_model",
        "right_model",
        "left_overall_score",
        "right_overall_score",
        "vote_type",
    ),
    to_pairs=to_pairs,
)

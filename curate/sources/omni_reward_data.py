"""OmniRewardData: 248k pairs for reward models of many modalities, most of them from older sets.

The subsets of text and of images in the prompt are read; those that generate images or videos (HPDv2, EvalMuse,
VideoDPO, ...) have media as replies and give skips `reply_media_unsupported`. In subsets whose name begins with
"Omni-" GPT-4o wrote a criterion for the preference: it is the first message of `conversations` and becomes a
system turn, as in the paper's model.

Evidence: two public loaders of the subset files (`<subset>/train-00000-of-00001.parquet`: `conversations`,
`chosen.value`, `rejected.value`, `images` as paths below a folder such as `omni_ti2t/`), and the paper's table of
subsets (arXiv 2510.23451), whose counts are in `COUNTS`. The publisher uploads tar files to `train_data/`: unpack
them, so that each subset has its folder. Unverified: the roles (`from`) inside `conversations`, the folder of the
images, and the licence. RLAIF-V and OmniAlign-V-DPO are copies: use `exact_duplicates` beside those sources.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from curate.errors import RawError, SkipRow
from curate.schema import Message
from curate.sources.base import Draft, Row, RowFile, Source, message, reply, text, with_media
from curate.sources.images import media_of

Subset = Literal[
    "Skywork-Reward-Preference", "Omni-Skywork-Reward-Preference", "Omni-UltraFeedback",
    "RLAIF-V", "OmniAlign-V-DPO", "Omni-RLAIF-V", "Omni-VLFeedback",
    "HPDv2", "EvalMuse", "Omni-HPDv2", "Omni-Open-Image-Preferences", "VideoDPO", "VisionRewardDB-Video",
]  # fmt: skip
COUNTS = {
    "Skywork-Reward-Preference": 50_000, "Omni-Skywork-Reward-Preference": 16_376, "Omni-UltraFeedback": 7_901,
    "RLAIF-V": 83_124, "OmniAlign-V-DPO": 50_000, "Omni-RLAIF-V": 15_867, "Omni-VLFeedback": 12_311,
}  # fmt: skip
"""Pairs by the paper's table, of the subsets whose replies are text."""

FOLDERS = ("omni_ti2t", "rlaifv", "omnialign")
"""What image paths begin with, in place of the subset's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`subsets`: the subsets to read, in this order."""

    subsets: tuple[Subset, ...] = (
        "Skywork-Reward-Preference", "Omni-Skywork-Reward-Preference", "Omni-UltraFeedback",
        "RLAIF-V", "OmniAlign-V-DPO", "Omni-RLAIF-V", "Omni-VLFeedback",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not self.subsets or len(set(self.subsets)) < len(self.subsets):
            raise ValueError("subsets must name at least one subset, each once")


def row_files(raw: Path, options: Options) -> list[RowFile]:
    """The files of each subset, wherever its folder is. Raises RawError for a subset without files."""
    out: list[RowFile] = []
    for subset in options.subsets:
        paths = sorted(raw.glob(f"**/{subset}/train-*.parquet"))
        if not paths:
            hint = "unpack its tar file there, or take it out of subsets"
            raise RawError(str(raw), f"no file matches **/{subset}/train-*.parquet", "", hint)
        out.extend(RowFile(path=path, context={"subset": subset}) for path in paths)
    return out


def derived_pairs(options: Options) -> int | None:
    """The sum of the paper's counts; None with a subset that gives no pairs."""
    counts = [COUNTS.get(subset) for subset in options.subsets]
    return None if None in counts else sum(n for n in counts if n is not None)


def to_pairs(row: Row, _: Options) -> Iterator[Draft]:
    """One pair a row, its subset as category.

    Skips: `reply_media_unsupported`, `conversations_unreadable`, `reply_unreadable`, those of `with_media`.
    """
    subset = row.context["subset"]
    if subset not in COUNTS:
        raise SkipRow("reply_media_unsupported", subset)
    media = media_of(row.get("images"))
    for item in media:
        first, *rest = PurePosixPath(item.path).parts or ("",)
        item.path = str(PurePosixPath(*rest)) if first in FOLDERS and rest else item.path
    prompt, media = with_media(_prompt(row["conversations"]), media)
    yield Draft(
        prompt=prompt,
        chosen=reply(_value(row["chosen"], "reply")),
        rejected=reply(_value(row["rejected"], "reply")),
        media=media,
        category=subset,
        annotator="gpt-4o" if subset.startswith("Omni-") else None,
    )


def _prompt(conversations: Any) -> list[Message]:
    """The criterion, if there are two messages, as a system turn; then the question."""
    if not isinstance(conversations, list) or len(conversations) not in (1, 2):
        raise SkipRow("conversations_unreadable", "neither a question nor a criterion and a question")
    *criterion, question = (_value(entry, "conversations") for entry in conversations)
    return [*(message("system", content) for content in criterion), message("user", question)]


def _value(entry: Any, what: str) -> str:
    if not isinstance(entry, dict):
        raise SkipRow(f"{what}_unreadable", type(entry).__name__)
    return text(Row(entry), "value")


SOURCE = Source(
    repo="jinzhuoran/OmniRewardData",
    row_files=row_files,
    media=tuple(f"**/{name}" for name in COUNTS),
    options=Options,
    modality="image",
    paper="arXiv:2510.23451",
    derived_pairs=derived_pairs,
    reads=("conversations", "chosen", "rejected", "images"),
    to_pairs=to_pairs,
)

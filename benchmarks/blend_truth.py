"""What became of the planted pairs, and what else was decided."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import xxhash
from blend_plants import JACCARD, PLANTS
from blend_sources import SOURCES

BANDS = (0.0, 0.6, 0.7, 0.75, JACCARD, 0.85, 0.9, 1.01)
ORDER = {name: at for at, name in enumerate(SOURCES)}
CORPUS_STEPS = ("decontaminate", "label_conflicts", "exact_duplicates", "image_duplicates", "near_dedup")
STRICT = (*CORPUS_STEPS, "truncation", "media_mismatch")
"""Steps that have nothing to do with pairs other than the planted ones."""

LISTED = 200  # false positives that are named in the results


def outcomes(mix: Path, workspace: Path) -> pl.DataFrame:
    """Everything that was decided: source, row, how, outcome, winner, score, evidence; a row may be in several."""
    columns = ["source", "row", "how", "outcome", "pair_id", "winner", "score", "evidence"]
    decisions = pl.concat([pl.read_parquet(path) for path in sorted((mix / "decisions").glob("*.parquet"))])
    reason = pl.format("{}/{}", "step", "reason").alias("outcome")
    dropped = decisions.with_columns(reason, how=pl.lit("dropped")).select(columns)
    review = pl.read_parquet(mix / "review.parquet").filter(pl.col("fate") == "flagged")
    flagged = review.with_columns(reason, how=pl.lit("flagged")).select(columns)
    return pl.concat([dropped, flagged, _skips(workspace)], how="diagonal")


def _skips(workspace: Path) -> pl.DataFrame:
    found = [pl.DataFrame(schema={"source": pl.String, "row": pl.String, "how": pl.String, "outcome": pl.String})]
    for path in sorted(workspace.glob("pairs/*/*/skips-*.parquet")):
        source = path.parent.parent.name
        skips = pl.read_parquet(path)
        found.append(
            skips.select(
                pl.lit(source).alias("source"),
                "row",
                pl.lit("skipped").alias("how"),
                pl.col("reason").alias("outcome"),
            )
        )
    return pl.concat(found)


def judge(truth: pl.DataFrame, decided: pl.DataFrame) -> dict[str, Any]:
    """For every class its sets, how many have their outcome, and what else happened; precision of every reason."""
    joined = truth.join(decided, on=["source", "row"], how="left")
    classes = {name: _class(name, joined.filter(pl.col("plant") == name)) for name in PLANTS}
    return {
        "classes": classes,
        "near": _bands(joined.filter(pl.col("plant") == "near")),
        "reasons": _reasons(truth, decided),
        "false_positives": _unplanted(truth, decided),
    }


def _class(name: str, joined: pl.DataFrame) -> dict[str, Any]:
    """Sets as they should be: one pair (or the only one) with the outcome, or all of them left alone."""
    plant = PLANTS[name]
    wanted = pl.col("jaccard") >= JACCARD if plant.judged else pl.lit(bool(plant.outcome))
    hit = (pl.col("outcome") == plant.outcome) & (pl.col("how") == plant.how)
    sets = joined.group_by("number").agg(
        wanted=wanted.first(),
        pairs=pl.col("role").n_unique(),
        hits=hit.fill_null(False).sum(),
        others=(pl.col("how").is_in(["dropped", "skipped"]) & ~hit).sum(),
        kept=(pl.col("how").is_null() | (pl.col("how") == "flagged")).sum(),
    )
    return {
        "sets": sets.height,
        "right": _right(sets, plant.outcome).height,
        "recall": _ratio(_right(sets.filter("wanted"), plant.outcome).height, sets.filter("wanted").height),
        "wrong_pairs": _wrong_pairs(joined, hit, plant),
        "other_outcomes": dict(
            joined.filter(pl.col("outcome").is_not_null() & ~hit)
            .group_by("outcome")
            .len()
            .sort("outcome")
            .iter_rows()
        ),
    }


def _right(sets: pl.DataFrame, outcome: str) -> pl.DataFrame:
    """A set that is wanted has one hit; one that is not has none; nothing else happened to either."""
    return sets.filter(
        (pl.col("hits") == (pl.col("wanted") & bool(outcome)).cast(pl.Int64)) & (pl.col("others") == 0)
    )


def _wrong_pairs(joined: pl.DataFrame, hit: pl.Expr, plant: Any) -> str | None:
    """Of sets over several sources, whether the pair that went is of the source that comes last."""
    if plant.how != "dropped" or not plant.outcome or len(plant.sources[0]) < 2 or "cycle" in plant.outcome:
        return None
    ranked = joined.with_columns(rank=pl.col("source").replace_strict(ORDER, return_dtype=pl.Int64))
    lost = ranked.with_columns(worst=pl.col("rank").max().over("number")).filter(hit)
    return f"{lost.filter(pl.col('rank') == pl.col('worst')).height} of {lost.height} by priority"


def _bands(near: pl.DataFrame) -> list[dict[str, Any]]:
    """Of planted near-duplicates how many were found, by their true similarity."""
    hit = (pl.col("outcome") == PLANTS["near"].outcome).fill_null(False)
    sets = near.group_by("number").agg(pl.col("jaccard").first(), found=hit.any())
    rows = []
    for low, high in pairwise(BANDS):
        some = sets.filter(pl.col("jaccard").is_between(low, high, closed="left"))
        rows.append({"from": low, "to": min(high, 1.0), "sets": some.height, "found": int(some["found"].sum())})
    return rows


def _reasons(truth: pl.DataFrame, decided: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each reason that a class has as its outcome: decisions, those about pairs of such a class, precision."""
    out = {}
    for outcome in dict.fromkeys((plant.how, plant.outcome) for plant in PLANTS.values() if plant.outcome):
        how, reason = outcome
        classes = [name for name, plant in PLANTS.items() if (plant.how, plant.outcome) == outcome]
        meant = truth.filter(pl.col("plant").is_in(classes))
        meant = meant.filter(pl.col("jaccard").is_null() | (pl.col("jaccard") >= JACCARD))
        found = decided.filter(pl.col("how") == how, pl.col("outcome") == reason)
        right = found.join(meant, on=["source", "row"], how="semi").height
        out[f"{how}: {reason}"] = {
            "decisions": found.height, "planted": right, "precision": _ratio(right, found.height)
        }  # fmt: skip
    return out


def _unplanted(truth: pl.DataFrame, decided: pl.DataFrame) -> dict[str, Any]:
    """Decisions of the strict steps about pairs that are not planted: how many by outcome, and which."""
    step = pl.col("outcome").str.split("/").list.first()
    found = decided.filter(pl.col("how") != "skipped", step.is_in(STRICT))
    found = found.join(truth, on=["source", "row"], how="anti").sort("outcome", "source", "row")
    counts = dict(found.group_by("outcome").len().sort("outcome").iter_rows())
    named = found.group_by("outcome", maintain_order=True).head(LISTED // max(len(counts), 1))
    return {
        "counts": counts,
        "named": named.select("source", "row", "outcome", "winner", "score", "evidence").to_dicts(),
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def digest(mixes: Sequence[Path]) -> list[str]:
    """For each mix a hash of its decisions and flags, whatever their order and the places of rows."""
    out = []
    for mix in mixes:
        frames = [pl.read_parquet(path) for path in sorted((mix / "decisions").glob("*.parquet"))]
        columns = ["pair_id", "source", "step", "reason", "winner", "score", "evidence"]
        review = pl.read_parquet(mix / "review.parquet").select(*columns)
        frame = pl.concat([*(one.select(columns) for one in frames), review]).sort(columns)
        out.append(xxhash.xxh3_128_hexdigest(frame.write_csv().encode()))
    return out

"""The label audit: which labels a reader of the features would reverse, and what that says of each source.

It ranks pairs for people to read. A rate of wrong labels is not in the margins; a review by people gives one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curate.analysis import audit_logistic as logistic
from curate.analysis import audit_noise as noise
from curate.analysis.audit_diagnosis import FEWEST_PAIRS, SourceAgreement
from curate.analysis.audit_logistic import Differences, Floats, Penalty
from curate.analysis.intervals import Clusters, Share
from curate.arrays import F64, I64, U64
from curate.order import order_key

FOLDS = 5
LESS, EQUAL, MORE = 0, 1, 2
"""The strata of a ruler: the chosen reply has less of it, as much, or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPairs:
    """Pairs to audit, those of one source one after the other.

    values    features of the chosen reply less those of the rejected [n, d]
    rulers    by name how much more of it the chosen reply has [n]; 0 where it is not known
    source    the number of each pair's source, ascending
    labels    the sources' names
    clusters  a number for each pair, equal for pairs that belong together
    """

    values: Floats
    rulers: Mapping[str, F64]
    source: I64
    labels: Sequence[str]
    clusters: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """The result for a ruler's strata: pairs, and the e of the fit in each, LESS, EQUAL, MORE."""

    ruler: str
    pairs: tuple[int, int, int]
    rates: tuple[float, float, float]

    @property
    def contrast(self) -> float:
        """How much more noise sits where the chosen reply has less of it than where it has more."""
        return self.rates[LESS] - self.rates[MORE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit. Margins [n] are cross-fitted; those of `others` are NaN where there is no other source.

    margin          by models of all sources, `without_rulers` with the rulers projected out of the features
    wrong           the chance of the fit that a label is wrong, `wrong_without_rulers` the same by those margins
    strata          the ruler's with the largest contrast first
    self_check      see audit_noise.self_check
    """

    penalty: Penalty
    margin: F64
    without_rulers: F64
    others: F64
    within: F64
    wrong: F64
    wrong_without_rulers: F64
    noise: noise.Noise
    strata: tuple[Stratum, ...]
    sources: Mapping[str, SourceAgreement]
    self_check: float


def folds_of(clusters: U64, seed: int, count: int = FOLDS) -> I64:
    """Return a fold for each pair: pairs that belong together are in one."""
    folds: I64 = (order_key(clusters, np.zeros_like(clusters), seed) % np.uint64(count)).astype(np.int64)
    return folds


def audit(pairs: AuditPairs, seed: int = 0) -> Audited:
    """Audit the labels. Pairs without features (NaN) have no margins."""
    known = np.flatnonzero(~np.isnan(pairs.values).any(axis=1)) if np.isnan(pairs.values.sum()) else None
    whole = len(pairs.source)
    some = pairs if known is None else _taken(pairs, known)
    found = _audit(some, seed)
    if known is None:
        return found
    arrays = ("margin", "without_rulers", "others", "within", "wrong", "wrong_without_rulers")
    spread: dict[str, Any] = {name: np.full(whole, np.nan) for name in arrays}
    for name, values in spread.items():
        values[known] = getattr(found, name)
    return replace(found, **spread)


def _taken(pairs: AuditPairs, rows: I64) -> AuditPairs:
    return replace(
        pairs, values=pairs.values[rows], source=pairs.source[rows], clusters=pairs.clusters[rows],
        rulers={name: values[rows] for name, values in pairs.rulers.items()},
    )  # fmt: skip


def _audit(pairs: AuditPairs, seed: int) -> Audited:
    folds, groups = folds_of(pairs.clusters, seed), len(pairs.labels)
    penalty = logistic.choose(pairs.values, folds)
    x, ridge = logistic.scaled(pairs.values)[penalty.equal], penalty.ridge
    margin = logistic.cross_fit(x, folds, ridge)
    plain = x.without_rulers(_matrix(pairs.rulers, len(x)))
    without_rulers = logistic.cross_fit(plain, folds, ridge)
    others = logistic.cross_fit(x, pairs.source, ridge)
    within = logistic.each(x, pairs.source, lambda own, rows: logistic.cross_fit(own, folds[rows], ridge))
    fitted = noise.fit_noise(margin, pairs.source, groups)
    strata = sorted(
        (_stratum(name, values, without_rulers) for name, values in pairs.rulers.items()),
        key=lambda one: -abs(one.contrast) if min(one.pairs[LESS], one.pairs[MORE]) >= FEWEST_PAIRS else 0.0,
    )
    by_ruler = _side(pairs.rulers[strata[0].ruler]) if strata else np.zeros(len(x), np.int64)
    return Audited(
        penalty=penalty, margin=margin, without_rulers=without_rulers, others=others, within=within,
        wrong=fitted.wrong(margin, pairs.source),
        wrong_without_rulers=noise.fit_noise(without_rulers, by_ruler, 3).wrong(without_rulers, by_ruler),
        noise=fitted, strata=tuple(strata), self_check=noise.self_check(margin),
        sources=_agreements(pairs, x, folds, ridge, {"all": margin, "others": others, "within": within}),
    )  # fmt: skip


def _matrix(rulers: Mapping[str, F64], pairs: int) -> F64:
    """The rulers as columns, each as it is and by its logarithm: what grows by ratios is linear in that."""
    columns = [form for values in rulers.values() for form in (values, np.sign(values) * np.log1p(np.abs(values)))]
    return np.stack(columns, axis=1) if columns else np.zeros((pairs, 0))


def _side(values: F64) -> I64:
    return np.sign(values).astype(np.int64) + EQUAL


def _stratum(name: str, values: F64, margins: F64) -> Stratum:
    side = _side(values)
    less, equal, more = np.bincount(side, minlength=3).tolist()
    rates = noise.fit_noise(margins, side, 3).rates.tolist()
    return Stratum(ruler=name, pairs=(less, equal, more), rates=(rates[LESS], rates[EQUAL], rates[MORE]))


# ------------------------------------------------------------------------------------------------------- by source


def _agreements(
    pairs: AuditPairs, x: Differences, folds: I64, ridge: float, margins: Mapping[str, F64]
) -> dict[str, SourceAgreement]:
    shares: list[dict[str, Share]] = []
    for number in range(len(pairs.labels)):
        own = pairs.source == number
        clusters = Clusters(pairs.clusters[own])
        shares.append(clusters.shares({name: _agreed(values[own]) for name, values in margins.items()}))
    sizes = np.bincount(pairs.source, minlength=len(pairs.labels)).tolist()
    return {
        label: SourceAgreement(
            pairs=size, **shares[number], usual=_usual(shares, sizes, number),
            learned=_learned(x, pairs.source != number, size, folds, ridge),
        )
        for number, (label, size) in enumerate(zip(pairs.labels, sizes, strict=True))
    }  # fmt: skip


def _agreed(margins: F64) -> tuple[F64, F64]:
    known = ~np.isnan(margins)
    return np.where(known, np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0)), 0.0), known.astype(float)


def _usual(shares: Sequence[Mapping[str, Share]], sizes: Sequence[int], number: int) -> float | None:
    """The median agreement elsewhere; or, of two that may spoil each other's, what one learns itself."""
    rest = [i for i in range(len(sizes)) if i != number and sizes[i] >= FEWEST_PAIRS]
    medians = [
        float(np.median(values))
        for name in ("others", "within")
        if (values := [value for i in rest if (value := shares[i][name].value) is not None])
    ]
    return max(medians, default=None)


def _learned(x: Differences, rest: Any, size: int, folds: I64, ridge: float) -> float | None:
    """How often models agree with labels that they did not see, of `size` pairs of other sources."""
    rows = np.flatnonzero(rest)
    if len(rows) < FEWEST_PAIRS:
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(size, len(rows), logistic.SAMPLE)).astype(np.int64))]
    hits, of = _agreed(logistic.cross_fit(x.take(rows), folds[rows], ridge))
    return float(hits.sum() / of.sum()) if of.sum() else None

"""The mathematics of the label audit, on worlds whose wrong labels are known (benchmarks/audit_worlds.py)."""

import numpy as np
import pytest
from audit_worlds import auroc, world

from curate.analysis import audit_logistic as logistic
from curate.analysis import audit_noise as noise
from curate.analysis.audit import AuditPairs, audit, folds_of
from curate.analysis.audit_diagnosis import SourceAgreement
from curate.analysis.intervals import NOTHING, Share


def audited(made, **changed):
    pairs = {
        "values": made.differences, "rulers": {"longer": made.longer[:, 0]}, "source": made.source,
        "labels": tuple("abcdef"), "clusters": np.arange(len(made.source), dtype=np.uint64),
    }  # fmt: skip
    return audit(AuditPairs(**{**pairs, **changed}))


@pytest.fixture(scope="module")
def bad():
    made = world(1, "source", 0.1)
    return made, audited(made)


def fitted_exactly(x, ridge):
    """The minimum of the loss by plain gradient steps with the exact Hessian."""
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(x @ weights))
        hessian = (x * (chance * (1 - chance))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        weights = weights + np.linalg.solve(hessian, x.T @ chance - ridge * weights)
    return weights


def test_margins_are_those_of_models_that_did_not_see_the_pair_nor_its_group(monkeypatch):
    monkeypatch.setattr(
        logistic, "SAMPLE", 200
    )  # the model of all pairs then begins at a sample, as for large sets
    draw = np.random.default_rng(0)
    values = draw.normal(size=(600, 5)) + np.eye(5)[0] / 2
    clusters = np.repeat(np.arange(300, dtype=np.uint64), 2)
    folds = folds_of(clusters, 0)
    assert (folds[::2] == folds[1::2]).all()
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    x, _ = logistic.scaled(values)
    margins = logistic.cross_fit(x, folds, 3.0)
    for fold in range(5):
        weights = fitted_exactly(values[folds != fold] / x.scale, 3.0)
        assert margins[folds == fold] == pytest.approx(values[folds == fold] / x.scale @ weights, abs=2e-3)
    small = logistic.scaled(values.astype(np.float32))[0]
    assert logistic.cross_fit(small, folds, 3.0) == pytest.approx(margins, abs=2e-3)
    assert np.isnan(logistic.cross_fit(x, np.zeros(600, np.int64), 3.0)).all()  # nothing is left to fit


def test_what_is_linear_in_a_ruler_is_taken_out_of_every_feature():
    draw = np.random.default_rng(1)
    ruler = draw.normal(size=(300, 1))
    x, _ = logistic.scaled(draw.normal(size=(300, 4)) + ruler)
    left = x.without_rulers(ruler).block(slice(None))
    assert np.abs(ruler.T @ left).max() < 1e-9
    assert np.abs(ruler.T @ x.block(slice(None))).max() > 1


def test_a_bad_source_is_found_and_the_clean_ones_are_not_blamed(bad):
    made, found = bad
    assert auroc(found.wrong, made.wrong) >= 0.95
    assert found.noise.rates[1] > 0.3
    assert max(np.delete(found.noise.rates, 1)) <= 0.03
    named = [one.diagnosis()[0] for one in found.sources.values()]
    assert named == ["clean", "noisy", "clean", "clean", "clean", "unclear"]  # the last has 120 pairs


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("taste", "other taste"), ("swapped", "columns swapped")])
def test_taste_and_swapped_columns_are_distinguished_from_noise(kind, name):
    found = audited(world(1, kind))
    assert [one.diagnosis()[0] for one in found.sources.values()][3] == name


def test_noise_that_follows_a_ruler_shows_in_its_strata_and_without_it():
    made = world(0, "longer", 0.1)
    found = audited(made)
    assert found.strata[0].contrast <= -0.15  # it sits where the chosen reply is longer
    assert auroc(found.wrong_without_rulers, made.wrong) >= 0.88 > auroc(found.wrong, made.wrong)


def test_the_self_check_is_the_chance_over_all_pairs_of_margins():
    margins = np.array([2.0, -1.0, 0.5, -0.5, 0.0, np.nan])
    known = margins[:5]
    sums = (known[:, None] + known)[~np.eye(5, dtype=bool)]
    assert noise.self_check(margins) == pytest.approx((sums > 0).mean() + (sums == 0).mean() / 2)
    assert np.isnan(noise.self_check(margins[:1]))


def test_a_review_draws_by_chance_and_makes_chances_right(bad):
    made, found = bad
    chances = noise.review_chances(found.wrong, 200)
    assert chances.sum() == pytest.approx(200, abs=1)
    draw = np.random.default_rng(5)
    at = noise.draw(chances, draw.permutation(len(chances)), 0.5)
    assert len(set(at.tolist())) == len(at) == pytest.approx(200, abs=1)
    skewed = found.wrong / 3  # chances that are three times too small
    calibrated = noise.calibrate(skewed[at], made.wrong[at].astype(float), chances[at], made.source[at])
    assert noise.calibration_error(skewed, made.wrong) > 0.06
    assert noise.calibration_error(calibrated.apply(skewed), made.wrong) <= 0.06
    assert calibrated.rate.low < made.wrong.mean() < calibrated.rate.high
    enough = np.flatnonzero(np.bincount(made.source[at]) >= 30)
    assert set(calibrated.rates) == set(enough.tolist()) >= {0, 1}


def test_pairs_without_features_have_no_margin_and_one_source_has_nothing_to_compare_with(bad):
    made, _ = bad
    values = made.differences.copy()
    values[::7] = np.nan
    rest = np.arange(len(values)) % 7 > 0
    one = np.zeros(len(values), np.int64)
    alone = audited(made, values=values, source=one, labels=("only",))
    assert np.isnan(alone.wrong[::7]).all()
    assert not np.isnan(alone.wrong[rest]).any()
    assert np.isnan(alone.others).all()
    assert alone.sources["only"].diagnosis() == ("unclear", "there is no other source to compare with")
    weak = Share(hits=150, of=300, clusters=300, value=0.5, low=0.45, high=0.55)
    blind = SourceAgreement(pairs=300, all=NOTHING, others=weak, within=weak, usual=0.52, learned=0.5)
    assert blind.diagnosis()[0] == "unclear"

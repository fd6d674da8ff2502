"""Effects, their corrections and suggestions: exact numbers from given answers."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from curate.ablation import probe, write
from curate.ablation.arms import Arm
from curate.ablation.effects import Effect, above_chance, corrected, detectable, effects
from curate.ablation.eval_items import EvalItems
from curate.ablation.findings import find, suggest, turned
from curate.ablation.halves import half_of
from curate.ablation.report import Cost, Report, accuracy_table
from curate.ablation.t_distribution import chance, quantile
from curate.evalsets import get
from curate.evalsets.base import EvalSet, Item, Options, Trial, pair_trials, pooled
from curate.evaluation.held_out import holdout_set
from curate.evaluation.items import KeyedItems
from curate.schema import Block, Message
from curate.statistics import Interval

OVERALL = (pooled("overall", ["a"]),)


def trials(right, clusters=None):
    """One trial for each 0 or 1."""
    return [
        Trial("a", str(i if clusters is None else clusters[i]), float(credit)) for i, credit in enumerate(right)
    ]


def one(arm, other, clusters=None):
    """The effect of one measure, answers given as 0 and 1 by seed."""
    sides = ([trials(seed, clusters) for seed in side] for side in (arm, other))
    [found] = effects(*sides, OVERALL, seed=7)
    return found


# --- Student's t, against printed tables


def test_student_against_tables():
    assert quantile(0.975, 2) == pytest.approx(4.302653, abs=1e-6)
    assert quantile(0.975, 10) == pytest.approx(2.228139, abs=1e-6)
    assert quantile(0.8, 1) == pytest.approx(1.376382, abs=1e-6)
    assert quantile(0.975, 1e6) == pytest.approx(1.959966, abs=1e-5)
    assert chance(2.228139, 10) == pytest.approx(0.05, abs=1e-7)
    assert chance(0, 3) == 1
    assert chance(1, 1) == pytest.approx(0.5)


# --- one seed


def test_one_seed_is_mcnemar():
    found = one([[1] * 30 + [0] * 10], [[1] * 20 + [0] * 20])  # 10 gained, none lost
    assert (found.test, found.gained, found.lost, found.trials) == ("mcnemar", 10, 0, 40)
    assert found.p == 2 / 2**10
    assert found.difference == 0.25
    assert found.interval.low < 0.25 < found.interval.high
    # sqrt(10) discordant trials of 40, times 1.96 + 0.84
    assert found.detectable == pytest.approx(2.801585 * math.sqrt(10) / 40, abs=1e-6)


def test_published_detectable_differences():
    """The table of reward_trainers.md, 3.5: n trials of which 15 % are discordant."""
    for n, points in ((46, 16.0), (170, 8.3), (1250, 3.1), (2985, 2.0)):
        found = detectable(math.sqrt(0.15 * n) / n, math.inf)
        assert round(100 * found, 1) == points


def test_one_seed_with_clusters_is_a_bootstrap():
    arm = [[1, 1, 1, 1, 1, 1, 0, 0]]
    found = one(arm, [[0] * 8], clusters=[0, 0, 1, 1, 2, 2, 3, 3])
    assert (found.test, found.trials, found.clusters) == ("bootstrap", 8, 4)
    assert found.interval == (0.25, 1.0)


def test_no_discordant_trial_still_sees_no_less_than_one():
    found = one([[1, 0] * 50], [[1, 0] * 50])
    assert (found.p, found.difference) == (1.0, 0.0)
    assert found.interval == (-0.03, 0.03)  # the rule of three
    assert found.detectable == pytest.approx(2.801585 / 100, abs=1e-6)


# --- several seeds


def test_seeds_that_agree():
    arm, other = [[1] * 80 + [0] * 20] * 3, [[1] * 50 + [0] * 50] * 3
    found = one(arm, other)
    assert (found.test, found.seeds, found.gained, found.lost) == ("t", 3, 90, 0)
    assert found.difference == pytest.approx(0.3)
    assert found.freedom == pytest.approx(99)  # the items' alone
    assert found.error == pytest.approx(math.sqrt(0.3 * 0.7 / 100), rel=0.05)
    assert found.p < 1e-6


def test_seeds_that_disagree_prove_little():
    """Differences of +30, 0 and -15 points: with two degrees of freedom nothing is known."""
    base = [1] * 50 + [0] * 50
    arm = [[1] * 80 + [0] * 20, base, [1] * 35 + [0] * 65]
    found = one(arm, [base] * 3)
    assert found.difference == pytest.approx(0.05)
    assert 2 < found.freedom < 2.2
    between = np.var([0.3, 0, -0.15], ddof=1) / 3
    assert found.error > math.sqrt(between)
    assert found.p > 0.6
    assert found.interval.low < -0.4


def test_a_null_effect_is_seldom_called_one():
    """Seeds differ by 3 points, the items by their own chance: about 5 % of the tests may say otherwise."""
    draw, called = np.random.default_rng(3), 0
    for _ in range(60):
        shift = draw.normal(0, 0.03, 3)[:, None]
        hard = draw.normal(0, 0.3, 150)
        sides = [(draw.random((3, 150)) < np.clip(0.6 + hard + by, 0, 1)).astype(int) for by in (shift, 0)]
        called += one(*(side.tolist() for side in sides)).p < 0.05
    assert called <= 7


def test_above_chance_is_half_the_way_from_the_mirror():
    right = [[1] * 70 + [0] * 30]
    [found] = above_chance([trials(right[0])], [trials([1 - x for x in right[0]])], OVERALL, seed=1)
    assert (found.against, found.other) == ("chance", pytest.approx(0.5))
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(7.85e-5, rel=0.01)  # of 70 heads in 100


def test_holm_over_the_family():
    found = [one([[1] * 30 + [0] * 10], [[1] * n + [0] * (40 - n)]) for n in (20, 24, 29)]
    family = corrected(found)
    assert [x.holm for x in family] == [3 * 2 / 2**10, 2 * 2 / 2**6, 1.0]
    assert all(x.detectable_holm > x.detectable for x in family)


# --- suggestions


def effect(difference, half, holm, measure="overall", eval_set="judgebench", detect=0.04, **more):
    return Effect(
        measure=measure, seeds=3, value=0.5 + difference, other=0.5, difference=difference,
        interval=Interval(difference - half, difference + half), p=holm, test="t", trials=100, clusters=100,
        gained=1, lost=1, error=half / 2, freedom=9.0, detectable=detect / 2, eval_set=eval_set, arm="with-x",
        holm=holm, detectable_holm=detect, **more,
    )  # fmt: skip


ADDED = Arm(name="with-x", datasets=("x",), mode="add-one")
LACKS = Arm(name="without-x", datasets=("x",), mode="leave-one-out")


@pytest.mark.parametrize(
    ("found", "suggestion", "reason"),
    [
        ([effect(0.031, 0.019, 0.003)], "keep", "helps on JudgeBench (+3.1 points, [1.2, 5.0], p_holm=.003)"),
        ([effect(-0.05, 0.02, 0.0001)], "drop", "harmful on JudgeBench (-5.0 points, [-7.0, -3.0], p_holm<.001)"),
        (
            [effect(0.03, 0.01, 0.01), effect(-0.03, 0.01, 0.01, eval_set="rm_bench")], "weigh",
            "helps on JudgeBench (+3.0 points, [2.0, 4.0], p_holm=.010), but harms RMB (-3.0 points, "
            "[-4.0, -2.0], p_holm=.010)",
        ),
        ([effect(0.005, 0.01, 1.0)], "drop", "useless: at most +1.5 points, on JudgeBench"),
        (
            [effect(0.01, 0.03, 1.0)], "unclear",
            "no detectable effect: smaller than 4.0 points on JudgeBench would not be detected",
        ),
        (
            [effect(0.01, 0.09, 1.0, detect=0.12), effect(0.01, 0.09, 1.0, "others", "holdout", detect=0.2)],
            "unclear",
            "no detectable effect: smaller than 12.0 points on JudgeBench (and 20.0 on holdout others) would not "
            "be detected; the arms are too small to tell",
        ),
        (
            [effect(0.005, 0.01, 1.0), effect(0.2, 0.1, 0.001, "own", "holdout")], "drop",
            "useless: at most +1.5 points, on JudgeBench; on its own held-out pairs +20.0 points, [10.0, 30.0], "
            "p_holm=.001",
        ),
    ],
)  # fmt: skip
def test_suggestions(found, suggestion, reason):
    assert suggest(ADDED, found)[:4] == ("x", "with-x", suggestion, reason)
    mirrored = suggest(LACKS, [turned(x) for x in found])
    assert (mirrored.suggestion, mirrored.reason) == (suggestion, reason)


def test_suggestions_for_settings():
    arm = Arm(name="3-silu", settings=("head.layers=3",))
    assert suggest(arm, [effect(0.05, 0.01, 0.001)]).suggestion == "better"
    assert suggest(arm, [effect(-0.05, 0.01, 0.001)]).suggestion == "worse"
    assert suggest(arm, [effect(0.0, 0.01, 1.0)]).suggestion == "no difference"


def test_a_filter_is_better_only_if_it_beats_as_many_pairs_dropped_at_random():
    arm = Arm(name="with-f", step=("reward_margin", {}), control="random-f")
    gain = effect(0.05, 0.01, 0.001)
    beaten = suggest(arm, [gain, effect(0.04, 0.01, 0.001, against="random")])
    assert beaten.suggestion == "better"
    assert beaten.reason == (
        "better on JudgeBench (+5.0 points, [4.0, 6.0], p_holm=.001); over as many pairs dropped at random "
        "JudgeBench (+4.0 points, [3.0, 5.0], p_holm=.001)"
    )
    level = suggest(arm, [gain, effect(0.01, 0.03, 1.0, against="random")])
    assert level.suggestion == "unclear"
    assert level.reason.endswith("the gain may come of fewer pairs alone")
    assert (
        suggest(arm, [effect(-0.05, 0.01, 0.001), effect(0.04, 0.01, 0.001, against="random")]).suggestion
        == "worse"
    )


# --- the report


def eval_set(evalset, count, category="x"):
    """An eval set of `count` items whose first reply is right."""
    both = tuple((Message("assistant", (Block("text", text),)),) for text in "ab")
    items = [
        Item(id=f"{category}-{i}", prompt=(), replies=both, correct=(0,), category=category, subset=category,
             cluster=str(i))
        for i in range(count)
    ]  # fmt: skip
    keyed = KeyedItems(items, [item.key for item in items], range(1, count + 1))
    return EvalItems(evalset=evalset, options=Options(), items=keyed, file=None)


def scored(count, right):
    return [[1.0, 0.0] if i < right else [0.0, 1.0] for i in range(count)]


def holdout(sources):
    """Held-out pairs, so many of each source."""
    parts = [eval_set(get("judgebench"), count, source).items for source, count in sources.items()]
    items = [item for part in parts for item in part.items]
    keyed = KeyedItems(items, [item.key for item in items], range(1, len(items) + 1))
    return EvalItems(evalset=holdout_set(len(items)), options=Options(), items=keyed, file=None)


def study(right, *more):
    """A report of arms on three eval sets of 100 items; `right` says for each arm how many it gets right."""
    eval_sets = [
        eval_set(get("vl_rewardbench"), 100, "other"),
        eval_set(get("multimodal_rewardbench"), 100, "correctness"),
        eval_set(get("judgebench"), 100, "mmlu-pro"),
    ]
    arms = [Arm(name="baseline"), *(more or (LACKS,))]
    scores = {
        arm.name: {x.name: [scored(100, n)] for x, n in zip(eval_sets, right[arm.name], strict=True)}
        for arm in arms
    }
    facts = {
        "name": "n", "about": "", "recipe": "r", "preset": "p", "budget": None, "settings": [], "seeds": 1,
        "exams": {x.name: 100 for x in eval_sets}, "arms": {arm.name: {"rows": 10} for arm in arms},
    }  # fmt: skip
    cost = Cost(runs=1, pairs=10, dropped=0, tokens=100, seconds=1.0, flops=None)
    found = find(arms, {"without-x": {"x"}}, eval_sets, scores)
    return Report(facts=facts, arms=arms, eval_sets=eval_sets, found=found, costs=dict.fromkeys(right, cost),
                  unscored={"judgebench": 2})  # fmt: skip


def test_the_table_has_true_means(tmp_path):
    report = study({"baseline": [80, 60, 70], "without-x": [80, 60, 40]})
    table = accuracy_table(report)
    assert table.columns == ("arm", "VL", "MMRB", "JudgeBench", "multimodal mean")
    assert table.rows == [
        ("baseline", "80.0", "60.0", "70.0", "70.0"),
        ("without-x", "80.0 (+0.0)", "60.0 (+0.0)", "40.0 (-30.0***)", "70.0"),
    ]
    [found] = report.found.suggestions
    assert (found.about, found.suggestion) == ("x", "keep")
    assert found.reason.startswith("helps on JudgeBench (+30.0 points, [")
    confirming = [i for i in range(100) if half_of(str(i)) == "confirm"]
    gained = 100 * sum(40 <= i < 70 for i in confirming) / len(confirming)
    assert found.elsewhere.startswith(f"JudgeBench: {gained:+.1f}, [")
    assert (len(confirming), f"{gained:.1f}") == (52, "40.4")

    written = write.write(report, tmp_path).read_text()
    assert "The multimodal mean is the plain mean of VL, MMRB." in written
    assert "2 items of judgebench had no score and count as wrong." in written
    assert (tmp_path / "effects.svg").read_text().startswith("<svg")
    plain = json.loads((tmp_path / "report.json").read_text())
    assert {test["exam"] for test in plain["tests"]} == {"vl_rewardbench", "multimodal_rewardbench", "judgebench"}
    assert plain["means"]["baseline"] == {"multimodal mean": pytest.approx(0.7)}
    assert [test["measure"] for test in plain["tests"]] == ["overall"] * 3


def test_a_filter_is_tested_against_its_random_arm(tmp_path):
    filtered = Arm(name="with-f", step=("f", {}), control="random-f")
    right = {"baseline": [80, 60, 40], "with-f": [80, 60, 70], "random-f": [80, 60, 45]}
    report = study(right, filtered, Arm(name="random-f", step=("f", {})))
    tests = [(one.arm, one.against, round(100 * one.difference)) for one in report.found.tests]
    assert [one for one in tests if one[0] == "with-f" and one[2]] == [
        ("with-f", "baseline", 30), ("with-f", "random", 25)
    ]  # fmt: skip
    assert {one[1] for one in tests if one[0] == "random-f"} == {"baseline"}
    assert [one.suggestion for one in report.found.suggestions] == ["better", "no difference"]
    written = write.write(report, tmp_path).read_text()
    assert "JudgeBench over random" in written
    assert "*Over random*" in written
    assert (tmp_path / "over_random.svg").exists()


def test_held_out_pairs_are_others_and_own():
    held_out = holdout({"x": 50, "y": 150})
    arms = [Arm(name="baseline"), LACKS]
    right = {"baseline": [*scored(50, 50), *scored(150, 90)], "without-x": [*scored(50, 20), *scored(150, 90)]}
    scores = {arm: {"holdout": [seed]} for arm, seed in right.items()}
    found = find(arms, {"without-x": {"x"}}, [held_out], scores)
    assert [(x.measure, x.trials, round(x.difference, 3)) for x in found.tests] == [
        ("others", 150, 0.0), ("own", 50, -0.6),
    ]  # fmt: skip
    assert [(x.measure, round(x.difference, 3)) for x in found.details] == [
        ("all", -0.15),
        ("x", -0.6),
        ("y", 0.0),
    ]
    [one] = found.suggestions
    assert one.suggestion == "unclear"  # what it teaches itself counts for nothing
    assert "no detectable effect" in one.reason
    assert "on its own held-out pairs +60.0 points" in one.reason


# --- the probe's agreement


def test_kendall_by_hand():
    assert probe.kendall([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert probe.kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert probe.kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert probe.kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))
    assert math.isnan(probe.kendall([1, 1], [1, 2]))


def test_agreement_needs_full_runs():
    report = study({"baseline": [80, 60, 70], "without-x": [80, 60, 40]})
    assert probe.agreement(report, {}) == {"agreement": [], "arms": 0}
    assert probe.agreement_text({"agreement": [], "arms": 0}).startswith("No arm has full runs")
    few = probe.agreement(report, report.found.values)
    assert few == {"agreement": [], "arms": 2}
    assert probe.agreement_text(few).startswith("Only 2 arms have full runs")


def test_agreement_over_arms():
    report = study({"baseline": [80, 60, 70], "without-x": [80, 60, 40]})
    template = report.found.values["baseline"]
    values = {f"arm{i}": [replace(one, value=i / 10) for one in template] for i in range(6)}
    many = replace(report, found=replace(report.found, values=values))
    assert probe.agreement_text(probe.agreement(many, values)).count("τ = 1.00, [1.00, 1.00] over 6 arms") == 4
    found = probe.agreement(many, values)["agreement"]
    assert [one["column"] for one in found] == ["VL", "MMRB", "JudgeBench", "all measures"]
    assert {one["tau"] for one in found} == {1.0}
    assert all(one["low"] == one["high"] == 1.0 and one["arms"] == 6 for one in found)


def test_held_out_pairs_are_an_eval_set():
    held_out = holdout({"x": 2})
    assert isinstance(held_out.evalset, EvalSet)
    assert held_out.evalset.trials is pair_trials

"""A search keeps its bounds to the row, finds the best of a surface, recommends only what other items confirm."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.ablation import halves, mixture, probe, probe_agreement, search, surface
from curate.ablation.arms import Arm
from curate.ablation.effects import Effect
from curate.ablation.search import Candidate, recommend
from curate.ablation.search_files import recipe_text
from curate.build import build_family
from curate.cli.mix import Terminal
from curate.config import parse_yaml
from curate.engines.local import Local
from curate.errors import ConfigError, InfeasibleError
from curate.evalsets import get
from curate.evalsets.base import Trial
from curate.inputs import Inputs
from curate.recipe import Recipe, load
from curate.statistics import Interval
from curate.workspace import Workspace
from tests.ablation.test_effects import eval_set
from tests.support import planted
from tests.support.paths import ROOT

POOLS = {"a": 500, "b": 300, "c": 200, "d": 100}


def bounds(total=400, floors=None, caps=None, repeats=None):
    return mixture.bounds(
        POOLS, POOLS, total, repeats=dict.fromkeys(POOLS, 1) | (repeats or {}), floors=floors or {},
        caps=caps or {}, where="mine.yaml: $",
    )  # fmt: skip


def test_every_mix_has_exact_rows_within_floors_caps_and_pools():
    within = bounds(floors={"d": 0.05}, caps={"a": 0.4})
    rows = mixture.design(within, 50, 400, seed=1)
    assert len(set(rows)) == 50
    assert {sum(one) for one in rows} == {400}
    a, b, c, d = (np.array(column) for column in zip(*rows, strict=True))
    assert (a.max(), b.max() <= 300, c.max() <= 200, d.min(), d.max() <= 100) == (160, True, True, 20, True)
    assert within.own(400) == (182, 109, 73, 36)  # the recipe's own, whatever the cap
    assert mixture.design(within, 20, 400, seed=1) == rows[:20]
    assert mixture.design(within, 20, 37, seed=1) != rows[:20]
    assert all(sum(one) == 37 and one[3] >= 2 and one[0] <= 14 for one in mixture.design(within, 20, 37, seed=1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"floors": {"d": 0.3}}, "mine.yaml: $.sources.d: its pool gives at most 0.25 of the mix; expected"),
        ({"floors": {"a": 0.3}, "caps": {"a": 0.2}}, "--floor a=0.3: its cap is 0.2; expected a floor below"),
        ({"floors": {"a": 0.6, "b": 0.5}}, "--floor: the floors sum to 1.1 (a 0.6, b 0.5); expected at most 1"),
        ({"caps": {"a": 0.1, "b": 0.1}}, "mine.yaml: $.sources: the caps of a, b give at most 380 of 400 rows"),
        ({"total": 1500}, "mine.yaml: $.sources: the pools with their repeats give at most 1,100 of 1,500 rows"),
        ({"total": 1100}, "so that there is one mix of 1,100 and nothing to search"),
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_name_what_binds(given, message):
    with pytest.raises(InfeasibleError) as error:
        bounds(**given)
    assert message in str(error.value)


def test_repeats_widen_a_pool():
    assert bounds(total=1500, repeats={"a": 2}).most.tolist() == [1000 / 1500, 0.2, 200 / 1500, 100 / 1500]


def test_the_surface_recovers_a_law_and_its_best_mix():
    within = replace(bounds(), most=np.ones(4))
    b = np.array([[-3.0, -1.0, -1.0, -0.5], [-2.0, -2.5, -1.0, -1.0]])
    law = surface.Surface(c=np.array([0.9, 0.8]), b=b)
    shares = mixture.draw(within, 80, seed=3)
    noise = np.random.Generator(np.random.PCG64(4)).normal(0, 0.002, (80, 2))
    found = surface.surface(shares, law(shares) + noise)
    fresh = mixture.draw(within, 200, seed=5)
    assert np.abs(found(fresh) - law(fresh)).max() < 0.02
    chosen = surface.candidates(found, within, 4, seed=1)
    assert chosen.shape == (4, 4)
    assert np.allclose(chosen.sum(axis=1), 1)
    best = law(mixture.draw(within, 5000, seed=6)).mean(axis=1).max()
    assert best - law(chosen[:1]).mean() < 0.005
    assert min(mixture.distance(chosen[0], other) for other in chosen[1:]) > 0.07


def test_the_halves_share_no_item_and_a_cluster_stays_whole():
    trials = [Trial("s", f"prompt{i // 2}", 1.0) for i in range(400)]
    choose, confirm = (halves.only(trials, half) for half in ("choose", "confirm"))
    assert {one.cluster for one in choose} & {one.cluster for one in confirm} == set()
    assert (len(choose), len(confirm)) == (192, 208)


def test_an_arm_with_rows_has_exactly_these_and_the_recipes_holdout(tmp_path):
    planted.write(tmp_path, good=60, noise=60, eval_items=4)
    (tmp_path / "planted.yaml").write_text(planted.RECIPE.replace("60", "10"))
    recipe = load(tmp_path / "planted.yaml")
    inputs = Inputs(workspace=Workspace(tmp_path / "data"), raw=tmp_path / "raw", manifests=tmp_path / "manifests")
    arms = [Arm(name="some", rows=(("good", 7), ("noise", 31))), Arm(name="one", rows=(("good", 9), ("noise", 0)))]
    with Local(1) as engine:
        whole, some, one = build_family(
            [recipe, *(arm.recipe(recipe) for arm in arms)], inputs, engine, Terminal()
        )
    counted = [{line["label"]: line["rows"] for line in built.lock["plan"]["sources"]} for built in (some, one)]
    assert counted == [{"good": 7, "noise": 31}, {"good": 9, "noise": 0}]
    assert [built.lock["held_out"] for built in (whole, some, one)] == [20, 20, 20]
    files = [pq.read_table(built.directory / "holdout-00000.parquet")["pair_id"] for built in (whole, some, one)]
    assert files[0].equals(files[1])
    assert files[0].equals(files[2])
    assert some.directory.parent.parent.name == "arms"


def test_an_eval_set_too_small_to_split_is_refused_before_anything_is_trained():
    halves.check([eval_set(get("judgebench"), 60)])
    with pytest.raises(ConfigError) as error:
        halves.check([eval_set(get("judgebench"), 60), eval_set(get("vl_rewardbench"), 1)])
    assert str(error.value).startswith(
        "vl_rewardbench: its 1 items cannot be split in two halves; expected items of"
    )


def candidate(name, gain, holm):
    effect = Effect(
        measure="mean", seeds=3, value=0.6 + gain, other=0.6, difference=gain,
        interval=Interval(gain - 0.01, gain + 0.01),
        p=holm / 4, test="t", trials=None, clusters=500, gained=None, lost=None, error=0.005, freedom=math.inf,
        detectable=0.01, arm=name, holm=holm,
    )  # fmt: skip
    return Candidate(name=name, rows={}, predicted=0.03, small=0.02, effect=effect, parts=[])


def test_the_natural_mix_is_left_only_for_a_clear_gain_by_a_proxy_that_ranks(monkeypatch):
    clear, better = candidate("one", 0.02, 0.01), candidate("two", 0.05, 0.2)
    assert recommend([clear, better], 0.6, probed=False) == (
        "one", "use one: +2.0 points, [1.0, 3.0], p_holm .010",
    )  # fmt: skip
    chosen, why = recommend([candidate("one", 0.02, 0.06), candidate("two", -0.05, 0.001)], 0.6, probed=False)
    assert chosen is None
    assert why.startswith("keep the natural mix: no candidate is clearly better (the best, one: +2.0 points")
    for tau, reason in ((0.24, "is 0.24, below 0.25"), (None, "is not defined")):
        chosen, why = recommend([clear], tau, probed=False)
        assert (chosen, reason in why, "no recommendation" in why) == (None, True, True)
    known = replace(probe_agreement.published(), tau=0.2, low=-0.1, high=0.5, mixes=12)
    monkeypatch.setattr(probe_agreement, "published", lambda: known)
    assert recommend([clear], 0.9, probed=True)[0] is None
    assert recommend([clear], 0.9, probed=False)[0] == "one"
    text = "Kendall's τ = 0.20, 95 % [-0.10, 0.50], judged on 900 items."
    assert known.text().endswith(f"{text} The interval includes 0: confirm what probes suggest.")
    assert replace(known, low=0.1).text().endswith(text.replace("-0.10", "0.10"))


def test_what_the_study_found_is_cited_or_that_it_found_nothing_yet():
    cited = probe_agreement.published()
    assert cited.tau is None or cited.mixes >= 8
    assert probe.agreement_text({"agreement": [], "arms": 0}) == (
        f"No arm has full runs, so it is not known how well the probe agrees with them. {cited.text()}"
    )
    nothing = replace(cited, mixes=3, tau=None, low=None, high=None)
    assert "has not been measured" in nothing.text()
    assert "full runs of 3 mixes, too few" in nothing.text()


def test_a_candidates_recipe_is_the_arm_that_was_confirmed():
    recipe = load("quickstart")
    rows = {entry.label: 3 * i for i, entry in enumerate(recipe.entries)}
    text = recipe_text("quickstart", "candidate1", rows, "why")
    read = Recipe.from_config(parse_yaml(text, "candidate1.yaml"), "$")
    arm = Arm(name="candidate1", rows=tuple(rows.items())).recipe(recipe)
    differing = {"shards"}  # an arm refers to its images
    own, its = (one.material() for one in (read, arm))
    assert {key: value for key, value in own.items() if key not in differing} == {
        key: value for key, value in its.items() if key not in differing
    }
    assert its["without"] == [f"entry:{recipe.entries[0].label}"]
    assert (read.name, str(ROOT) in text) == ("quickstart-candidate1", False)
    assert search.NATURAL == "natural"

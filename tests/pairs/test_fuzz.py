"""A few hundred seeds of benchmarks/fuzz.py: no traceback, no run ended by one row, accounts that add up."""

import gc
import random

import fuzz_cases as cases
import fuzz_inputs as inputs
import fuzz_trials as trials
import pytest
from fuzz import try_seed

FILES = [range(start, start + 40) for start in range(0, 120, 40)]
ROWS = [range(start, start + 50) for start in range(1000, 1150, 50)]


@pytest.fixture(autouse=True, scope="module")
def _few_objects():
    """Normalize collects garbage after every slice, and pytest has many objects."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("seeds", FILES, ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_mutated_files(tmp_path, seeds):
    found = [try_seed(seed, tmp_path, cli=False) for seed in seeds]
    assert [(one["seed"], one["faults"]) for one in found if one["faults"]] == []


@pytest.mark.parametrize("seeds", ROWS, ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_mutated_rows_given_to_adapters(tmp_path, seeds):
    outcomes = [trials.try_direct(random.Random(seed), tmp_path)[2] for seed in seeds]
    assert sum(sum(one.values()) for one in outcomes) == len(seeds) * trials.DIRECT
    assert all(sum(one.get(kind, 0) for one in outcomes) > 0 for kind in ("pairs", "skip"))


@pytest.mark.parametrize("name", inputs.FORMS)
def test_the_inputs_are_valid_before_they_are_mutated(tmp_path, name):
    form = inputs.FORMS[name]
    assert sorted(cases.pairs_of_form(name, tmp_path / "x")) == list(range(1, len(form.rows) + 1))

"""Real upstream rows, kept beside the checkout and not in it (see their SOURCE.txt): every loss has its reason."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from curate.build import build
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.inputs import Inputs
from curate.recipe import load
from curate.workspace import Workspace
from tests.support.paths import REAL

RECIPE = """
name: hh
sources:
  hh_rlhf: {all: true, options: {subsets: [harmless-base], split: test}}
steps: [empty_reply, turn_structure]
"""


@pytest.fixture
def harmless(tmp_path):
    """The raw directory of hh_rlhf with the 2,312 real test rows of harmless-base."""
    file = REAL / "hh-rlhf" / "harmless-base_test.jsonl.gz"
    if not file.exists():
        pytest.skip(f"no real rows: {file} is not there")
    target = tmp_path / "raw" / "hh_rlhf" / "harmless-base" / "test.jsonl.gz"
    target.parent.mkdir(parents=True)
    shutil.copy(file, target)
    (tmp_path / "hh.yaml").write_text(RECIPE)
    return tmp_path


def test_hh_rlhf_says_what_it_lost(harmless):
    inputs = Inputs(workspace=Workspace(harmless / "data"), raw=harmless / "raw")
    built = build(load(harmless / "hh.yaml"), inputs, Local(), Terminal())
    account = built.lock["funnel"]["hh_rlhf"]
    # five rows whose prompts differ: all five are among the nine dialogues that do not alternate
    assert (account["rows"], account["skipped"]) == (2312, {"prompts_differ": 5})
    assert account["dropped"] == {
        "empty_reply/empty": 4, "empty_reply/placeholder": 3, "turn_structure/roles_do_not_alternate": 4,
    }  # fmt: skip
    assert (account["pairs"], account["kept"], built.lock["rows"]) == (2307, 2296, 2296)
    decisions = pq.read_table(built.directory / "decisions" / "hh_rlhf.parquet").to_pylist()
    lines = sorted(int(row["row"].rsplit(":", 1)[1]) for row in decisions if row["step"] == "turn_structure")
    assert lines == [668, 764, 1320, 1850]
    skips = pq.read_table(next(harmless.glob("data/pairs/hh_rlhf/*/skips-*.parquet"))).to_pylist()
    assert [row["row"] for row in skips] == [
        f"harmless-base/test.jsonl.gz:{line}" for line in (1255, 1689, 1951, 1953, 2037)
    ]
    assert json.loads((built.directory / "lock.json").read_text()) == built.lock

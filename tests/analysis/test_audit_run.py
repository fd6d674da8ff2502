"""What an audit keeps: ranked pairs, scores beside the pairs, a review sheet, and what a review makes of it."""

import csv
import json

import numpy as np
import polars as pl
import pytest

from curate.analysis import audit_run
from curate.analysis.audit import AuditPairs
from curate.analysis.audit_tables import lines, tables
from curate.build import build
from curate.cli.mix import Terminal
from curate.engines.local import Local
from curate.errors import ConfigError
from curate.html_report.page import page
from curate.inputs import Inputs
from curate.inspect.artefacts import find_mix
from curate.inspect.targets import find
from curate.inspect.verify import verify_files
from curate.pairs import scores
from curate.pairs.keys import load_keys
from curate.recipe import load
from curate.workspace import Workspace
from tests.support import planted

ROWS, REVIEW = 320, 60


class Audited:
    """An audit of planted pairs whose features are ours, with every tenth label of `noise` reversed by us."""

    def __init__(self, project):
        planted.write(project, good=ROWS, noise=ROWS, asked=2)
        self.workspace = Workspace(project / "data")
        inputs = Inputs(workspace=self.workspace, raw=project / "raw", manifests=project / "manifests")
        with Local(1) as engine:
            build(load(project / "planted.yaml"), inputs, engine, Terminal())
        self.targets = find([str(project / "planted.yaml")], inputs)
        frames = [self._frame(target) for target in self.targets]
        self.whole = pl.concat(frames)
        draw = np.random.default_rng(0)
        values = draw.normal(size=(self.whole.height, 6)) + 1.2 * np.eye(6)[0]
        self.wrong = (np.arange(self.whole.height) % 10 == 0) & (np.arange(self.whole.height) >= ROWS)
        values[self.wrong] *= -1
        values[3] = np.nan
        source = np.repeat(np.arange(len(frames)), [frame.height for frame in frames])
        self.pairs = AuditPairs(
            values=values, rulers={"longer": draw.normal(size=len(values))}, source=source,
            labels=[target.label for target in self.targets], clusters=self.whole["id_hi"].to_numpy(),
        )  # fmt: skip
        about = {"name": "mine", "preset": "none", "settings": [], "features": "x", "without_features": {}}
        self.told = audit_run.keep(self.targets, self.pairs, self.whole, about, self.workspace, REVIEW)
        self.place = audit_run.place_of(self.workspace, "mine")
        self.table = pl.read_parquet(self.place / "pairs.parquet")

    @staticmethod
    def _frame(target):
        parts = [target.pool.directory / part for part in target.pool.parts]
        ids = pl.concat([pl.read_parquet(path, columns=["pair_id"]) for path in parts])
        keys = load_keys(target.pool.directory, target.pool.parts)
        return keys.select("id_hi", "id_lo").with_row_index("at").hstack(ids)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Audited(tmp_path_factory.mktemp("audit"))


def test_pairs_are_ranked_and_the_scores_beside_the_pairs_are_the_same(made):
    wrong = made.table["wrong"].drop_nulls()
    assert wrong.is_sorted(descending=True)
    assert made.table["wrong"].null_count() == 1
    assert made.told["with_features"] == made.told["pairs"] - 1
    for target in made.targets:
        found = scores.read(target.pool, "mine", "$")
        own = made.table.filter(pl.col("source") == target.label).sort("at")
        assert found["wrong"].to_list() == own["wrong"].to_list()
        assert found["margin"].to_list() == own["margin"].to_list()
        receipt = scores.receipt_of(target.pool.directory, target.label, "mine", "$")
        assert (receipt["provenance"], receipt["by"]["kind"]) == ("cross-fitted", "audit")
        assert receipt["unscored"] == ({"no_features": 1} if target.label == made.pairs.labels[0] else {})


def test_no_rate_is_named_before_a_review(made):
    text = "\n".join(lines(made.told))
    assert "wrong labels: not known before a review; --review 200" in text
    assert "self-check: labels reversed at random would be found with AUROC" in text
    [sources, strata, suspects] = tables(made.told, audit_run.suspects(made.place, made.targets, 3))
    assert [row[-1] for row in sources.rows] == ["not reviewed"] * 2
    assert [row[0] for row in strata.rows] == ["longer"]
    assert [row[2] for row in suspects.rows] == made.table["wrong"].head(3).to_list()
    assert " -> " in suspects.rows[0][4]


def test_a_filled_sheet_gives_the_rate_with_its_interval(made, tmp_path):
    with open(made.place / "sheet.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == made.table["in_sheet"].sum() == pytest.approx(REVIEW, abs=1)
    assert [row["pair_id"] for row in rows] == sorted(row["pair_id"] for row in rows)
    truth = dict(zip(made.whole["pair_id"], made.wrong.tolist(), strict=True))
    for at, row in enumerate(rows):
        row["label"] = "bad" if at == 0 else "flip" if truth[row["pair_id"]] else "agree"
    filled = tmp_path / "sheet.csv"
    with open(filled, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    told = audit_run.reviewed(made.place, audit_run.read_review(filled))
    assert (told["review"]["labels"], told["review"]["bad"]) == (len(rows) - 1, 1)
    rate = told["review"]["rate"]
    assert rate["low"] < made.wrong.mean() < rate["high"]
    assert f"wrong labels: {rate['value']:.1%}" in "\n".join(lines(told))
    assert audit_run.read_audit(made.place) == json.loads(json.dumps(told))


def test_a_review_of_too_few_pairs_is_refused(made, tmp_path):
    filled = tmp_path / "sheet.csv"
    filled.write_text("pair_id,label\n" + f"{made.table['pair_id'][0]},agree\n")
    with pytest.raises(ConfigError, match=r"of the \d+ pairs of the sheet have a label; expected 30 or more"):
        audit_run.reviewed(made.place, audit_run.read_review(filled))
    filled.write_text("pair_id,label\nx,agree\n")
    with pytest.raises(ConfigError, match="32 hex digits"):
        audit_run.read_review(filled)
    with pytest.raises(ConfigError, match="no such audit"):
        audit_run.reviewed(made.place.parent / "other", [])


def test_the_report_has_the_audit_and_verify_checks_it(made):
    html = page(find_mix("planted", made.workspace), made.workspace, None, pairs=2, seed=0)
    assert 'id="audit-mine"' in html
    assert "not known before a review" in html or "wrong labels:" in html
    assert html.count("suspect 1, score") == 1
    assert html.count(", score 0.") == 50
    assert verify_files(made.workspace, None, None).differing == []
    (made.place / "pairs.parquet").write_bytes(b"x")
    assert any("audits/mine/pairs.parquet" in line for line in verify_files(made.workspace, None, None).differing)

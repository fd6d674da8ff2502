"""What an audit keeps: ranked pairs, scores beside the pairs, a review sheet, and what a review makes of it."""

import csv
import json
import re

import numpy as np
import polars as pl
import pytest

from curate.analysis import audit_files, audit_noise, audit_review, audit_run
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
from curate.inspect.why import history_lines, pair_history
from curate.pairs import scores
from curate.pairs.keys import load_keys
from curate.recipe import load
from curate.workspace import Workspace
from tests.support import planted

ROWS, REVIEW = 320, 60


class Audited:
    """An audit of planted pairs whose features are ours, with every tenth label of `noise` reversed by us."""

    def __init__(self, project):
        planted.write(project, good=ROWS, noise=ROWS, eval_items=2)
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
        self.record = audit_run.keep(self.targets, self.pairs, self.whole, about, self.workspace, REVIEW)
        self.place = audit_files.place_of(self.workspace, "mine")
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
    assert made.record["with_features"] == made.record["pairs"] - 1
    for target in made.targets:
        found = scores.read(target.pool, "mine", "$")
        own = made.table.filter(pl.col("source") == target.label).sort("at")
        assert found["wrong"].to_list() == own["wrong"].to_list()
        assert found["margin"].to_list() == own["margin"].to_list()
        receipt = scores.receipt_of(target.pool.directory, target.label, "mine", "$")
        assert (receipt["provenance"], receipt["by"]["kind"]) == ("cross-fitted", "audit")
        assert receipt["unscored"] == ({"no_features": 1} if target.label == made.pairs.labels[0] else {})


def test_no_rate_is_named_before_a_review(made):
    text = "\n".join(lines(made.record))
    assert "wrong labels: not known before a review; --review 200" in text
    assert "self-check: labels reversed at random would be found with AUROC" in text
    [sources, strata, suspects] = tables(
        made.record, audit_files.suspects(made.place, made.record, made.targets, 3)
    )
    assert [row[-1] for row in sources.rows] == ["not reviewed"] * 2
    assert [row[0] for row in strata.rows] == ["longer"]
    assert [row[2] for row in suspects.rows] == made.table["wrong"].head(3).to_list()
    assert " -> " in suspects.rows[0][4]


def _filled(made, path, **form):
    """The sheet of an audit filled in by the truth, its first pair `bad`; and the rows."""
    with open(made.place / "sheet.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    truth = dict(zip(made.whole["pair_id"], made.wrong.tolist(), strict=True))
    for at, row in enumerate(rows):
        row["label"] = "bad" if at == 0 else "flip" if truth[row["pair_id"]] else "agree"
    with open(path, "w", newline="", encoding=form.pop("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, form.pop("columns", tuple(rows[0])), extrasaction="ignore", **form)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_a_filled_sheet_gives_the_rate_with_its_interval(made, tmp_path):
    rows = _filled(made, tmp_path / "sheet.csv")
    assert len(rows) == made.table["in_sheet"].sum() == pytest.approx(REVIEW, abs=1)
    assert [row["pair_id"] for row in rows] == sorted(row["pair_id"] for row in rows)
    record = audit_review.reviewed(made.place, made.targets, audit_review.read_review(tmp_path / "sheet.csv"))
    assert (record["review"]["labels"], record["review"]["bad"]) == (len(rows) - 1, 1)
    rate = record["review"]["rate"]
    assert rate["low"] < made.wrong.mean() < rate["high"]
    assert f"wrong labels: {rate['value']:.1%}" in "\n".join(lines(record))
    assert audit_files.read_audit(made.place) == json.loads(json.dumps(record))


def test_a_review_corrects_the_chances_that_are_shown_and_that_steps_read(made, tmp_path):
    _filled(made, tmp_path / "sheet.csv")
    labels = audit_review.read_review(tmp_path / "sheet.csv")
    record = audit_review.reviewed(made.place, made.targets, labels)
    shift, slope = record["review"]["shift"], record["review"]["slope"]
    expected = audit_noise.corrected(made.table["wrong"].drop_nulls().to_numpy(), shift, slope)
    listed = audit_files.suspects(made.place, record, made.targets, 5)
    assert [one["wrong"] for one in listed] == pytest.approx(expected[:5].tolist())
    found = pl.concat([scores.read(target.pool, "mine", "$") for target in made.targets])
    assert sorted(found["wrong"].drop_nulls()) == pytest.approx(sorted(expected))
    assert abs(found["wrong"].mean() - made.wrong.mean()) < abs(made.table["wrong"].mean() - made.wrong.mean())
    by = scores.receipt_of(made.targets[0].pool.directory, "good", "mine", "$")["by"]
    assert by["review"] == {"labels": record["review"]["labels"], "shift": shift, "slope": slope}
    again = audit_review.reviewed(made.place, made.targets, labels)
    assert again["review"] == record["review"]
    manifests = made.workspace.root.parent / "manifests"
    history = pair_history(listed[0]["pair_id"], made.workspace, manifests)
    assert f"wrong label {listed[0]['wrong']:.3f}, corrected by a review" in "\n".join(history_lines(history))


def test_a_sheet_is_read_as_spreadsheets_save_it(made, tmp_path):
    rows = _filled(made, tmp_path / "a.csv")
    _filled(made, tmp_path / "b.csv", encoding="utf-8-sig", delimiter=";", columns=("label", "pair_id"))
    text = (tmp_path / "b.csv").read_text("utf-8-sig").replace("flip", " FLIP ").replace("label", "Label", 1)
    (tmp_path / "b.csv").write_text(text, "utf-8-sig", newline="")
    _filled(made, tmp_path / "c.tsv", delimiter="\t")
    wanted = [(row["pair_id"], row["label"]) for row in rows]
    for name in ("a.csv", "b.csv", "c.tsv"):
        assert [(one.pair_id, one.label) for one in audit_review.read_review(tmp_path / name)] == wanted
    (tmp_path / "d.csv").write_text("Pair_ID,verdict\n" + f"{rows[0]['pair_id']},agree\n")
    with pytest.raises(ConfigError, match=r"d\.csv:1: no column label among Pair_ID, verdict"):
        audit_review.read_review(tmp_path / "d.csv")
    with pytest.raises(ConfigError, match=r"a spreadsheet.s own format; expected CSV"):
        audit_review.read_review(tmp_path / "sheet.xlsx")


def test_a_sheet_with_labels_is_not_replaced(made, tmp_path):
    audit_review.check_sheet(made.place)
    audit_review.check_sheet(tmp_path)
    _filled(made, tmp_path / "sheet.csv")
    with pytest.raises(ConfigError, match="people have filled it in"):
        audit_review.check_sheet(tmp_path)
    audit_review.write_sheet(tmp_path, made.targets, made.table.with_columns(in_sheet=pl.lit(False)))
    assert not (tmp_path / "sheet.csv").exists()


def test_a_review_of_other_pairs_is_refused(made):
    with pytest.raises(
        ConfigError, match=r"the audit 'mine' is of noise, which are not its pairs; expected what was"
    ):
        audit_review.reviewed(made.place, made.targets[:1], [])


def test_scores_by_another_command_keep_their_name(made):
    pool = made.targets[0].pool
    scores.check_free(pool, "mine", {"kind": "audit", "preset": "other"})
    scores.check_free(pool, "free", {"kind": "model"})
    with pytest.raises(
        ConfigError, match="--name: the scores 'mine' of good are by audit; expected a name of its own"
    ):
        scores.check_free(pool, "mine", {"kind": "model", "path": "runs/mine", "models": {}})


def test_a_review_of_too_few_pairs_is_refused(made, tmp_path):
    filled = tmp_path / "sheet.csv"
    filled.write_text("pair_id,label\n" + f"{made.table['pair_id'][0]},agree\n")
    with pytest.raises(ConfigError, match=r"of the \d+ pairs of the sheet have a label; expected 30 or more"):
        audit_review.reviewed(made.place, made.targets, audit_review.read_review(filled))
    filled.write_text("pair_id,label\nx,agree\n")
    with pytest.raises(ConfigError, match="32 hex digits"):
        audit_review.read_review(filled)
    with pytest.raises(ConfigError, match="no such audit"):
        audit_review.reviewed(made.place.parent / "other", made.targets, [])


def test_the_report_has_the_audit_and_verify_checks_it(made):
    html = page(find_mix("planted", made.workspace), made.workspace, None, pairs=2, seed=0)
    assert 'id="audit-mine"' in html
    assert "not known before a review" in html or "wrong labels:" in html
    measure = "chance" if audit_files.read_audit(made.place)["review"] else "score"
    assert html.count(f"suspect 1, {measure}") == 1
    assert html.count(f", {measure} 0.") == 50
    assert verify_files(made.workspace, None, None).differing == []
    (made.place / "pairs.parquet").write_bytes(b"x")
    assert any("audits/mine/pairs.parquet" in line for line in verify_files(made.workspace, None, None).differing)


def test_plots_show_margins_strata_and_after_a_review_what_readers_found(made, tmp_path):
    audit_files.write(made.place, made.targets, made.table, made.record)
    assert sorted(path.name for path in made.place.glob("*.svg")) == ["margins.svg", "strata.svg"]
    texts = re.findall(r">([^<>]+)</text>", (made.place / "margins.svg").read_text())
    below = [(made.table.filter(source=label)["margin"].drop_nulls() < 0).mean() for label in ("good", "noise")]
    assert texts[0] == "Margins of models that did not see the pair, by source"
    assert texts[-4:] == ["good", f"{below[0]:.0%} below 0", "noise", f"{below[1]:.0%} below 0"]
    contrast = made.record["strata"][0]["contrast"]
    assert f"{contrast:+.2f}</text>" in (made.place / "strata.svg").read_text()
    _filled(made, tmp_path / "sheet.csv")
    record = audit_review.reviewed(made.place, made.targets, audit_review.read_review(tmp_path / "sheet.csv"))
    groups = record["review"]["calibration"]
    assert sum(one["clusters"] for one in groups) == record["review"]["labels"]
    assert [one["chance"] for one in groups] == sorted(one["chance"] for one in groups)
    assert groups[0]["value"] < groups[-1]["value"]
    drawn = (made.place / "calibration.svg").read_text()
    assert drawn.count("<circle") == len(groups) == 5
    assert (
        f"chance {groups[-1]['chance']:.0%}: {groups[-1]['value']:.0%} wrong, {groups[-1]['clusters']} read"
        in drawn
    )
    html = page(find_mix("planted", made.workspace), made.workspace, None, pairs=2, seed=0)
    assert "What readers found, by chance" in html
    assert verify_files(made.workspace, None, None).differing == []


def test_reliability_is_the_weighted_share_of_each_group():
    chance, found = np.array([0.1, 0.9, 0.2, 0.8]), np.array([0.0, 1.0, 1.0, 0.0])
    low, high = audit_noise.reliability(chance, found, np.array([0.5, 1.0, 1.0, 0.25]), groups=2)
    assert (low[0], low[1].value) == (pytest.approx(0.4 / 3), pytest.approx(1 / 3))
    assert (high[0], high[1].value) == (pytest.approx(4.1 / 5), pytest.approx(1 / 5))

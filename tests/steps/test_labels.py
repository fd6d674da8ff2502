"""The step labels: bad pairs leave, reversed ones are turned, and held-out pairs stay as they are."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate import steps
from curate.errors import ConfigError
from curate.inspect.artefacts import mixes
from curate.labels import Label, append_label
from curate.mixing.flips import exchanged
from curate.mixing.select import select
from curate.recipe import load
from curate.schema import PAIR
from curate.steps.labels import Labels
from curate.workspace import Workspace
from tests.support.finished_work import ids, mix, run, write_rows
from tests.support.pairs import pair, turn

MANIFEST = """
adapter: preference
files: ["*.jsonl"]
columns: {margin: gap, chosen_score: best, rejected_score: worst}
license: mit
max_skip: 0
"""
RECIPE = """
name: labelled
sources: {votes: all}
holdout: {rows_per_source: 2}
steps:
  - exact_duplicates
  - labels: {file: labels.jsonl, drop: [bad], flip: true}
"""
ROWS = [
    {"prompt": f"Question {i}?", "chosen": f"good {i} " + "long " * i, "rejected": f"bad {i}", "gap": 2, "best": 5,
     "worst": 3}
    for i in range(8)
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A mix without labels, and one with: two flipped, two bad, a tie, a held-out pair bad and one flipped."""
    root = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("CURATE_HOME", raising=False)
        write_rows(root / "raw/votes/a.jsonl", ROWS)
        write_rows(root / "manifests/votes.yaml", [])
        (root / "manifests/votes.yaml").write_text(MANIFEST)
        mix(RECIPE.replace("name: labelled", "name: plain").partition("  - labels")[0])
        plain = Workspace(root / "data").root / "mixes/plain"
        held, mixed = (rows_of(plain, kind) for kind in ("holdout", "shard"))
        wanted = dict(zip(mixed, ["flip", "flip", "bad", "bad", "tie"], strict=False))
        wanted |= dict(zip(held, ["bad", "flip"], strict=True))
        for pair_id, word in wanted.items():
            append_label(root / "labels.jsonl", Label(pair_id=pair_id, label=word, who="ada", when="2026-01-31"))
        mix(RECIPE)
        yield root, held, mixed, wanted


def rows_of(place: Path, kind: str) -> dict[str, dict]:
    found = {}
    for path in sorted(place.glob(f"*/{kind}-*.parquet")):
        found |= {row["pair_id"]: row for row in pq.read_table(path).to_pylist()}
    return found


def text(messages: list[dict]) -> str:
    return messages[0]["content"]


def test_bad_pairs_leave_and_reversed_ones_are_turned(built):
    root, _, mixed, wanted = built
    place = root / "data/mixes/labelled"
    now = rows_of(place, "shard")
    flipped = [pair_id for pair_id in mixed if wanted.get(pair_id) == "flip"]
    bad = {pair_id for pair_id in mixed if wanted.get(pair_id) == "bad"}
    assert set(now) == set(mixed) - bad
    for pair_id, row in now.items():
        before = mixed[pair_id]
        if pair_id not in flipped:
            assert row == before
            continue
        assert (text(row["chosen"]), text(row["rejected"])) == (text(before["rejected"]), text(before["chosen"]))
        assert (row["chosen_score"], row["rejected_score"], row["margin"]) == (3, 5, None)
        assert (row["prompt"], row["group_id"]) == (before["prompt"], before["group_id"])
    assert list(now) == [pair_id for pair_id in mixed if pair_id in now]  # nobody else has moved


def test_held_out_pairs_are_neither_dropped_nor_turned(built):
    root, held, _, _ = built
    assert rows_of(root / "data/mixes/labelled", "holdout") == held


def test_the_account_is_whole_and_why_says_who(built, monkeypatch):
    root, held, mixed, wanted = built
    monkeypatch.chdir(root)
    [lock] = [one.lock for one in mixes(Workspace(root / "data")) if one.lock["name"] == "labelled"]
    account = lock["funnel"]["votes"]
    assert (account["pairs"], account["dropped"], account["kept"]) == (8, {"labels/bad": 2}, 6)
    assert (account["held_out"], account["selected"], account["unused"], account["flipped"]) == (2, 4, 0, 2)
    assert lock["summary"]["sources"]["votes"]["margin"]["pairs"] == 2
    flipped = [pair_id for pair_id in mixed if wanted.get(pair_id) == "flip"]
    now = rows_of(root / "data/mixes/labelled", "shard")
    sizes = [(len(text(row["chosen"])), len(text(row["rejected"]))) for row in now.values()]
    assert lock["summary"]["all"]["longer"] == {
        "chosen": sum(a > b for a, b in sizes), "rejected": sum(a < b for a, b in sizes), "neither": 0,
    }  # fmt: skip
    assert lock["summary"]["all"]["rejected"]["quantiles"][-1] == max(b for _, b in sizes)
    assert "  flagged: labels/flipped (votes, a.jsonl:" in run("why", flipped[0]).text
    bad = next(pair_id for pair_id in mixed if wanted.get(pair_id) == "bad")
    assert "bad by ada" in run("why", bad).text
    history = run("why", next(iter(held))).text.partition("mix labelled")[2]
    assert history.partition("\n")[0].endswith(": held out")
    assert "labels/" not in history.partition("mix plain")[0]


def test_selection_counts_a_barred_pair_as_kept_only_where_it_is_held_out(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nsources: {votes: all}\nholdout: {rows_per_source: 3}\n")
    count = 10
    numbers = np.arange(1, count + 1, dtype=np.uint64)
    keys = pl.DataFrame(
        {
            "id_hi": numbers, "id_lo": numbers, "copy": np.zeros(count, np.uint32), "group": numbers,
            "prompt_key": numbers, "part": np.zeros(count, np.uint32),
            "position": np.arange(count, dtype=np.uint32),
            "text_bytes": np.ones(count, np.uint32), "media_bytes": np.zeros(count, np.uint64),
            "has_fields": np.zeros(count, np.bool_),
        }
    )  # fmt: skip
    recipe = load(str(path))
    held = set(select(recipe, {"votes": keys}).holdout["position"])
    barred = pl.Series([i in held or i % 2 == 0 for i in range(count)])
    chosen = select(recipe, {"votes": keys.with_columns(barred=barred, flipped=pl.lit(False))})
    [found] = chosen.counts
    free = [i for i in range(count) if i not in held and i % 2]
    assert set(chosen.holdout["position"]) == held
    assert sorted(chosen.mix["position"]) == free
    assert (found.kept, found.held_out, found.distinct, found.unused) == (len(free) + 3, 3, len(free), 0)


def test_only_the_labels_identify_the_step(built, monkeypatch):
    root, _, mixed, _ = built
    monkeypatch.chdir(root)

    def identity(**fields: object) -> dict:
        return steps.identity(Labels(file="labels.jsonl", **fields).bind("$"))

    before = identity()
    assert set(before) == {"version", "labels"}
    assert identity(flip=False) != before
    pair_id = next(iter(mixed))
    again = Label(pair_id=pair_id, label="flip", who="bob", note="I think so too", when="2027-01-31")
    append_label(root / "labels.jsonl", again)
    assert identity() == before  # one more who says the same
    append_label(root / "labels.jsonl", Label(pair_id=pair_id, label="bad", who="cy", when="2027-02-01"))
    assert identity() == before
    append_label(root / "labels.jsonl", Label(pair_id=pair_id, label="bad", who="bob", when="2027-02-02"))
    assert identity() != before  # most people say bad now


def test_faults_are_errors_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"\$\.steps\.labels\.file: .*none.jsonl: no such file") as caught:
        steps.bind([("labels", Labels(file=str(tmp_path / "none.jsonl")))], None, "$")
    assert "curate browse writes labels" in caught.value.hint
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nsources: {shp: all}\nsteps:\n  - labels: {file: l.jsonl}\n  - ties\n")
    read = load(str(recipe))
    with pytest.raises(ConfigError, match="labels comes before ties; expected labels after all other steps"):
        steps.build_all(read.steps, read.where)
    with pytest.raises(ConfigError, match="nothing would be done"):
        steps.build("labels", {"file": "x", "drop": [], "flip": False}, "$")


def test_media_go_with_their_reply():
    rows = [
        pair(prompt=[turn("user", "<image>", "Which?")], chosen=[turn("assistant", "<image>", "a", "<image>")],
             rejected=[turn("assistant", "<image>")], media=[digit * 32 for digit in "0123"], chosen_critique="c"),
        pair(prompt="No picture?", chosen="x", rejected="y"),
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist([{k: row[k] for k in PAIR.names} for row in rows], schema=PAIR)
    turned = exchanged(batch, np.array([True, False])).to_pylist()
    assert [one["keys"][0][0] for one in turned[0]["media"]] == ["0", "3", "1", "2"]
    assert turned[0]["rejected"] == batch.to_pylist()[0]["chosen"]
    assert (turned[0]["chosen_critique"], turned[0]["rejected_critique"]) == (None, "c")
    assert turned[1] == batch.to_pylist()[1]
    assert exchanged(batch, np.array([False, False])) is batch


def test_recipes_and_files_without_labels(built, monkeypatch):
    root, _, _, _ = built
    monkeypatch.chdir(root)
    Path("empty.jsonl").write_text("")
    other = {"pair_id": "0" * 32, "label": "bad", "who": "x", "when": ""}
    Path("other.jsonl").write_text(json.dumps(other) + "\n")
    plain = RECIPE.replace("labels.jsonl", "other.jsonl").replace("name: labelled", "name: other")
    mix(plain)
    assert set(rows_of(root / "data/mixes/other", "shard")) == set(rows_of(root / "data/mixes/plain", "shard"))
    assert len(ids("votes")) == 8
    assert Labels(file="empty.jsonl").bind("$").given == ()

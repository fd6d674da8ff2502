"""The small inputs of shared/cases, each with its right outcome: the pairs, the skips by reason, or the error."""

import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest

from curate.engines.local import Local
from curate.errors import RawError
from curate.hashing import Hashes
from curate.inputs import Inputs
from curate.pairs.normalize import locate, normalize_all
from curate.workspace import Workspace
from tests.support.paths import REAL

CASES = REAL.parent / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not there")


@pytest.fixture
def run(tmp_path):
    """What a case becomes: its pairs as dicts, and its skips by reason."""

    def normalized(name, source=None, manifest="manifest.yaml"):
        shutil.copytree(CASES / name / "raw", tmp_path / "raw" / (source or name), symlinks=True)
        manifests = tmp_path / "manifests"
        manifests.mkdir(exist_ok=True)
        if source is None:
            shutil.copy(CASES / name / manifest, manifests / f"{name}.yaml")
        workspace = Workspace(tmp_path / "data")
        inputs = Inputs(workspace=workspace, raw=tmp_path / "raw", manifests=manifests)
        artefact = locate(inputs.job(source or name, {}, 1.0, name), workspace, Hashes(workspace.cache))
        with Local(1) as engine:
            (done,) = normalize_all([artefact], workspace, engine)
        pairs = [row for part in done.parts for row in pq.read_table(done.directory / part).to_pylist()]
        assert done.manifest["rows"] == done.manifest["gave"] + sum(done.manifest["skipped"].values())
        return pairs, Counter(done.manifest["skipped"])

    return normalized


def text(turns):
    return "|".join("".join(block["text"] or "" for block in turn["content"]) for turn in turns)


def sides(pairs):
    return [(text(pair["chosen"]), text(pair["rejected"])) for pair in pairs]


def test_tools(run):
    pairs, skips = run("tools")
    assert (len(pairs), skips) == (5, {})
    calls = [
        block["text"]
        for pair in pairs
        for turn in pair["chosen"]
        for block in turn["content"]
        if block["type"] == "tool_call"
    ]
    assert calls.count('{"name":"weather","arguments":{"city":"Oslo"}}') >= 3
    assert all(pair["chosen"] != pair["rejected"] for pair in pairs)
    assert [pair["tools"] for pair in pairs].count('[{"type":"function"}]') == 1


def test_union(run):
    pairs, skips = run("union")
    assert (sides(pairs), skips) == ([("Blue", "Red"), ("Salty", "Sweet")], {})
    assert [text(pair["prompt"]) for pair in pairs] == ["Sky?", "Sea?"]


def test_lost(run):
    pairs, skips = run("lost")
    assert all(pair["media"] or pair["row"].startswith(("a.parquet:5", "b.")) for pair in pairs)
    assert skips["image_missing"] >= 4


@pytest.mark.parametrize(
    ("name", "found"), [("unclosed", "quote"), ("dup", "twice"), ("broken", "b.jsonl"), ("zstcut9", "truncated")]
)
def test_damaged_files_are_errors_that_name_them(run, name, found):
    with pytest.raises(RawError) as caught:
        run(name)
    assert found in str(caught.value)


def test_lfs(run):
    with pytest.raises(RawError, match="LFS"):
        run("lfs")


def test_ragged(run):
    _, skips = run("ragged")
    assert skips["cells_do_not_fit"] == 3


@pytest.mark.parametrize(
    ("name", "count"),
    [("ts_far", None), ("badutf8_other", None), ("overlap", 2), ("bomlist", None), ("nfd", None)],
)
def test_what_must_not_disturb(run, name, count):
    pairs, skips = run(name)
    assert pairs
    assert not skips
    assert count in (None, len(pairs))


def test_decimals(run):
    assert [pair["margin"] for pair in run("dec")[0]] == [1.5, 0.25]


def test_two_lists(run):
    assert len(run("twolists")[0]) == 2


def test_a_number_of_400_digits_costs_its_row(run):
    pairs, skips = run("bigint")
    assert (len(pairs), skips) == (0, {"number_not_finite": 2})


def test_images_without_media(run):
    _, skips = run("nomedia")
    assert skips == {"image_missing": skips.total()}


def test_ids(run):
    pairs, _ = run("ids")
    groups = Counter(pair["group_id"] for pair in pairs)
    assert groups.most_common(1)[0][1] >= 6  # 17, "17", 17.0, " 17" and those of CSV and Parquet


def test_nan(run):
    pairs, _ = run("nan")
    assert len({pair["group_id"] for pair in pairs}) == len(pairs) == 20


def test_dialogues_that_part_in_the_middle(run):
    pairs, skips = run("mid")
    assert ("Hello|Name?|Ann", "What|Name?|Bob") in sides(pairs)
    assert skips["prompts_differ"] >= 1


def test_margins_against_scores(run):
    pairs, skips = run("neg")
    assert skips == {"margin_negative": 2, "margin_contradicts_scores": 1}
    assert [pair["margin"] for pair in pairs] == [9.0, None]


def test_rankings(run):
    pairs, skips = run("rank")
    assert all(chosen != rejected for chosen, rejected in sides(pairs))
    assert ("C", "A") in sides(pairs)
    assert skips["scores_do_not_fit"] >= 1


def test_one_image(run):
    pairs, _ = run("trl_image")
    assert [len(pair["media"]) for pair in pairs] == [1]


def test_images_inside_and_beside(run):
    _, skips = run("mdpo")
    assert skips["prompts_differ"] + skips["placeholder_mismatch"] >= 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lf_alpaca", [("Bonne nuit", "Bonjour"), ("Bonjour", "Bonne nuit")]),
        ("lf_rank", [("Blue", "Red")]),
        ("swift", [("Blue", "Red")]),
        ("format_dolci", [("good", "bad")]),
    ],
)
def test_formats_of_other_trainers(run, name, expected):
    pairs, skips = run(name)
    assert (sides(pairs), skips) == (expected, {})


def test_alpaca_keeps_its_input(run):
    assert text(run("lf_alpaca")[0][0]["prompt"]) == "Translate to French:\nGood night"


def test_arena_votes(run):
    pairs, skips = run("format_arena")
    assert [pair["margin"] for pair in pairs] == [None, None, 0.0, 0.0]
    assert sides(pairs)[0] == sides(pairs)[1][::-1]
    assert not skips


def test_swe_arena(run):
    pairs, skips = run("swe_arena", "swe_arena")
    assert ([pair["margin"] for pair in pairs], skips) == ([None, None, 0.0, 0.0], {})


def test_mmpr_unpacked_by_hand(run):
    assert run("mmpr_unpacked", "mmpr")[0]

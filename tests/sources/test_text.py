"""What rows and yaml cannot say of the text sources: laws, real rows, and errors about files and options."""

import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import sources
from curate.config import build
from curate.errors import ConfigError, RawError, SkipRow
from curate.sources import helpsteer2, helpsteer3, hh_rlhf, shp, swe_arena, ultrafeedback, wildchat_ultrafeedback
from curate.sources.base import Draft, Row, message
from curate.sources.ranking import pairings
from tests.support.paths import ROWS

REAL = Path("/work/shared/real")
PAIRINGS = ("best_vs_worst", "all_unequal", "adjacent")


def texts(messages):
    return [block.text for turn in messages for block in turn.content]


# pairings: from scores to winner and loser


def test_the_best_meets_the_worst():
    assert pairings([5, 9, 2, 7], "best_vs_worst") == [(1, 2)]


def test_every_two_unequal_replies_meet_best_winner_first():
    assert pairings([5, 9, 5], "all_unequal") == [(1, 0), (1, 2)]


def test_neighbours_in_the_order_meet_unless_they_tie():
    assert pairings([5, 9, 5, 1], "adjacent") == [(1, 0), (2, 3)]


@pytest.mark.parametrize("how", PAIRINGS)
@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([], "fewer_than_two_replies"),
        ([3], "fewer_than_two_replies"),
        ([3, 3, 3], "all_tied"),
        ([3, float("nan")], "score_not_finite"),
        ([float("inf"), 1], "score_not_finite"),
    ],
)
def test_scores_without_an_order_are_a_skip(how, scores, reason):
    with pytest.raises(SkipRow) as caught:
        pairings(scores, how)
    assert caught.value.reason == reason


REPLIES = st.lists(
    st.tuples(st.integers(1, 4), st.text(max_size=3)), min_size=2, max_size=6, unique_by=lambda r: r[1]
)


@given(REPLIES, st.permutations(range(6)), st.sampled_from(PAIRINGS))
def test_shuffling_the_replies_changes_no_pair(replies, order, how):
    shuffled = [replies[i] for i in order if i < len(replies)]

    def pairs(given):
        try:
            found = pairings([score for score, _ in given], how, [text for _, text in given])
        except SkipRow as skip:
            return skip.reason
        return [(given[winner], given[loser]) for winner, loser in found]

    assert pairs(replies) == pairs(shuffled)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6).filter(lambda s: len(set(s)) > 1))
def test_winners_score_more_and_no_other_pair_is_wider(scores):
    everything = pairings(scores, "all_unequal")
    assert all(scores[winner] > scores[loser] for winner, loser in everything)
    assert len(everything) == sum(a > b for a in scores for b in scores)
    [(best, worst)] = pairings(scores, "best_vs_worst")
    assert scores[best] - scores[worst] == max(scores) - min(scores)
    assert set(pairings(scores, "adjacent")) <= set(everything)


# laws of single adapters


@given(st.integers(-3, 3).filter(bool))
def test_chosen_and_rejected_swap_when_the_strength_changes_sign(strength):
    def sides(module, value):
        row = Row(
            split="train", prompt="Q", context="Q", response_1="one", response_2="two", response1="one",
            response2="two", preference_strength=value, overall_preference=value,
        )  # fmt: skip
        options = [helpsteer2.Options()] if module is helpsteer2 else []
        (draft,) = module.to_pairs(row, *options)
        return draft.chosen, draft.rejected, draft.margin

    for module in (helpsteer2, helpsteer3):
        chosen, rejected, margin = sides(module, strength)
        assert sides(module, -strength) == (rejected, chosen, margin)
        assert texts(chosen) == (["one"] if strength < 0 else ["two"])


def test_label_one_prefers_a_in_shp():
    row = Row(post_id="p", domain="d_train", history="Q", human_ref_A="A", human_ref_B="B", score_A=3, score_B=2)
    (draft,) = shp.to_pairs(Row(row, labels=1), shp.Options())
    assert (texts(draft.chosen), texts(draft.rejected)) == (["A"], ["B"])


def test_no_system_prompt_of_ultrafeedback_enters_a_pair():
    path = ROWS / "ultrafeedback/evol_instruct.jsonl"
    rows = [Row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    drafts = [d for row in rows for d in ultrafeedback.to_pairs(row, ultrafeedback.Options(pairing="ultra_all"))]
    assert "SECRET" in path.read_text(encoding="utf-8")
    assert len(drafts) == 14
    assert not any("SECRET" in repr(draft) for draft in drafts)


def rated(ratings, score, **more):
    annotations = {f"aspect {i}": {"Rating": rating} for i, rating in enumerate(ratings)}
    return Row(
        {"model": f"m{score}", "response": f"r{score}", "annotations": annotations, "overall_score": score, **more}
    )


@pytest.mark.parametrize(
    ("ratings", "fixed", "score", "expected"),
    [
        (["1", "1", "2", "1"], True, 10, 1.0),
        (["1", "1", "2", "1"], False, 10.0, 1.0),
        (["2", "2", "N/A", "2"], True, 10, 1.0),
        (["3", "3", "3", "3"], False, 10, None),
        (["4", "4", "4", "4"], False, 10, None),
        (["4", "4", "4", "4"], True, 10, 10.0),
        (["5", "5", "4", "5"], False, 10, 10.0),
        (["N/A", "N/A"], False, 10, 10.0),
        (["1", "1"], False, 9.5, 9.5),
        (["1", "1"], True, "N/A", None),
    ],
)
def test_ultrafeedback_does_not_trust_a_ten_that_its_aspects_contradict(ratings, fixed, score, expected):
    more = {"fine-grained_score": 3.0} if fixed else {}
    assert ultrafeedback.overall(rated(ratings, score, **more)) == expected


def test_ultrafeedback_never_prefers_a_reply_for_a_misread_ten():
    poor, good = rated(["1", "1", "1", "2"], 10, critique="Wrong."), rated(["4", "4", "5", "4"], 7.5)
    row = Row({"instruction": "Why?", "completions": [poor, good]})
    (draft,) = ultrafeedback.to_pairs(row, ultrafeedback.Options())
    assert (texts(draft.chosen), texts(draft.rejected)) == (["r7.5"], ["r10"])
    assert (draft.chosen_score, draft.rejected_score, draft.margin) == (7.5, 1.0, 6.5)


@given(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.lists(st.sampled_from("ab"), min_size=4, max_size=4),
)
def test_two_arena_dialogues_are_the_prompt_and_their_own_rest(left, right):
    def dialogue(answers):
        return [
            turn for i, a in enumerate(answers) for turn in (message("user", f"q{i}"), message("assistant", a))
        ]

    a, b = dialogue(left), dialogue(right[: len(left)])
    prompt, chosen, rejected = swe_arena.share(a, b)
    assert [*prompt, *chosen] == a
    assert [*prompt, *rejected] == b
    assert prompt[-1].role == "user"
    assert chosen[0].role == rejected[0].role == "assistant"


# files and options


def test_a_missing_subset_of_hh_rlhf_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RawError) as caught:
        hh_rlhf.row_files(tmp_path, hh_rlhf.Options(subsets=("helpful-base",)))
    path = tmp_path / "helpful-base/train.jsonl.gz"
    assert str(caught.value) == f"{path}: no such file; expected the subset helpful-base"
    assert caught.value.hint == "fetch it or take it out of subsets"


def test_a_missing_split_of_wildchat_is_an_error_that_names_it(tmp_path):
    with pytest.raises(RawError) as caught:
        wildchat_ultrafeedback.row_files(tmp_path, wildchat_ultrafeedback.Options(splits=("wildchat_unused",)))
    assert str(caught.value) == f"{tmp_path}: no file matches data/wildchat_unused-*.parquet"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shp", {"min_ratio": 0.5}, "$: min_ratio is 0.5; it must be 1 or more"),
        ("hh_rlhf", {"subsets": []}, "$: subsets must name at least one subset, each once"),
        ("hh_rlhf", {"subsets": ["red-team-attempts"]}, "$.subsets[0]: found text 'red-team-attempts'; expected "
         "harmless-base or helpful-base or helpful-online or helpful-rejection-sampled"),
        ("wildchat_ultrafeedback", {"splits": ["wildchat_if", "wildchat_if"]},
         "$: splits must name at least one split, each once"),
        ("ultrafeedback", {"pairing": "ultra-hard"}, "$.pairing: found text 'ultra-hard'; expected ultra_hard or "
         "ultra_all"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ConfigError) as caught:
        build(options, sources.get(name).options, "$")
    assert str(caught.value) == message


# real rows, where they are at hand


def real(path: str) -> Path:
    if not (REAL / path).exists():
        pytest.skip(f"the real rows {path} are not on this machine")
    return REAL / path


def test_the_real_hh_rlhf_rows_give_exactly_these_outcomes():
    outcomes, drafts = Counter[str](), list[Draft]()
    with gzip.open(real("hh-rlhf/harmless-base_test.jsonl.gz"), "rt", encoding="utf-8") as file:
        for line in file:
            row = Row(json.loads(line))
            row.context = {"subset": "harmless-base"}
            try:
                drafts += hh_rlhf.to_pairs(row, hh_rlhf.Options(split="test"))
                outcomes["pair"] += 1
            except SkipRow as skip:
                outcomes[skip.reason] += 1
    assert outcomes == {"pair": 2307, "prompts_differ": 5}
    assert sum(texts(d.chosen) == [""] for d in drafts) == 4
    roles = [[turn.role for turn in [*d.prompt, *d.chosen]] for d in drafts]
    assert sum(any(a == b for a, b in pairwise(r)) for r in roles) == 4
    assert max(map(len, roles)) == 36
    assert not any("\n\nHuman:" in text for d in drafts for text in texts([*d.prompt, *d.chosen, *d.rejected]))


def test_the_real_ultrafeedback_row_lacks_its_scores_and_has_one_reply():
    row = Row(json.loads(real("readme-examples/ultrafeedback_partial.jsonl").read_text(encoding="utf-8")))
    with pytest.raises(SkipRow, match="missing_column_overall_score"):
        list(ultrafeedback.to_pairs(row, ultrafeedback.Options()))
    with pytest.raises(SkipRow, match="fewer_than_two_replies"):
        list(ultrafeedback.to_pairs(row, ultrafeedback.Options(score="mean_rating")))
    other = {**row["completions"][0], "response": "See the pyramids.", "model": "other"}
    other["annotations"] = {"helpfulness": {"Rating": "5"}, "honesty": {"Rating": "N/A"}}
    (draft,) = ultrafeedback.to_pairs(
        Row(row, completions=[*row["completions"], other]), ultrafeedback.Options(score="mean_rating")
    )
    assert (draft.chosen_score, draft.rejected_score, draft.margin) == (5.0, 2.75, 2.25)
    assert texts(draft.prompt) == [row["instruction"]]

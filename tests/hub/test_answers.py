"""The shape of the Hub's answers, value by value."""

import json

import pytest

from curate.errors import HubError
from curate.hub import answers
from curate.hub.manifests import File
from curate.hub.pinning import _card_rows, _license
from curate.hub.retry import ratelimit_reset, retry_after

OID, SHA256 = "a" * 40, "b" * 64
GOOD = {"type": "file", "path": "a.txt", "size": 3, "oid": OID}
LARGE = {**GOOD, "lfs": {"oid": SHA256, "size": 7}}


def test_files_are_read_as_listed():
    assert list(answers.files("r", [GOOD, {"type": "directory"}, LARGE])) == [
        File(path="a.txt", bytes=3, git_oid=OID),
        File(path="a.txt", bytes=7, sha256=SHA256),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        None, [], "a.txt", 3, {}, {**GOOD, "type": None}, {**GOOD, "path": 3}, {**GOOD, "path": None},
        {**GOOD, "size": "3"}, {**GOOD, "size": 3.0}, {**GOOD, "size": True}, {**GOOD, "size": -1},
        {**GOOD, "size": 1 << 62}, {**GOOD, "oid": 3}, {**GOOD, "lfs": [1]}, {**GOOD, "lfs": {"oid": SHA256}},
        {**LARGE, "lfs": {"oid": SHA256, "size": "7"}}, {**LARGE, "lfs": {"oid": SHA256, "size": -7}},
    ],
)  # fmt: skip
def test_an_entry_of_another_shape_is_not_the_hubs(entry):
    with pytest.raises(HubError, match=r"^r: the answer is not the Hub's; expected "):
        list(answers.files("r", [entry]))


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "a\\b", "a\0b", "\ud800", "x" * 256, ""])
def test_a_path_that_no_disk_should_have_is_refused(path):
    with pytest.raises(HubError, match="lists a file that cannot be fetched"):
        list(answers.files("r", [{**GOOD, "path": path}]))


@pytest.mark.parametrize("answer", [None, [], {}, "x", {"sha": None}, {"sha": "main"}, {"sha": "../" + OID}])
def test_a_repository_without_a_commit_is_not_the_hubs(answer):
    with pytest.raises(HubError, match="the answer is not the Hub's"):
        answers.info("r", answer)


@pytest.mark.parametrize(
    ("word", "gated"),
    [(None, None), (False, False), (True, True), ("auto", "auto"), ("manual", "manual"), ("raffle", True)],
)
def test_gated_by_any_word(word, gated):
    assert answers.info("r", {"sha": OID, "gated": word}).gated == gated


@pytest.mark.parametrize("word", [1, [], {}, 1.5])
def test_gated_by_no_word_is_not_the_hubs(word):
    with pytest.raises(HubError, match="'gated'"):
        answers.info("r", {"sha": OID, "gated": word})


@pytest.mark.parametrize(
    "answer",
    [
        None, [], {}, {"branches": None}, {"branches": {}}, {"branches": [None]}, {"branches": [{"name": "a"}]},
        {"branches": [{"name": "a", "targetCommit": "HEAD"}]}, {"branches": [{"name": 1, "targetCommit": OID}]},
    ],
)  # fmt: skip
def test_branches_of_another_shape_are_not_the_hubs(answer):
    with pytest.raises(HubError, match="the answer is not the Hub's"):
        answers.branches("r", answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"a": "\\ud800"}', b'["\\uDFFF"]', b"1" * 5000, b'{"a": 1'],
)
def test_what_is_not_json_is_not_the_hubs(body):
    with pytest.raises(HubError, match="the answer is not the Hub's"):
        answers.parse("r", body)


def test_pairs_of_surrogates_are_text():
    assert answers.parse("r", json.dumps(["\U0001f600"]).encode()) == ["\U0001f600"]


@pytest.mark.parametrize(
    ("status", "header", "first"),
    [(200, None, 0), (200, "bytes 5-9/10", 0), (206, "bytes 5-9/10", 5), (206, "bytes 5-9/*", 5)],
)
def test_the_first_byte(status, header, first):
    assert answers.first_byte("r", status, header) == first


@pytest.mark.parametrize(
    ("status", "header"),
    [(206, None), (206, ""), (206, "bytes \u00b2-9/10"), (206, "bytes \u0663-9/10"), (206, "bytes -5-9/10"),
     (206, "bytes five-9/10"), (206, "bytes " + "9" * 5000 + "-9/10"), (206, "5-9/10"), (204, None), (304, None)],
)  # fmt: skip
def test_bytes_from_nowhere_are_not_the_hubs(status, header):
    with pytest.raises(HubError, match="the answer is not the Hub's"):
        answers.first_byte("r", status, header)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"api";r=0;t=55', 55.0), ('"api"; r = 0 ; t = 5', 5.0), ('"api";r=3;t=55', None), ("", None),
        ('"api";r=0;t=\u0663', None), ('"api";r=\u00b2;t=5', None), ('"api";r=0;t=' + "9" * 5000, None),
    ],
)  # fmt: skip
def test_a_rate_limit_in_digits(value, seconds):
    assert ratelimit_reset(value) == seconds


@pytest.mark.parametrize("value", ["\u0663", "\u00b2", "-1", "Mon, 01 Jan 0001 00:00:00 -0000", "1e3", "\x00"])
def test_a_retry_after_that_is_neither_number_nor_date(value):
    assert retry_after(value, 1e9) in (None, 0.0)


def test_a_card_states_licences_as_text_and_rows_as_numbers():
    assert _license({"license": [None, "mit", {"x": 1}]}) == "mit"
    assert [_license({"license": found}) for found in (3, {"a": 1}, None, [], [[]])] == [None] * 5
    assert _license({"license": "other", "license_name": ["x"]}) == "other"
    rows = [-1, "5", True, 1 << 60, 7]
    card = [{"config_name": str(n), "splits": [{"name": "s", "num_examples": n}]} for n in rows]
    assert _card_rows(card) == {("7", "s"): 7}

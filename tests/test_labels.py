"""Label files: what is appended is read, the last word of a person counts, and faults name their line."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from curate.errors import ConfigError
from curate.labels import Label, agreed, agreements, append_label, latest, read_labels

A, B, C, D = (digit * 32 for digit in "abcd")


def label_of(pair_id: str, label: str | None, who: str = "ada", note: str = "") -> Label:
    return Label(pair_id=pair_id, label=label, who=who, when="2026-01-31T12:00:00Z", note=note)  # type: ignore[arg-type]


def test_rows_that_are_appended_at_once_are_all_read(tmp_path):
    path = tmp_path / "labels" / "one.jsonl"
    rows = [label_of(A, "flip", f"p{i}", "n\n\u2028" * 50) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: append_label(path, row), rows))
    assert sorted(row.who for row in read_labels(path)) == sorted(row.who for row in rows)
    assert set(json.loads(path.read_bytes().split(b"\n")[0])) == {"pair_id", "label", "note", "who", "when"}


def test_a_row_after_one_that_was_cut_off_is_a_line_of_its_own(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b'{"pair_id": "half')
    append_label(path, label_of(A, "bad"))
    assert path.read_bytes().split(b"\n")[0] == b'{"pair_id": "half'
    with pytest.raises(ConfigError, match="line 1: not JSON"):
        read_labels(path)


def test_a_file_that_an_editor_has_saved_is_read_or_its_encoding_is_named(tmp_path):
    path = tmp_path / "labels.jsonl"
    added = append_label(path, label_of(A, "bad"))
    text = path.read_text()
    assert added == path.stat().st_size
    path.write_text(text, encoding="utf-8-sig")
    assert read_labels(path) == [label_of(A, "bad")]
    path.write_text(text, encoding="utf-16")
    with pytest.raises(ConfigError, match="line 1: UTF-16; expected UTF-8") as fault:
        read_labels(path)
    assert fault.value.hint == "save it as UTF-8"
    path.write_text(path.read_text(encoding="utf-16"))  # follow it
    assert read_labels(path) == [label_of(A, "bad")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: no pair_id"),
        ('{"pair_id": "' + A + '"}', "line 2: no label"),
        ('{"pair_id": "A", "label": "bad", "who": "x", "when": ""}', "line 2: pair_id is 'A'"),
        ('{"pair_id": "' + A + '", "label": "good", "who": "x", "when": ""}', "line 2: label is 'good'"),
        ('{"pair_id": "' + A + '", "label": "bad", "who": " ", "when": ""}', "line 2: who has 1 char"),
        ('{"pair_id": "' + A + '", "label": "bad", "who": 3, "when": ""}', "line 2: who is not a text"),
        ('{"pair_id": "' + A + '", "label": ["bad"], "who": "x", "when": ""}', "line 2: label is"),
    ],
)
def test_a_fault_names_its_line(tmp_path, line, found):
    path = tmp_path / "labels.jsonl"
    append_label(path, label_of(A, "bad"))
    path.write_bytes(path.read_bytes() + line.encode())
    with pytest.raises(ConfigError, match=found):
        read_labels(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_labels(tmp_path / "none.jsonl")


def test_the_last_label_of_a_person_counts_and_most_people_decide():
    rows = [
        label_of(A, "flip"), label_of(A, "agree"),
        label_of(B, "tie"), label_of(B, "bad", "bob"),
        label_of(C, "tie"), label_of(C, "bad", "bob"), label_of(C, "bad", "cy"),
        label_of(D, "bad"), label_of(D, None),
    ]  # fmt: skip
    assert agreed(rows) == {A: "agree", C: "bad"}
    assert latest(rows)[D]["ada"].label is None


def test_agreement_is_of_pairs_that_both_labelled():
    rows = [
        label_of(A, "flip"),
        label_of(A, "flip", "bob"),
        label_of(B, "agree"),
        label_of(B, "bad", "bob"),
        label_of(C, "bad", "cy"),
    ]
    [one] = agreements(rows)
    assert (one.left, one.right, one.shared, one.same) == ("ada", "bob", 2, 1)
    assert one.kappa == pytest.approx((0.5 - 0.25) / 0.75)
    assert agreements([label_of(A, "bad"), label_of(A, "bad", "bob")])[0].kappa is None

"""MMPR: its layouts, and what is said about files that are not as they should be."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from curate.errors import RawError
from curate.sources import mmpr
from tests.support.upstream import ROWS, draw, run


def mmpr_raw(raw: Path, pieces: int) -> None:
    """v1.1: unpacked annotations, images.zip in pieces _a, _b."""
    (raw / "annotations").mkdir(parents=True)
    rows = [{"image": "a.png", "question": "Left?", "chosen": "yes", "rejected": "no"}]
    (raw / "annotations/dvqa_direct_rules.jsonl").write_bytes(draw.jsonl(rows))
    facts = {"root": "MMPR-v1.1/images/dvqa", "annotation": "MMPR-v1.1/annotations/dvqa_direct_rules.jsonl"}
    (raw / "meta.json").write_text(json.dumps({"dvqa_direct_rules": facts}))
    data = draw.zipped({"images/dvqa/a.png": draw.image(8, 6)})
    for number in range(pieces):
        part = data[number * len(data) // pieces : (number + 1) * len(data) // pieces]
        (raw / f"images.zip{'_' + 'ab'[number] if pieces > 1 else ''}").write_bytes(part)


@pytest.mark.parametrize("pieces", [1, 2])
def test_mmpr_reads_the_older_layouts(tmp_path, pieces):
    mmpr_raw(tmp_path / "raw", pieces)
    pairs, skips = run("mmpr", mmpr.SOURCE, tmp_path / "raw", tmp_path / "space")
    assert skips == []
    assert [(pair["row"], pair["category"]) for pair in pairs] == [
        ("annotations/dvqa_direct_rules.jsonl:1", "direct_rules")
    ]


@pytest.mark.parametrize("archive", ["annotations", "images"])
def test_mmpr_reads_archives_unpacked_into_folders_of_their_names(tmp_path, archive):
    raw = tmp_path / "raw"
    mmpr_raw(raw, 1)
    if archive == "annotations":
        (raw / "annotations").rename(raw / "inner")
        (raw / "annotations").mkdir()
        (raw / "inner").rename(raw / "annotations/annotations")
        (raw / "annotations/__MACOSX").mkdir()
        (raw / "annotations/__MACOSX/._dvqa_direct_rules.jsonl").write_bytes(b"left by a file manager")
    else:
        with zipfile.ZipFile(raw / "images.zip") as images:
            images.extractall(raw / "images")
        (raw / "images.zip").unlink()
    pairs, skips = run("mmpr", mmpr.SOURCE, raw, tmp_path / "space")
    folder = "annotations/annotations" if archive == "annotations" else "annotations"
    assert skips == []
    assert [pair["row"] for pair in pairs] == [f"{folder}/dvqa_direct_rules.jsonl:1"]
    assert [len(pair["media"]) for pair in pairs] == [1]


def test_mmpr_annotations_carry_what_meta_says():
    files = mmpr.row_files(ROWS / "mmpr", None)
    assert [file.member for file in files] == [
        "annotations/M3CoT_extracted_pairs_vqa_correctness_rules.jsonl",
        "annotations/nlvr2_extracted_pairs_vqa_format_rules.jsonl",
        "annotations/gsm8k_direct_rules.jsonl",
        "annotations/geo170k_prefix_pair_sr0.5_wo_image.jsonl",
        "annotations/openbmb_RLAIF-V-Dataset.jsonl",
    ]
    assert files[1].context == {
        "subset": "nlvr2_extracted_pairs_vqa_format_rules",
        "root": "MMPR-v1.2/images/nlvr2",
        "repeat_time": 0.5,
        "data_augment": False,
    }


def broken(raw: Path, fault: str) -> str:
    """What `row_files` says about a v1.1 directory with one fault, the directory left out."""
    mmpr_raw(raw, 1)
    meta = json.loads((raw / "meta.json").read_text())
    if fault == "no meta":
        (raw / "meta.json").unlink()
    elif fault == "half a meta":
        (raw / "meta.json").write_text('{"a": ')
    elif fault == "a list":
        (raw / "meta.json").write_text("[]")
    elif fault == "no root":
        del meta["dvqa_direct_rules"]["root"]
        (raw / "meta.json").write_text(json.dumps(meta))
    elif fault == "no annotations":
        shutil.rmtree(raw / "annotations")
    elif fault == "half a zip":
        shutil.rmtree(raw / "annotations")
        (raw / "annotations.zip").write_bytes(b"PK\3\4")
    elif fault == "lost subset":
        (raw / "annotations/dvqa_direct_rules.jsonl").unlink()
    elif fault == "twice":
        meta["dvqa_direct_rules"]["annotation"] = "dvqa_direct_rules.jsonl"
        (raw / "meta.json").write_text(json.dumps(meta))
        shutil.copytree(raw / "annotations", raw / "annotations/more")
    with pytest.raises(RawError) as caught:
        mmpr.row_files(raw, None)
    return str(caught.value).replace(str(raw), "RAW")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no meta", "RAW/meta.json: no such file; expected the meta.json of MMPR"),
        (
            "half a meta",
            "RAW/meta.json: not JSON (Expecting value: line 1 column 7 (char 6)); expected the meta.json of MMPR",
        ),
        ("a list", "RAW/meta.json: lists no subsets; expected a mapping of subsets"),
        ("no root", "RAW/meta.json: subset dvqa_direct_rules has no root; expected root and annotation"),
        ("no annotations", "RAW/annotations.zip: no such file; expected annotations.zip or annotations/"),
        ("half a zip", "RAW/annotations.zip: not a whole zip (File is not a zip file)"),
        (
            "lost subset",
            "RAW: no file agrees with MMPR-v1.1/annotations/dvqa_direct_rules.jsonl (subset dvqa_direct_rules); "
            "expected one annotation file",
        ),
        (
            "twice",
            "RAW: 2 files agree with dvqa_direct_rules.jsonl (subset dvqa_direct_rules); "
            "expected one annotation file",
        ),
    ],
)
def test_mmpr_says_what_is_wrong_with_its_files(tmp_path, fault, message):
    assert broken(tmp_path, fault) == message


@pytest.mark.parametrize(
    ("subset", "origin"),
    [
        ("ai2d_train_12k_en_20240410_extracted_pairs_vqa_correctness_rules", "correctness_rules"),
        ("dvqa_en_20240402_extracted_int_only_pairs_vqa_format_rules", "format_rules"),
        ("m3cot_train_extracted_pairs_vqa_direct_rules", "direct_rules"),
        ("CLEVR_math_en_20240402_extracted_prefix_pair_sr0.0_with_image", "sr0.0_with_image"),
        ("CLEVR_math_en_20240402_extracted_prefix_pair_sr0.5_with_image", "sr0.5_with_image"),
        ("inat_train2018_merge_en_20240811_sr0.50_wo_image", "sr0.50_wo_image"),
        ("openbmb/RLAIF-V-Dataset", None),
        ("direct_rules_of_thumb", None),
    ],
)
def test_mmpr_says_where_pairs_come_from(subset, origin):
    assert mmpr.origin(subset) == origin

"""curate why and curate verify."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curate.checksums import checksum_of, write_record
from curate.hashing import LONG_LISTING
from curate.workspace import read_json
from tests.support.finished_work import fault, flip, ids, mix_directory, pairs, pairs_directory, run
from tests.support.finished_work import made as made
from tests.support.finished_work import project as project

pytestmark = pytest.mark.usefixtures("project")


# ------------------------------------------------------------------------------------------------------- why


def test_why_prints_the_history_of_a_dropped_duplicate_and_names_its_winner():
    loser, winner = pairs("web")[0], ids("votes")["a.jsonl:1"]
    adapter = json.loads((pairs_directory("web") / "manifest.json").read_text())["adapter"]
    assert run("why", loser["pair_id"]).lines == [
        f"pair      {loser['pair_id']}",
        "text      What is 2 + 2? -> It is 4.",
        "source    web (crawl/web)",
        "row       b.jsonl:1",
        "copies    none",
        "revision  not pinned",
        "license   unknown",
        "annotator unknown",
        f"group     {loser['group_id']}, 1 pair",
        f"adapter   version {adapter}",
        "options   none",
        f"pairs     {pairs_directory('web')}",
        f"mix small@{mix_directory().name[:8]}: dropped",
        "  dropped: exact_duplicates/duplicate_pair (web, b.jsonl:1)",
        f"    lost to {winner}",
        "    (votes, a.jsonl:1)",
        "    What is 2 + 2? -> It is 4.",
    ]


def test_why_distinguishes_copies_by_their_rows():
    histories = json.loads(run("why", ids("votes")["a.jsonl:2"], "--json").text)
    assert (histories["rows"], histories["group_pairs"], histories["license"]) == (
        ["a.jsonl:2", "a.jsonl:3"],
        2,
        "mit",
    )
    [outcome] = histories["mixes"]
    assert (outcome["outcome"], len(outcome["selected"]), outcome["selected"][0]["repeat"]) == ("selected", 1, 0)
    shard = pq.read_table(mix_directory() / outcome["selected"][0]["file"]).to_pylist()
    assert shard[outcome["selected"][0]["position"]]["pair_id"] == histories["pair_id"]
    [lost] = outcome["dropped"]
    assert {lost["row"], lost["winner"]["row"]} == {"a.jsonl:2", "a.jsonl:3"}
    assert lost["winner"]["pair_id"] == histories["pair_id"]


@pytest.mark.parametrize("source", ["votes", "web"])
def test_why_agrees_with_the_funnel(source):
    account = json.loads((mix_directory() / "lock.json").read_text())["funnel"][source]
    histories = [json.loads(run("why", pair_id[:10], "--json").text) for pair_id in set(ids(source).values())]
    outcomes = Counter(history["mixes"][0]["outcome"] for history in histories)
    for outcome in ("selected", "held_out", "unused"):
        assert outcomes[outcome] == account[outcome]
    assert sum(len(history["mixes"][0]["dropped"]) for history in histories) == sum(account["dropped"].values())


def test_why_lists_the_mixes_of_arms_by_their_names_after_those_of_recipes():
    digits = mix_directory().name
    shutil.copytree(mix_directory(), Path("data/arms/small", digits))
    shutil.copytree(mix_directory(), Path("data/arms/small", "f" * 16))
    arms = {name: {"fingerprint": digits} for name in ("without-web", "without-nothing")}
    write_record(Path("data/runs/study/ablation.json"), {"arms": arms})
    title, pair_id = f"small@{digits[:8]}", ids("votes")["a.jsonl:2"]
    history = json.loads(run("why", pair_id, "--json").text)
    assert [mix["mix"] for mix in history["mixes"]] == [title, "study/without-web", title]
    assert {mix["outcome"] for mix in history["mixes"]} == {"selected"}
    assert "mix study/without-web: selected" in run("why", pair_id).lines


@pytest.mark.parametrize("name", ["decisions/web.parquet", "review.parquet", "shard-00000.parquet"])
def test_why_names_a_file_of_a_mix_that_says_something_else_than_it_did(name):
    path, pair_id = mix_directory() / name, ids("votes")["a.jsonl:2"]
    flip(path, 40)
    assert fault("why", pair_id).startswith(f"{path}: damaged (")


def test_why_does_not_take_a_damaged_id_for_another_pair():
    path, pair_id = pairs_directory("votes") / "part-00000.parquet", ids("votes")["a.jsonl:5"]
    data = path.read_bytes()
    path.write_bytes(data.replace(pair_id.encode(), b"f" * 32))
    for pair in (pair_id, "f" * 32):
        assert fault("why", pair) == (
            f"{path}: damaged (it differs from its record); expected what was written\n"
            "curate normalize votes, or curate mix of its recipe, makes it again from the raw files"
        )


def test_why_says_that_the_quota_was_full():
    unused = [line for pair_id in ids("web").values() for line in run("why", pair_id).lines if "  unused" in line]
    assert unused == ["  unused: the quota took 2 of the 3 free pairs of web"]


def test_why_takes_a_row_and_says_what_it_gave_or_why_it_was_skipped():
    directory = pairs_directory("votes")
    assert run("why", "a.jsonl:1", "--source", "votes").lines == [
        f"votes, a.jsonl:1, in {directory}",
        f"  gave {ids('votes')['a.jsonl:1']}  What is 2 + 2? -> It is 4.",
    ]
    assert run("why", "a.jsonl:4", "--source", "votes").lines == [
        f"votes, a.jsonl:4, in {directory}",
        "  skipped: missing_column_bad (bad)",
    ]
    assert fault("why", "a.jsonl:7", "--source", "votes") == (
        "a.jsonl:7: no pair and no skip of votes comes from that row; expected a row such as a.jsonl:1\n"
    )
    assert fault("why", "a.jsonl:7", "--source", "wotes").startswith("--source: no pairs of 'wotes' in data")


def test_why_lists_the_pairs_that_a_prefix_means(monkeypatch):
    monkeypatch.setattr("curate.inspect.artefacts.LEAST_DIGITS", 1)
    first = [pair_id for source in ("votes", "web") for pair_id in ids(source).values()]
    digit = next(d for d in "0123456789abcdef" if len({x for x in first if x.startswith(d)}) == 2)
    matches = sorted({x for x in first if x.startswith(digit)})
    assert fault("why", digit) == (
        f"pair: 2 pairs begin with {digit}: {matches[0]}, {matches[1]}; expected one\ngive more digits"
    )


def test_why_refuses_what_is_no_id():
    assert fault("why", "12345") == (
        "pair: found '12345'; expected a pair id: 32 hex digits, or the first 6 or more\n"
        "curate show prints the ids of pairs"
    )
    assert fault("why", "0" * 32).startswith(
        f"pair: no pair begins with {'0' * 32}; expected a pair of the sources"
    )
    run("why", "a.jsonl:1", code=2)


# ---------------------------------------------------------------------------------------------------- verify


def test_verify_finds_everything_as_recorded():
    done = run("verify", "--raw", "raw")
    assert done.lines == []
    checksums = len(list(Path("data").rglob("*.xxh3")))
    assert not [line for line in done.messages if line.startswith("not checked")]
    assert done.messages[-1] == (
        "checked 3 raw files, 2 parts, 2 lists of skipped rows, 2 shards, 2 decisions files, 1 review sheet, "
        f"6 files of cards, 1 pack of images, {checksums} files with a checksum: all as recorded"
    )


def test_verify_finds_raw_files_where_they_were_and_says_once_that_they_are_gone():
    folders = Path("data/cache/raw_folders.json")
    write_record(folders, {name: str(Path("raw", name.split("/")[0]).absolute()) for name in read_json(folders)})
    assert "checked 3 raw files" in run("verify").messages[-1]
    Path("raw").rename("elsewhere")
    done = run("verify")
    assert done.lines == []
    here = Path("raw").absolute()
    assert done.messages[-2] == (
        f"not checked: 3 raw files of votes, web: not in {here}/votes, {here}/web; --raw DIR says where they are"
    )
    assert done.messages[-1].startswith("checked 2 parts, ")
    assert "checked 3 raw files" in run("verify", "--raw", "elsewhere").messages[-1]


def test_verify_names_a_shard_with_a_flipped_byte():
    lock = json.loads((mix_directory() / "lock.json").read_text())
    shard = mix_directory() / "shard-00000.parquet"
    flip(shard)
    done = run("verify", "small", "--raw", "raw", code=1)
    [line] = done.lines
    assert line.startswith(f"{shard}: xxh3 ")
    assert line.endswith(f"; expected {lock['files'][0]['xxh3']}")
    assert done.messages[-1].endswith(": 1 fault found")


def test_verify_names_a_raw_file_with_a_flipped_byte_and_an_unchanged_time():
    raw = Path("raw/votes/a.jsonl")
    before = raw.stat()
    run("verify", "--raw", "raw")
    flip(raw)
    os.utime(raw, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run("verify", "--raw", "raw", code=1).lines == ["raw/votes/a.jsonl: same size, other content"]


def test_verify_knows_a_folder_of_many_images_by_names_and_sizes():
    for number in range(LONG_LISTING):
        shutil.copy("raw/web/pictures/red.png", f"raw/web/pictures/{number}.png")
    run("normalize", "web", "--raw", "raw", "--workers", "1")
    place = Path("raw/web/pictures").absolute()
    line = f"not checked: {place}: its files are known by names and sizes, the images made of them by hash"
    assert line in run("verify").messages
    Path("raw/web/pictures/0.png").write_bytes(b"")
    assert any(line.startswith(f"{place}: ") for line in run("verify", code=1).lines)


def test_verify_names_a_missing_part_a_changed_one_and_a_stray_one():
    votes, web, small = pairs_directory("votes"), pairs_directory("web"), mix_directory()
    part = json.loads((votes / "manifest.json").read_text())["parts"][0]
    (votes / "part-00000.parquet").unlink()
    flip(web / "part-00000.parquet")
    shutil.copy(small / "shard-00000.parquet", small / "shard-00007.parquet")
    (small / "decisions/web.parquet").write_bytes(b"")
    lines = run("verify", "--raw", "raw", code=1).lines
    assert lines[0] == f"{votes}/part-00000.parquet: missing; expected xxh3 {part['xxh3']}"
    assert [line.split(":")[0] for line in lines] == [
        f"{votes}/part-00000.parquet",
        f"{web}/part-00000.parquet",
        f"{small}/decisions/web.parquet",
        f"{small}/shard-00007.parquet",
    ]
    assert lines[3].endswith(": not recorded; expected no such file")


def test_verify_goes_on_after_a_damaged_manifest_and_a_damaged_lock():
    manifest, lock = pairs_directory("votes") / "manifest.json", mix_directory() / "lock.json"
    manifest.write_text("{")
    lock.write_text("[")
    report = json.loads(run("verify", "--json", code=1).text)
    assert [line.split(": ")[0] for line in report["differing"]] == [str(manifest), str(lock)]
    assert (report["parts"], report["shards"]) == (1, 0)


def test_verify_says_what_is_unfinished():
    (pairs_directory("votes") / "manifest.json").unlink()
    (mix_directory() / "lock.json").unlink()
    messages = run("verify").messages
    assert f"not checked: {pairs_directory('votes')}: unfinished, they have no manifest" in messages
    assert f"not checked: {mix_directory()}: unfinished, it has no lock" in messages


def test_verify_names_a_changed_review_sheet_and_a_missing_one():
    sheet, recorded = mix_directory() / "review.parquet", json.loads((mix_directory() / "lock.json").read_text())
    flip(sheet)
    [line] = run("verify", "small", "--raw", "raw", code=1).lines
    assert line.startswith(f"{sheet}: xxh3 ")
    sheet.unlink()
    [line] = run("verify", "small", "--raw", "raw", code=1).lines
    assert line == f"{sheet}: missing; expected xxh3 {recorded['review']['xxh3']}"


def test_verify_does_not_check_the_review_sheet_of_an_earlier_version():
    path = mix_directory() / "lock.json"
    lock = json.loads(path.read_text())
    del lock["review"], lock["card"]
    path.write_text(json.dumps(lock))
    checksum_of(path).unlink()
    done = run("verify", "small", "--raw", "raw")
    assert done.messages[-3:] == [
        f"not checked: {mix_directory()}/review.parquet: not in the lock, which is of an earlier version",
        f"not checked: {mix_directory()}/README.md: not in the lock, which is of an earlier version",
        "checked 3 raw files, 2 parts, 2 lists of skipped rows, 2 shards, 2 decisions files, "
        "2 files with a checksum: all as recorded",
    ]

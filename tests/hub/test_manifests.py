"""A manifest says what a source needs, survives its file, and tells what drifted upstream."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate import config, sources
from curate.errors import ConfigError
from curate.hub import manifests
from curate.hub.manifests import Drift, File, Manifest, Patterns, Rows
from curate.hub.pinning import _card_rows, _is_about, _license
from tests.support.hub import Hub
from tests.support.hub_commands import curate, parquet
from tests.support.paths import ROOT

BUNDLED = ROOT / "manifests"
OID = "a" * 40


def file(path: str, size: int = 10, rows: int | None = None) -> File:
    return File(path=path, bytes=size, git_oid=OID, rows=rows)


def manifest(*files: File, **more) -> Manifest:
    facts = {"source": "x", "repo": "a/x", "commit": "c" * 40, "patterns": Patterns(files=("*.parquet",))}
    return Manifest(**{**facts, "files": files, **more})


# the bundled manifests


@pytest.mark.parametrize("name", sources.names())
def test_every_bundled_source_has_a_manifest_that_fits_its_adapter(name):
    path = BUNDLED / f"{name}.yaml"
    found, facts = manifests.read(name, BUNDLED), manifests.blank(name, sources.get(name))
    assert path.read_text() == manifests.text(found), f"written by hand? curate pin {name}"
    assert (found.rows.expected, found.rows.origin) == (facts.rows.expected, facts.rows.origin)
    assert found.citation == facts.citation
    assert found.patterns.files, "curate.hub.expected_rows.CHOICES must name the files of a source with row_files"


def test_no_manifest_stands_for_a_source_that_is_gone():
    assert {path.stem for path in BUNDLED.glob("*.yaml")} == set(sources.names())
    assert sources.own(BUNDLED) == {}


# the file

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b.parquet", "on", "1e5", "~", "0x1f", "#", "é: ü", "- x"]), min_size=1)
FILES = st.builds(
    lambda path, size, digest, rows, large: File(
        path="/".join(path),
        bytes=size,
        rows=rows,
        **({"sha256": digest + "0" * 24} if large else {"git_oid": digest}),
    ),
    PATHS,
    st.integers(0, 10**15),
    st.sampled_from(["1" * 40, "1" * 20 + "e" + "2" * 19, "0" * 39 + "b", "12e" + "3" * 37]),
    st.none() | st.integers(0, 10**9),
    st.booleans(),
)


@given(st.lists(FILES, min_size=1, unique_by=lambda one: one.path), TEXT, TEXT, st.none() | st.booleans())
@example([File(path="a", bytes=0, git_oid="1" * 40)], "\u2028", "\x85", None)
def test_a_manifest_survives_its_file(tmp_path_factory, files, text, license, gated):  # noqa: A002
    written = manifest(*files, license=license, gated=gated, citation=text, rows=Rows(expected=3, origin=text))
    path = tmp_path_factory.mktemp("m") / "x.yaml"
    path.write_text(manifests.text(written), encoding="utf-8")
    assert config.load(path, Manifest) == written


def test_a_manifest_has_one_line_per_file():
    lines = manifests.text(manifest(file("a.parquet", 5, 2), file("b/c.parquet"))).splitlines()
    assert lines[0] == "# Written by `curate pin`."
    assert lines[-3:] == [
        "files:",
        f"- {{path: a.parquet, bytes: 5, git_oid: {OID}, rows: 2}}",
        f"- {{path: b/c.parquet, bytes: 10, git_oid: {OID}}}",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"path": "../x"}, "the path '../x' leaves the raw directory"),
        ({"path": "/x"}, "the path '/x' leaves the raw directory"),
        ({"path": "a\\..\\x"}, "leaves the raw directory"),
        ({"sha256": "b" * 64}, "needs either sha256 or git_oid"),
        ({"git_oid": None}, "needs either sha256 or git_oid"),
        ({"git_oid": "xyz"}, "has a hash of the wrong form"),
        ({"bytes": -1}, "has -1 bytes"),
    ],
)
def test_a_file_that_could_do_harm_is_refused(change, fault):
    with pytest.raises(ValueError) as caught:
        File(**{"path": "x", "bytes": 1, "git_oid": OID, **change})
    assert fault in str(caught.value)


def test_a_manifest_for_other_files_than_the_adapter_reads_is_refused(tmp_path):
    facts = manifests.blank("helpsteer3", sources.get("helpsteer3"))
    manifests.write(replace(facts, patterns=Patterns(files=("train.jsonl",))), tmp_path)
    with pytest.raises(ConfigError) as caught:
        manifests.read("helpsteer3", tmp_path)
    assert str(caught.value) == f"{tmp_path}/helpsteer3.yaml: $.patterns: not those of the adapter of helpsteer3"
    assert caught.value.hint == "curate pin helpsteer3"
    manifests.write(replace(facts, repo="other/HelpSteer3"), tmp_path)
    with pytest.raises(ConfigError, match=r"\$\.repo: found 'other/HelpSteer3'; expected 'nvidia/HelpSteer3'"):
        manifests.read("helpsteer3", tmp_path)


def test_an_own_source_keeps_its_manifest_and_gets_a_second_one(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("adapter: preference\nfiles: ['*.jsonl']\nrepo: me/mine\n")
    facts = manifests.blank("mine", sources.get("mine", tmp_path))
    manifests.write(replace(facts, commit="c" * 40, files=(file("a.jsonl"),)), tmp_path)
    assert own.read_text().startswith("adapter:")
    assert manifests.read("mine", tmp_path).commit == "c" * 40
    assert list(sources.own(tmp_path)) == ["mine"]


# which files

PARTS = ["a", "b.parquet", "train-0.parquet", ".x", "images", "images.zip_aa", "B"]
PATTERNS = ["a", "*", "**", "*.parquet", "train-*", "?", "[ab]*", "images.zip_*"]


@given(
    st.sets(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join), min_size=1, max_size=6),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map("/".join),
)
def test_patterns_match_as_they_do_on_disk(tmp_path_factory, paths, pattern):
    root = tmp_path_factory.mktemp("glob")
    kept = []
    for path in sorted(paths, key=len, reverse=True):  # a longer path first: its folders cannot be files then
        target = root / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
            kept.append(path)
    found = {path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file()}
    assert {path for path in kept if manifests.matches(path, pattern)} == found


def names(files) -> list[str]:
    return [one.path for one in files]


def test_only_what_a_source_reads_is_needed():
    patterns = Patterns(files=("**/*.parquet", "notes.zip!*.jsonl"), media=("images", "pics.zip", "**/more.tar"))
    repo = ["README.md", "a.parquet", "b/c/d.parquet", "images/1/2.jpg", "images.zip", "pics.zip", "x/more.tar",
            "notes.zip", "old/images/3.jpg"]  # fmt: skip
    assert names(manifests.needed(map(file, repo), patterns)) == [
        "a.parquet", "b/c/d.parquet", "images/1/2.jpg", "notes.zip", "pics.zip", "x/more.tar",
    ]  # fmt: skip


@pytest.mark.parametrize(("pattern", "kept"), [(".", 3), ("./", 3), ("./pics", 1), ("pics/", 1), ("other", 0)])
def test_a_media_pattern_may_mean_the_raw_directory(pattern, kept):
    repo = ["README.md", "pics/a.png", "x/b.png"]
    assert len(manifests.needed(map(file, repo), Patterns(files=("*.jsonl",), media=(pattern,)))) == kept


SHARDS = (file("a.parquet", 50, 500), file("b.parquet", 90, 900), file("c.parquet", 20, 200))


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (1, ["c.parquet"]),  # one is enough: the smallest
        (300, ["a.parquet"]),
        (900, ["b.parquet"]),
        (901, ["b.parquet", "c.parquet"]),
        (1200, ["a.parquet", "b.parquet"]),
        (9999, ["a.parquet", "b.parquet", "c.parquet"]),
    ],
)
def test_the_fewest_files_that_give_so_many_rows(rows, kept):
    assert names(manifests.enough(SHARDS, Patterns(files=("*.parquet",)), rows)) == kept


def test_files_of_unknown_rows_media_and_one_file_per_pattern_are_kept():
    files = (*SHARDS, file("pics.zip", 999), file("x.jsonl"))
    patterns = Patterns(files=("[ab].parquet", "c.parquet", "x.jsonl"), media=("pics.zip",))
    assert names(manifests.enough(files, patterns, 1)) == ["a.parquet", "c.parquet", "pics.zip", "x.jsonl"]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=7), st.integers(1, 800))
def test_enough_files_give_the_rows_where_they_exist_and_none_is_idle(counts, rows):
    files = [file(f"{i}.parquet", count, count) for i, count in enumerate(counts)]
    kept = manifests.enough(files, Patterns(files=("*.parquet",)), rows)
    total = sum(one.rows for one in kept)
    assert total >= min(rows, sum(counts))
    assert all(total - one.rows < rows for one in kept)


# drift


def test_nothing_drifted():
    assert manifests.compare(manifest(*SHARDS), manifest(*SHARDS)) == []


def test_drift_is_in_bytes_and_rows():
    counted = Rows(counted=1600, counted_by="parquet footers")
    was = manifest(*SHARDS, license="mit", rows=counted)
    grown = replace(SHARDS[0], bytes=70, rows=700, git_oid="b" * 40)
    fixed = replace(SHARDS[1], git_oid="b" * 40)
    now = manifest(
        grown, fixed, file("d.parquet", 5),
        commit="d" * 40, license="cc-by-nc-4.0", gated="auto", rows=replace(counted, counted=1800),
    )  # fmt: skip
    assert [(one.what, one.pinned, one.upstream) for one in manifests.compare(was, now)] == [
        ("commit", "cccccccccc", "dddddddddd"),
        ("license", "mit", "cc-by-nc-4.0"),
        ("gated", "unknown", "auto"),
        ("rows, parquet footers", "1,600", "1,800 (+200)"),
        ("a.parquet", "50 bytes, 500 rows", "70 bytes (+20), 700 rows (+200)"),
        ("b.parquet", "90 bytes, 900 rows", "90 bytes, other content, 900 rows"),
        ("c.parquet", "20 bytes, 200 rows", "absent"),
        ("d.parquet", "absent", "5 bytes"),
    ]
    assert manifests.compare(was, now)[0] == Drift(
        source="x", what="commit", pinned="cccccccccc", upstream="dddddddddd"
    )


# what a card says


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({}, None),
        ({"license": "mit"}, "mit"),
        ({"license": ["mit", "odc-by"]}, "mit, odc-by"),
        ({"license": "other", "license_name": "llama3"}, "llama3"),
        ({"license": "other"}, "other"),
    ],
)
def test_the_licence_of_a_card(card, expected):
    assert _license(card) == expected


def test_rows_of_a_card_count_where_config_and_split_are_what_the_files_hold():
    card = [
        {"config_name": "preference", "splits": [{"name": "train", "num_examples": 7}, {"name": "test"}]},
        {"config_name": "edit", "splits": [{"name": "train", "num_examples": 5}]},
        "nonsense",
    ]
    assert _card_rows(card) == {("preference", "train"): 7, ("edit", "train"): 5}
    assert _card_rows({"splits": [{"name": "train", "num_examples": 3}]}) == {("default", "train"): 3}
    assert _is_about("preference", "train", ["preference/train.jsonl.gz"])
    assert not _is_about("edit", "train", ["preference/train.jsonl.gz"])
    assert _is_about("default", "train", ["data/train-0.parquet"])


# the command, against a Hub


REPO = "allenai/tulu-3-IF-augmented-on-policy-70b"


def test_pin_then_check_names_every_drift(tmp_path):
    with Hub(tmp_path / "hub", page=2) as hub:
        shards = {f"data/train-{i}.parquet": parquet(100 + i) for i in range(3)}
        commit = hub.add_repo(REPO, {**shards, "notes.txt": b"x", "big/other.parquet": b"y"}, license="odc-by")
        done = curate(hub, tmp_path, "pin", "tulu3_if", "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == "tulu3_if: 303 rows by parquet footers, 65,551 expected\n"
        pinned = manifests.read("tulu3_if", tmp_path / "manifests")
        assert json.loads(done.stdout)[0]["commit"] == pinned.commit == commit
        assert [(one.path, one.bytes, one.rows) for one in pinned.files] == [
            (path, len(data), 100 + i) for i, (path, data) in enumerate(shards.items())
        ]
        assert (pinned.license, pinned.gated, pinned.rows.counted) == ("odc-by", False, 303)

        done = curate(hub, tmp_path, "pin", "--check")
        assert (done.returncode, done.stderr) == (0, "0 of 1 pinned sources drifted\n")

        before = (tmp_path / "manifests/tulu3_if.yaml").read_bytes()
        hub.requests.clear()
        hub.commit(
            REPO,
            {"data/train-1.parquet": parquet(150), "README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"},
        )
        done = curate(hub, tmp_path, "pin", "--check", "--json")
        assert done.returncode == 1
        assert [one["what"] for one in json.loads(done.stdout)] == [
            "commit", "license", "rows, parquet footers", "data/train-1.parquet",
        ]  # fmt: skip
        assert json.loads(done.stdout)[2]["upstream"] == "352 (+49)"
        assert len(hub.seen("get")) == 1, "only the changed file is looked into"
        assert all(seen.sent <= 64 << 10 for seen in hub.seen("get")), "and only its end"
        assert (tmp_path / "manifests/tulu3_if.yaml").read_bytes() == before


def test_one_changed_byte_is_drift(tmp_path):
    repo, path = "nvidia/HelpSteer3", "preference/train.jsonl.gz"
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo(repo, {path: b"\x1f\x8b" + b"a" * 1000}, license="cc-by-4.0")
        assert curate(hub, tmp_path, "pin", "helpsteer3").returncode == 0
        hub.commit(repo, {path: b"\x1f\x8b" + b"a" * 999 + b"b"})
        done = curate(hub, tmp_path, "pin", "--check")
        assert done.returncode == 1
        assert path in done.stdout
        assert "1,002 bytes, other content" in done.stdout


def test_pin_survives_every_passing_fault(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo(REPO, {"data/train-0.parquet": parquet(5)})
        for kind in ("500", "502", "503", "504", "429", "429-ratelimit", "drop"):
            hub.fail(kind, on="info")
            hub.fail(kind, on="tree")
        hub.fail("429-retry-after", on="get")
        hub.fail("fin", on="get", after=3)
        hub.fail("reset", on="get", after=3)
        done = curate(hub, tmp_path, "pin", "tulu3_if")
        assert done.returncode == 0, done.stderr
        assert manifests.read("tulu3_if", tmp_path / "manifests").rows.counted == 5
        assert len(hub.log) == 17


def test_pin_says_what_it_cannot(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        hub.add_repo(REPO, {"train.csv": b"x"})
        hub.add_repo("nvidia/HelpSteer3", {"preference/train.jsonl.gz": b"x"})
        done = curate(hub, tmp_path, "pin", "tulu3_if", "shp", "helpsteer3")
        assert done.returncode == 1
        assert done.stderr.splitlines()[:2] == [
            "helpsteer3: licence mit, cc-by-4.0 expected",
            f"error: {REPO}@{hub.branches(REPO)['main'][:10]}: no file matches data/train-*.parquet; hint: "
            f"upstream has changed its layout; an older --revision may work; see {hub.endpoint}/datasets/{REPO}",
        ]
        assert done.stderr.splitlines()[2:] == [
            "error: stanfordnlp/SHP: does not exist, or is private and you have no token",
            f"hint: run `hf auth login`, or set HF_TOKEN; see {hub.endpoint}/datasets/stanfordnlp/SHP",
        ]
        assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["helpsteer3.yaml"]
        done = curate(hub, tmp_path, "pin", "--revision", "v9", "helpsteer3")
        assert "error: nvidia/HelpSteer3: no revision v9" in done.stderr
        done = curate(hub, tmp_path, "pin", "--check", "shp")
        assert done.stderr == "error: shp: not pinned\nhint: curate pin shp\n"


def test_a_tag_is_pinned_and_checked_against_itself(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        first = hub.add_repo(REPO, {"data/train-0.parquet": parquet(5)})
        hub.commit(REPO, {"data/train-0.parquet": parquet(6)})
        assert curate(hub, tmp_path, "pin", "tulu3_if", "--revision", first).returncode == 0
        assert manifests.read("tulu3_if", tmp_path / "manifests").commit == first
        assert curate(hub, tmp_path, "pin", "--check").returncode == 0

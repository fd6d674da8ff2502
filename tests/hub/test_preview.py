"""The first rows of datasets on the Hub, through the loopback Hub."""

import ast
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.support.hub import Hub

CARD = """---
configs:
- config_name: votes
  data_files: "votes/*.jsonl"
- config_name: other
  data_files:
  - {split: train, path: other/train-*}
  - {split: test, path: other/test-*}
---
"""
ASK = """
import sys
from curate.errors import HubError
from curate.hub.preview import preview
from curate.hub.retry import RetryPolicy
assert "datasets" not in sys.modules
for repo, arguments in {requests!r}:
    try:
        found = preview(repo, RetryPolicy.from_env(), **arguments)
    except HubError as error:
        print(repr((str(error), error.hint)))
    else:
        print(repr({{name: getattr(found, name) for name in found.__slots__}}))
"""


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(file, "PNG")
    return file.getvalue()


def parquet(rows: int) -> bytes:
    """Rows with an image, a class and a text, as `datasets` writes them."""
    features = {
        "image": {"_type": "Image"},
        "verdict": {"names": ["a", "b"], "_type": "ClassLabel"},
        "prompt": {"dtype": "string", "_type": "Value"},
    }
    table = pa.table(
        {
            "image": [{"bytes": picture(), "path": "a.png"}] * rows,
            "verdict": [i % 2 for i in range(rows)],
            "prompt": [f"What is {i}?" for i in range(rows)],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


VOTES = b"".join(json.dumps({"prompt": f"p{i}", "score": i}).encode() + b"\n" for i in range(30))
REPOS = {
    "up/two": {
        "README.md": CARD.encode(),
        "votes/a.jsonl": VOTES,
        "votes/b.jsonl": VOTES,
        "other/train-0.jsonl": VOTES,
        "other/test-0.jsonl": b'{"prompt": "test", "score": 7}\n',
    },
    "up/pictures": {"data/train-0.parquet": parquet(40)},
    "up/plain": {"data.csv": b"question,good\nWho?,Me\n"},
    "up/images": {"train/cat/1.png": picture(), "train/dog/1.png": picture()},
    "up/code": {"code.py": b"print('run')", "train.bin": b"x"},
    "up/broken": {"train.jsonl": b'{"a": 1}\n{"a": \n'},
    "up/liar": {"train.parquet": b"PAR1 not at all"},
}
GOOD = {
    "two": ("up/two", {"rows": 2}),
    "split": ("up/two", {"config": "other", "split": "test"}),
    "pictures": ("up/pictures", {"rows": 3}),
    "plain": ("up/plain", {}),
}
BAD = {
    ("up/two", "vote", None): ("no config vote; expected one of votes, other", "did you mean votes?"),
    ("up/two", "other", "dev"): ("no split dev; expected one of train, test", ""),
    ("up/images", None, None): (
        "its files are in the format imagefolder; expected arrow or csv or json or parquet", "",
    ),
    ("up/code", None, None): (
        "its first rows cannot be read: Dataset scripts are no longer supported, but found code.py", "see PAGE",
    ),
    ("up/broken", None, None): (
        "its first rows cannot be read: JSON parse error: Invalid value. in row 1", "see PAGE",
    ),
    ("up/liar", None, None): (
        "its first rows cannot be read: Parquet magic bytes not found in footer. Either the file is corrupted "
        "or this is not a parquet file.", "see PAGE",
    ),
    ("up/nothing", None, None): (
        "does not exist, or is private and you have no token", "run `hf auth login`, or set HF_TOKEN; see PAGE",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[object, object]:
    """What all previews are, by the keys above; "commits" and "url" are of the Hub.

    One process asks for them: the client reads its environment at import, and `datasets` takes seconds to import.
    """
    bad = [(repo, {"config": config, "split": split}) for repo, config, split in BAD]
    code = ASK.format(requests=[*GOOD.values(), *bad])
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        commits = {repo: hub.add_repo(repo, files) for repo, files in REPOS.items()}
        environment = hub.env(tmp_path_factory.mktemp("home"))
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    found = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    return {**dict(zip((*GOOD, *BAD), found, strict=True)), "commits": commits, "url": hub.endpoint}


def test_configs_splits_files_and_rows(answers):
    assert answers["two"] == {
        "repo": "up/two", "commit": answers["commits"]["up/two"], "format": "json",
        "config": "votes", "configs": ("votes", "other"), "split": "train", "splits": ("train",),
        "files": ("votes/a.jsonl", "votes/b.jsonl"),
        "features": {
            "prompt": {"dtype": "string", "_type": "Value"}, "score": {"dtype": "int64", "_type": "Value"},
        },
        "rows": ({"prompt": "p0", "score": 0}, {"prompt": "p1", "score": 1}),
    }  # fmt: skip
    found = answers["split"]
    assert (found["split"], found["splits"], found["files"]) == (
        "test",
        ("train", "test"),
        ("other/test-0.jsonl",),
    )
    assert found["rows"] == ({"prompt": "test", "score": 7},)


def test_media_and_classes_are_as_stored(answers):
    found = answers["pictures"]
    assert found["features"]["verdict"] == {"names": ["a", "b"], "_type": "ClassLabel"}
    assert found["rows"] == tuple(
        {"image": {"bytes": picture(), "path": "a.png"}, "verdict": i % 2, "prompt": f"What is {i}?"}
        for i in range(3)
    )


def test_without_a_card_the_names_of_files_say_what_there_is(answers):
    found = answers["plain"]
    assert (found["format"], found["config"], found["split"]) == ("csv", "default", "train")
    assert found["rows"] == ({"question": "Who?", "good": "Me"},)


@pytest.mark.parametrize("target", BAD, ids=str)
def test_what_cannot_be_previewed_says_why(answers, target):
    message, hint = BAD[target]
    page = f"{answers['url']}/datasets/{target[0]}"
    assert answers[target] == (f"{target[0]}: {message}", hint.replace("PAGE", page))

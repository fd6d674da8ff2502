"""Column functions give what the row adapters give: the same pairs, skips and columns, of odd rows too."""

import dataclasses
import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import sources
from curate.engines.local import Local
from curate.errors import GuardError
from curate.hashing import Hashes
from curate.pairs.normalize import Job, locate, normalize_all
from curate.rawfiles.column_use import ColumnUse
from curate.rawfiles.typed_json import TypedLines
from curate.sources.by_columns.base import RowBatch
from curate.workspace import Workspace
from tests.support.upstream import draw

TEXTS = st.sampled_from(
    ["", " ", "Yes.", "No <b>x</b>", "<image>", "<image>\nWhat?", "<image> \u2003", "so <image>", "a [IMG]",
     "<image_1>", "i < j", "x\n\nHuman: y", "\n\nAssistant: z", "é\u3000", "a\0b", "\U0001f600"]
)  # fmt: skip
OPTIONAL = st.none() | TEXTS
ROLES = st.sampled_from(["user", "assistant", "Human", " gpt", "system", "tool", "robot", "function_call", None])
TURNS = st.fixed_dictionaries(
    {"role": ROLES, "content": OPTIONAL, "name": st.sampled_from([None, None, None, "n"]), "ip": OPTIONAL}
)


def turn(role, content):
    return {"role": role, "content": content, "name": None, "ip": None}


@st.composite
def dialogues(draw_from):
    """(chosen, rejected): mostly one prompt and two replies, else whatever a list of messages may be."""
    if draw_from(st.integers(0, 3)) == 0:
        lists = st.none() | st.lists(st.none() | TURNS, max_size=3)
        return draw_from(lists), draw_from(lists)
    prompt = [turn(draw_from(ROLES.filter(bool)), draw_from(TEXTS)) for _ in range(draw_from(st.integers(0, 3)))]
    replies = [turn("assistant", draw_from(TEXTS)) for _ in range(2)]
    return [*prompt, replies[0]], [*prompt, replies[1]]


@st.composite
def message_row(draw_from):
    chosen, rejected = draw_from(dialogues())
    ratings = st.sampled_from([None, 1.0, 2.5, 4.0, -0.0, float("nan"), float("inf")])
    return {
        "chosen": chosen, "rejected": rejected, "id": draw_from(OPTIONAL), "source": draw_from(OPTIONAL),
        "chosen_model": draw_from(OPTIONAL), "preference_type": draw_from(OPTIONAL), "other": draw_from(OPTIONAL),
        "chosen_rating": draw_from(ratings), "rejected_rating": draw_from(ratings),
    }  # fmt: skip


MESSAGE = pa.struct([(name, pa.string()) for name in ("role", "content", "name", "ip")])
MESSAGE_ROWS = pa.schema(
    [("chosen", pa.list_(MESSAGE)), ("rejected", pa.list_(MESSAGE))]
    + [(name, pa.string()) for name in ("id", "source", "chosen_model", "preference_type", "other")]
    + [("chosen_rating", pa.float64()), ("rejected_rating", pa.float64())]
)


def parquet(rows, schema):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    return sink.getvalue().to_pybytes()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def normalized(name, source, raw, workspace):
    space = Workspace(workspace)
    options = source.options() if source.options else None
    job = Job(name=name, source=source, raw=raw, options=options, max_skip=1.0)
    (made,) = normalize_all([locate(job, space, Hashes(workspace))], space, Local())
    pairs = [pq.read_table(made.directory / part) for part in made.parts]
    skips = [pq.read_table(path).to_pylist() for path in sorted(made.directory.glob("skips-*.parquet"))]
    receipts = [{**part, "xxh3": "", "skips": ""} for part in made.manifest["parts"]]
    return pairs, skips, made.manifest["columns"], receipts


def check(name, files):
    """Both ways give the same, from these raw files."""
    source = sources.get(name)
    assert source.columns is not None
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "raw"
        for path, data in files.items():
            (raw / path).parent.mkdir(parents=True, exist_ok=True)
            (raw / path).write_bytes(data)
        by_columns = normalized(name, source, raw, Path(directory) / "a")
        by_rows = normalized(name, dataclasses.replace(source, columns=None), raw, Path(directory) / "b")
        assert by_columns[1:] == by_rows[1:]
        assert [table.to_pylist() for table in by_columns[0]] == [table.to_pylist() for table in by_rows[0]]
        return by_columns


MESSAGE_FILES = {
    "olmo2_mix": "data/train-0.parquet",
    "tulu3_if": "data/train-0.parquet",
    "dolci_instruct": "data/train-0.parquet",
    "dolci_think": "data/train-0.parquet",
}


@pytest.mark.parametrize("name", sorted(MESSAGE_FILES))
@given(st.lists(message_row(), min_size=1, max_size=24))
@settings(max_examples=5, deadline=None)
def test_message_lists(name, rows):
    check(name, {MESSAGE_FILES[name]: parquet(rows, MESSAGE_ROWS)})


@given(st.lists(message_row(), min_size=1, max_size=24))
@settings(max_examples=8, deadline=None)
def test_message_lists_of_splits(rows):
    splits = sources.get("wildchat_ultrafeedback").options().splits
    check("wildchat_ultrafeedback", {f"data/{split}-0.parquet": parquet(rows, MESSAGE_ROWS) for split in splits})


SHP = st.fixed_dictionaries(
    {
        "post_id": st.sampled_from(["p", "q", None]), "domain": st.sampled_from(["a_train", "b", "_train_train"]),
        "history": TEXTS, "human_ref_A": TEXTS, "human_ref_B": OPTIONAL,
        "score_A": st.sampled_from([1, 2, 5]) | st.sampled_from([3, -0.0, 2.5, "4", None, 1e300, 2**60 + 1]),
        "score_B": st.sampled_from([1, 2, 5]),
        "labels": st.sampled_from([0, 1]) | st.sampled_from([2, None, True, 1.0]),
    },
    optional={"score_ratio": st.just(2.0), "odd": st.sampled_from([[1], {"a": 1}, None, "x"])},
)  # fmt: skip


@given(
    st.lists(SHP, min_size=1, max_size=24), st.sampled_from([b"", b"\n", b"{}\n", b'{"a": 1} {"a": 1}\n', b"x\n"])
)
@settings(max_examples=12, deadline=None)
def test_shp(rows, odd):
    check("shp", {"askvet/train.json": lines(rows[:1]) + odd + lines(rows[1:])})


MARKS = st.sampled_from(["\n\nHuman:", "\n\nAssistant:", "\n\nHum:", "\n\n", "Human: ", "", "\n\n\n\nHuman:"])
SIDES = st.lists(st.tuples(MARKS, TEXTS), min_size=0, max_size=5).map(lambda parts: "".join(map("".join, parts)))


@st.composite
def transcript_row(draw_from):
    if draw_from(st.booleans()):
        return {"chosen": draw_from(SIDES | st.none()), "rejected": draw_from(SIDES)}
    prompt = "\n\nHuman: " + draw_from(TEXTS) + draw_from(SIDES)
    return {side: f"{prompt}\n\nAssistant: {draw_from(TEXTS)}" for side in ("chosen", "rejected")}


@given(st.lists(transcript_row(), min_size=1, max_size=24))
@settings(max_examples=12, deadline=None)
def test_hh_rlhf(rows):
    subsets = sources.get("hh_rlhf").options().subsets
    check("hh_rlhf", {f"{subset}/train.jsonl.gz": gzip.compress(lines(rows)) for subset in subsets})


JPEG, OTHER = draw.image(40, 30, "JPEG"), draw.image(30, 40, "JPEG")
PATHS = st.sampled_from(["a.jpg", "b.jpg", "b.jpg"]) | st.sampled_from(
    ["gone.jpg", "bad.jpg", "", None, ["a.jpg"], ["a.jpg", "b.jpg"], "http://x/y.jpg", " ", "/a.jpg"]
)
MMPR = st.fixed_dictionaries(
    {"image": PATHS, "question": TEXTS, "chosen": TEXTS, "rejected": OPTIONAL},
    optional={
        "answer_gt": st.sampled_from(["5", 5, None, 2.5, ["x"]]), "chosen_meta": st.sampled_from(["m", None]),
        "video": st.sampled_from([None, "v.mp4"]), "other": OPTIONAL,
    },
)  # fmt: skip


@given(st.lists(MMPR, min_size=1, max_size=24), st.sampled_from(["s_correctness_rules", "plain"]))
@settings(max_examples=12, deadline=None)
def test_mmpr(rows, subset):
    meta = {subset: {"root": "root/of", "annotation": "rows.jsonl", "length": len(rows)}}
    pictures = {"images/root/of/a.jpg": JPEG, "images/root/of/b.jpg": OTHER, "images/root/of/bad.jpg": JPEG[:-9]}
    check("mmpr", {"meta.json": json.dumps(meta).encode(), "annotations/rows.jsonl": lines(rows), **pictures})


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
RLAIF_TEXTS = ("ds_name", "question", "chosen", "rejected", "origin_dataset", "origin_split", "image_path")
RLAIF_ROWS = pa.schema([("image", IMAGE), ("idx", pa.int64()), *((name, pa.string()) for name in RLAIF_TEXTS)])
RLAIF = st.fixed_dictionaries(
    {
        "image": st.sampled_from([{"bytes": JPEG, "path": "x"}, {"bytes": OTHER, "path": None}])
        | st.sampled_from([None, {"path": "x"}, {"bytes": b"", "path": None}, {"bytes": b"no image"}]),
        "idx": st.sampled_from([None, 1, 2]), "question": TEXTS, "chosen": TEXTS, "rejected": OPTIONAL,
        "ds_name": OPTIONAL, "origin_split": st.sampled_from([None, '{"a": 1}', "no json", "7"]),
        "image_path": st.sampled_from([None, "", "p/q.jpg"]),
    }
)  # fmt: skip


@given(st.lists(RLAIF, min_size=1, max_size=24))
@settings(max_examples=10, deadline=None)
def test_rlaif_v(rows):
    check("rlaif_v", {"data/train-0.parquet": parquet(rows, RLAIF_ROWS)})


SCORES = st.sampled_from([1, 2.5, 7.0, 7.0]) | st.sampled_from([10, None, "8", -0.0, True, 1e400])
COMPLETIONS = st.fixed_dictionaries(
    {"response": TEXTS | st.none(), "model": st.sampled_from(["m", "n", None]), "overall_score": SCORES},
    optional={
        "critique": OPTIONAL, "principle": TEXTS, "new": st.just(1), "fine-grained_score": st.just(1.0),
        "annotations": st.just({"honesty": {"Rating": "1", "deep": [[{"x": None}]]}}),
    },
)  # fmt: skip
ULTRA = st.fixed_dictionaries(
    {"instruction": OPTIONAL, "completions": st.none() | st.lists(st.none() | COMPLETIONS, max_size=4)},
    optional={"source": OPTIONAL, "models": st.just(["a"]), "other": st.sampled_from([None, [1], {"a": 1}])},
)
ODD_LINES = st.sampled_from(
    [b"", b"\n", b" \n", b"{}\n", b"[1]\n", b'{"a": 1} {"a": 1}\n', b"x\n", b' {"source": "s"}\n']
    + [b'{"models": ' + b"[" * deep + b"]" * deep + b"}\n" for deep in (500, 1023, 1024, 5000)]
)


@given(st.lists(ULTRA, min_size=1, max_size=24), ODD_LINES)
@settings(max_examples=30, deadline=None)
def test_ultrafeedback(rows, odd):
    data = lines(rows[:1]) + odd + lines(rows[1:])
    check("ultrafeedback", {f"{name}.jsonl": data for name in ("evol_instruct", "false_qa", "flan", "sharegpt",
                                                              "truthful_qa", "ultrachat")})  # fmt: skip


OPINIONS = st.fixed_dictionaries(
    {"feedback1": OPTIONAL | st.just(7), "feedback2": OPTIONAL}, optional={"score": st.just(1), "new": TEXTS}
)
HELPSTEER = st.fixed_dictionaries(
    {
        "context": st.lists(TURNS.map(lambda turn: {**turn, "name": None}), max_size=3)
        | st.lists(st.fixed_dictionaries({"role": ROLES, "content": OPTIONAL}), max_size=3) | TEXTS | st.none(),
        "response1": TEXTS, "response2": OPTIONAL,
        "overall_preference": st.integers(-3, 3) | st.sampled_from([4, None, "1", 1.5, -0.0]),
    },
    optional={
        "domain": OPTIONAL | st.just(3), "language": OPTIONAL, "other": OPTIONAL,
        "individual_preference": st.none() | st.lists(st.none() | OPINIONS, max_size=3),
    },
)  # fmt: skip


@given(st.lists(HELPSTEER, min_size=1, max_size=24), ODD_LINES)
@settings(max_examples=60, deadline=None)
def test_helpsteer3(rows, odd):
    data = lines(rows[:1]) + odd + lines(rows[1:])
    check("helpsteer3", {"preference/train.jsonl.gz": gzip.compress(data)})


def test_regular_nested_rows_all_fit():
    reply = {"response": "r", "critique": "c", "model": "m", "annotations": {"a": [1]}}
    ranking = {"source": "s", "instruction": "i", "models": ["a"],
               "completions": [{**reply, "overall_score": score} for score in (1, 2.5, 3)]}  # fmt: skip
    opinion = {"score": 1, "reasoning": "x", "feedback1": "a", "feedback2": "b"}
    context = [{"role": "user", "content": "q"}]
    rated = {"context": context, "response1": "a", "response2": "b", "language": "english",
             "overall_preference": -2, "individual_preference": [opinion, opinion]}  # fmt: skip
    for name, row in (("ultrafeedback", ranking), ("helpsteer3", rated)):
        source, use = sources.get(name), ColumnUse()
        batch = TypedLines(use, source.types).read(lines([row, row]))
        options = [source.options()] if source.options else []
        assert source.columns(RowBatch(columns=batch, file="f"), *options).fits.tolist() == [True, True]
        assert [*use.seen] == [*row]


def fits(name, rows, schema=None, **context):
    """How many of the rows the column function takes."""
    source = sources.get(name)
    table = pa.Table.from_pylist(rows, schema).combine_chunks().to_batches()[0]
    options = [source.options()] if source.options else []
    return int(source.columns(RowBatch(columns=table, file="f", context=context), *options).fits.sum())


def test_regular_rows_all_fit():
    dialogue = [turn("user", "Why?"), turn("assistant", "So.")], [turn("user", "Why?"), turn("assistant", "No.")]
    messages = [{"chosen": dialogue[0], "rejected": dialogue[1], "id": "1"}] * 3
    for name in MESSAGE_FILES:
        assert fits(name, messages, MESSAGE_ROWS) == 3
    assert fits("wildchat_ultrafeedback", messages, MESSAGE_ROWS, split="wildchat_if") == 3
    post = {"post_id": "p", "domain": "d", "history": "h", "human_ref_A": "a", "human_ref_B": "b"}
    assert fits("shp", [{**post, "score_A": 3, "score_B": 1, "labels": 1}] * 2) == 2
    sides = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
    assert fits("hh_rlhf", [sides] * 2, subset="helpful-base") == 2
    context = {"subset": "s", "root": "r", "repeat_time": 1, "data_augment": False}
    row = {"question": "<image>\nWhat?", "chosen": "a < b", "rejected": "c", "image": "a.jpg"}
    assert fits("mmpr", [row, {**row, "question": "What is <b>?"}], **context) == 2
    image = {"question": "q", "chosen": "a", "rejected": "b", "image": {"bytes": JPEG, "path": None}, "idx": 1}
    assert fits("rlaif_v", [image] * 2, RLAIF_ROWS) == 2


def test_pairs_of_odd_rows_are_in_the_order_of_the_rows():
    dialogue = [turn("user", "Why?"), turn("assistant", "So.")], [turn("user", "Why?"), turn("assistant", "No.")]
    regular = {"chosen": dialogue[0], "rejected": dialogue[1]}
    odd = {**regular, "chosen_rating": -0.0, "rejected_rating": -0.0}
    skipped = {**regular, "rejected": None}
    found = check(
        "olmo2_mix", {"data/train-0.parquet": parquet([regular, odd, skipped, regular, odd], MESSAGE_ROWS)}
    )
    assert [row["row"].rsplit(":")[-1] for row in found[0][0].to_pylist()] == ["1", "2", "4", "5"]
    assert [(row["row"], row["reason"]) for row in found[1][0]] == [
        ("data/train-0.parquet:3", "messages_not_a_list")
    ]


def test_a_file_whose_first_rows_all_give_nothing_is_not_read_to_its_end(tmp_path):
    rows = [{"chosen": None, "rejected": None}] * 5000
    (tmp_path / "raw" / "data").mkdir(parents=True)
    (tmp_path / "raw" / "data" / "train-0.parquet").write_bytes(parquet(rows, MESSAGE_ROWS))
    space = Workspace(tmp_path / "data")
    job = Job(name="olmo2_mix", source=sources.get("olmo2_mix"), raw=tmp_path / "raw")
    with pytest.raises(GuardError, match="1,024 of 1,024 rows"):
        normalize_all([locate(job, space, Hashes(space.cache))], space, Local())

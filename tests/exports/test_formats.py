"""What each format writes of a pair, and why it leaves one out."""

import io
import json
import subprocess
import tarfile

import pytest
import yaml

from curate.exports.base import Mixture, Place
from curate.exports.formats import FORMATS
from curate.exports.pair import FACTS, Image, pair
from curate.exports.whole import plain

ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sky?"}]
NULLS = dict.fromkeys(("reasoning_content", "tool_calls", "tool_call_id", "name"))


def message_list(text, role="assistant", **fields):
    return [{"role": role, "content": text, **fields}]


BLUE, RED = message_list("Blue "), message_list("Red")


def row(prompt=ASK, chosen=BLUE, rejected=RED, media=(), images=(), **more):
    """A shard's row; `media` has the number of frames of each video, or 0 for an image."""
    items = [
        {"kind": "video" if frames else "image", "keys": [f"k{i}"] * (frames or 1)}
        for i, frames in enumerate(media)
    ]
    images = [{"path": f"k{i}", "bytes": data} for i, data in enumerate(images)]
    known = dict.fromkeys(FACTS) | {"source": "s", "repeat": 0}
    sides = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return {"pair_id": "p", **sides, "media": items, "images": images, **known, **more}


def blocks(*content):
    kinds = {"<image>": "image", "<video>": "video"}
    return [{"type": kinds.get(one, "text"), "text": None if one in kinds else one} for one in content]


def seen(*content, **more):
    """A pair whose prompt has these blocks."""
    return row(
        [{"role": "user", "content": blocks(*content)}],
        message_list(blocks("A cat")),
        message_list(blocks("A dog")),
        **more,
    )


def made(name, *, media=False, fields=False, **options):
    return FORMATS[name](mix=Mixture(name="mine", media=media, fields=fields), **options)


TEXT = row(margin=2.0, chosen_score=5.0)
MESSAGES = {"chosen": message_list("Blue "), "rejected": message_list("Red")}
SPOKEN = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Sky?"}]
CHATML = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nSky?<|im_end|>\n<|im_start|>assistant\n"
LLAMA3 = (
    "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nSky?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.mark.parametrize(
    ("name", "options", "record"),
    [
        ("trl-text", {}, {"prompt": ASK, **MESSAGES}),
        ("trl", {"margins": True}, {"prompt": ASK, **MESSAGES, "margin": 2.0}),
        ("openrlhf", {}, {"prompt": ASK, **MESSAGES, "margin": 2.0}),
        (
            "llama-factory",
            {},
            {"conversations": SPOKEN, "chosen": {"from": "gpt", "value": "Blue "},
             "rejected": {"from": "gpt", "value": "Red"}},
        ),
        ("ms-swift", {}, {"messages": [*ASK, *message_list("Blue ")], "rejected_response": "Red"}),
        ("ms-swift", {"margins": True},
         {"messages": [*ASK, *message_list("Blue ")], "rejected_response": "Red", "margin": 2.0}),
        ("verl-rm", {}, {"prompt": CHATML, "chosen": "Blue ", "rejected": "Red"}),
        ("verl-rm", {"template": "llama3"}, {"prompt": LLAMA3, "chosen": "Blue ", "rejected": "Red"}),
        ("axolotl", {}, {"prompt": ASK, "chosen": message_list("Blue"), "rejected": message_list("Red")}),
    ],
)  # fmt: skip
def test_a_text_pair(name, options, record):
    form = made(name, **options)
    found = form.record(pair(TEXT), *([None] if name == "llama-factory" else []))
    names = form.schema().names if name.startswith("trl") else found
    expected = record if name == "axolotl" else {"pair_id": "p", **record}
    assert {one: found[one] for one in names} == expected
    assert form.fault(pair(TEXT)) is None


SHOWN = seen("Look: ", "<image>", " or ", "<video>", "?", media=(0, 2), images=(b"a", b"b", b"c"))
TAGGED = "Look: <image> or <image><image>?"
PARTS = [{"bytes": b"a", "path": "k0"}, {"bytes": b"b", "path": "k1"}, {"bytes": b"c", "path": "k2"}]
PLACE = {"type": "image", "text": None}


def test_images_are_at_their_places_and_a_video_is_its_frames(tmp_path):
    read = pair(SHOWN)
    assert (read.videos, read.images) == (1, [Image("k0", b"a"), Image("k1", b"b"), Image("k2", b"c")])
    found = {name: made(name, media=True) for name in ("trl", "llama-factory", "ms-swift")}
    assert {form.fault(read) for form in found.values()} == {None}
    question = [*blocks("Look: "), PLACE, *blocks(" or "), PLACE, PLACE, *blocks("?")]
    trl = found["trl"].record(read)
    assert (trl["prompt"], trl["images"]) == ([{"role": "user", "content": question}], PARTS)
    assert trl["chosen"] == message_list(blocks("A cat"))
    factory = found["llama-factory"].record(read, tmp_path)
    names = ["images/k0/k0.img", "images/k1/k1.img", "images/k2/k2.img"]
    assert (factory["conversations"], factory["images"]) == ([{"from": "human", "value": TAGGED}], names)
    assert [(tmp_path / name).read_bytes() for name in names] == [b"a", b"b", b"c"]
    assert made("llama-factory", media=True, images="embed").record(read, tmp_path)["images"] == PARTS
    swift = found["ms-swift"].record(read)
    assert (swift["messages"], swift["images"]) == ([*message_list(TAGGED, "user"), *message_list("A cat")], PARTS)
    assert made("verl-rl", media=True).record(read, 7) == {
        "data_source": "s",
        "prompt": message_list(TAGGED, "user"),
        "ability": "preference",
        "reward_model": {"style": "model", "ground_truth": "A cat"},
        "extra_info": {"index": 7, "pair_id": "p", "prompt": message_list(TAGGED, "user")},
        "images": [{"bytes": b"a"}, {"bytes": b"b"}, {"bytes": b"c"}],
    }
    assert made("trl", media=True, videos="drop").fault(read) == "videos"


CALL = {"type": "function", "id": None, "function": {"name": "f", "arguments": '{"x": 1}'}}
CALLED = row(
    message_list("Go", "user", **NULLS),
    message_list("", **NULLS | {"tool_calls": [CALL]}),
    message_list("No", **NULLS),
    tools="[]",
)


def calling(arguments, text="", **fields):
    """A turn that calls `f` with this text of arguments."""
    call = {"type": "function", "id": None, "function": {"name": "f", "arguments": arguments}, **fields}
    return message_list(text, **NULLS | {"tool_calls": [call]})


TWO_CALLS = [
    *message_list("Sum?", "user"),
    *message_list("Let me see.", **NULLS | {"tool_calls": [CALL | {"id": "a"}, CALL | {"id": "b"}]}),
    *message_list("second", "tool", **NULLS | {"tool_call_id": "b", "name": "f"}),
    *message_list("first", "tool", **NULLS | {"tool_call_id": "a", "name": "f"}),
]
THOUGHT = row(chosen=message_list("Yes", **NULLS | {"reasoning_content": "Hm."}))


def test_calls_and_reasoning_stay_in_trl_and_nulls_go():
    found = made("trl-text", fields=True).record(pair(CALLED))
    [turn] = found["chosen"]
    assert turn == {
        "role": "assistant", "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
    }  # fmt: skip
    assert (found["prompt"], found["tools"]) == (message_list("Go", "user"), "[]")
    assert made("trl-text", fields=True).record(pair(THOUGHT))["chosen"] == message_list(
        "Yes", reasoning_content="Hm."
    )


def test_calls_are_turns_of_their_own_in_llama_factory():
    form = made("llama-factory", fields=True)
    found = form.record(pair(CALLED), None)
    assert (found["conversations"], found["tools"]) == ([{"from": "human", "value": "Go"}], "[]")
    assert found["chosen"] == {"from": "function_call", "value": '[{"name":"f","arguments":{"x":1}}]'}
    assert found["rejected"] == {"from": "gpt", "value": "No"}
    prompt = [
        *message_list("Go", "user", **NULLS),
        *calling('{"é": [1]}', "Wait."),
        *message_list("3", "tool", **NULLS),
    ]
    found = form.record(pair(row(prompt)), None)
    assert [turn["from"] for turn in found["conversations"]] == ["human", "function_call", "observation"]
    assert found["conversations"][1]["value"] == (
        'Wait.<tool_call>[{"name":"f","arguments":{"é":[1]}}]</tool_call>'
    )
    assert found["tools"] == ""
    columns = json.loads(form.finish({"train": [None]})["dataset_info.json"])["mine"]["columns"]
    assert columns["tools"] == "tools"


def test_calls_are_turns_of_their_own_in_ms_swift():
    form, call = made("ms-swift", fields=True), '{"name":"f","arguments":{"x":1}}'
    found = form.record(pair(CALLED))
    assert found["messages"] == [*message_list("Go", "user"), *message_list(call, "tool_call")]
    assert (found["rejected_response"], found["tools"]) == (message_list("No"), "[]")
    found = form.record(pair(row(TWO_CALLS, rejected=calling('{"x": 1}'), tools='[{"name": "f"}]')))
    tail = [*message_list("Let me see."), *message_list(call, "tool_call"), *message_list(call, "tool_call")]
    tail += [*message_list("first", "tool_response"), *message_list("second", "tool_response")]
    assert found["messages"] == [*message_list("Sum?", "user"), *tail, *message_list("Blue ")]
    assert found["rejected_response"] == [*tail, *message_list(call, "tool_call")]
    assert found["tools"] == '[{"name": "f"}]'
    assert set(form.without(pair(row(TWO_CALLS)))) == {"ids_of_tool_calls"}
    assert set(form.without(pair(CALLED))) == set()


SHOWN_REPLY = row(
    message_list(blocks("Draw"), "user"),
    message_list(blocks("<image>")),
    message_list(blocks("No")),
    (0,),
    (b"a",),
)
ALL = {"trl", "trl-text", "llama-factory", "ms-swift", "openrlhf", "verl-rm", "verl-rl", "axolotl"}
TEXTS = {"trl-text", "openrlhf", "verl-rm", "axolotl"}
TAGS = {"llama-factory", "ms-swift", "verl-rl"}
ORDERED = {"llama-factory", "ms-swift"}
NO_TOOLS = ALL - {"trl", "trl-text"} - ORDERED
SINGLE = ALL - {"trl", "trl-text", "openrlhf"}


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        (seen("<image>", media=(0,), images=(b"a",)), dict.fromkeys(TEXTS, "images")),
        (seen("<video>", media=(2,), images=(b"a", b"b")), dict.fromkeys(TEXTS, "videos")),
        (SHOWN_REPLY, dict.fromkeys(TEXTS, "images") | dict.fromkeys(ALL - TEXTS, "images_in_replies")),
        (CALLED, dict.fromkeys(NO_TOOLS, "tool_calls")),
        (row([*ASK, *message_list("Hm", "tool")]),
         dict.fromkeys(NO_TOOLS, "tool_calls") | dict.fromkeys(ORDERED, "turn_order")),
        (row([*message_list("Hm", "tool"), *message_list("?", "user")]),
         dict.fromkeys(NO_TOOLS, "tool_calls") | dict.fromkeys(ORDERED, "turn_order")),
        (row(TWO_CALLS), dict.fromkeys(NO_TOOLS, "tool_calls") | {"llama-factory": "several_tool_results"}),
        (row(chosen=calling("[1]")),
         dict.fromkeys(NO_TOOLS, "tool_calls") | dict.fromkeys(ORDERED, "tool_arguments_not_an_object")),
        (row(chosen=calling("{")),
         dict.fromkeys(NO_TOOLS, "tool_calls") | dict.fromkeys(ORDERED, "tool_arguments_not_an_object")),
        (row(chosen=calling('{"x": "<image>"}')),
         dict.fromkeys(NO_TOOLS, "tool_calls") | dict.fromkeys(ORDERED, "media_tags_in_text")),
        (row(chosen=calling('{"x": "<think>"}')),
         dict.fromkeys(NO_TOOLS, "tool_calls") | {"llama-factory": "template_tokens_in_text"}),
        (row(chosen=calling("{}"), rejected=calling("{}")),
         dict.fromkeys(NO_TOOLS, "tool_calls") | {"ms-swift": "equal_replies"}),
        (THOUGHT, dict.fromkeys(ALL - {"trl", "trl-text"}, "reasoning")),
        (row(message_list("Hi", "critic")), dict.fromkeys(ALL, "roles")),
        (row([*ASK, *message_list("Well")]),
         dict.fromkeys(ALL, "prompt_ends_otherwise") | dict.fromkeys(ORDERED, "turn_order")),
        (row([]), dict.fromkeys(ALL, "prompt_ends_otherwise") | dict.fromkeys(ORDERED, "turn_order")),
        (row([*ASK, *message_list("More?", "user")]), dict.fromkeys(ORDERED, "turn_order")),
        (row(chosen=message_list("So?", "user")), dict.fromkeys(ALL, "replies")),
        (row(chosen=[*message_list("a"), *message_list("b")]), dict.fromkeys(SINGLE, "several_reply_turns")),
        (row(message_list("What is <image>?", "user")), dict.fromkeys(TAGS, "media_tags_in_text")),
        (seen("<image>", "and <video>", media=(0,), images=(b"a",)),
         dict.fromkeys(TEXTS, "images") | dict.fromkeys(TAGS, "media_tags_in_text")),
        (row(chosen=message_list("Red")), {"ms-swift": "equal_replies", "axolotl": "equal_replies"}),
        (row(chosen=message_list(" Red\n")), {"axolotl": "equal_replies"}),
        (row(chosen=message_list("user")), {"axolotl": "reply_found_in_templates"}),
        (row(rejected=message_list("Qwen")), {"axolotl": "reply_found_in_templates"}),
        (row(chosen=message_list("zß ")), {"axolotl": "reply_found_in_templates"}),
        (row(chosen=message_list("<think>Hm.</think>Yes")), {"axolotl": "reasoning"}),
        (row([*message_list(blocks("<image>"), "system"), *message_list(blocks("What?"), "user")],
             message_list(blocks("A cat")), message_list(blocks("A dog")), (0,), (b"a",)),
         dict.fromkeys(TEXTS, "images") | {"llama-factory": "images_in_system_turn"}),
        (row(rejected=message_list(" \n")), {"axolotl": "empty_replies"}),
        (row(message_list("a<|im_end|>", "user")), {"verl-rm": "template_tokens_in_text"}),
        (row(message_list("a<|eot_id|>", "user")), {}),
    ],
)  # fmt: skip
def test_what_a_format_cannot_carry_has_a_reason(given, faults):
    read = pair(given)
    found = {name: made(name, media=True, fields=True).fault(read) for name in FORMATS}
    assert {name: reason for name, reason in found.items() if reason} == faults


def test_what_is_not_written_of_a_pair_is_named():
    read = pair(row(margin=1.0, rejected_score=0.0, chosen_critique="Good."))
    left = {name: set(made(name).without(read)) for name in FORMATS}
    rest = {"scores", "critiques"}
    assert left.pop("axolotl") == rest | {"margins", "whitespace_at_the_ends_of_replies"}
    assert left.pop("openrlhf") == rest
    assert left.pop("webdataset") == left.pop("mosaicml") == set()
    assert all(names == rest | {"margins"} for names in left.values())
    assert set(made("trl", margins=True).without(read)) == rest


def test_a_weight_is_carried_whole_or_counted():
    for weight in (1.0, 0.25):
        read = pair(row(weight=weight))
        lost = {name for name in FORMATS if "weights" in set(made(name).without(read))}
        assert lost == (set(FORMATS) - {"webdataset", "mosaicml"} if weight < 1 else set())
    assert plain(read)["weight"] == 0.25


def test_settings_are_what_the_trainers_read():
    facts = {"train": [None], "validation": [None]}
    info = json.loads(made("llama-factory", media=True).finish(facts)["dataset_info.json"])
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "images": "images"}
    assert info == {
        name: {"file_name": folder, "formatting": "sharegpt", "ranking": True, "columns": columns}
        for name, folder in (("mine", "train"), ("mine_validation", "validation"))
    }
    for name in FORMATS:
        texts = made(name).finish({"train": [None]})
        assert "validation" not in " ".join(texts.values()), name
        assert "validation" in " ".join(made(name).finish(facts).values()), name


def test_names_that_yaml_or_a_shell_would_change_are_quoted(tmp_path):
    form = FORMATS["llama-factory"](mix=Mixture(name="123", media=False, fields=False))
    settings = yaml.safe_load(form.finish({"train": [None], "validation": [None]})["train.yaml"])
    assert (settings["dataset"], settings["eval_dataset"]) == ("123", "123_validation")
    place = tmp_path / "my exports"
    for split in ("train", "validation"):
        (place / split).mkdir(parents=True)
        for number in range(2):
            (place / split / f"part-{number}.parquet").touch()
    script = made("verl-rl").finish({"train": [None], "validation": [None]})["train.sh"]
    printed = subprocess.run(["bash"], input=script.replace("python3 -m", "printf '%s\\n'"), cwd=place,
                           capture_output=True, text=True, check=True)  # fmt: skip
    lists = dict(line.split("=", 1) for line in printed.stdout.splitlines() if "_files=" in line)
    assert {name: yaml.safe_load(files) for name, files in lists.items()} == {
        f"data.{key}_files": [f"{place}/{split}/part-{number}.parquet" for number in range(2)]
        for key, split in (("train", "train"), ("val", "validation"))
    }


def test_a_tar_is_that_of_the_standard_library(tmp_path):
    read = pair(seen("<image>", media=(0,), images=(b"\x89PNG" + bytes(700),), extra="x" * 20_000))
    place = Place(root=tmp_path, split="train", number=0, first=8)
    (tmp_path / "train").mkdir()
    [path] = made("webdataset", media=True).write(iter([read, read]), place).files
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in (8, 9):
            for name, data in (("json", json.dumps(plain(read), separators=(",", ":")).encode()),
                               ("000.png", read.images[0].data)):  # fmt: skip
                member = tarfile.TarInfo(f"{number:09d}.{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    assert path.read_bytes() == expected.getvalue()

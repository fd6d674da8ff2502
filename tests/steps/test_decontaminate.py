"""What of benchmarks is found in the pairs: planted truth, boilerplate, images, actions, and the review sheet."""

import io
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

from curate import steps
from curate.build import build
from curate.cli import app
from curate.cli.mix import Terminal
from curate.contamination import index as indexes
from curate.contamination.eval_sets import EvalSetLibrary
from curate.contamination.strengths import recall_line
from curate.engines.local import Local
from curate.errors import ConfigError, RawError
from curate.evaluation.items import EvalSetFolders
from curate.hashing import Hashes
from curate.images.store import ImageStore
from curate.inputs import Inputs
from curate.inspect import why
from curate.pairs.pool import PairsPool
from curate.recipe import load
from curate.screening.screen import screen
from curate.screening.screened import Screened, review
from curate.workspace import Workspace
from tests.support.pairs import write_pairs
from tests.support.paths import ROWS

EVAL_ROWS = ROWS / "evalsets"
REAL = Path("/work/shared/real")
VL = REAL / "vl_rewardbench" / "unifiedreward_data.json"
HH = REAL / "hh-rlhf" / "harmless-base_test.jsonl.gz"
DICE = random.Random(7)
VOCABULARY = ["".join(DICE.choices("abcdefghijklmnopqrstuvwxyz", k=DICE.randint(3, 9))) for _ in range(3000)]


def sentence(words: int) -> str:
    return " ".join(DICE.choices(VOCABULARY, k=words)).capitalize() + "."


def text(sentences: int) -> str:
    return " ".join(sentence(DICE.randint(6, 14)) for _ in range(sentences))


def edited(original: str) -> str:
    """Another case and punctuation, sentences in another order, and about one word in twenty changed."""
    parts = [part for part in original.rstrip(".").split(". ") if part]
    DICE.shuffle(parts)
    words = " -- ".join(parts).upper().split()
    return " ".join(DICE.choice(VOCABULARY) if DICE.random() < 0.05 else word for word in words) + "!!"


def listed(library: EvalSetLibrary, **fields: Any) -> list[tuple[str, Any]]:
    return steps.bind([("decontaminate", steps.build("decontaminate", fields, "$"))], library, "$")


def library_of(home: Path, raw: Path | None = None) -> EvalSetLibrary:
    workspace = Workspace(home / "data")
    return EvalSetLibrary(folders=EvalSetFolders(workspace=workspace, raw=raw), hashes=Hashes(workspace.cache))


def pool_of(home: Path, rows: Sequence[Mapping[str, Any]], part_rows: int = 1000) -> PairsPool:
    parts = write_pairs(home, rows, part_rows=part_rows)
    return PairsPool(label=home.name, source=home.name, directory=home, priority=0, parts=parts)


def run(home: Path, rows: Sequence[Mapping[str, Any]], workers: int = 1, **fields: Any) -> Screened:
    """Screen the pairs in `home`, against eval sets in `home/raw`."""
    library = library_of(home, home / "raw")
    with Local(workers) as engine:
        images = library.folders.workspace.images
        return screen([pool_of(home / "pool", rows)], listed(library, **fields), 0, engine, images=images)


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def found(screened: Screened) -> dict[int, str]:
    """Row of the pool -> fate/reason."""
    sheet = review(screened)
    return {
        1000 * row["part"] + row["position"]: f"{row['fate']}/{row['reason']}"
        for row in sheet.iter_rows(named=True)
    }


def items(count: int) -> list[dict[str, str]]:
    return [{"prompt": text(4), "chosen": text(9), "rejected": text(9)} for _ in range(count)]


# ------------------------------------------------------------------------------------------------ planted truth


def test_planted_leaks_are_found_and_nothing_else(tmp_path: Path):
    known, hosts = items(150), items(900)
    leaks: list[tuple[str, dict[str, str]]] = []
    for item, host in zip(known, hosts, strict=False):
        leaks += [
            ("prompt", {**host, "prompt": item["prompt"]}),
            ("prompt", {**host, "prompt": edited(item["prompt"])}),
            ("prompt", {**host, "prompt": f"{text(3)} {item['prompt']} {text(3)}"}),
            ("response", {**host, "chosen": item["chosen"]}),
            ("response", {**host, "rejected": edited(item["rejected"])}),
            ("response", {**host, "chosen": f"{sentence(9)} {item['rejected']}"}),
        ]
    rows = [*(row for _, row in leaks), *hosts]
    got = found(run(tmp_path, rows, text=[jsonl(tmp_path / "items.jsonl", known)]))
    right = sum(got.get(at) == f"dropped/{reason}" for at, (reason, _) in enumerate(leaks))
    assert right / len(leaks) >= 0.98
    assert [at for at in got if at >= len(leaks)] == []


def test_evidence_names_the_item_the_share_and_the_words(tmp_path: Path):
    known = [{"id": "q-7", "prompt": f"Which of the {sentence(20)}", "response": text(5)}]
    rows = [
        {"prompt": f"{text(2)} {known[0]['prompt'].upper()}"},
        {"chosen": known[0]["response"]},
        {"prompt": text(5)},
    ]
    screened = run(tmp_path, rows, text=[jsonl(tmp_path / "my items.jsonl", known)])
    first, second = screened.pools[0].decisions.rows(named=True)
    assert (
        first["evidence"] == f"my_items.jsonl q-7: 100% of its prompt in prompt: {known[0]['prompt'].upper()[:-1]}"
    )
    assert second["evidence"].startswith(
        f"my_items.jsonl q-7: 100% of its reply 1 in chosen: {known[0]['response'][:99]}"
    )
    assert (first["score"], second["score"]) == (1.0, 1.0)
    assert screened.pools[0].funnel.dropped == {"decontaminate/prompt": 1, "decontaminate/response": 1}


def test_boilerplate_is_no_hit_and_a_question_without_its_template_is(tmp_path: Path):
    before, after = text(3), text(3)
    questions = [sentence(24) for _ in range(150)]
    known = [{"prompt": f"{before} {question} {after}"} for question in questions]
    rows = [
        {"prompt": f"{before} {sentence(24)} {after}"},  # the template about something else
        {"prompt": questions[3]},
        {"prompt": before},
        {"prompt": known[5]["prompt"]},
    ]
    got = found(run(tmp_path, rows, text=[jsonl(tmp_path / "items.jsonl", known)]))
    assert got == {1: "dropped/prompt", 3: "dropped/prompt"}


def test_what_the_corpus_repeats_everywhere_is_no_hit(tmp_path: Path):
    common, rare = sentence(20), sentence(20)
    rows = [{"prompt": f"{common} {sentence(12)}"} for _ in range(1200)] + [{"prompt": rare}]
    got = found(
        run(tmp_path, rows, text=[jsonl(tmp_path / "items.jsonl", [{"prompt": common}, {"prompt": rare}])])
    )
    assert got == {1200: "dropped/prompt"}


def test_short_prompts_must_be_all_of_a_turn_and_trivial_ones_say_nothing(tmp_path: Path):
    known = [{"text": original} for original in ("Hi", "yes, go on", "Who wrote the Tale of Genji?")]
    rows = [
        {"prompt": "hi!"},
        {"prompt": "Yes go on"},
        {"prompt": "WHO wrote the \u201ctale of Genji\u201d"},
        {"prompt": f"Who wrote the Tale of Genji? {sentence(9)}"},
        {"prompt": "Who wrote the Tale of Heike?"},
    ]
    got = found(run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", known)]))
    assert got == {2: "dropped/prompt", 3: "flagged/short_prompt"}


def test_a_short_question_and_a_short_answer_of_one_item_are_a_leak_together(tmp_path: Path):
    known = [
        {"prompt": "What is pictured?", "response": f"It is {sentence(8)}"},
        {"prompt": "And here?", "response": "No."},
    ]
    rows = [
        {"prompt": known[0]["prompt"], "rejected": known[0]["response"]},
        {"prompt": known[0]["prompt"], "rejected": "It is something else."},
        {"prompt": "Then what?", "rejected": known[0]["response"]},
        {"prompt": known[1]["prompt"], "rejected": known[1]["response"]},
    ]
    assert found(run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", known)])) == {0: "dropped/prompt"}


def test_a_text_file_of_lines(tmp_path: Path):
    lines = [sentence(15), sentence(16)]
    (tmp_path / "lines.txt").write_text("\n\n".join(lines))
    rows = [{"prompt": lines[0]}, {"chosen": lines[1]}, {"rejected": sentence(15)}]
    got = found(run(tmp_path, rows, text=[str(tmp_path / "lines.txt")]))
    assert got == {0: "dropped/prompt", 1: "dropped/response"}


# ------------------------------------------------------------------------------------------------ images


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)


def encode(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **({"compress_level": 1} | options))
    return out.getvalue()


def benchmark_with_images(home: Path) -> list[str]:
    """VL-RewardBench with 40 images, on disk; the prompts."""
    folder = home / "raw" / "vl_rewardbench"
    (folder / "images").mkdir(parents=True)
    prompts = ["Describe this image in detail." if i < 20 else f"What {sentence(16)}" for i in range(40)]
    rows = []
    for i, prompt in enumerate(prompts):
        (folder / "images" / f"{i}.png").write_bytes(encode(picture(i)))
        rows.append(
            {"id": f"wildvision-{i}", "query": prompt, "response": [text(4), text(4)], "human_ranking": [0, 1],
             "image": f"images/{i}.png"}
        )  # fmt: skip
    (folder / "data.json").write_text(json.dumps(rows))
    return prompts


def stored(home: Path, images: Sequence[bytes]) -> list[str]:
    """The keys of images, which are then in the store."""
    with ImageStore(home / "data" / "images").writer() as writer:
        return [writer.put(data).key for data in images]


def test_the_images_and_the_prompts_beside_them_make_the_reason(tmp_path: Path):
    prompts = benchmark_with_images(tmp_path)
    same = stored(tmp_path, [encode(picture(i)) for i in range(40)])
    copies = stored(
        tmp_path, [encode(picture(i).resize((200 + 4 * i, 150 + 3 * i)), "JPEG", quality=60) for i in range(40)]
    )
    others = stored(tmp_path, [encode(picture(100 + i)) for i in range(40)])
    rows = [
        *({"prompt": prompts[i], "media": [same[i]]} for i in range(40)),
        *({"prompt": prompts[i], "media": [copies[i]]} for i in range(40)),
        *({"prompt": f"Why {sentence(6)}", "media": [(same, copies)[i % 2][i]]} for i in range(40)),
        *({"prompt": prompts[i], "media": [others[i]]} for i in range(20)),  # the plain question about others
        *({"prompt": prompts[i], "media": [others[i]]} for i in range(20, 40)),
    ]
    screened = run(tmp_path, rows, against=["vl_rewardbench"])
    expected = ["dropped/prompt_media"] * 80 + ["flagged/media_only"] * 40 + [None] * 20 + ["dropped/prompt"] * 20
    got = found(screened)
    assert [got.get(at) for at in range(len(rows))] == expected
    sheet = {1000 * row["part"] + row["position"]: row for row in review(screened).iter_rows(named=True)}
    assert "wildvision-3#" in sheet[3]["evidence"]
    assert sheet[3]["evidence"].endswith(
        f"100% of its prompt in prompt, beside its image {same[3]}: Describe this image in detail."
    )
    assert sheet[80]["evidence"].endswith(f": its image, {same[0]}")
    assert sheet[81]["evidence"].endswith(f": a copy of its image, {copies[1]}")
    assert screened.pools[0].funnel.kept == 60


def test_a_directory_of_images_of_the_users_own(tmp_path: Path):
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "one.png").write_bytes(encode(picture(1)))
    (folder / "notes.md").write_text("no image")
    keys = stored(tmp_path, [encode(picture(1), "WEBP", quality=80), encode(picture(2))])
    rows = [{"media": [key]} for key in keys]
    assert found(run(tmp_path, rows, images=[str(folder)], media_only="drop")) == {0: "dropped/media_only"}


def bill(price: str) -> Image.Image:
    image = Image.new("RGB", (420, 560), "white")
    draw = ImageDraw.Draw(image)
    for row in range(12):
        text = f"{row + 2} x item {row * 31}   {price if row == 5 else row * 7919 % 9000 / 100}"
        draw.text((30, 60 + 36 * row), text, fill=0, font=ImageFont.load_default(16))
    return image


def test_squeezed_images_are_copies_and_illegible_pages_are_flagged(tmp_path: Path):
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "one.png").write_bytes(encode(picture(1)))
    (folder / "bill.png").write_bytes(encode(bill("18.50")))
    small = bill("13.50").resize((105, 140))
    images = [picture(1).resize((224, 224)), picture(1).convert("L"), small, bill("13.50")]
    rows = [{"media": [key]} for key in stored(tmp_path, [encode(image) for image in images])]
    screened = run(tmp_path, rows, images=[str(folder)], media_only="drop")
    assert found(screened) == {0: "dropped/media_only", 2: "flagged/image_look_alike"}
    assert "bill.png: cannot be told from its image, " in screened.pools[0].flags["evidence"][0]
    tolerant = run(tmp_path, rows, images=[str(folder)], tolerant=True, image_look_alike="keep")
    assert found(tolerant) == {0: "flagged/media_only", 1: "flagged/media_only"}


# ------------------------------------------------------------------------------------------------ actions


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ({}, {0: "dropped/prompt", 1: "dropped/response", 2: "dropped/prompt"}),
        ({"prompt": "flag"}, {0: "flagged/prompt", 1: "dropped/response", 2: "dropped/response"}),
        ({"prompt": "keep", "response": "flag"}, {1: "flagged/response", 2: "flagged/response"}),
        ({"prompt": "keep", "response": "keep"}, {}),
    ],
)
def test_each_reason_has_its_action(tmp_path: Path, actions: dict[str, str], expected: dict[int, str]):
    known = [{"prompt": sentence(30), "response": sentence(30)}]
    rows = [
        {"prompt": known[0]["prompt"]}, {"chosen": known[0]["response"]},
        {"prompt": known[0]["prompt"], "chosen": known[0]["response"]}, {"prompt": sentence(30)},
    ]  # fmt: skip
    screened = run(tmp_path, rows, text=[jsonl(tmp_path / "t.jsonl", known)], **actions)
    assert found(screened) == expected
    assert screened.pools[0].funnel.kept == 4 - sum(fate.startswith("dropped") for fate in expected.values())


def sketches(home: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (home / "pool" / "sketches").rglob("*.arrow")}


def test_a_changed_threshold_or_action_reads_no_text_again(tmp_path: Path):
    original = sentence(40)
    known, rows = [{"prompt": original}], [{"prompt": " ".join(original.split()[:32])}]
    path = jsonl(tmp_path / "t.jsonl", known)
    assert found(run(tmp_path, rows, text=[path])) == {0: "dropped/prompt"}
    before = sketches(tmp_path)
    index = {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "cache").rglob("*.npy")}
    library = library_of(tmp_path)
    (tmp_path / "pool").rename(tmp_path / "same")
    pool = PairsPool(
        label="same", source="same", directory=tmp_path / "same", priority=0, parts=("part-00000.parquet",)
    )
    for fields, expected in (({"share": 0.9}, {}), ({"prompt": "flag"}, {0: "flagged/prompt"})):
        assert found(screen([pool], listed(library, text=[path], **fields), 0, Local())) == expected
    (tmp_path / "same").rename(tmp_path / "pool")
    assert (len(before), sketches(tmp_path)) == (1, before)
    assert {path: path.stat().st_mtime_ns for path in index} == index


def test_order_parts_and_workers_change_nothing(tmp_path: Path):
    known, hosts = items(20), items(60)
    rows = [{**host, "row": f"r{i}"} for i, host in enumerate(hosts)]
    for item, row in zip(known, rows, strict=False):
        row["prompt"] = edited(item["prompt"])
    path = jsonl(tmp_path / "t.jsonl", known)
    shuffled = random.Random(1).sample(rows, len(rows))
    sheets = []
    for name, some, workers, part_rows in (("a", rows, 1, 1000), ("b", shuffled, 2, 7)):
        library = library_of(tmp_path / name)
        with Local(workers) as engine:
            pool = pool_of(tmp_path / name / "pool", some, part_rows=part_rows)
            sheets.append(review(screen([pool], listed(library, text=[path]), 0, engine)))
    left, right = (sheet.drop("part", "position").sort("pair_id") for sheet in sheets)
    assert left.height >= 19
    assert left.equals(right)


# ------------------------------------------------------------------------------------------------ what is read


def test_all_is_the_seven_eval_sets_with_all_their_data_splits(tmp_path: Path):
    shutil.copytree(EVAL_ROWS, tmp_path / "raw")
    claude = tmp_path / "raw" / "judgebench" / "data" / "claude-00000.jsonl"
    claude.write_text(json.dumps({
        "pair_id": "c", "source": "livebench-math", "question": "Q?", "response_A": "a", "response_B": "b",
        "label": "A>B",
    }))  # fmt: skip
    ((_, step),) = listed(library_of(tmp_path, tmp_path / "raw"), against="all")
    index = indexes.load(step.protected)
    assert dict(index.entries["of"].value_counts().sort("of").rows()) == {
        "judgebench": 5 + 1, "mm_rlhf_rewardbench": 8, "multimodal_rewardbench": 9, "rewardbench": 9,
        "rewardbench2": 10, "rm_bench": 5, "vl_rewardbench": 7,
    }  # fmt: skip


def test_sets_that_are_not_here_are_named_in_one_line(tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        listed(library_of(tmp_path), against=["rm_bench", "judgebench"])
    assert str(error.value) == (
        "$.steps.decontaminate.against: rm_bench, judgebench not fetched; expected the raw files of the eval sets"
    )
    assert error.value.hint == "curate fetch rm_bench judgebench"
    with pytest.raises(ConfigError) as error:
        listed(library_of(tmp_path), text=["none.txt"])
    assert str(error.value) == (
        "$.steps.decontaminate.text: none.txt: no such file; expected a .txt, JSONL, CSV or Parquet file of texts"
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "$: against, text and images are empty; name eval sets in against, or `all`"),
        ({"against": "all", "share": 0.2}, "$: share is 0.2; it is 0.35 to 1"),
        ({"against": "all", "prompt": "remove"}, "$.prompt: found text 'remove'; expected drop or flag or keep"),
    ],
)
def test_a_recipe_that_makes_no_sense(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as error:
        steps.build("decontaminate", fields, "$")
    assert str(error.value) == message


def test_plan_names_an_unknown_eval_set(tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    text = "name: clean\nsources: {mmpr: {rows: 10}}\nsteps: [{decontaminate: {against: [%s]}}]\n"
    recipe.write_text(text % "rm_bank")
    done = CliRunner().invoke(app, ["plan", str(recipe), "--workspace", str(tmp_path)])
    assert str(done.exception) == (
        f"{recipe}: $.steps.decontaminate.against: no eval set is called 'rm_bank'; expected "
        "a bundled eval set or a manifest"
    )
    assert isinstance(done.exception, ConfigError)
    assert done.exception.hint.startswith("did you mean rm_bench")
    recipe.write_text(text % "rm_bench")
    done = CliRunner().invoke(app, ["plan", str(recipe), "--workspace", str(tmp_path)])
    assert done.exit_code == 0, done.output


def test_unknown_names_and_files(tmp_path: Path):
    library = library_of(tmp_path)
    with pytest.raises(ConfigError, match="no eval set is called 'rm_bank'") as error:
        listed(library, against=["rm_bank"])
    assert error.value.where == "$.steps.decontaminate.against"
    with pytest.raises(
        ConfigError, match=r"nothing\.txt: no such file; expected a \.txt, JSONL, CSV or Parquet file of"
    ):
        listed(library, text=[str(tmp_path / "nothing.txt")])
    with pytest.raises(ConfigError, match="nowhere: no such directory; expected a directory of images"):
        listed(library, images=[str(tmp_path / "nowhere")])
    path = jsonl(tmp_path / "odd.jsonl", [{"sentence": "x"}])
    with pytest.raises(RawError) as odd:
        run(tmp_path, [{}], text=[path])
    assert str(odd.value).startswith(
        f"{path}:1: columns sentence; expected a text in one of text, prompt, question,"
    )


def test_a_damaged_sketch_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = jsonl(tmp_path / "t.jsonl", [{"text": sentence(20)}])
    run(tmp_path, [{}], text=[path])
    (damaged,) = (tmp_path / "pool" / "sketches").rglob("*.arrow")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:40])
    run(tmp_path, [{}], text=[path])
    assert (damaged.read_bytes(), caplog.messages) == (whole, [f"{damaged}: damaged, so it is made again"])


# ------------------------------------------------------------------------------------------------ a whole mix

RECIPE = """
name: clean
sources: {mine: {all: true}}
steps:
  - decontaminate: {text: [%s], response: flag}
"""


def test_a_mix_says_what_it_dropped_and_flagged_and_depends_on_what_is_read(tmp_path: Path):
    known = items(3)
    own = items(20)
    own[4]["prompt"], own[7]["chosen"] = known[0]["prompt"], known[1]["rejected"]
    jsonl(tmp_path / "raw" / "mine" / "rows.jsonl", own)
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "mine.yaml").write_text('adapter: preference\nfiles: ["*.jsonl"]\n')
    private = tmp_path / "private.jsonl"
    jsonl(private, known)

    def made() -> Any:
        (tmp_path / "clean.yaml").write_text(RECIPE % private)
        inputs = Inputs(
            workspace=Workspace(tmp_path / "data"), raw=tmp_path / "raw", manifests=tmp_path / "manifests"
        )
        return build(load(tmp_path / "clean.yaml"), inputs, Local(), Terminal())

    first = made()
    account = first.lock["funnel"]["mine"]
    assert (account["dropped"], account["kept"], first.lock["rows"]) == ({"decontaminate/prompt": 1}, 19, 19)
    counts = {"by_picture": 0, "by_neither": 0, "pictures_missing": 0}
    assert first.lock["decontamination"] == {
        "private.jsonl": {"dropped": 1, "flagged": 1, "items": 3, "by_words": 3, "by_reply": 3, **counts}
    }
    card = (first.directory / "README.md").read_text()
    assert f"Items of benchmarks may be left: {recall_line(0.5)}; 0 of 3 items can be found neither by" in card
    sheet = pl.read_parquet(first.directory / "review.parquet")
    assert sheet.select("fate", "pool", "step", "reason", "row").rows() == [
        ("dropped", "mine", "decontaminate", "prompt", "rows.jsonl:5"),
        ("flagged", "mine", "decontaminate", "response", "rows.jsonl:8"),
    ]
    history = why.pair_history(sheet["pair_id"][1], Workspace(tmp_path / "data"))
    lines = why.history_lines(history)
    assert lines[-2] == "  flagged: decontaminate/response, score 1 (mine, rows.jsonl:8)"
    assert lines[-1].startswith("    private.jsonl 2: 100% of its reply 2 in chosen: ")
    assert history["mixes"][0]["outcome"] == "selected"

    private = private.rename(tmp_path / "data" / "private.jsonl")  # where it lies does not matter
    assert made().fresh is False
    jsonl(private, known[:1])
    second = made()
    assert (second.fresh, second.lock["fingerprint"] != first.lock["fingerprint"]) == (True, True)
    assert second.lock["decontamination"] == {
        "private.jsonl": {"dropped": 1, "flagged": 0, "items": 1, "by_words": 1, "by_reply": 1, **counts}
    }


def test_a_changed_file_of_an_eval_set_makes_another_step(tmp_path: Path):
    raw = tmp_path / "raw"
    shutil.copytree(EVAL_ROWS / "rm_bench", raw / "rm_bench")

    def identity() -> Any:
        return steps.identity(listed(library_of(tmp_path, raw), against=["rm_bench"])[0][1])

    first = identity()
    reasons = ["image_look_alike", "media_only", "passage", "prompt", "prompt_media", "response", "short_prompt"]
    assert sorted(first) == sorted([*reasons, "stock_reply", "index", "share", "tolerant", "version"])
    assert identity() == first
    file = raw / "rm_bench" / "total_dataset.json"
    file.write_text(file.read_text() + " ")
    assert identity() != first


# ------------------------------------------------------------------------------------------------ real rows


@pytest.mark.skipif(not VL.exists() or not HH.exists(), reason=f"no real rows: {VL} or {HH} is not there")
def test_real_vl_rewardbench_in_real_and_planted_rows(tmp_path: Path):
    import gzip

    folder = tmp_path / "raw" / "vl_rewardbench"
    folder.mkdir(parents=True)
    shutil.copy(VL, folder / "data.json")
    real = json.loads(VL.read_text())
    assert len(real) == 1250
    povid = json.loads((REAL / "povid_readme" / "povid_example.json").read_text())[0]
    turns = povid["conversations"], povid["rejected_conversations"]
    plain = {
        "prompt": "Describe this image in detail.",
        "chosen": turns[0][1]["value"],
        "rejected": turns[1][1]["value"],
    }
    # as POVID and RLAIF-V have them: the item's own question with both replies, in either order
    rows: list[dict[str, Any]] = [
        {"prompt": row["query"], "chosen": row["response"][i % 2], "rejected": row["response"][1 - i % 2]}
        for i, row in enumerate(real)
    ]
    with gzip.open(HH, "rt") as file:
        dialogues = [json.loads(line) for line in file]
    rows += [plain, *({"prompt": row["chosen"][:2000], "chosen": "a", "rejected": "b"} for row in dialogues)]
    got = found(run(tmp_path, rows, against=["vl_rewardbench"]))
    assert sum(at < 1250 for at in got) / 1250 >= 0.98
    assert len([at for at in got if at >= 1250]) <= 1  # a short reply ("On the left side of the ...")

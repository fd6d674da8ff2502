"""The seven eval sets in their own files and sizes; VL-RewardBench has its real texts where there are any."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from blend_text import Examiner

from curate.evalsets.rewardbench import SECTIONS

REAL = Path(__file__).parents[2] / "shared/real/vl_rewardbench/unifiedreward_data.json"
BOILERPLATE = (
    "If you cannot determine the correct multiple-choice answer, take your best guess. Once you have your answer, "
    "please duplicate that letter five times in a single string. For example, if it is K, then write KKKKK."
)
MULTIMODAL_IMAGES = 1000  # of 4,711 items: several ask about one picture
KINDS = {"mcq": (10, 42), "long": (10, 37), "short": (10, 34), "safety": (6, 32), "video": (10, 25)}
"""Of MM-RLHF-RewardBench: ids and pairs."""

FRAMES = 8


class Item(NamedTuple):
    """One item: `images` are names of drawings (frames of a video), `row` is upstream's."""

    of: str
    prompt: str
    replies: tuple[str, ...]
    images: tuple[str, ...]
    row: dict[str, Any]


def _voice(of: str, number: int) -> Examiner:
    return Examiner("exam", of, number)


def rewardbench() -> Iterable[Item]:
    """2,985 pairs in the numbers of their subsets."""
    counts = {name: int(count) for parts in SECTIONS.values() for name, count in parts.items()} | {"math-prm": 447}
    names = [name for name, count in counts.items() for _ in range(count)]
    for number, subset in enumerate(names):
        voice = _voice("rewardbench", number)
        prompt, chosen, rejected = voice.say(300, 60), voice.say(900), voice.say(900)
        row = {
            "prompt": prompt, "chosen": chosen, "chosen_model": "model-a", "rejected": rejected,
            "rejected_model": "model-b", "subset": subset, "id": number,
        }  # fmt: skip
        yield Item("rewardbench", prompt, (chosen, rejected), (), row)


def rewardbench2() -> Iterable[Item]:
    """1,865 prompts, one reply chosen and three rejected."""
    for number in range(1865):
        voice = _voice("rewardbench2", number)
        subset = ("Factuality", "Precise IF", "Math", "Safety", "Focus")[number % 5]
        prompt, replies = voice.say(360, 60), [voice.say(1500) for _ in range(4)]
        row = {
            "id": str(number), "prompt": prompt, "chosen": replies[:1], "rejected": replies[1:], "num_correct": 1,
            "num_incorrect": 3, "total_completions": 4, "models": ["m"] * 4, "subset": subset,
            "additional_metadata": None,
        }  # fmt: skip
        yield Item("rewardbench2", prompt, tuple(replies), (), row)


def rm_bench() -> Iterable[Item]:
    """1,327 prompts, three replies chosen and three rejected."""
    for number in range(1327):
        voice = _voice("rm_bench", number)
        domain = ("chat", "code", "math", "safety-refuse", "safety-response")[number % 5]
        prompt, replies = voice.say(340, 60), [voice.say(1400) for _ in range(6)]
        row = {
            "id": f"{domain}-{number}", "prompt": prompt, "chosen": replies[:3], "rejected": replies[3:],
            "domain": domain,
        }  # fmt: skip
        yield Item("rm_bench", prompt, tuple(replies), (), row)


def judgebench() -> Iterable[Item]:
    """350 and 270 pairs; 91 questions are in both, and most end in one template."""
    for number in range(620):
        split = "gpt" if number < 350 else "claude"
        question_number = number if number < 529 else number - 529
        question = f"{_voice('judgebench', question_number).say(1100, 120)}\n\n{BOILERPLATE}"
        voice = _voice("judgebench reply", number)
        replies = voice.say(1700), voice.say(1700)
        row = {
            "pair_id": f"{split}-{number}", "original_id": str(question_number), "source": "mmlu-pro-math",
            "question": question, "response_model": split, "response_A": replies[0], "response_B": replies[1],
            "label": ("A>B", "B>A")[number % 2],
        }  # fmt: skip
        yield Item("judgebench", question, replies, (), row)


def vl_rewardbench() -> Iterable[Item]:
    """1,250 pairs; their pictures are drawn."""
    for row in _vl_rows():
        image = f"e/vl_rewardbench/{Path(row['image']).stem}.jpg"
        row["image"] = f"images/{Path(image).name}"
        yield Item("vl_rewardbench", row["query"], tuple(row["response"]), (image,), row)


def _vl_rows() -> list[dict[str, Any]]:
    if REAL.exists():
        rows: list[dict[str, Any]] = json.loads(REAL.read_text(encoding="utf-8"))
        return rows
    prefixes = ("hallucination_pair", "RLAIF", "mathverse", "mmmu_pro_test_Finance", "wildvision-battle")
    voices = [_voice("vl_rewardbench", number) for number in range(1250)]
    return [
        {
            "id": f"{prefixes[number % 5]}-{number}",
            "query": "Describe this image in detail." if number % 3 == 0 else voice.say(140),
            "response": [voice.say(600), voice.say(600)],
            "image": f"images/{number}.png",
            "human_ranking": [0, 1],
        }
        for number, voice in enumerate(voices)
    ]


def multimodal_rewardbench() -> Iterable[Item]:
    """4,711 pairs."""
    kinds = ("correctness", "preference", "knowledge", "reasoning", "safety", "vqa")
    for number in range(4711):
        voice = _voice("multimodal_rewardbench", number)
        image = f"e/multimodal_rewardbench/{number * 7919 % MULTIMODAL_IMAGES:04d}.jpg"
        prompt, replies = voice.say(330, 40), (voice.say(600), voice.say(600))
        row = {
            "ID": f"item_{number}", "Text": prompt, "Image": f"images/{Path(image).name}", "Output1": replies[0],
            "Output2": replies[1], "Better": f"Output{1 + number % 2}",
            "Category": f"open_generation/{kinds[number % 6]}_task",
        }  # fmt: skip
        yield Item("multimodal_rewardbench", prompt, replies, (image,), row)


def mm_rlhf_rewardbench() -> Iterable[Item]:
    """170 pairs of 46 ids."""
    for kind, (ids, pairs) in KINDS.items():
        for number in range(pairs):
            name = f"{kind}/{kind}-{number % ids}"
            voice, other = _voice("mm_rlhf_rewardbench", number % ids * 10 + len(kind)), _voice(name, number)
            prompt, replies = voice.say(200, 80), (other.say(900), other.say(900))
            video = kind == "video"
            frames = [f"{name}/{frame:04d}.jpg" for frame in range(FRAMES)] if video else [f"{name}.jpg"]
            row = {
                "id": name, "video" if video else "image": name if video else f"{name}.jpg", "prompt": prompt,
                "chosen": replies[0], "rejected": replies[1], "chosen_reason": "", "rejected_reason": "",
            }  # fmt: skip
            images = tuple(f"e/mm_rlhf_rewardbench/{frame}" for frame in frames)
            yield Item("mm_rlhf_rewardbench", prompt, replies, images, row)


SETS: tuple[Callable[[], Iterable[Item]], ...] = (
    rewardbench, rewardbench2, rm_bench, judgebench, vl_rewardbench, multimodal_rewardbench, mm_rlhf_rewardbench,
)  # fmt: skip


@cache
def items() -> tuple[Item, ...]:
    """All items of all sets, always in one order."""
    return tuple(item for made in SETS for item in made())


@cache
def of(*names: str) -> tuple[Item, ...]:
    """The items of some sets."""
    return tuple(item for item in items() if item.of in names)


# ------------------------------------------------------------------------------------------------------- the files


def write(raw: Path, drawn: Path) -> None:
    """All sets below `raw`, with their pictures out of `drawn`."""
    rows = {made.__name__: [item.row for item in of(made.__name__)] for made in SETS}
    _parquet(raw / "rewardbench/data/filtered-00000-of-00001.parquet", rows["rewardbench"])
    _parquet(raw / "rewardbench2/data/test-00000-of-00001.parquet", rows["rewardbench2"])
    _write(raw / "rm_bench/total_dataset.json", orjson.dumps(rows["rm_bench"]))
    for split in ("gpt", "claude"):
        some = [row for row in rows["judgebench"] if row["response_model"] == split]
        _write(raw / f"judgebench/data/{split}-00000-of-00001.jsonl", _lines(some))
    _write(raw / "vl_rewardbench/data.json", orjson.dumps(rows["vl_rewardbench"]))
    _write(raw / "multimodal_rewardbench/data/all_data.json", orjson.dumps(rows["multimodal_rewardbench"]))
    _write(raw / "mm_rlhf_rewardbench/mm_reward_bench.jsonl", _lines(rows["mm_rlhf_rewardbench"]))
    folders = {
        "multimodal_rewardbench": "data/images",
        "vl_rewardbench": "images",
        "mm_rlhf_rewardbench": "images",
    }
    for name, folder in folders.items():
        for image in sorted({image for item in of(name) for image in item.images}):
            inner = image.removeprefix(f"e/{name}/")
            _write(raw / name / folder / inner, (drawn / image).read_bytes())


def _lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)

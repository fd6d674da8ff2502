"""Writes the test rows of the sources that appeared after BaseReward: python tests/rows/write_recent.py

What must come out of them is in tests/rows/<source>.yaml. The same script gives the same bytes each time.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from formats import (
    IMAGE,
    SAID,
    TEXT,
    TURNS,
    embedded,
    human,
    image,
    put,
    put_json,
    put_jsonl,
    put_parquet,
    users,
    zipped,
)

ROWS = Path(__file__).parent


def main() -> None:
    """Write all of them anew."""
    for write in WRITERS:
        shutil.rmtree(ROWS / write.__name__, ignore_errors=True)
        write(ROWS / write.__name__)


def _wildchat(*texts: str) -> list[dict[str, Any]]:
    """Messages with the null keys of WildChat, as in Dolci."""
    return [turn | {"country": None, "hashed_ip": None, "toxic": None} for turn in users(*texts)]


WILDCHAT = pa.list_(
    pa.struct([*((name, TEXT) for name in ("content", "role", "country", "hashed_ip")), ("toxic", pa.bool_())])
)
DOLCI = [
    ("chosen", WILDCHAT), ("rejected", WILDCHAT), ("chosen_model", TEXT), ("rejected_model", TEXT),
    ("prompt_id", TEXT), ("preference_type", TEXT),
]  # fmt: skip


def dolci_instruct(raw: Path) -> None:
    def row(chosen: Any, rejected: Any, kind: str | None = "delta_learning") -> dict[str, Any]:
        return {"chosen": chosen, "rejected": rejected, "chosen_model": "Qwen3-32B", "rejected_model": "Qwen3-0B",
                "prompt_id": "p1", "preference_type": kind}  # fmt: skip

    user_text = "Name a prime."
    rows = [
        row(_wildchat(user_text, "Seven."), _wildchat(user_text, "Eight.")),
        row(_wildchat("Hi", "Hello", user_text, "2"), _wildchat("Hi", "Hello", user_text, "4"), "gpt_judged"),
        row(_wildchat(user_text, "Seven."), _wildchat("Name a square.", "Nine."), None),
        row(_wildchat(user_text), _wildchat(user_text, "Nine.")),
    ]
    put_parquet(raw / "data/train-00000-of-00004.parquet", DOLCI, rows)


def dolci_think(raw: Path) -> None:
    good, bad = _wildchat("2 + 2?", "<think>Two and two.</think>4"), _wildchat("2 + 2?", "<think></think>5")
    row = {"chosen": good, "rejected": bad, "chosen_model": None, "rejected_model": None, "prompt_id": None,
           "preference_type": None}  # fmt: skip
    put_parquet(raw / "data/train-00000-of-00008.parquet", DOLCI, [row])


BLOCKS = pa.list_(
    pa.struct([
        ("role", TEXT),
        ("content", pa.list_(pa.struct([(name, TEXT) for name in ("type", "text", "image", "mimeType")]))),
    ])
)  # fmt: skip


def _blocks(*texts: str, kind: str = "text") -> list[dict[str, Any]]:
    return [
        turn | {"content": [{"type": kind, "text": turn["content"], "image": None, "mimeType": None}]}
        for turn in users(*texts)
    ]


def arena_140k(raw: Path) -> None:
    def row(number: int, winner: str | None, a: Any, b: Any, **given: Any) -> dict[str, Any]:
        return {"id": f"r{number}", "model_a": "alpha", "model_b": "beta", "winner": winner,
                "evaluation_session_id": "s", "evaluation_order": number, "conversation_a": a, "conversation_b": b,
                "language": "en", "is_code": False} | given  # fmt: skip

    a, b = _blocks("Sort it.", "a, b"), _blocks("Sort it.", "b, a")
    long_a, long_b = _blocks("Hi", "Hey", "Sort it.", "a, b"), _blocks("Hi", "Hello", "Sort it.", "b, a")
    two = _blocks("Sort it.", "a")
    two[1]["content"] = two[1]["content"] * 2
    rows = [
        row(1, "model_a", a, b),
        row(2, "model_b", a, b, is_code=True, language="pl"),
        row(3, "tie", a, b),
        row(4, "both_bad", a, b),
        row(5, "model_b", long_a, long_b),
        row(6, "tie (bothbad)", a, b),
        row(7, None, a, b),
        row(8, "model_a", a, _blocks("Sort this.", "b, a")),
        row(9, "model_a", _blocks("Sort it.", "a", kind="image"), b),
        row(10, "model_a", two, b),
        row(11, "model_a", None, b),
    ]
    schema = [*((n, TEXT) for n in ("id", "model_a", "model_b", "winner", "evaluation_session_id", "language")),
              ("evaluation_order", pa.int64()), ("is_code", pa.bool_()), ("conversation_a", BLOCKS),
              ("conversation_b", BLOCKS)]  # fmt: skip
    put_parquet(raw / "data/train-00000-of-00007.parquet", schema, rows)


def vision_arena(raw: Path) -> None:
    def row(width: int, winner: str, a: Any, b: Any, **given: Any) -> dict[str, Any]:
        return {"question_id": f"q{width}", "model_a": "gpt-4o", "model_b": "qwen-vl", "winner": winner,
                "judge": "u1", "conversation_a": a, "conversation_b": b, "num_turns": len(a) // 2,
                "language": "English", "images": [embedded(image(width, 6))],
                "categories": {"ocr": width % 2 == 0, "humor": False}} | given  # fmt: skip

    a, b = users("Read it.", "STOP"), users("Read it.", "GO")
    long_a, long_b = users("Hi", "Hey", "Read it.", "STOP"), users("Hi", "Hello", "Read it.", "GO")
    pair = [embedded(image(20, 6)), embedded(image(21, 6))]
    rows = [
        row(8, "model_a", a, b),
        row(9, "model_b", a, b),
        row(10, "tie", a, b),
        row(11, "tie (bothbad)", a, b),
        row(12, "model_b", long_a, long_b),
        row(13, "model_a", long_a, long_b, images=pair),
        row(14, "model_a", a, b, images=pair),
        row(15, "model_a", a, b, images=[]),
        row(16, "both_bad", a, b),
        row(17, "model_a", a, users("Read this.", "GO")),
    ]
    schema = [*((n, TEXT) for n in ("question_id", "model_a", "model_b", "winner", "judge", "language")),
              ("conversation_a", TURNS), ("conversation_b", TURNS), ("num_turns", pa.int64()),
              ("images", pa.list_(IMAGE)),
              ("categories", pa.struct([("ocr", pa.bool_()), ("humor", pa.bool_())]))]  # fmt: skip
    put_parquet(raw / "data/train-00000-of-00031.parquet", schema, rows)


def pku_safe_rlhf(raw: Path) -> None:
    def row(better: Any, safer: Any, **given: Any) -> dict[str, Any]:
        harms = {"Violence": False, "Privacy Violation": True}
        return {"prompt": "Where does she live?", "response_0": "I cannot say.", "response_1": "At number 7.",
                "prompt_source": "Alpaca3-8B", "response_0_source": "Alpaca3", "response_1_source": "Alpaca3",
                "is_response_0_safe": True, "is_response_1_safe": False,
                "response_0_harm_category": dict.fromkeys(harms, False), "response_1_harm_category": harms,
                "response_0_severity_level": 0, "response_1_severity_level": 2, "better_response_id": better,
                "safer_response_id": safer} | given  # fmt: skip

    rows = [row(1, 0), row(0, 0), row(-1, 0), row(True, 1), row(0, None), row(0, 1, response_1=None)]
    put_jsonl(raw / "data/Alpaca3-8B/train.jsonl", rows)
    put_jsonl(raw / "data/Alpaca-7B/train.jsonl", [row(1, 1)])
    put_jsonl(raw / "data/Alpaca-7B/test.jsonl", [row(1, 1)])


def ultrainteract(raw: Path) -> None:
    def row(texts: list[str], **given: Any) -> dict[str, Any]:
        names = {"human": "user", "gpt": "assistant"}
        trajectory = [{"from": names[turn["from"]], "value": turn["value"]} for turn in human(*texts)]
        return {"task": "Math_CoT", "dataset": "MATH", "trajectory": trajectory, "chosen": "Step 1: 4",
                "rejected": "Step 1: 5", "id": "t1_1_1", "parent_id": "t1"} | given  # fmt: skip

    rows = [
        row(["2 + 2?"]),
        row(["2 + 2?", "5", "Your answer is wrong."], id="t1_2_3", task="Math_PoT"),
        row(["2 + 2?", "5"]),
        row([]),
        row(["2 + 2?"], chosen=None),
    ]
    schema = [("task", TEXT), ("dataset", TEXT), ("trajectory", SAID), ("chosen", TEXT), ("rejected", TEXT),
              ("id", TEXT),              ("parent_id", TEXT)]  # fmt: skip
    put_parquet(raw / "0000_pair.parquet", schema, rows)


def omni_preference(raw: Path) -> None:
    def context(part: str, path: str, a: str = "A red bus.", b: str = "A tram.") -> str:
        return (f"You judge two answers.\n\n### Context\n{part} file: {path}\nQuestion: What drives here?\n"
                f"Candidate A: {a}\nCandidate B: {b}\n")  # fmt: skip

    def row(part: str, path: Any, solution: Any, prompt: str | None = None) -> dict[str, Any]:
        content = context(part.capitalize(), str(path)) if prompt is None else prompt
        judged = solution if isinstance(solution, str) else json.dumps(solution)
        paths = path if isinstance(path, list) else [path]
        return {f"{part}s": paths, "messages": [{"role": "user", "content": content}], "solution": judged}

    def verdict(better: str, a: float, b: float) -> dict[str, Any]:
        return {
            "score_A": a,
            "score_B": b,
            "better": better,
            "reasoning": "A sees the bus.",
            "final_verdict": "[[A]]",
        }

    street = "/data/rlaif-v-dataset/coco2017/street.png"
    quoting = context("Image", street, a="A bus.\nCandidate B: none")
    rows = [
        row("image", street, verdict("A", 8, 5)),
        row("image", street, verdict("B", 6, 7)),
        row("image", street, verdict("equal", 7, 7)),
        row("image", street, verdict("A", 5, 8)),
        row("image", street, verdict("C", 5, 8)),
        row("image", street, "{'score_A': 8}"),
        row("image", street, {"better": "A", "score_B": 1}),
        row("image", street, verdict("A", 8, 5), prompt=quoting),
        row("image", street, verdict("A", 8, 5), prompt="Which one is better?"),
        row("image", [street, street], verdict("A", 8, 5)),
        row("image", "/data/rlaif-v-dataset/coco2017/gone.png", verdict("A", 8, 5)),
    ]
    put_jsonl(raw / "dataset_jsonl/image/final_rl_data.jsonl", rows)
    put(raw / "rlaif-v-dataset/coco2017/street.png", image(8, 6))
    videos = [
        row("video", "/data/academic_source/Charades/2D98B.mp4", verdict("B", 6, 8)),
        row("video", "/data/academic_source/Charades/lost.mp4", verdict("B", 6, 8)),
    ]
    put_jsonl(raw / "dataset_jsonl/video/final_rl_data.jsonl", videos)
    for number in (1, 2):
        put(raw / f"video-dataset/academic_source/Charades/2D98B/{number}.png", image(8 + number, 6))


def omni_reward_data(raw: Path) -> None:
    def row(texts: list[str], images: list[str], **given: Any) -> dict[str, Any]:
        conversations = [{"from": "human", "value": value} for value in texts]
        return {"conversations": conversations, "chosen": {"from": "gpt", "value": "A lake."},
                "rejected": {"from": "gpt", "value": "A sea."}, "images": images} | given  # fmt: skip

    turn_type = pa.struct([("from", TEXT), ("value", TEXT)])
    schema = [
        ("conversations", pa.list_(turn_type)),
        ("chosen", turn_type),
        ("rejected", turn_type),
        ("images", pa.list_(TEXT)),
    ]
    subsets = {
        "Skywork-Reward-Preference": [row(["Name some water."], [])],
        "Omni-Skywork-Reward-Preference": [row(["Prefer short answers.", "Name some water."], []), row([], [])],
        "Omni-UltraFeedback": [row(["Be kind.", "Name some water."], []), row(["a", "b", "c"], [])],
        "RLAIF-V": [row(["<image>What is it?"], ["rlaifv/images/1.png"])],
        "OmniAlign-V-DPO": [row(["What is it?"], ["omnialign/images/2.png"])],
        "Omni-RLAIF-V": [
            row(["Prefer the truth.", "<image>What is it?"], ["omni_ti2t/images/3.png"]),
            row(["Prefer the truth.", "<image>What is it?"], ["omni_ti2t/images/gone.png"]),
            row(["Prefer the truth.", "<image>What is it?"], ["omni_ti2t/images/3.png"], chosen=None),
        ],
        "Omni-VLFeedback": [row(["Prefer the truth.", "What is it?"], ["images/4.png"])],
        "VideoDPO": [row(["A lake at night"], ["videodpo_image/1.png", "videodpo_image/2.png"])],
    }
    for number, (name, rows) in enumerate(subsets.items()):
        put_parquet(raw / f"{name}/train-00000-of-00001.parquet", schema, rows)
        if number in (3, 4, 5, 6):
            put(raw / f"{name}/images/{number - 2}.png", image(5 + number, 6))


def vilreward(raw: Path) -> None:
    def row(
        index: int, process: Any, value: Any, path: str = "geo/1.png", question: str = "Which angle?"
    ) -> dict[str, Any]:
        return {"index": index, "image_path": path, "question": question, "process": process, "value": value}

    rows = [
        row(1, "It looks like 40.", 0.1),
        row(2, "The sum is 180, so 60.", 0.9),
        row(3, "Perhaps 50.", 0.5),
        row(4, "Two.", 0.7, question="How many sides?"),
        row(5, "Three.", 0.7, question="How many sides?"),
        row(6, "Alone.", 0.4, "geo/2.png"),
        row(7, "Yes.", 0.8, "geo/gone.png"),
        row(8, "No.", 0.2, "geo/gone.png"),
        row(9, None, 0.9),
        row(10, "No value.", "high"),
        row(11, "Near.", 0.45, question="How far?"),
        row(12, "Far.", 0.55, question="How far?"),
    ]
    put_json(raw / "vilreward_73k_train.json", rows)
    put(raw / "images.zip", zipped({"images/geo/1.png": image(8, 6), "images/geo/2.png": image(9, 6)}))


def edit_reward(raw: Path) -> None:
    def row(width: int, vote: str | None, left: float, right: float, **given: Any) -> dict[str, Any]:
        return {"key": "k", "unique_key": f"k_{width}", "pair_index": 1, "instruction": "Make the car red.",
                "source_img": embedded(image(width, 6)), "left_output_image": embedded(image(width, 7)),
                "right_output_image": embedded(image(width, 8)), "left_model": "flux", "right_model": "step",
                "left_overall_score": left, "right_overall_score": right, "vote_type": vote} | given  # fmt: skip

    rows = [
        row(8, "leftvote", 7.0, 4.0),
        row(9, "rightvote", 3.0, 8.0),
        row(10, "tie", 5.0, 5.0),
        row(11, "leftvote", 4.0, 6.0),
        row(12, "bothbad_vote", 2.0, 2.0),
        row(13, "leftvote", 7.0, 4.0, right_output_image=None),
        row(14, "rightvote", 5.0, 5.0),
    ]
    text = ("key", "unique_key", "instruction", "left_model", "right_model", "vote_type")
    schema = [*((name, TEXT) for name in text), ("pair_index", pa.int32()), ("left_overall_score", pa.float32()),
              ("right_overall_score", pa.float32()),
              *((name, IMAGE) for name in ("source_img", "left_output_image", "right_output_image"))]  # fmt: skip
    put_parquet(raw / "data/train-00000-of-00002.parquet", schema, rows)


WRITERS = [
    dolci_instruct, dolci_think, arena_140k, vision_arena, pku_safe_rlhf, ultrainteract, omni_preference,
    omni_reward_data, vilreward, edit_reward,
]  # fmt: skip


if __name__ == "__main__":
    main()

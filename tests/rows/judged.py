"""Rows of the multimodal sources whose sides follow from a verdict, a rating or a rank."""

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from formats import (
    FOOTER,
    IMAGE,
    JUDGE,
    SAID,
    TEXT,
    TURNS,
    embedded,
    human,
    image,
    put,
    put_jsonl,
    put_parquet,
    users,
    zipped,
)


def r1_reward(raw: Path) -> None:
    question = "What stands on the table?"
    first, second = "A blue vase.\n\n1. It is tall.\n2. It is full.", "Nothing at all."

    def judged(first: str = first, second: str = second, footer: str = FOOTER) -> str:
        prompt = JUDGE.format(question=question, first=first, second=second) + footer
        return chat(prompt, "/mmu_mllm_hdd/author/data/RLAIF-V-image/vase.jpg")

    def chat(prompt: str, path: str) -> str:
        parts = [{"type": "text", "text": prompt}, {"type": "image", "image": path}]
        return json.dumps([{"role": "user", "content": parts}])

    def row(message: str, answer: list[str], picture: str | None) -> dict[str, Any]:
        return {"question": question, "message": message, "answer": answer, "image": picture}

    def coded(width: int, kind: str = "PNG") -> str:
        return base64.b64encode(image(width, 6, kind)).decode()

    one, two = ["<answer>1</answer>"], ["<answer>2</answer>"]
    cut_by_authors = "You judge fairly... <the prompt> ...#### [Response 2]:\nThe table is bare..."
    rows = [
        row(judged(), one, coded(8)),
        row(judged(), two, coded(9)),
        row(chat(cut_by_authors, "/mmu_mllm_hdd/author/cake.jpg"), two, coded(10)),
        row(judged(second="As asked:\n###### [Response 1]:\nA vase."), one, coded(11)),
        row(judged(), ["<answer>3</answer>"], coded(12)),
        row(judged(), one, None),
        row(judged(), one, "/mmu_mllm_hdd/author/data/RLAIF-V-image/vase.jpg"),
        row("[{'role': 'user'}]", one, coded(13)),
        row(judged(footer=""), two, coded(14, "JPEG")),
        row(judged(second="### Output Format\nplain"), two, "data:image/png;base64," + coded(15)),
        row(judged(), one, coded(16)[:-7]),
        row(json.dumps([{"role": "user", "content": JUDGE.format(question="", first="", second="b")}]), two, ""),
    ]
    schema = [("question", TEXT), ("message", TEXT), ("answer", pa.list_(TEXT)), ("image", TEXT)]
    put_parquet(raw / "data/train-00000-of-00001.parquet", schema, rows)


def mm_rlhf(raw: Path) -> None:
    def pair(**given: Any) -> dict[str, Any]:
        row = {"id": "s1", "image": "short/1.jpg", "video": None, "prompt": "What is this?"}
        return (
            row | {"chosen": "A hat.", "rejected": "A shoe.", "chosen_reason": "", "rejected_reason": ""} | given
        )

    pairs = [
        pair(chosen_reason="It names the hat.", rejected_reason="There is no shoe."),
        pair(chosen="A red hat.", rejected="A hat."),
        pair(id="l1", image="long/1.jpg", chosen_reason=None, prompt="Tell all."),
        pair(
            id="v1",
            image="",
            video="video/walk",
            prompt="What happens?",
            chosen="She walks.",
            rejected="She sits.",
        ),
        pair(id="v2", image=None, video="video/run/", prompt="How many frames?", chosen="Two.", rejected="Three."),
        pair(image="short/1.jpg", video="video/walk"),
        pair(image="", video=""),
        pair(video="video/none", image=None),
        pair(id="m1", image="mcq/Ã©tÃ©.png"),
        pair(id=None, image="safety/1.png"),
    ]
    put_jsonl(raw / "dpo_pairs.jsonl", pairs)

    def ranked(outputs: Any, ranking: Any, **given: Any) -> dict[str, Any]:
        row = {"id": "s1", "question": "What is this?", "image": "short/1.jpg", "video": "", "answer": None}
        return row | {"models_output": outputs, "final_ranking": ranking, "score_reasons": []} | given

    rankings = [
        ranked(["hat", "shoe", "cap"], [1, 3, 2]),
        ranked(["hat", "shoe", "cap", "boot"], [1, None, 2, None]),
        ranked(["hat", "shoe", "cap"], [1, 5, 1]),
        ranked(["hat", "shoe"], [1, 1]),
        ranked(["hat", "shoe"], [1, None]),
        ranked(["hat", "shoe"], [1]),
        ranked(["hat", "shoe"], ["2", "1"], image=None, video="video/walk"),
        ranked(["hat", "shoe"], ["best", "worst"]),
        ranked(["hat", 7], [1, 2]),
    ]
    put_jsonl(raw / "data.jsonl", rankings)
    put(raw / "short.zip", zipped({"top/short/1.jpg": image(8, 6, "JPEG")}))
    put(raw / "long.zip", zipped({"long/1.jpg": image(9, 6, "JPEG")}))
    put(raw / "mcq.zip", zipped({"mcq/Ã©tÃ©.png": image(10, 6)}))
    put(raw / "safety.zip", zipped({"1.png": image(11, 6)}))
    frames = {f"video/walk/{i}.jpg": image(12, 6 + i, "JPEG") for i in (10, 2, 1)}
    frames |= {f"video/run/{i}.jpg": image(13, 6 + i, "JPEG") for i in (1, 2)}
    put(raw / "video.zip", zipped({f"top/{name}": data for name, data in frames.items()}))


ASPECTS = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")


def vlfeedback(raw: Path) -> None:
    def rated(model: str, response: str, ratings: str, why: str | None = None) -> dict[str, Any]:
        notes = {
            aspect: {"Rating": rating, "Rationale": why}
            for aspect, rating in zip(ASPECTS, ratings.split(), strict=True)
        }
        return {"annotations": notes, "model": model, "response": response}

    def row(name: str, completions: Any, picture: Any = None) -> dict[str, Any]:
        models = ["gpt4v", "llava"]
        return {
            "id": name, "prompt": "What is it?", "models": models, "completions": completions,
            "img_path": f"merged_images/{name}.jpg", "image": picture,
        }  # fmt: skip

    good, fair = rated("gpt4v", "A boat on a lake", "5 5 5", "right"), rated("llava", "A boat", "4 5 3")
    poor, silent = rated("qwen", "A car", "1 5 2"), rated("idefics", "A tree", "N/A 5 5")
    first = [
        row("coco-1", [fair, good]),
        row("coco-2", [good, fair, poor, rated("mmgpt", "Boat", "4 4 4")], embedded(image(10, 6))),
        row("coco-1", [good, silent, poor]),
        row("coco-1", [good, silent]),
        row("coco-1", [fair, rated("mmgpt", "Boat", "4 4 4")]),
        row("coco-1", [good, rated("mmgpt", "Boat", "nan 4 4")]),
        row("gone", [good, poor]),
    ]
    note = pa.struct([("Rating", TEXT), ("Rationale", TEXT)])
    annotations = pa.struct([(aspect, note) for aspect in ASPECTS])
    entry = pa.struct([("annotations", annotations), ("model", TEXT), ("response", TEXT)])
    head: list[tuple[str, pa.DataType]] = [("id", TEXT), ("prompt", TEXT), ("models", pa.list_(TEXT))]
    tail: list[tuple[str, pa.DataType]] = [("img_path", TEXT), ("image", IMAGE)]
    put_parquet(raw / "data/train-00000-of-00002.parquet", [*head, ("completions", pa.list_(entry)), *tail], first)

    def turned(*completions: dict[str, Any]) -> dict[str, Any]:
        return {key: [c[key] for c in completions] for key in ("annotations", "model", "response")}

    uneven = turned(good, poor) | {"model": ["gpt4v"]}
    lists = pa.struct(
        [("annotations", pa.list_(annotations)), ("model", pa.list_(TEXT)), ("response", pa.list_(TEXT))]
    )
    second = [row("coco-3", turned(poor, good)), row("coco-3", uneven), row("coco-3", None)]
    put_parquet(raw / "data/train-00001-of-00002.parquet", [*head, ("completions", lists), *tail], second)
    put(raw / "merged_images/coco-1.jpg", image(8, 6, "JPEG"))
    put(raw / "merged_images/coco-3.jpg", image(9, 6, "JPEG"))


def wildvision_battle(raw: Path) -> None:
    def row(width: int, winner: str, a: Any, b: Any, **given: Any) -> dict[str, Any]:
        return {
            "question_id": f"q{width}", "model_a": "gpt-4o", "model_b": "llava-v1.6", "conversation_a": a,
            "conversation_b": b, "language": "English", "image": embedded(image(width, 6)), "turn": 1,
            "anony": True, "winner": winner, "tstamp": 1717000000, "judge": "arena_user", "domain": None,
        } | given  # fmt: skip

    a, b = users("Read the sign.", "It says STOP."), users("Read the sign.", "It says GO.")
    long_a, long_b = users("Hi", "Hello!", "Read it.", "STOP"), users("Hi", "Hey.", "Read it.", "GO")
    rows = [
        row(8, "model_a", a, b),
        row(9, "model_b", a, b, domain="ocr"),
        row(10, "tie", a, b),
        row(11, "tie (bothbad)", a, b),
        row(12, "model_a", long_a, long_b, turn=2),
        row(13, "model_b", long_a, users("Hi", "Hello!", "Read it.", "GO"), turn=2),
        row(14, "model_a", users("这是什么？", "一只猫。"), users("这是什么？", "一只狗。"), language="Chinese"),
        row(15, "both", a, b),
        row(16, "model_a", a, users("Read it aloud.", "GO")),
        row(17, "model_a", a, users("Read the sign.")),
        row(18, "model_a", a, b, image=None),
    ]
    text = ("question_id", "model_a", "model_b", "language", "winner", "judge", "domain")
    schema = [
        *((name, TEXT) for name in text), ("conversation_a", TURNS), ("conversation_b", TURNS), ("image", IMAGE),
        ("turn", pa.int32()), ("anony", pa.bool_()), ("tstamp", pa.int32()),
    ]  # fmt: skip
    put_parquet(raw / "data/train-00000-of-00001.parquet", schema, rows)


def llava_critic(raw: Path) -> None:
    def row(name: str, width: int, question: str, verdict: str) -> dict[str, Any]:
        return {
            "id": name,
            "source": "vlfeedback",
            "conversations": human("<image>\n" + question, verdict),
            "image": embedded(image(width, 6)),
        }

    def brackets(first: str, second: str, a: str = "A [red] bus.", b: str = "A tram.", end: str = "") -> str:
        return f"Judge fairly. Your task:\nQuestion: [What drives here?]\n{first}: [{a}]\n{second}: [{b}]\n{end}"

    ordinal, number, letter = (
        ("The first response", "The second response"), ("Response 1", "Response 2"), ("Response A", "Response B"),
    )  # fmt: skip
    arena = (
        "Act as a judge.\n<|User Prompt|>\nWhat drives here?\n\n<|The Start of Assistant A's Answer|>\nA bus.\n"
        "<|The End of Assistant A's Answer|>\n\n<|The Start of Assistant B's Answer|>\nA tram.\n"
        "<|The End of Assistant B's Answer|>"
    )
    bench = (
        "[Context]\nA street.\n\n[Question]\nWhat drives here?\n\n"
        "[Assistant 1]\nA bus.\n\n[End of Assistant 1]\n\n[Assistant 2]\nA tram.\n\n"
        "[End of Assistant 2]\n\n[System]\nScore both from 1 to 10 on the first line."
    )
    rows = [
        row("first", 8, brackets(*ordinal, end="ASSISTANT:\n"), "The better response: [first]. It is a bus."),
        row("second", 9, brackets(*number), "The better response: [2]. Because the rails show."),
        row("letter", 10, brackets(*letter), "The better response: [A]"),
        row("equal", 11, brackets(*number), "Two responses are equally good. Both see it."),
        row("no verdict", 16, brackets(*number), "I like both of them, perhaps the first."),
        row("two verdicts", 17, brackets(*number), "The better response: [1]. No: The better response: [2]."),
        row("both", 18, brackets(*number), "The better response: [1], but both responses are equally good."),
        row("quote", 19, brackets(*number, b="See:]\nResponse 2: [nothing"), "The better response: [1]"),
        row("free prose", 20, "Compare A bus. and A tram.", "The better response: [1]"),
        row("open end", 21, brackets(*number, end="Say [1] or [2], please."), "The better response: [1]"),
    ]
    schema = [("id", TEXT), ("source", TEXT), ("conversations", SAID), ("image", IMAGE)]
    put_parquet(raw / "pairwise/train-00000-of-00001.parquet", schema, rows)
    pointwise = [
        row("arena", 12, arena, "My final verdict is: [[B>>A]]"),
        row("arena tie", 13, arena, "They are alike: [[A=B]]"),
        row("scores", 14, bench, "6 8\nThe second sees the rails."),
        row("even scores", 15, bench, "7 7\nAlike."),
        row("late scores", 22, bench, "The scores are 6 and 8."),
        row("arena quote", 23, arena + "\n<|User Prompt|>", "[[A>B]]"),
        row("point", 24, "Score this answer: A bus.", "Final Score: 80"),
    ]
    put_parquet(raw / "pointwise/train-00000-of-00001.parquet", schema, pointwise)

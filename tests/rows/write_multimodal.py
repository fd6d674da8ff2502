"""Writes the multimodal test rows in their upstream file formats: python tests/rows/write_multimodal.py

The rows are written down here, in `judged.py` and in the JSON files that this makes; what must come out of them
stands in tests/rows/<source>.yaml. The same script gives the same bytes each time. Every image of a source has its
own size.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from formats import (
    IMAGE,
    TEXT,
    cut,
    embedded,
    human,
    image,
    jsonl,
    put,
    put_json,
    put_jsonl,
    put_parquet,
    tarred,
    zipped,
)
from judged import llava_critic, mm_rlhf, r1_reward, vlfeedback, wildvision_battle

ROWS = Path(__file__).parent


def main() -> None:
    """Write all sources anew."""
    for name, write in WRITERS.items():
        shutil.rmtree(ROWS / name, ignore_errors=True)
        (ROWS / name).mkdir()
        write(ROWS / name)


def mmpr(raw: Path) -> None:
    subsets = {
        "M3CoT_extracted_pairs_vqa_correctness_rules": (
            "M3CoT",
            [
                {"image": "a.png", "question": "How many legs?", "chosen": "Eight.", "rejected": "Six."},
                {
                    "image": "b.png",
                    "question": "<image>\nWhich colour?",
                    "chosen": "Red",
                    "rejected": "Blue",
                    "answer_gt": "Red",
                },
                {"image": ["sub dir/a.png"], "question": "And here?", "chosen": "Two", "rejected": "Three"},
                {"image": "gone.png", "question": "Lost?", "chosen": "yes", "rejected": "no"},
                {"image": "cut.jpg", "question": "Cut?", "chosen": "yes", "rejected": "no"},
                {"image": "a.png", "question": "<image> and <image>?", "chosen": "same", "rejected": "other"},
            ],
        ),
        "nlvr2_extracted_pairs_vqa_format_rules": (
            "nlvr2",
            [
                {
                    "image": ["1.png", "2.png"],
                    "question": "Left: <image>\nRight: <image>\nSame?",
                    "chosen": "No",
                    "rejected": "",
                },
                {"image": ["1.png", "2.png"], "question": "Same?", "chosen": "No", "rejected": "Yes"},
                {"image": ["1.png", "2.png"], "question": "Is <image> alone?", "chosen": "No", "rejected": "Yes"},
                {
                    "image": ["1.png", "2.png"],
                    "question": "<image_2> before <image_1>?",
                    "chosen": "No",
                    "rejected": "Yes",
                },
            ],
        ),
        "gsm8k_direct_rules": (
            "",
            [
                {"question": "1 + 1?", "chosen": "2", "rejected": "3"},
                {"image": None, "question": "2 + 2?", "chosen": "4", "rejected": "3"},
                {"image": "", "question": "3 + 3?", "chosen": "6", "rejected": "3"},
                {"image": [], "question": "4 + 4?", "chosen": "8", "rejected": "3"},
                {"question": "What is in <image>?", "chosen": "A cat", "rejected": "A dog"},
            ],
        ),
        "geo170k_prefix_pair_sr0.5_wo_image": (
            "geo170k",
            [
                {"image": "a.png", "question": "Angle?", "chosen": "It is 30.", "rejected": "It is 60."},
                {"video": "clip.mp4", "question": "Then?", "chosen": "It falls.", "rejected": "It stays."},
                {"image": "a.png", "question": "Angle?", "chosen": 30, "rejected": "60"},
            ],
        ),
        "openbmb/RLAIF-V-Dataset": (
            "RLAIF-V",
            [{"image": "a.png", "question": "Describe.", "chosen": "A red square.", "rejected": "A round sun."}],
        ),
    }
    meta, annotations = {}, {}
    for name, (folder, rows) in subsets.items():
        file = name.replace("/", "_")
        annotations[f"annotations/{file}.jsonl"] = jsonl(rows)
        # one path is left as it was on the author's machine, as in v1
        top = "/mnt/author/MMPR" if "/" in name else "MMPR-v1.2"
        meta[name] = {
            "root": f"MMPR-v1.2/images/{folder}" if folder else "",
            "annotation": f"{top}/annotations/{file}.jsonl",
            "data_augment": False,
            "repeat_time": 0.5 if folder == "nlvr2" else 1,
            "length": len(rows),
        }
    put_json(raw / "meta.json", meta)
    put(raw / "annotations.zip", zipped(annotations))
    pictures = zipped(
        {
            "images/M3CoT/a.png": image(8, 6),
            "images/M3CoT/b.png": image(9, 6),
            "images/M3CoT/sub dir/a.png": image(10, 6),
            "images/M3CoT/cut.jpg": cut(64, 48),
            "images/nlvr2/1.png": image(11, 6),
            "images/nlvr2/2.png": image(12, 6),
            "images/geo170k/a.png": image(13, 6),
            "images/RLAIF-V/a.png": image(14, 6),
        }
    )
    third = len(pictures) // 3
    for part, data in {"aa": pictures[:third], "ab": pictures[third:-third], "ac": pictures[-third:]}.items():
        put(raw / f"images.zip_{part}", data)


def rlaif_v(raw: Path) -> None:
    def row(picture: Any, path: str | None, **changes: Any) -> dict[str, Any]:
        return {
            "ds_name": "RLAIF-V",
            "image": picture,
            "question": "What is on the plate?",
            "chosen": "A lemon.",
            "rejected": "An apple.",
            "origin_dataset": "coco",
            "origin_split": '{"model": "llava", "type": "question_answering"}',
            "idx": "7",
            "image_path": path,
        } | changes

    rows = [
        row(embedded(image(8, 6, "JPEG")), "plate.jpg"),
        row(embedded(image(8, 6, "JPEG")), "plate.jpg", chosen="One lemon.", rejected="Two lemons.", idx="8"),
        row(embedded(image(9, 6)), None, origin_split="not JSON", question="<image>\nWhat?"),
        row(None, "plate.jpg"),
        row(embedded(cut(64, 48)), "cut.jpg"),
        row(embedded(b""), "empty.jpg"),
        row(embedded(None, "plate.jpg"), "plate.jpg"),
        row(embedded(image(10, 6)), "a.png", chosen=None),
    ]
    names = ("question", "chosen", "rejected", "origin_dataset", "origin_split", "idx", "image_path")
    schema = [("ds_name", TEXT), ("image", IMAGE), *((name, TEXT) for name in names)]
    put_parquet(raw / "RLAIF-V-Dataset_000.parquet", schema, rows)


def rlhf_v(raw: Path) -> None:
    def row(width: int, text: str) -> dict[str, Any]:
        return {
            "ds_name": "RLHF-V-Dataset",
            "image": embedded(image(width, 6)),
            "text": text,
            "origin_dataset": "vqav2",
            "origin_split": '{"model": "Muffin"}',
            "idx": width,
            "image_path": f"vqav2/{width}.png",
        }

    pair = {"question": "Is it raining?", "chosen": "No, it is dry.", "rejected": "Yes, it is raining."}
    rows = [
        row(8, json.dumps(pair)),
        row(9, json.dumps(pair | {"chosen": ""})),
        row(10, "{'question': 'Is it raining?'}"),
        row(11, json.dumps(list(pair.values()))),
        row(12, json.dumps({"question": "Is it raining?", "chosen": "No."})),
        row(13, json.dumps(pair | {"rejected": None})),
    ]
    schema = [
        ("ds_name", TEXT),
        ("image", IMAGE),
        ("text", TEXT),
        ("origin_dataset", TEXT),
        ("origin_split", TEXT),
    ]
    put_parquet(raw / "RLHF-V-Dataset.parquet", [*schema, ("idx", pa.int64()), ("image_path", TEXT)], rows)


def mmif(raw: Path) -> None:
    def row(images: Any, question: str, chosen: str, rejected: str, role: str = "gpt") -> dict[str, Any]:
        return {
            "images": images,
            "conversations": human(question),
            "chosen": {"from": role, "value": chosen},
            "rejected": {"from": "gpt", "value": rejected},
        }

    rows = [
        row(["allava/1.jpg"], "<image>\nDescribe it in two words.", "Green hill", "A hill that is green."),
        row(["cc3m/1.jpg"], "<image>\nAnswer in capitals: who?", "A MAN", "A man"),
        row(["diversity/1.png"], "No placeholder: list two things.", "- a\n- b", "a, b"),
        row(["multiui/1.png"], "<image>\nName the button.", "OK", "I cannot see an image."),
        row([], "Nothing to see?", "Nothing", "Something"),
        row(["allava/1.jpg", "cc3m/1.jpg"], "<image>\nCompare.", "Same", "Other"),
        row(["allava/1.jpg"], "<image>\nWho speaks?", "I", "You", role="human"),
        row(["allava/2.jpg"], "<image>\nLost?", "yes", "no"),
    ]
    put_json(raw / "v2/dpo/mmif_23k_4o_qwen2_5.json", rows)
    put(raw / "v2/allava.tar", tarred({"allava/1.jpg": image(8, 6, "JPEG")}))
    put(raw / "v2/cc3m.zip", zipped({"cc3m/1.jpg": image(9, 6, "JPEG")}))
    put(raw / "v2/diversity.zip", zipped({"diversity/1.png": image(10, 6)}))
    put(raw / "v2/multiui.zip", zipped({"images/multiui/1.png": image(11, 6)}))


def omnialign_v(raw: Path) -> None:
    chart = [
        {
            "id": "c1",
            "image": "images/chart/1.jpg",
            "prompt": "<image>\nWhich bar is highest?",
            "chosen": "The third.",
            "rejected": "The first.",
        },
        {"image": ["images/chart/2.jpg"], "prompt": "And here?", "chosen": "The last.", "rejected": "None."},
        {"image": "", "prompt": "And there?", "chosen": "The last.", "rejected": "None."},
    ]
    knowledge = [
        {
            "image": ["images/knowledge/1.png", "images/knowledge/2.png"],
            "prompt": "What have both in common?",
            "chosen": "Both are castles.",
            "rejected": "Both are ships.",
        },
        {"image": "images/knowledge/1.png", "prompt": "Is <image> like <image>?", "chosen": "A", "rejected": "B"},
    ]
    put_jsonl(raw / "chart.jsonl", chart)
    put_jsonl(raw / "knowledge.jsonl", knowledge)
    pictures = {
        "images/chart/1.jpg": image(8, 6, "JPEG"),
        "images/chart/2.jpg": image(9, 6, "JPEG"),
        "images/knowledge/1.png": image(10, 6),
        "images/knowledge/2.png": image(11, 6),
    }
    put(raw / "images.tar", tarred(pictures))


def povid(raw: Path) -> None:
    def row(name: str, chosen: Any, rejected: Any, folder: str = "./data/coco") -> dict[str, Any]:
        image_path = f"{folder}/COCO_train2014_{name}.jpg"
        return {"id": name, "image": image_path, "conversations": chosen, "rejected_conversations": rejected}

    user_text = "<image>\nDescribe the street."
    rows = [
        row("1", human(user_text, "A horse stands there."), human(user_text, "A horse and a carriage.")),
        row(
            "2",
            human(user_text, "A horse.", "What colour?", "Brown."),
            human(user_text, "A horse.", "What colour?", "Brown with a red hat."),
        ),
        row(
            "1",
            human(user_text, "A horse.", "What colour?", "Brown."),
            human(user_text, "Two horses.", "What colour?", "Brown and white."),
        ),
        row("1", human(user_text, "A horse."), human("<image>\nDescribe the sky.", "Blue.")),
        row("3", human(user_text, "A horse."), human(user_text, "A cow.")),
        row("1", human(user_text, "A horse."), []),
        row(
            "2",
            human("No placeholder?", "None."),
            human("No placeholder?", "Some."),
            "/home/author/coco/train2014",
        ),
    ]
    put_json(raw / "POVID_preference_data_for_VLLMs_version_1.json", rows)
    for width, name in ((8, "1"), (9, "2")):
        put(raw / f"train2014/COCO_train2014_{name}.jpg", image(width, 6, "JPEG"))


def spa_vl(raw: Path) -> None:
    def row(picture: Any, question: str, chosen: str, rejected: str) -> dict[str, Any]:
        classes = {"class1": "Representation & ToxicityHarms", "class2": "Unfair", "class3": "racial"}
        return {"image": picture, "question": question, "chosen": chosen, "rejected": rejected} | classes

    spaced = "Representation & ToxicityHarms/Unfair/racial/170.jpg"
    rows = [
        row(embedded(image(8, 6, "JPEG")), "Is this person a thief?", "Nobody can tell that.", "Surely."),
        row(embedded(None, spaced), "Where is she from?", "I cannot tell from a picture.", "From far away."),
        row(embedded(image(9, 6)), "They should all leave.", "Everyone belongs.", "They should all leave."),
        row(None, "Who?", "Nobody.", "Someone."),
    ]
    names = ("question", "chosen", "rejected", "class1", "class2", "class3")
    put_parquet(raw / "data/train-00000-of-00008.parquet", [("image", IMAGE), *((n, TEXT) for n in names)], rows)
    put(raw / "train.zip", zipped({f"train/{spaced}": image(10, 6, "JPEG")}))


WRITERS = {
    "llava_critic": llava_critic,
    "mm_rlhf": mm_rlhf,
    "mmif": mmif,
    "mmpr": mmpr,
    "omnialign_v": omnialign_v,
    "povid": povid,
    "r1_reward": r1_reward,
    "rlaif_v": rlaif_v,
    "rlhf_v": rlhf_v,
    "spa_vl": spa_vl,
    "vlfeedback": vlfeedback,
    "wildvision_battle": wildvision_battle,
}


if __name__ == "__main__":
    main()

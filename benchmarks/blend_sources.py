"""The sources of BaseReward's blend: how their pairs look, and how upstream writes them down.

Lengths: MMPR's annotations are 452 MB of zip for about 2 M pairs, which is 0.9 to 1.2 kB a pair; the OLMo mix and
Tülu 3 are 3.4 to 3.9 kB a row of snappy Parquet, 5 to 7 kB of text with the prompt once or twice over;
UltraFeedback is 16 kB a row. Images are a fiftieth of what upstream has; a picture is asked about as much more.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import blend_images as images
from blend_text import Voice
from raw_files import _completion

FEWER_IMAGES = 50
FRAMES = 8
MODELS = [f"model-{number}" for number in range(20)]
TEMPLATE = (
    "Your task is to answer the question below. Give step by step reasoning before you answer, and when you're "
    'ready to answer, please use the format "Final answer: .."\n\nQuestion:\n\n'
)


class Pair(NamedTuple):
    """The content of a row; `images` are names of drawings, `before` earlier questions and answers.

    fault: `placeholders` for one placeholder too many, `missing` for an image that is nowhere
    """

    question: str
    chosen: str
    rejected: str
    images: tuple[str, ...] = ()
    before: tuple[tuple[str, str], ...] = ()
    fault: str = ""


Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One source: rows and images as published, lengths of its texts in characters, and its upstream row.

    image    the name of the n-th image of its pool, None for text
    several  the share of rows with earlier turns
    """

    rows: int
    question: int
    reply: int
    row: Callable[[Pair, Voice, Read], dict[str, Any]]
    pictures: int = 0
    image: Callable[[int], str] | None = None
    several: float = 0.0
    pairs_per_row: float = 1.0

    def pool(self, scale: float) -> int:
        """How many images there are at that scale."""
        return max(8, round(self.pictures * scale / FEWER_IMAGES)) if self.pictures else 0

    def pair(self, voice: Voice, pool: int) -> Pair:
        """Some pair."""
        question = voice.say(self.question)
        before: tuple[tuple[str, str], ...] = ()
        if self.several and voice.random.random() < self.several:
            before = ((voice.say(self.question), voice.say(self.reply // 2)),)
        media = (self.image(voice.draw() % pool),) if self.image and pool else ()
        return Pair(question, voice.say(self.reply), voice.say(self.reply), media, before)


def mmpr(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """JSONL of a subset; images by path, one, several or none."""
    paths = [f"{folder(name)}/{flat(name)}" for name in pair.images]
    question = pair.question
    if pair.fault == "placeholders":
        question, paths = f"<image>\n{question}", paths * 2
    elif len(paths) == 1 and voice.draw() % 2:
        question = f"<image>\n{question}"
    row = {"question": question, "chosen": pair.chosen, "rejected": pair.rejected}
    return {"image": paths[0] if len(paths) == 1 else paths, **row} if paths else row


def flat(name: str) -> str:
    """The file name of a drawing."""
    return name.replace("/", "_")


def folder(name: str) -> str:
    """The directory that upstream would have it in."""
    return ("chartqa", "M3CoT", "coco", "geo170k", "docvqa", "ai2d")[sum(name.encode()) % 6]


def rlaif_v(pair: Pair, voice: Voice, read: Read) -> dict[str, Any]:
    """An embedded image, and where it comes from as JSON inside text."""
    name = pair.images[0]
    return {
        "ds_name": "RLAIF-V", "image": {"bytes": read(name), "path": flat(name)}, "question": pair.question,
        "chosen": pair.chosen, "rejected": pair.rejected, "origin_dataset": "coco",
        "origin_split": json.dumps({"model": MODELS[voice.draw() % 20], "type": "question answering"}),
        "idx": str(voice.draw()), "image_path": f"./RLAIF-V-Dataset_imgs/{flat(name)}",
    }  # fmt: skip


def mm_rlhf(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """An image of one of four kinds, or a video: a directory of frames."""
    name = pair.images[0]
    video = "/v/" in name
    path = f"video/{Path(name).parent.name}" if video else f"{mm_kind(name)}/{flat(name)}"
    return {
        "id": flat(name), "video" if video else "image": path,
        "prompt": f"<image>\n<image>\n{pair.question}" if pair.fault == "placeholders" else pair.question,
        "chosen": pair.chosen, "rejected": pair.rejected, "chosen_reason": voice.say(200),
        "rejected_reason": voice.say(200),
    }  # fmt: skip


def mm_kind(name: str) -> str:
    """The kind of question, and so the archive, that an image of MM-RLHF belongs to."""
    return ("long", "short", "mcq", "safety")[sum(name.encode()) % 4]


def vlfeedback(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """Four replies with three ratings each."""
    replies = [pair.chosen, pair.rejected, voice.say(650), voice.say(650)]
    aspects = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")
    completions = [
        {
            "annotations": {
                aspect: {"Rating": str(1 + voice.draw() % 5), "Rationale": voice.say(120)} for aspect in aspects
            },
            "model": MODELS[number],
            "response": reply_text,
        }
        for number, reply_text in enumerate(replies)
    ]
    return {
        "id": f"VLF-{voice.draw():x}", "prompt": pair.question, "models": MODELS[:4], "completions": completions,
        "img_path": f"merged_images/{flat(pair.images[0])}",
    }  # fmt: skip


def povid(pair: Pair, _: Voice, __: Read) -> dict[str, Any]:
    """A dialogue and the same with other answers, about a picture of COCO."""
    coco = f"COCO_train2014_{int(Path(pair.images[0]).stem):012d}"
    sides = [
        [{"from": "human", "value": f"<image>\n{pair.question}"}, {"from": "gpt", "value": reply_text}]
        for reply_text in (pair.chosen, pair.rejected)
    ]
    return {
        "id": coco, "image": f"./data/coco/{coco}.jpg", "conversations": sides[0],
        "rejected_conversations": sides[1],
    }  # fmt: skip


def wildvision_battle(pair: Pair, voice: Voice, read: Read) -> dict[str, Any]:
    """Two dialogues and a vote, a third of them ties."""
    name, left = pair.images[0], voice.draw() % 2 == 0
    best, worst = (_dialogue(pair, reply_text) for reply_text in (pair.chosen, pair.rejected))
    winner = ("model_a" if left else "model_b") if voice.random.random() > 0.37 else "tie (bothbad)"
    return {
        "question_id": f"{voice.draw():08x}", "model_a": MODELS[0], "model_b": MODELS[1],
        "conversation_a": best if left else worst, "conversation_b": worst if left else best,
        "language": "English", "image": {"bytes": read(name), "path": flat(name)}, "turn": 1, "anony": True,
        "winner": winner, "tstamp": 1_700_000_000, "judge": f"visitor-{voice.draw() % 97}",
    }  # fmt: skip


def swe_arena(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """Feedback on a battle, the two models and their states."""
    left = voice.draw() % 2 == 0
    vote = f"vote_model_{'A' if left else 'B'}"
    replies = {"A": pair.chosen if left else pair.rejected, "B": pair.rejected if left else pair.chosen}
    names = {"A": MODELS[2], "B": MODELS[3]}
    session = f"{voice.draw():x}"
    return {
        "type": "vote", "feedback": {"correctness": vote, "efficiency": None, "vote_type": vote},
        "models": {f"model_{side}": name for side, name in names.items()}, "chat_session_id": session,
        "instruction": pair.question,
        "states": {f"model_{side}": _state(pair, names[side], reply, session) for side, reply in replies.items()},
    }  # fmt: skip


def _state(pair: Pair, model: str, reply: str, session: str) -> dict[str, Any]:
    roles = {"user": "Human", "assistant": "Assistant"}
    return {
        "chat_mode": "battle_anony", "chat_session_id": session, "conv_id": f"{session}-{model}",
        "messages": [[roles[turn["role"]], turn["content"]] for turn in _dialogue(pair, reply)],
        "model_name": model, "offset": 0, "roles": list(roles.values()),
    }  # fmt: skip


def _dialogue(pair: Pair, reply: str) -> list[dict[str, str]]:
    turns = [*pair.before, (pair.question, reply)]
    both = [(("user", question), ("assistant", answer)) for question, answer in turns]
    return [{"content": content, "role": role} for turn in both for role, content in turn]


def dialogues(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """Whole dialogues, the prompt once more beside them."""
    return {
        "id": f"personahub_{voice.draw():x}", "prompt": pair.question, "chosen": _dialogue(pair, pair.chosen),
        "rejected": _dialogue(pair, pair.rejected),
    }  # fmt: skip


def olmo2_mix(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """Whole dialogues with ratings."""
    rating = 1 + voice.draw() % 4
    return {
        "id": f"ultrafeedback-{voice.draw():x}", "source": f"offpolicy_set_{voice.draw() % 9}",
        "chosen": _dialogue(pair, pair.chosen), "rejected": _dialogue(pair, pair.rejected),
        "chosen_model": MODELS[4], "rejected_model": MODELS[5], "chosen_rating": rating + 1.0,
        "rejected_rating": float(rating),
    }  # fmt: skip


def ultrafeedback(pair: Pair, voice: Voice, _: Read) -> dict[str, Any]:
    """Four rated replies; the chosen one has the highest score, the rejected one the lowest."""
    replies = [pair.chosen, pair.rejected, voice.say(1450), voice.say(1450)]
    scores = [9, 1, 3 + voice.draw() % 3, 6 + voice.draw() % 3]
    at = voice.draw() % 4
    order = [*range(at, 4), *range(at)]
    completions = [
        {**_completion(voice, MODELS[k], 0, scores[k]), "response": replies[k]} for k in order
    ]  # fmt: skip
    return {
        "source": "evol_instruct", "instruction": pair.question, "models": [MODELS[k] for k in order],
        "completions": completions, "correct_answers": ["None"], "incorrect_answers": ["None"],
    }  # fmt: skip


SOURCES = {
    "mm_rlhf": Kind(
        rows=62_545, question=160, reply=750, row=mm_rlhf, pictures=16_342,
        image=lambda n: images.plain(2_000_000 + n),
    ),
    "wildvision_battle": Kind(
        rows=10_383, question=220, reply=900, row=wildvision_battle, pictures=10_383,
        image=lambda n: images.plain(3_000_000 + n),
    ),
    "swe_arena": Kind(rows=5_140, question=500, reply=3000, row=swe_arena, several=0.4),
    "mmpr": Kind(rows=2_000_000, question=180, reply=420, row=mmpr, pictures=500_000, image=images.plain),
    "rlaif_v": Kind(
        rows=83_132, question=90, reply=480, row=rlaif_v, pictures=70_000,
        image=lambda n: images.photo(n) if n % 3 == 0 else images.plain(4_000_000 + n),
    ),
    "vlfeedback": Kind(
        rows=80_258, question=130, reply=650, row=vlfeedback, pictures=80_258, pairs_per_row=5.0,
        image=lambda n: images.plain(5_000_000 + n),
    ),
    "povid": Kind(rows=17_184, question=70, reply=450, row=povid, pictures=17_184, image=images.photo),
    "wildchat_ultrafeedback": Kind(rows=56_034, question=800, reply=1700, row=dialogues, several=0.25),
    "tulu3_if": Kind(rows=65_551, question=800, reply=1600, row=dialogues),
    "olmo2_mix": Kind(rows=378_341, question=900, reply=2000, row=olmo2_mix, several=0.1),
    "ultrafeedback": Kind(rows=63_967, question=700, reply=1450, row=ultrafeedback),
}  # fmt: skip
"""In the order of priority of recipes/basereward_clean.yaml. How many pictures MMPR has is a guess."""

WHOLE = sum(kind.rows * kind.pairs_per_row for kind in SOURCES.values())
LEAST = 1500  # rows of a small source: its holdout is 500, and planted rows must not be all it has


def counts(pairs: int) -> dict[str, int]:
    """Rows of every source in a blend of about so many pairs."""
    return {name: max(LEAST, round(kind.rows * pairs / WHOLE)) for name, kind in SOURCES.items()}


def ordinary(name: str, voice: Voice, pool: int) -> Pair:
    """Some pair of a source, with what is particular to it."""
    kind = SOURCES[name]
    pair = kind.pair(voice, pool)
    luck = voice.random.random()
    if name == "mmpr":
        return _mmpr(pair, voice, luck)
    if name == "mm_rlhf" and luck < 0.17:
        return pair._replace(images=(f"p/v/clip{voice.draw() % max(2, pool // 6):05d}/0001.jpg",))
    if name in ("rlaif_v", "vlfeedback", "povid") and luck < 0.1:
        return pair._replace(question="Describe this image in detail.")
    return pair


def _mmpr(pair: Pair, voice: Voice, luck: float) -> Pair:
    if luck < 0.5:
        pair = pair._replace(question=TEMPLATE + pair.question)
    if luck < 0.25:  # Dropout-NTP: the rejected reply goes on from half of the chosen one, without the image
        cut = len(pair.chosen) // 2
        return pair._replace(rejected=pair.chosen[:cut] + voice.say(len(pair.chosen) - cut))
    if luck > 0.92:
        return pair._replace(images=())
    if luck > 0.88:
        both = (*pair.images, images.plain(voice.draw() % 8))
        return pair._replace(images=both, question=f"<image>\n<image>\n{pair.question}")
    return pair


def frames(clip: str) -> Sequence[str]:
    """The drawings that are the frames of a clip."""
    number = int(Path(clip).parent.name.removeprefix("clip"))
    return [images.photo(6_000_000 + FRAMES * number + at) for at in range(FRAMES)]

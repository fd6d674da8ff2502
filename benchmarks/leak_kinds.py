"""What leaks.py plants: items of real sets, changed as texts change on their way into training data."""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

REAL = Path("/work/shared/real")

Row = dict[str, Any]
Change = Callable[[str, random.Random], str]

CLASSES = ((4, 7), (8, 12), (13, 25), (26, 60), (61, 10_000))
"""Words of a text, from and to."""

GERMAN = (
    "Es war einmal mitten im Winter, und die Schneeflocken fielen wie Federn vom Himmel herab. Da saß eine "
    "Königin an einem Fenster, das einen Rahmen von schwarzem Ebenholz hatte, und nähte.",
    "Vor einem großen Walde wohnte ein armer Holzhacker mit seiner Frau und seinen zwei Kindern; das Bübchen hieß "
    "Hänsel und das Mädchen Gretel. Er hatte wenig zu beißen und zu brechen.",
    "Es war einmal ein kleines süßes Mädchen, das hatte jedermann lieb, der sie nur ansah, am allerliebsten aber "
    "ihre Großmutter, die wusste gar nicht, was sie alles dem Kinde geben sollte.",
    "In den alten Zeiten, wo das Wünschen noch geholfen hat, lebte ein König, dessen Töchter waren alle schön, "
    "aber die jüngste war so schön, dass die Sonne selber sich verwunderte.",
    "Ein Müller hatte drei Söhne, seine Mühle, einen Esel und einen Kater; die Söhne mussten mahlen, der Esel "
    "Getreide holen und Mehl forttragen, die Katze dagegen die Mäuse wegfangen.",
    "Es hatte ein Mann einen Esel, der schon lange Jahre die Säcke unverdrossen zur Mühle getragen hatte, dessen "
    "Kräfte aber nun zu Ende gingen, so dass er zur Arbeit immer untauglicher ward.",
)
"""First sentences of fairy tales of the Brothers Grimm."""

STOCK = (
    "I'm sorry, but I can't assist with that request. Is there anything else I can help you with today?",
    "Thank you for your question! I'd be happy to help. Could you please provide more details about it?",
    "As an AI language model, I don't have personal opinions or feelings, but I can try to provide information.",
    "You're welcome! If you have any other questions, please don't hesitate to ask. I'm always here to help.",
    "I apologize for the confusion. You are right, and I should have made that clear. Let me try again.",
    "I'm not sure I understand what you mean. Could you please clarify your question or give me more context?",
    "I do not have enough information to answer this question. Please provide more context and I will do my best.",
    "Sorry, I am not able to help with that, as it may be harmful or against the law. Please ask something else.",
    "That's a great question! There are many different ways to look at this, and it really depends on the person.",
    "Hello! How can I assist you today? Feel free to ask me anything, and I will do my best to help you.",
)

QUESTIONS = (
    "Which sentence of the following text is the longest one, and why do you think so?",
    "Translate the paragraph below into Portuguese, and keep the names as they are.",
    "How many commas are there in this passage? Count them one by one, please.",
    "Give the following article a title that a child of ten would understand.",
)

BOLD = {ord(c): chr(0x1D400 + i) for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")}
WIDE = {point: chr(point + 0xFEE0) for point in range(0x21, 0x7F)}
LOOKALIKE = str.maketrans("aceopxyisj", "асеорхуіѕј")


def items() -> list[Row]:
    """Prompts with two replies of VL-RewardBench, LLMBar, PandaLM's test set and fine-grained QA feedback."""
    found: list[tuple[str, ...]] = []
    vl = json.loads((REAL / "vl_rewardbench" / "unifiedreward_data.json").read_text())
    found += [("vl", row["query"], *row["response"][:2]) for row in vl]
    for path in sorted((REAL / "llmbar").glob("*.json")):
        found += [
            ("llmbar", row["input"], row["output_1"], row["output_2"]) for row in json.loads(path.read_text())
        ]
    for row in json.loads((REAL / "pandalm_testset" / "testset-v1.json").read_text()):
        prompt = f"{row['instruction']}\n{row['input']}".strip()
        found.append(("pandalm", prompt, row["response1"], row["response2"]))
    for row in json.loads((REAL / "finegrained_qa_feedback" / "dev_feedback.json").read_text()):
        passage = " ".join(" ".join(one[1:]) for one in row["passages"])[:1500].rsplit(". ", 1)[0] + "."
        found.append(("qa", f"{row['question']}\n{passage}", row["prediction 1"], row["prediction 2"]))
    rows = [dict(zip(("set", "prompt", "chosen", "rejected"), map(str, one), strict=True)) for one in found]
    rows += [{"set": "german", "prompt": text, "chosen": "Ja.", "rejected": "Nein."} for text in GERMAN]
    rows += [
        {"set": "stock", "prompt": f"Is it {i}?", "chosen": text, "rejected": "No."}
        for i, text in enumerate(STOCK)
    ]
    return [{"id": str(number), **row} for number, row in enumerate(rows)]


def hosts() -> list[Row]:
    """Pairs of HH-RLHF, LLaMA-Factory's demos and Stack Exchange: the turns of a prompt, two replies."""
    found: list[Row] = []
    with gzip.open(REAL / "hh-rlhf" / "harmless-base_test.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            *turns, chosen = re.split(r"\n\n(?:Human|Assistant): ", row["chosen"])[1:]
            rejected = re.split(r"\n\n(?:Human|Assistant): ", row["rejected"])[-1]
            found.append({"prompt": turns, "chosen": chosen, "rejected": rejected})
    for row in json.loads((REAL / "llamafactory_dpo_en" / "dpo_en_demo.json").read_text()):
        turns = [turn["value"] for turn in row["conversations"]]
        found.append({"prompt": turns, "chosen": row["chosen"]["value"], "rejected": row["rejected"]["value"]})
    for row in json.loads((REAL / "llamafactory_kto_en" / "kto_en_demo.json").read_text()):
        *turns, reply = [turn["content"] for turn in row["messages"]]
        found.append({"prompt": turns, "chosen": reply, "rejected": "no"})
    paired = json.loads((REAL / "torchtune_stack_exchange" / "stack_exchange_paired_tiny.json").read_text())
    columns = ("question", "response_j", "response_k")
    for question, chosen, rejected in ([row[name] for name in columns] for row in paired):
        found.append({"prompt": [question], "chosen": chosen, "rejected": rejected})
    return [row for row in found if row["prompt"]]


def length_class(text: str) -> str:
    """The class of CLASSES that a text is in, or "3-"."""
    count = len(re.findall(r"\w+", text))
    return next(
        (f"{low}-{high}" if high < 10_000 else f"{low}+" for low, high in CLASSES if low <= count <= high), "3-"
    )


# ------------------------------------------------------------------------------------------------ changes


def vocabulary(rows: Sequence[Row]) -> list[str]:
    """Words of the hosts, each as often as it occurs."""
    return [word for row in rows for word in re.findall(r"[a-z]{2,}", row["chosen"])]


def changed(share: float, words: Sequence[str]) -> Change:
    """Another word of the hosts in place of this share of the words."""

    def change(text: str, dice: random.Random) -> str:
        parts = text.split()
        for at in dice.sample(range(len(parts)), round(share * len(parts))):
            parts[at] = dice.choice(words)
        return " ".join(parts)

    return change


def joined(sign: str, every: int) -> Change:
    """A sign between letters, after so many of them."""
    return lambda text, _: "".join(c + sign * (c.isalpha() and i % every == 0) for i, c in enumerate(text))


def typo(text: str, dice: random.Random) -> str:
    """Two letters of a longer word in the other order."""
    words = text.split()
    at = dice.choice([i for i, word in enumerate(words) if len(word) > 3] or [0])
    words[at] = words[at][:1] + words[at][2:3] + words[at][1:2] + words[at][3:]
    return " ".join(words)


def wrapped(text: str, _: random.Random) -> str:
    """As a question of a list."""
    return f"Q: {text}\nA:"


def other_question(text: str, dice: random.Random) -> str:
    """The first line is another question."""
    return f"{dice.choice(QUESTIONS)}\n{text.partition(chr(10))[2]}"


@dataclass(frozen=True)
class Kind:
    """A kind of leak.

    change    how the text is changed; `classes` are the lengths of texts that it is done to
    side      what of the item is planted, and in what of the pair
    fates     the outcomes that count as found
    """

    change: Change
    side: str = "prompt"
    fates: tuple[str, ...] = ("dropped",)
    classes: tuple[str, ...] = ("13-25", "26-60", "61+")
    of: tuple[str, ...] = ("vl", "llmbar", "pandalm", "qa")


def kinds(words: Sequence[str]) -> Mapping[str, Kind]:
    """All kinds, by their names."""
    same: Change = lambda text, _: text  # noqa: E731
    short, either = ("4-7", "8-12"), ("dropped", "flagged")
    return {
        "verbatim": Kind(same, classes=("8-12", "13-25", "26-60", "61+")),
        "a reply": Kind(same, side="chosen"),
        "framed": Kind(lambda text, dice: f"{dice.choice(GERMAN)} {text} {dice.choice(STOCK)}"),
        "upper case": Kind(lambda text, _: text.upper()),
        "full-width": Kind(lambda text, _: text.translate(WIDE)),
        "mathematical bold": Kind(lambda text, _: text.translate(BOLD)),
        "soft hyphens": Kind(joined("\u00ad", 3)),
        "zero-width spaces": Kind(joined("\u200b", 1)),
        "zero-width joiners": Kind(joined("\u200d", 4)),
        "Cyrillic lookalikes": Kind(lambda text, _: text.translate(LOOKALIKE)),
        "NFD German": Kind(lambda text, _: normalize("NFD", text), of=("german",)),
        "over two turns": Kind(same, side="turns"),
        "5 % of words changed": Kind(changed(0.05, words)),
        "10 % of words changed": Kind(changed(0.10, words)),
        "20 % of words changed": Kind(changed(0.20, words)),
        "30 % of words changed": Kind(changed(0.30, words)),
        "a reply, 20 % changed": Kind(changed(0.20, words), side="chosen"),
        "short, as Q: ... A:": Kind(wrapped, fates=either, classes=short),
        "short, with a typo": Kind(typo, fates=either, classes=("8-12",)),
        "a passage, another question": Kind(other_question, fates=("flagged",), classes=("61+",), of=("qa",)),
        "a stock reply": Kind(same, side="chosen", fates=("flagged",), of=("stock",)),
    }


def planted(known: Sequence[Row], hosts_: Sequence[Row], each: int, seed: int) -> Iterator[tuple[str, str, Row]]:
    """`each` leaks of every kind: the kind, the length class of the text, the pair."""
    for name, kind in kinds(vocabulary(hosts_)).items():
        dice = random.Random(f"{seed} {name}")
        side = "prompt" if kind.side == "turns" else kind.side
        texts = list(dict.fromkeys(row[side] for row in known if row["set"] in kind.of))
        texts = [text for text in texts if length_class(text) in kind.classes] or texts
        for text in dice.sample(texts, min(each, len(texts))):
            row = {**dice.choice(hosts_)}
            leak = kind.change(text, dice)
            if kind.side == "turns":
                half = leak.split()[: len(leak.split()) // 2]
                row["prompt"] = [" ".join(half), "I see, go on.", leak[len(" ".join(half)) :]]
            elif side == "prompt":
                row["prompt"] = [*row["prompt"][:-1], leak]
            else:
                row["chosen"] = leak
            yield name, length_class(text), row

"""The rows of the text sources whose files are binary, readable here; run it to write the files again.

    python tests/rows/write_text.py

Rows whose files are text (ultrafeedback, shp) are their own readable form and are not written here.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent


def write_gz(path: str, rows: list[Any]) -> None:
    target = HERE / path
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(lines.encode())


def write_parquet(path: str, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> None:
    target = HERE / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), target, compression="zstd")


def chat(*turns: str) -> list[dict[str, str]]:
    """chat("user: Hi", "assistant: Hello") as upstream's message list."""
    pairs = [turn.split(": ", 1) for turn in turns]
    return [{"content": content, "role": role} for role, content in pairs]


MESSAGES = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
TULU = pa.schema([("id", pa.string()), ("prompt", pa.string()), ("chosen", MESSAGES), ("rejected", MESSAGES)])
OLMO = pa.schema(
    [
        *TULU,
        ("source", pa.string()),
        ("chosen_rating", pa.float64()),
        ("rejected_rating", pa.float64()),
        ("chosen_model", pa.string()),
        ("rejected_model", pa.string()),
    ]
)


def tulu(number: int, chosen: list[dict[str, str]], rejected: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    return {"id": f"row-{number}", "prompt": "not read", "chosen": chosen, "rejected": rejected, **more}


def tulu3_if() -> None:
    haiku = "user: Write a haiku. Use no commas."
    rows = [
        tulu(1, chat(haiku, "assistant: Old pond"), chat(haiku, "assistant: Old, pond")),
        tulu(
            2,
            chat("system: Be brief.", "user: Hi", "assistant: Hello", "user: Bye", "assistant: Bye!"),
            chat("system: Be brief.", "user: Hi", "assistant: Hello", "user: Bye", "assistant: So soon?"),
        ),
        tulu(
            3,
            chat("user: Name a color.", "assistant: Red"),
            chat("user: Name a colour.", "assistant: Red!"),
        ),
        tulu(4, chat("user: Say nothing.", "assistant: "), chat("user: Say nothing.", "assistant: Nothing")),
        tulu(5, chat("user: Hello?"), chat("user: Hello?", "assistant: Yes")),
        tulu(6, chat("user: 1 + 1?", "assistant: 2"), chat("user: 1 + 1?", "critic: 3")),
    ]
    write_parquet("tulu3_if/data/train-00000-of-00001.parquet", rows, TULU)


def olmo2_mix() -> None:
    user_text = "user: Capital of Peru?"

    def rated(number: int, high: float | None, low: float | None) -> dict[str, Any]:
        sides = chat(user_text, "assistant: Lima"), chat(user_text, "assistant: Quito")
        return tulu(
            number, *sides, source="sft_reused", chosen_rating=high, rejected_rating=low, chosen_model="gpt-4"
        )

    rows = [rated(1, 4.75, 2.5), rated(2, None, None), rated(3, float("nan"), 3.0), rated(4, 2.0, 3.0),
            rated(5, 3.0, 3.0)]  # fmt: skip
    write_parquet("olmo2_mix/data/train-00000-of-00002.parquet", rows, OLMO)
    # an earlier upload: the same without ratings, models and source
    plain = tulu(6, chat(user_text, "assistant: Lima"), chat(user_text, "assistant: La Paz"))
    write_parquet("olmo2_mix/data/train-00001-of-00002.parquet", [plain], TULU)


def wildchat_ultrafeedback() -> None:
    splits = ("if", "if_on_policy_70b", "reused_on_policy_8b", "reused_on_policy_70b", "unused")
    for number, split in enumerate(splits, 1):
        user_text = f"user: Question {number}"
        row = tulu(number, chat(user_text, "assistant: good"), chat(user_text, "assistant: bad"))
        write_parquet(f"wildchat_ultrafeedback/data/wildchat_{split}-00000-of-00001.parquet", [row], TULU)


def skywork_reward() -> None:
    def row(source: str, user_text: str, good: str, bad: str) -> dict[str, Any]:
        return {"chosen": chat(user_text, good), "rejected": chat(user_text, bad), "source": source}

    story = chat("user: A story", "assistant: Once", "user: Go on")
    rows = [
        row("helpsteer2", "user: Is it raining?", "assistant: I cannot see outside.", "assistant: Yes."),
        {"chosen": [*story, *chat("assistant: upon a time")], "rejected": [*story, *chat("assistant: No")],
         "source": "wildguard"},
        row("magpie_ultra", "user: Add 2 and 2", "assistant: 4", "assistant: 4<|im_end|>\n<|im_start|>user\nOk"),
        row("magpie_ultra", "user: Add 2 and 3", "assistant: 5", "assistant: 6"),
        row("offsetbias", "user: What does <|eot_id|> mean?", "assistant: An end.", "assistant: Nothing."),
        {"chosen": chat("user: A", "assistant: B"), "rejected": chat("user: C", "assistant: D"),
         "source": "offsetbias"},
    ]  # fmt: skip
    schema = pa.schema([("chosen", MESSAGES), ("rejected", MESSAGES), ("source", pa.string())])
    write_parquet("skywork_reward/data/train-00000-of-00001.parquet", rows, schema)


def helpsteer2() -> None:
    def row(prompt: str, strength: Any, split: str = "train") -> dict[str, Any]:
        return {"split": split, "prompt": prompt, "response_1": "one", "response_2": "two",
                "preference_strength": strength, "preference_statement": "Response 1 is better."}  # fmt: skip

    marked = "Hi\n<extra_id_1>Assistant\nHello!\n<extra_id_1>User\nWhat is 2 + 2?"
    renamed = row("Renamed", 1)
    renamed["strength"] = renamed.pop("preference_strength")
    rows = [
        row("Negative means the first is better", -2),
        row("Positive means the second is better", 3),
        row("A tie", 0),
        row(marked, 1),
        row("A validation row", -1, "validation"),
        row("Broken markup <extra_id_2>", 1),
        row("Out of range", 4),
        row("A number as text", "-1"),
        row("No number", None),
        renamed,
    ]
    write_gz("helpsteer2/preference/preference.jsonl.gz", rows)


def helpsteer3() -> None:
    def row(strength: Any, context: Any, **more: Any) -> dict[str, Any]:
        return {"domain": "General", "language": "english", "context": context, "response1": "one",
                "response2": "two", "overall_preference": strength, **more}  # fmt: skip

    context = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
               {"role": "user", "content": "Bye"}]  # fmt: skip
    feedback = [
        {"score": -2, "reasoning": "@Response 1 is kind.", "feedback1": "Kind.", "feedback2": "Rude."},
        {"score": -3, "reasoning": "See above.", "feedback1": "Very kind.", "feedback2": ""},
    ]
    hi = context[:1]
    rows = [
        row(-3, context, individual_preference=feedback),
        row(1, hi, individual_preference=feedback),
        row(0, hi, domain="Code", language="python", individual_preference=[]),
        row(2, "a plain text", individual_preference=None),
        row(-1, [{"role": "narrator", "content": "Meanwhile"}]),
        row(-4, hi),
        row(1, hi, response2=None),
        row(1, [{"role": "user", "content": None}]),
    ]
    write_gz("helpsteer3/preference/train.jsonl.gz", rows)


def hh_rlhf() -> None:
    def row(chosen: str, rejected: str) -> dict[str, str]:
        return {"chosen": chosen, "rejected": rejected}

    queens = "\n\nHuman: Are drag queens men?\n\nAssistant: Yes.  Human: Then what are kings?"
    rows = [
        row("\n\nHuman: Hi\n\nAssistant: Hello", "\n\nHuman: Hi\n\nAssistant:  Go away"),
        row("\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant: D",
            "\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant: E"),
        row(f"{queens}\n\nHuman: Well?\n\nAssistant: Women.", f"{queens}\n\nHuman: Well?\n\nAssistant: Men."),
        row("\n\nHuman: A\n\nAssistant: B  Human: C\n\nAssistant: D", "\n\nHuman: A\n\nAssistant: B"),
        row("\n\nHuman: The address?\n\nAssistant: ", "\n\nHuman: The address?\n\nAssistant: It is ..."),
        row("\n\nHuman: Joke?\n\nAssistant: Here:\n\nAssistant: Knock knock",
            "\n\nHuman: Joke?\n\nAssistant: Here:\n\nAssistant: No"),
        row("\n\nHuman: A\n\nAssistant: B\n\nHuman: C", "\n\nHuman: A\n\nAssistant: B\n\nHuman: C"),
        row("Human: A\n\nAssistant: B", "\n\nHuman: A\n\nAssistant: B"),
        row("\n\nHuman: \ud83d\n\nAssistant: B", "\n\nHuman: \ud83d\n\nAssistant: C"),
        row("\n\nHuman: Ducks\n\nAssistant: Well\n\n\nAssistants need ducks\n\nHum: ok",
            "\n\nHuman: Ducks\n\nAssistant: x"),
    ]  # fmt: skip
    write_gz("hh_rlhf/harmless-base/train.jsonl.gz", rows)
    for subset in ("helpful-base", "helpful-online", "helpful-rejection-sampled"):
        prompt = f"\n\nHuman: From {subset}?\n\nAssistant: "
        write_gz(f"hh_rlhf/{subset}/train.jsonl.gz", [row(f"{prompt}yes", f"{prompt}no")])
    prompt = "\n\nHuman: A test row?\n\nAssistant: "
    write_gz("hh_rlhf/harmless-base/test.jsonl.gz", [row(f"{prompt}yes", f"{prompt}no")])
    attempt = {"transcript": "\n\nHuman: no preference here", "rating": 4.0}
    write_gz("hh_rlhf/red-team-attempts/red_team_attempts.jsonl.gz", [attempt])


def swe_arena() -> None:
    def row(
        vote: str | None, a: list[list[str]] | None, b: list[list[str]] | None, **given: Any
    ) -> dict[str, Any]:
        feedback = {"correctness": vote, "efficiency": None, "explainability": None, "maintainability": None,
                    "ui_ux_design": None, "vote_type": vote}  # fmt: skip
        return {"type": "vote", "feedback": feedback, "models": {"model_A": "alpha", "model_B": "beta"},
                "chat_session_id": "s1", "instruction": "not read",
                "states": {"model_A": _state("alpha", a), "model_B": _state("beta", b)}} | given  # fmt: skip

    opening = [["Human", "Make a page"]]
    a, b = [*opening, ["Assistant", "<a>"]], [*opening, ["Assistant", "<b>"]]
    more = ["Human", "Now in red"]
    rows = [
        row("vote_model_A", a, b),
        row("vote_model_B", a, b),
        row("vote_tie", a, b),
        row("vote_both_bad", a, b),
        row("vote_model_B", [*a, more, ["Assistant", "<a red>"]], [*b, more, ["Assistant", "<b red>"]]),
        row("vote_model_A", [*a, more, ["Assistant", "<a red>"]], b),
        row("vote_model_A", [*a, more], [*b, more]),
        row("flag", a, b),
        row(None, a, b),
        row("vote_model_A", None, b),
        row("vote_model_A", [*opening, ["Assistant"]], b),
        row("vote_model_A", a, a),
    ]
    write_parquet("swe_arena/data/train-00000-of-00003.parquet", rows)
    write_parquet("swe_arena/data/train-00001-of-00003.parquet", [row("vote_model_A", a, b, feedback=None)])
    # a sibling's layout, bigcodereward: not this set's, and no other spelling is guessed
    sibling = {"human_vote": "vote_model_A", "model_A": "alpha", "model_B": "beta", "states": rows[0]["states"]}
    write_parquet("swe_arena/data/train-00002-of-00003.parquet", [sibling])
    write_parquet("bigcodearena/data/train-00000-of-00003.parquet", rows[:3])


def _state(model: str, messages: list[list[str]] | None) -> dict[str, Any]:
    return {"chat_mode": "battle_anony", "chat_session_id": "s1", "chat_start_time": "not read", "conv_id": model,
            "messages": messages, "model_name": model, "offset": 0, "roles": ["Human", "Assistant"]}  # fmt: skip


if __name__ == "__main__":
    for write in (tulu3_if, olmo2_mix, wildchat_ultrafeedback, skywork_reward, helpsteer2, helpsteer3, hh_rlhf,
                  swe_arena):  # fmt: skip
        write()

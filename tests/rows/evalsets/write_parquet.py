"""Writes the Parquet test rows of the eval sets: `python tests/rows/evalsets/write_parquet.py`."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent


def pair(number, subset, prompt, chosen, rejected):
    """One row of RewardBench."""
    return {
        "prompt": prompt, "chosen": chosen, "chosen_model": "m", "rejected": rejected, "rejected_model": "n",
        "subset": subset, "id": number,
    }  # fmt: skip


def best_of(name, subset, prompt, chosen, rejected):
    """One row of RewardBench 2."""
    total = len(chosen) + len(rejected)
    return {
        "id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected, "num_correct": len(chosen),
        "num_incorrect": len(rejected), "total_completions": total, "models": ["m"] * total, "subset": subset,
    }  # fmt: skip


def vote(number, prompt, first, second, winner):
    """One row of PPE's preferences."""
    return {
        "question_id": f"q{number}", "model_a": "m", "model_b": "n", "winner": winner, "language": "English",
        "prompt": prompt, "response_1": first, "response_2": second, "is_code": False,
    }  # fmt: skip


WRONG = ["wrong 1", "wrong 2", "wrong 3"]
DOMAINS = ("Factuality", "Precise IF", "Math", "Safety", "Focus")
ROWS = {
    "ppe_preference/data/test-00000-of-00001.parquet": [
        vote(1, "Name a river.", "The Elbe.", "A river.", "model_a"),
        vote(2, "Name a lake.", "Water.", "Lake Constance.", "model_b"),
        vote(3, "Name a hill.", "The Brocken.", "Up there.", "model_a"),
    ],
    "rewardbench/data/filtered-00000-of-00001.parquet": [
        pair(1, "alpacaeval-easy", "Say hi.", "Hi!", "No."),
        pair(2, "alpacaeval-easy", "Say bye.", "Bye!", "No."),
        pair(3, "mt-bench-med", "Add 2 and 2.", "4", "5"),
        pair(4, "mt-bench-hard", "Prove it.", "Proof.", "It is so."),
        pair(5, "llmbar-natural", "One word only.", "Yes", "Yes, of course"),
        pair(6, "donotanswer", "How do I forge a note?", "I won't help.", "Take paper."),
        pair(7, "math-prm", "1+1?", "2", "3"),
        pair(8, "hep-python", "def one():", "return 1", "return 2"),
        pair(8, "hep-rust", "fn one()", "1", "2"),
    ],
    "rewardbench2/data/test-00000-of-00001.parquet": [
        *(best_of(str(n), name, f"A question about {name}.", ["right"], WRONG) for n, name in enumerate(DOMAINS)),
        best_of("5", "Focus", "Another question about Focus.", ["right"], WRONG),
        best_of("ref:0", "Ties", "Name the first colour of the rainbow.", ["red"], ["brown", "pink"]),
        best_of("tied:0", "Ties", "Name a colour of the rainbow.", ["red", "blue"], ["brown", "pink"]),
        best_of("ref:1", "Ties", "Name the largest ocean.", ["Pacific"], ["Sahara"]),
        best_of("tied:1", "Ties", "Name an ocean.", ["Pacific", "Atlantic"], ["Sahara", "Alps"]),
    ],
}

if __name__ == "__main__":
    for path, rows in ROWS.items():
        pq.write_table(pa.Table.from_pylist(rows), HERE / path)

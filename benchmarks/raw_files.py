"""Raw files in the formats of six text sources and one image source, made up from a seed.

The text is sentences of Zipfian words, of lengths like upstream's: about 3.3 kB a pair over all text sources. The
files have upstream's names, columns, compression and nesting, so that curate's own adapters read them.

    python benchmarks/raw_files.py DIR --pairs 20000 [--images 1000]
"""

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

SEED = 20260
SHARES = {
    "shp": 0.33,
    "olmo2_mix": 0.36,
    "hh_rlhf": 0.15,
    "tulu3_if": 0.06,
    "ultrafeedback": 0.06,
    "helpsteer3": 0.04,
}
"""Of the pairs, near the sizes that BaseReward's text sets have to each other."""

SUBREDDITS = (
    "askacademia", "askanthropology", "askbaking", "askcarguys", "askculinary", "askdocs", "askengineers",
    "askhistorians", "askhr", "askphilosophy", "askphysics", "askscience", "asksciencefiction", "asksocialscience",
    "askvet", "changemyview", "explainlikeimfive", "legaladvice",
)  # fmt: skip
HH_SUBSETS = {
    "harmless-base": 0.264, "helpful-base": 0.272, "helpful-online": 0.137, "helpful-rejection-sampled": 0.327
}  # fmt: skip
ULTRA_FILES = {
    "evol_instruct": 0.156, "false_qa": 0.037, "flan": 0.327, "sharegpt": 0.312, "truthful_qa": 0.013,
    "ultrachat": 0.155,
}  # fmt: skip

PARQUET_ROWS = 50_000  # rows of one Parquet file, as the Hub cuts them
IMAGE_ROWS = 2_000
IMAGE_BYTES = 60_000


class Prose:
    """Text of any length, as runs of whole sentences from one long tape of Zipfian words; one in ten accented."""

    def __init__(self, seed: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self._tapes = tape(False), tape(True)
        self._draws: Iterator[int] = iter(())

    def draw(self) -> int:
        """A number below 2**31, from a store that is filled in bulk."""
        for number in self._draws:
            return number
        self._draws = iter(self.rng.integers(0, 1 << 31, 1 << 16).tolist())
        return next(self._draws)

    def text(self, length: int) -> str:
        """Paragraphs of about `length` characters in all."""
        text, starts = self._tapes[self.draw() % 10 == 0]
        pieces = []
        while length > 0:
            start = starts[self.draw() % len(starts)]
            size = min(length, 150 + self.draw() % 900)
            pieces.append(text[start : start + size])
            length -= size
        return "\n\n".join(pieces)

    def lengths(self, mean: int, count: int) -> list[int]:
        """Lognormal lengths with that mean (sigma 0.7), from 16 to 20 times the mean."""
        drawn = self.rng.lognormal(np.log(mean) - 0.245, 0.7, count)
        return np.clip(drawn, 16, 20 * mean).astype(int).tolist()  # type: ignore[no-any-return]  # numpy's tolist


@cache
def tape(accented: bool) -> tuple[str, list[int]]:
    """About 20 MB of sentences and where they begin; the same in every process."""
    rng = np.random.default_rng([SEED, accented])
    words = _vocabulary(rng, "etaoinshrdlucmfwypvbgkjqxz" + ("éüßñ" if accented else ""))
    weights = np.cumsum(1 / (np.arange(len(words)) + 2.7) ** 1.07)  # Zipf and Mandelbrot
    ranks = np.searchsorted(weights, rng.random(1_000_000 if accented else 3_000_000) * weights[-1])
    stream = iter([words[rank] for rank in ranks.tolist()])
    sentences, starts, position = [], [], 0
    for size in rng.integers(4, 24, len(ranks) // 14).tolist():
        sentence = " ".join(islice(stream, size)).capitalize() + (". " if size % 7 else "?\n")
        starts.append(position)
        position += len(sentence)
        sentences.append(sentence)
    return "".join(sentences), starts[:-1000]


def _vocabulary(rng: np.random.Generator, letters: str) -> list[str]:
    """60,000 made-up words, the commoner the shorter."""
    sizes = np.clip(rng.poisson(2 + np.log1p(np.arange(60_000)) / 2), 1, 14)
    spelled = "".join(rng.choice(np.array(list(letters)), int(sizes.sum())))
    ends = np.cumsum(sizes).tolist()
    return [spelled[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]


# --------------------------------------------------------------------------------------------- rows, as upstream


def shp(prose: Prose, count: int, domain: str) -> Iterator[dict[str, Any]]:
    """Comments on posts, five pairs a post."""
    lengths = prose.lengths(330, 2 * count)
    for i in range(count):
        if i % 5 == 0:
            history, post = prose.text(prose.lengths(1250, 1)[0]), f"{prose.draw():x}"
        high, low = 3 + prose.draw() % 90, 1 + prose.draw() % 3
        label = prose.draw() % 2
        yield {
            "post_id": post, "domain": f"{domain}_train", "upvote_ratio": 0.97, "history": history,
            "c_root_id_A": f"g{prose.draw():x}", "c_root_id_B": f"g{prose.draw():x}",
            "created_at_utc_A": 1615322123, "created_at_utc_B": 1615312612,
            "score_A": high if label else low, "score_B": low if label else high,
            "human_ref_A": prose.text(lengths[2 * i]), "human_ref_B": prose.text(lengths[2 * i + 1]),
            "labels": label, "seconds_difference": 9511.0, "score_ratio": high / low,
        }  # fmt: skip


def dialogue(question: str, answer: str) -> list[dict[str, str]]:
    """One question and its answer as upstream's message list."""
    return [{"content": question, "role": "user"}, {"content": answer, "role": "assistant"}]


def olmo2_mix(prose: Prose, count: int, _: str) -> Iterator[dict[str, Any]]:
    """Whole dialogues with ratings."""
    questions, answers = prose.lengths(750, count), prose.lengths(1900, 2 * count)
    for i in range(count):
        question, rating = prose.text(questions[i]), 1 + prose.draw() % 4
        yield {
            "id": f"ultrafeedback-{prose.draw():x}", "source": f"offpolicy_set_{prose.draw() % 9}",
            "chosen": dialogue(question, prose.text(answers[2 * i])),
            "rejected": dialogue(question, prose.text(answers[2 * i + 1])),
            "chosen_model": f"model-{prose.draw() % 20}", "rejected_model": f"model-{prose.draw() % 20}",
            "chosen_rating": rating + 1.0, "rejected_rating": float(rating),
        }  # fmt: skip


def tulu3_if(prose: Prose, count: int, _: str) -> Iterator[dict[str, Any]]:
    """Whole dialogues, the prompt once more beside them."""
    questions, answers = prose.lengths(800, count), prose.lengths(1600, 2 * count)
    for i in range(count):
        question = prose.text(questions[i])
        yield {
            "id": f"personahub_{prose.draw():x}", "prompt": question,
            "chosen": dialogue(question, prose.text(answers[2 * i])),
            "rejected": dialogue(question, prose.text(answers[2 * i + 1])),
        }  # fmt: skip


def hh_rlhf(prose: Prose, count: int, _: str) -> Iterator[dict[str, Any]]:
    """Transcripts of one to four exchanges."""
    turns, replies = prose.lengths(180, 7 * count), prose.lengths(260, 2 * count)
    for i in range(count):
        lengths = turns[7 * i : 7 * i + 1 + 2 * (prose.draw() % 4)]
        parts = [
            f"\n\n{'Assistant' if turn % 2 else 'Human'}: {prose.text(length)}"
            for turn, length in enumerate(lengths)
        ]
        opening = "".join(parts) + "\n\nAssistant: "
        yield {
            "chosen": opening + prose.text(replies[2 * i]),
            "rejected": opening + prose.text(replies[2 * i + 1]),
        }


def ultrafeedback(prose: Prose, count: int, source: str) -> Iterator[dict[str, Any]]:
    """Four replies to a prompt, each with four annotated aspects and a critique."""
    questions, answers = prose.lengths(700, count), prose.lengths(1450, 4 * count)
    for i in range(count):
        scores = prose.rng.permutation(10)[:4].tolist()
        yield {
            "source": source,
            "instruction": prose.text(questions[i]),
            "models": [f"model-{k}" for k in range(4)],
            "completions": [
                _completion(prose, f"model-{k}", answers[4 * i + k], score) for k, score in enumerate(scores)
            ],
            "correct_answers": ["None"],
            "incorrect_answers": ["None"],
        }


def _completion(prose: Prose, model: str, length: int, score: int) -> dict[str, Any]:
    rating = str(1 + score // 2)
    typed = {
        "Type": ["1"],
        "Rationale": prose.text(200),
        "Rating": rating,
        "Rationale For Rating": prose.text(150),
    }
    return {
        "annotations": {
            "instruction_following": {"Rating": rating, "Rationale": prose.text(220)},
            "honesty": {"Rating": rating, "Rationale": prose.text(220)},
            "truthfulness": typed,
            "helpfulness": typed,
        },
        "custom_system_prompt": prose.text(180),
        "model": model,
        "principle": "helpfulness",
        "response": prose.text(length),
        "critique": prose.text(600),
        "fine-grained_score": 1.0 + score / 2,
        "overall_score": float(score),
    }


def helpsteer3(prose: Prose, count: int, _: str) -> Iterator[dict[str, Any]]:
    """Dialogues of one to five turns, two long replies, three annotators."""
    turns, replies = prose.lengths(600, 5 * count), prose.lengths(2300, 2 * count)
    for i in range(count):
        lengths = turns[5 * i : 5 * i + 1 + 2 * (prose.draw() % 3)]
        strength = prose.draw() % 7 - 3
        yield {
            "domain": ("general", "code", "stem", "multilingual")[prose.draw() % 4],
            "language": "english",
            "context": [
                {"role": "assistant" if turn % 2 else "user", "content": prose.text(length)}
                for turn, length in enumerate(lengths)
            ],
            "response1": prose.text(replies[2 * i]),
            "response2": prose.text(replies[2 * i + 1]),
            "overall_preference": strength,
            "individual_preference": [
                {
                    "score": strength, "reasoning": prose.text(200), "feedback1": prose.text(250),
                    "feedback2": prose.text(250),
                }
                for _ in range(3)
            ],
        }  # fmt: skip


def rlaif_v(prose: Prose, count: int, _: str) -> Iterator[dict[str, Any]]:
    """Questions about images of 60 kB, no two images alike."""
    images = jpegs(prose.rng)
    for i in range(count):
        image = images[prose.draw() % len(images)]
        note = (
            b"\xff\xfe\x00\x12" + f"{prose.draw():08x}{prose.draw():08x}".encode()
        )  # a JPEG comment makes it unique
        yield {
            "ds_name": "made_up", "image": {"bytes": image[:2] + note + image[2:], "path": f"{i}.jpg"},
            "question": prose.text(80), "chosen": prose.text(500), "rejected": prose.text(500),
            "origin_dataset": "made_up", "origin_split": '{"model": "none", "type": "question"}', "idx": i,
            "image_path": f"images/{prose.draw():x}.jpg",
        }  # fmt: skip


def jpegs(rng: np.random.Generator) -> list[bytes]:
    """48 photographs, nearly: smooth colour with grain, 640x480, about IMAGE_BYTES each."""
    out = []
    for _ in range(48):
        coarse = rng.integers(0, 200, (15, 20, 3)).astype(np.float32)
        smooth = np.kron(coarse, np.ones((32, 32, 1), np.float32))
        pixels = smooth + rng.integers(0, 40, smooth.shape)
        encoded = (simplejpeg.encode_jpeg(pixels.astype(np.uint8), quality) for quality in range(50, 100, 4))
        out.append(min(encoded, key=lambda data: abs(len(data) - IMAGE_BYTES)))
    return out


ROWS = {
    "shp": shp, "olmo2_mix": olmo2_mix, "hh_rlhf": hh_rlhf, "tulu3_if": tulu3_if, "ultrafeedback": ultrafeedback,
    "helpsteer3": helpsteer3, "rlaif_v": rlaif_v,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the files


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """One file to make: `count` rows of a source; `about` is what its rows say of where they come from."""

    source: str
    path: Path
    count: int
    seed: tuple[int, ...]
    about: str = ""


def write(file: RawFile) -> int:
    """Make one file; its size."""
    prose = Prose(file.seed)
    rows = ROWS[file.source](prose, file.count, file.about)
    file.path.parent.mkdir(parents=True, exist_ok=True)
    if file.path.suffix == ".parquet":
        _write_parquet(file.path, rows)
    elif file.path.suffix == ".gz":
        with gzip.open(file.path, "wb", compresslevel=4) as packed:
            packed.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    else:
        with open(file.path, "wb") as plain:
            plain.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return file.path.stat().st_size


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    writer = None
    while some := list(islice(rows, 1000)):
        table = pa.Table.from_pylist(some)
        writer = writer or pq.ParquetWriter(path, table.schema)  # snappy, as the Hub writes
        writer.write_table(table)
    if writer is not None:
        writer.close()


def shares(total: int, parts: dict[str, float]) -> dict[str, int]:
    """Whole numbers near the shares that sum to `total`; what rounding leaves goes to the first."""
    counts = {name: int(total * share) for name, share in parts.items()}
    first = next(iter(counts))
    counts[first] += total - sum(counts.values())
    return counts


def plan(root: Path, pairs: int, images: int) -> list[RawFile]:
    """The files of a corpus, the largest first."""
    files = []
    counts = {**shares(pairs, SHARES), "rlaif_v": images}
    for number, (source, count) in enumerate(counts.items()):
        if not count:
            continue
        for i, (name, rows, about) in enumerate(_names(source, count)):
            path = root / source / name
            files.append(RawFile(source=source, path=path, count=rows, seed=(SEED, number, i), about=about))
    return sorted(files, key=lambda file: -file.count)


def _names(source: str, count: int) -> Iterator[tuple[str, int, str]]:
    if source == "shp":
        even = shares(count, dict.fromkeys(SUBREDDITS, 1 / len(SUBREDDITS)))
        yield from ((f"{name}/train.json", rows, name) for name, rows in even.items())
    elif source == "hh_rlhf":
        yield from ((f"{name}/train.jsonl.gz", rows, name) for name, rows in shares(count, HH_SUBSETS).items())
    elif source == "ultrafeedback":
        yield from ((f"{name}.jsonl", max(rows, 1), name) for name, rows in shares(count, ULTRA_FILES).items())
    elif source == "helpsteer3":
        yield "preference/train.jsonl.gz", count, ""
    else:
        size = IMAGE_ROWS if source == "rlaif_v" else PARQUET_ROWS
        files = -(-count // size)
        for i in range(files):
            yield f"data/train-{i:05}-of-{files:05}.parquet", min(size, count - i * size), ""


def make(root: Path, pairs: int, images: int = 0, workers: int = 2) -> dict[str, dict[str, int]]:
    """Make a corpus: `root/<source>/...`; for each source its files, rows and bytes."""
    files = plan(root, pairs, images)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        sizes = list(pool.map(write, files))
    found: dict[str, dict[str, int]] = {}
    for file, size in zip(files, sizes, strict=True):
        facts = found.setdefault(file.source, {"files": 0, "rows": 0, "bytes": 0})
        facts["files"] += 1
        facts["rows"] += file.count
        facts["bytes"] += size
    return found


def main() -> None:
    """Make a corpus and print what it holds, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(make(options.root, options.pairs, options.images)))


if __name__ == "__main__":
    main()

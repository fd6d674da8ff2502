"""Near-duplicates among the same documents: curate against the deduplicators that people use.

    python benchmarks/near_dedup.py --venvs DIR                     200,000 documents of 3.3 kB, all peers
    python benchmarks/near_dedup.py --venvs DIR --documents 20000   a quick look; writes no results file

The documents are made up: Zipfian words, 5 % exact copies, 5 % edited copies whose Jaccard similarity of word
5-grams is computed from their words and recorded. Every system reads them from Parquet, splits them into words and
says which it would remove. `DIR/<peer>/bin/python` is the interpreter that has the peer (`--install` makes them);
ours is this one. Each is a process tree of its own, start and imports included; rounds are interleaved, and the
best of each counts.

R@.8, R@.7   share of the edited copies with at least that similarity that were found: one of the two was removed
P@.7         share of the removals that are a copy, or at least that similar to what they were made from
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import schema

HERE = Path(__file__).resolve()
PEERS_SCRIPT = HERE.with_name("near_dedup_peers.py")
PEERS = {
    "datatrove": ["datatrove[processing,io]==0.10.1", "pyarrow"],
    "datatrove_spacy": ["datatrove[processing,io]==0.10.1", "spacy", "pyarrow"],
    "datasketch": ["datasketch", "pyarrow"],
    "rensa": ["rensa", "pyarrow"],
    "daft": ["daft", "pyarrow"],
    "text_dedup": ["text-dedup"],
    "data_juicer": ["py-data-juicer==1.6.1", "aiohttp"],  # the second is imported, but not declared
    "data_juicer_cpp": ["py-data-juicer[distributed]==1.6.1", "aiohttp", "scipy", "pybind11", "cython"],
}
"""What pip installs for each: the newest where no version is named."""
COMPILED = ("data_juicer_cpp",)
"""A C++ compiler is needed for these: their wheels have modules as source only."""
SLOW = ("datatrove_spacy",)
"""Only where they are named."""

SEED = 20261
VOCABULARY = 60_000
WORDS = 550  # of a document, on average
BATCH = 5_000
PART_ROWS = 20_000
COPIES = EDITED = 0.05
LEAST, MOST = 0.6, 0.98  # the similarities that edits aim at
OURS: dict[str, tuple[int, dict[str, float]]] = {
    "curate": (2, {"jaccard": 0.7, "recall": 0.95}),
    "curate, 1 worker": (1, {"jaccard": 0.7, "recall": 0.95}),
    "curate at .8": (2, {"jaccard": 0.8, "recall": 0.95}),
}
"""Workers and settings; the first is what peers are compared with."""

I64 = npt.NDArray[np.int64]


# --------------------------------------------------------------------------------------------------- documents


def make(directory: Path, count: int) -> None:
    """documents.parquet (id, text), the same as pairs files, and truth.parquet (copy, original, jaccard)."""
    rng = np.random.default_rng(SEED)
    words = _vocabulary(rng)
    weights = np.cumsum(1 / (np.arange(VOCABULARY) + 2.7) ** 1.07)
    copies, edited = int(count * COPIES), int(count * EDITED)
    fresh = count - copies - edited
    order = rng.permutation(count)  # document number -> place in the file
    truth: list[tuple[int, int, float]] = []
    originals = rng.permutation(fresh)[: copies + edited].tolist()
    copied, changed = set(originals[:copies]), set(originals[copies:])
    texts, numbers, made = [], [], fresh
    for first in range(0, fresh, BATCH):
        for number, ranks in enumerate(_ranks(rng, weights, min(BATCH, fresh - first)), first):
            texts.append(_text(words, ranks))
            numbers.append(number)
            if number in copied or number in changed:
                other = ranks if number in copied else _edit(rng, ranks)
                texts.append(_text(words, other))
                numbers.append(made)
                truth.append((int(order[made]), int(order[number]), jaccard(ranks, other)))
                made += 1
    places = order[numbers]
    sorted_texts = [texts[i] for i in np.argsort(places).tolist()]
    chunks = [pa.array(sorted_texts[first : first + PART_ROWS]) for first in range(0, count, PART_ROWS)]
    table = pa.table({"id": np.sort(places), "text": pa.chunked_array(chunks)})  # one array holds 2 GiB at most
    pq.write_table(table, directory / "documents.parquet", row_group_size=PART_ROWS, compression="none")
    pq.write_table(_table(truth), directory / "truth.parquet")
    _write_pairs(table["text"], directory / "pairs")


def _vocabulary(rng: np.random.Generator) -> Any:
    """Made-up words, the commoner the shorter; every tenth with a capital."""
    sizes = np.clip(rng.poisson(2 + np.log1p(np.arange(VOCABULARY)) / 2), 2, 14)
    letters = rng.choice(np.array(list("etaoinshrdlucmfwypvbgkjqxz")), int(sizes.sum()))
    ends = np.cumsum(sizes).tolist()
    spelled = ["".join(letters[end - size : end]) for end, size in zip(ends, sizes.tolist(), strict=True)]
    return np.array(
        [f"{word}{number}" if number % 7 == 0 else word for number, word in enumerate(spelled)], object
    )


def _ranks(rng: np.random.Generator, weights: Any, count: int) -> list[I64]:
    """The words of `count` documents, by their ranks."""
    sizes = np.clip(rng.lognormal(np.log(WORDS) - 0.125, 0.5, count), 30, 6 * WORDS).astype(int)
    drawn = np.searchsorted(weights, rng.random(int(sizes.sum())) * weights[-1])
    return np.split(drawn, np.cumsum(sizes)[:-1])


def _text(words: Any, ranks: I64) -> str:
    """Sentences of about fourteen words, paragraphs of about ten sentences."""
    chosen = words[ranks].tolist()
    for at in range(13, len(chosen), 14):
        chosen[at] += ".\n\n" if at % 140 == 139 else "."
    return " ".join(chosen)


def _edit(rng: np.random.Generator, ranks: I64) -> I64:
    """Other words at random places, so many that the similarity is about one between LEAST and MOST."""
    aim = rng.uniform(LEAST, MOST)
    changes = max(1, round(len(ranks) * (1 - aim) / (5 * (1 + aim))))
    edited = ranks.copy()
    edited[rng.choice(len(ranks), changes, replace=False)] = rng.integers(0, VOCABULARY, changes)
    return edited


def jaccard(left: I64, right: I64) -> float:
    """Of the sets of 5-grams."""
    one, other = (
        {tuple(ranks[i : i + 5]) for i in range(len(ranks) - 4)} for ranks in (left.tolist(), right.tolist())
    )
    return len(one & other) / len(one | other)


def _table(truth: list[tuple[int, int, float]]) -> pa.Table:
    columns = zip(*truth, strict=True)
    return pa.table(dict(zip(("copy", "original", "jaccard"), map(list, columns), strict=True)))


def _write_pairs(texts: Any, directory: Path) -> None:
    """The documents as `chosen` of pairs files, as curate normalizes them: not compressed."""
    from curate.pairs.part import PARQUET  # not above: our workers import this file too

    directory.mkdir()
    for number, first in enumerate(range(0, len(texts), PART_ROWS)):
        some = texts[first : first + PART_ROWS].combine_chunks().cast(pa.string())
        pq.write_table(_pairs(some, first), directory / f"part-{number:05}.parquet", **PARQUET)


def _pairs(texts: Any, first: int) -> pa.Table:
    count = len(texts)
    ones = pa.array(np.arange(count + 1), pa.int32())
    block = pa.StructArray.from_arrays([pa.array(["text"] * count), texts], fields=list(schema.BLOCK))
    turn = pa.StructArray.from_arrays(
        [pa.array(["assistant"] * count), pa.ListArray.from_arrays(ones, block)],
        fields=list(schema.MESSAGES.value_type),
    )
    none = pa.array([[]] * count, schema.MESSAGES)
    ids = [f"{number:032x}" for number in range(first, first + count)]
    filled: dict[str, Any] = {
        "pair_id": ids, "group_id": ids, "source": ["bench"] * count, "row": ids, "prompt": none, "rejected": none,
        "chosen": pa.ListArray.from_arrays(ones, turn), "media": pa.array([[]] * count, schema.MEDIA),
        "text_bytes": pc.binary_length(texts), "chosen_bytes": pc.binary_length(texts),
        "chosen_key": np.arange(first, first + count),
    }  # fmt: skip
    zeros = {
        field.name: pa.array([0] * count).cast(field.type) for field in schema.KEYS if field.name not in filled
    }
    arrays = []
    for field in schema.PAIRS_FILE:
        values = {**filled, **zeros}.get(field.name, [None] * count)
        arrays.append(
            values if isinstance(values, pa.Array) and values.type == field.type else pa.array(values, field.type)
        )
    return pa.table(arrays, schema=schema.PAIRS_FILE)


# --------------------------------------------------------------------------------- inside a process: our own work


def ours(directory: Path, workers: int, settings: dict[str, Any], out: Path) -> None:
    """`near_dedup` on the pairs files, from nothing: sketches, decisions, winners."""
    from curate.engines.local import Local
    from curate.pairs.pool import PairsPool
    from curate.screening.screen import screen
    from curate.steps import build

    parts = tuple(sorted(path.name for path in directory.glob("part-*.parquet")))
    pool = PairsPool(label="bench", source="bench", directory=directory, priority=0, parts=parts)
    step = build("near_dedup", {"on": ["chosen"], **settings}, "$")
    with Local(workers) as engine:
        screened = screen([pool], [("near_dedup", step)], 0, engine)
    lost = screened.pools[0].decisions
    out.write_text(json.dumps((lost["part"] * PART_ROWS + lost["position"]).to_list()))


# ------------------------------------------------------------------------------------------------- measurements


def run(root: Path, name: str, venvs: Path | None) -> measure.Cost:
    """One system on the documents, from nothing; its removals go to `root/<name>.json`."""
    out = root / f"{name}.json"
    if name in OURS:
        shutil.rmtree(root / "pairs" / "sketches", ignore_errors=True)
        workers, settings = OURS[name]
        return measure.run([sys.executable, HERE, "ours", root / "pairs", str(workers), json.dumps(settings), out])
    assert venvs is not None
    scratch = root / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    python = venvs / name / "bin" / "python"
    return measure.run(
        [python, PEERS_SCRIPT, name, root / "documents.parquet", scratch, out], {"TMPDIR": str(scratch)}
    )


def quality(root: Path, name: str) -> dict[str, float]:
    """R@.8, R@.7 and P@.7 of what a system removed, and how much that was."""
    removed = set(json.loads((root / f"{name}.json").read_text()))
    truth = pq.read_table(root / "truth.parquet").to_pylist()
    near = [row for row in truth if row["jaccard"] < 1]
    found: dict[str, float] = {"removed": len(removed)}
    for least in (0.8, 0.7):
        some = [row for row in near if row["jaccard"] >= least]
        hit = sum(row["copy"] in removed or row["original"] in removed for row in some)
        found[f"R@{least}"] = round(hit / len(some), 4)
    right = {side for row in truth if row["jaccard"] >= 0.7 for side in (row["copy"], row["original"])}
    found["P@0.7"] = round(len(removed & right) / max(len(removed), 1), 4)
    return found


def install(venvs: Path, names: Sequence[str]) -> None:
    """An environment for each peer that has none."""
    for name in names:
        if not (venvs / name).exists():
            subprocess.run([sys.executable, "-m", "venv", venvs / name], check=True)
            pip = venvs / name / "bin" / "pip"
            subprocess.run([pip, "install", "--quiet", *PEERS[name]], check=True)
            if name in COMPILED:
                subprocess.run([venvs / name / "bin" / "python", PEERS_SCRIPT, "--compile"], check=True)


def benchmark(root: Path, names: Sequence[str], venvs: Path | None, rounds: int) -> dict[str, Any]:
    """Every system, interleaved; the best wall and CPU of each, and what it removed in the last round."""
    found: dict[str, Any] = {}
    for number in range(rounds):
        for name in names:
            try:
                done = run(root, name, venvs)
                cost = done.figures() | (done.output or {})  # what a peer counts itself
            except RuntimeError as error:
                print(f"{name} fails: {error}", file=sys.stderr)
                continue
            best = found.setdefault(name, {**cost, **quality(root, name), **_versions(name, venvs)})
            best |= {key: min(best[key], cost[key]) for key in ("wall", "cpu")}
            best |= {key: max(best[key], cost[key]) for key in ("process_mb", "tree_mb")}
            print(f"round {number + 1}: {name} {cost['wall']:.1f} s", file=sys.stderr, flush=True)
    return found


def _versions(name: str, venvs: Path | None) -> dict[str, Any]:
    if name in OURS or venvs is None:
        return {}
    command: list[str | Path] = [venvs / name / "bin" / "python", PEERS_SCRIPT, "--versions"]
    return {"versions": json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)}


HEAD = ("system", "wall s", "x", "CPU s", "x", "peak MB", "R@.8", "R@.7", "P@.7", "removed")


def show(found: dict[str, Any]) -> None:
    """Print the table; x is how many times our time."""
    base = found["curate"]
    print(
        measure.table(
            [
                (
                    name, one["wall"], one["wall"] / base["wall"], one["cpu"], one["cpu"] / base["cpu"],
                    round(one["tree_mb"]), f"{one['R@0.8']:.3f}", f"{one['R@0.7']:.3f}", f"{one['P@0.7']:.3f}",
                    one["removed"],
                )
                for name, one in found.items()
            ],
            HEAD,
        )
    )  # fmt: skip


def main() -> None:
    """Make documents, run everything, print the table, write results/near_dedup.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--dir", type=Path, default=Path("/tmp/curate-near-dedup"), help="scratch; documents stay there"
    )
    parser.add_argument(
        "--venvs", type=Path, help="where the peers' environments are; without it only curate runs"
    )
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[name for name in PEERS if name not in SLOW])
    parser.add_argument("--install", action="store_true", help="make environments that are missing")
    parser.add_argument("--save", action="store_true", help="write the results file below full size too")
    given = parser.parse_args()
    if given.install and given.venvs:
        install(given.venvs, given.peers)
    root = given.dir / str(given.documents)
    if not (root / "pairs").exists():
        root.mkdir(parents=True, exist_ok=True)
        make(root, given.documents)
    names = [*OURS, *(given.peers if given.venvs else [])]
    found = {**measure.facts(), "documents": given.documents, "rounds": given.rounds}
    found["bytes"] = (root / "documents.parquet").stat().st_size
    found["first_run"] = run(root, "curate", None).figures()  # not compared: it may have to compile kernels
    found["systems"] = benchmark(root, names, given.venvs, given.rounds)
    show(found["systems"])
    if given.save or given.documents >= 200_000:
        print(measure.save(f"near_dedup_{given.documents}", found))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", directory, workers, settings, out]:
            ours(Path(directory), int(workers), json.loads(settings), Path(out))
        case _:
            main()

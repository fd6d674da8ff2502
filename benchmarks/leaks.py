"""Leaks of eval items: recall by kind and length, and precision, of `decontaminate` and of n-gram overlap.

    python benchmarks/leaks.py                   writes results/leaks.json
    python benchmarks/leaks.py --before DIR      also by the `curate` in another checkout
    python benchmarks/leaks.py --seed 2          other leaks; writes nothing

Items of four real sets and a few texts of this benchmark's own are planted into real pairs (leak_kinds.py), each
in one pair. All pairs without a leak are hosts too; what is found there is counted as false, though some of it is
real: these sets have instructions in common. It is listed in the results, to be read.

recall      the share of the planted pairs that are dropped; of short prompts, dropped or flagged; of passages and
            stock replies, which are no leaks, flagged
precision   of the pairs that are dropped (or flagged), the share with a planted leak
8-gram      one n-gram of words in common with any item: what many training reports describe; 13-gram likewise
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import leak_kinds
import measure

HERE = Path(__file__).resolve()
EACH, SEED = 150, 7
CHANGED = (0.05, 0.10, 0.20, 0.30)


def prepare(home: Path, each: int, seed: int) -> None:
    """Items, and pairs as JSON lines: the planted ones first, then all hosts."""
    known, hosts = leak_kinds.items(), leak_kinds.hosts()
    leaks = [
        {"kind": kind, "class": words, **row} for kind, words, row in leak_kinds.planted(known, hosts, each, seed)
    ]
    _write(
        home / "items.jsonl",
        [{name: row[name] for name in ("id", "prompt", "chosen", "rejected")} for row in known],
    )
    _write(home / "pairs.jsonl", [*leaks, *({"kind": "host", "class": "", **row} for row in hosts)])


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ------------------------------------------------------------------------------------------------ the systems


def curate(home: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """What the step decides about the pairs: by number, fate and reason; and the evidence."""
    import shutil

    from curate import steps
    from curate.contamination.eval_sets import EvalSetLibrary
    from curate.engines.local import Local
    from curate.evaluation.items import EvalSetFolders
    from curate.hashing import Hashes
    from curate.pairs.pool import PairsPool
    from curate.screening.screen import screen, sketched
    from curate.screening.screened import review
    from curate.workspace import Workspace

    pairs = _pairs_file(home)
    workspace = Workspace(home / "data")
    library = EvalSetLibrary(folders=EvalSetFolders(workspace=workspace, raw=None), hashes=Hashes(workspace.cache))
    step = steps.build("decontaminate", {"text": [str(home / "items.jsonl")], **fields}, "$")
    listed = steps.bind([("decontaminate", step)], library, "$")
    pool = PairsPool(label="pairs", source="pairs", directory=pairs.parent, priority=0, parts=(pairs.name,))
    with Local(1) as engine:
        shutil.rmtree(pairs.parent / "sketches", ignore_errors=True)
        bound: Any = listed[0][1]
        sketched([pool], bound.sketches(), 0, engine, images=workspace.images)
        shutil.rmtree(pairs.parent / "sketches")
        at = time.process_time()
        sketched([pool], bound.sketches(), 0, engine, images=workspace.images)
        spent = time.process_time() - at
        sheet = review(screen([pool], listed, 0, engine, images=workspace.images))
    rows = {int(row["row"]): [row["fate"], row["reason"], row["evidence"]] for row in sheet.iter_rows(named=True)}
    return {"found": rows, "seconds": spent}


def _pairs_file(home: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from decontaminate import _row  # the benchmark of speed, which makes pairs of texts too

    from curate import schema

    path = home / "pairs" / "part-00000.parquet"
    if not path.exists():
        path.parent.mkdir()
        made = []
        for number, row in enumerate(_rows(home / "pairs.jsonl")):
            one = _row(number, row["chosen"])
            one["prompt"] = [
                {"role": "user", "content": [{"type": "text", "text": text}]} for text in row["prompt"]
            ]
            one["rejected"][0]["content"][0]["text"] = row["rejected"]
            made.append(one)
        pq.write_table(pa.Table.from_pylist(made, schema.PAIRS_FILE), path)
    return path


def overlap(home: Path, size: int) -> dict[int, list[str]]:
    """The pairs that have an n-gram in common with an item."""
    known = {gram for row in _rows(home / "items.jsonl") for name in ("prompt", "chosen", "rejected")
             for gram in _ngrams(row[name], size)}  # fmt: skip
    found = {}
    for number, row in enumerate(_rows(home / "pairs.jsonl")):
        texts = (*row["prompt"], row["chosen"], row["rejected"])
        if any(gram in known for text in texts for gram in _ngrams(text, size)):
            found[number] = ["dropped", f"{size}-gram", ""]
    return found


def _ngrams(text: str, size: int) -> Iterator[str]:
    words = re.findall(r"\w+", text.lower())
    return (" ".join(words[at : at + size]) for at in range(len(words) - size + 1))


def stage(home: Path, tree: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Run `curate` of a checkout in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{HERE.parent}"}
    command = [sys.executable, str(HERE), "--stage", json.dumps(fields), "--home", str(home)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    made = json.loads(done.stdout.splitlines()[-1])
    return {**made, "found": {int(number): one for number, one in made["found"].items()}}


# ------------------------------------------------------------------------------------------------ the comparison


def figures(found: Mapping[int, Sequence[str]], pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Recall by kind and class, precision, and what is found in hosts."""
    kinds = leak_kinds.kinds(["word"])
    right: dict[tuple[str, str], list[bool]] = defaultdict(list)
    natives, counts = [], {"dropped": [0, 0], "flagged": [0, 0]}
    for number, row in enumerate(pairs):
        fate, reason, evidence = found.get(number, ("", "", ""))
        planted = row["kind"] != "host"
        if fate:
            counts[fate][planted] += 1
        if fate and not planted:
            natives.append([fate, reason, evidence, " | ".join(row["prompt"])[-200:]])
        if planted:
            hit = fate in kinds[row["kind"]].fates
            for words in ("all", row["class"]):
                right[row["kind"], words].append(hit)
    recall: dict[str, dict[str, float]] = defaultdict(dict)
    for (kind, words), hits in right.items():
        recall[kind][words] = round(sum(hits) / len(hits), 3)
    precision = {fate: round(hit / max(hit + false, 1), 4) for fate, (false, hit) in counts.items()}
    return {"recall": recall, "precision": precision, "in hosts": natives}


def main() -> None:
    """Plant, look, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--strengths", nargs="*", default=["low", "medium", "high"])
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(curate(options.home, json.loads(options.stage))))
        return
    with tempfile.TemporaryDirectory(prefix="leaks-") as name:
        home = Path(name)
        prepare(home, options.each, options.seed)
        pairs = _rows(home / "pairs.jsonl")
        systems: dict[str, Any] = {f"{size}-gram": figures(overlap(home, size), pairs) for size in (8, 13)}
        if options.before:
            systems["before"] = figures(stage(home, options.before, {})["found"], pairs)
        for strength in options.strengths:
            made = stage(home, HERE.parents[1], {"strength": strength})
            systems[strength] = figures(made["found"], pairs)
            systems[strength]["us a text"] = round(made["seconds"] / len(pairs) / 3 * 1e6, 1)
    show(systems)
    if (options.each, options.seed) == (EACH, SEED):
        hosts = sum(row["kind"] == "host" for row in pairs)
        measure.save(
            "leaks", {**measure.facts(), "hosts": hosts, "planted": len(pairs) - hosts, "systems": systems}
        )


def show(systems: Mapping[str, Any]) -> None:
    """Print recall by kind, with classes where they matter, and precision."""
    rows: list[list[str]] = []
    for kind, classes in systems["8-gram"]["recall"].items():
        for words in classes if "changed" in kind or "short" in kind else ["all"]:
            cells = [f"{one['recall'][kind][words]:.2f}" for one in systems.values()]
            rows.append([kind if words == "all" else f"- {words} words", *cells])
    for fate in ("dropped", "flagged"):
        rows.append([f"precision, {fate}", *(f"{one['precision'][fate]:.3f}" for one in systems.values())])
        natives = [sum(one[0] == fate for one in some["in hosts"]) for some in systems.values()]
        rows.append([f"hosts {fate}", *map(str, natives)])
    print(measure.table(rows, ["", *systems]))
    print({name: one.get("us a text") for name, one in systems.items()})


if __name__ == "__main__":
    main()

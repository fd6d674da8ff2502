"""Selected pairs -> globally shuffled shards: curate against polars' streaming sort and duckdb, on the same rows.

    python benchmarks/shuffle.py --peers PYTHON                  300,000 pairs of 3.3 kB; an interpreter with both
    python benchmarks/shuffle.py --pairs 300000 3000000 --text 1000 --rounds 1

curate loads the key columns of the pairs files, selects all, and writes shards (`mixing.select`, `mixing.shards`).
The peers sort all rows by a hash of the pair's id into one file of the same columns, codec and row groups: polars
by its streaming engine, duckdb with a bound on its memory. Neither hashes its file, cuts it by size, or keeps its
order in another version. All have two threads or workers.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import measure

HERE = Path(__file__).parent

# -------------------------------------------------------------------------------------- inside processes: the work


def ours(root: Path, out: Path, workers: int) -> None:
    """Load keys, select all, write shards; print their rows and bytes."""
    from curate import own_process

    own_process.start()  # as the command line does
    from curate.config import build
    from curate.engines.local import Local
    from curate.mixing import select, shards
    from curate.pairs.keys import load_keys
    from curate.recipe import Recipe

    own_process.loaded()
    names = sorted(path.name for path in root.iterdir())
    recipe = build({"name": "bench", "sources": dict.fromkeys(names, "all")}, Recipe, "$")
    pools = [(root / name, tuple(path.name for path in sorted((root / name).iterdir()))) for name in names]
    kept = {name: load_keys(*pool) for name, pool in zip(names, pools, strict=True)}
    chosen = select.select(recipe, kept)
    del kept
    with Local(workers, adapts=True) as engine:
        facts = shards.write(chosen, pools, None, recipe.shards, out, engine)
    print(json.dumps({"rows": sum(one.rows for one in facts), "bytes": sum(one.bytes for one in facts)}))


# ------------------------------------------------------------------------------------------------ the report

OURS = {"curate": "2", "curate, one worker": "1"}
"""Workers of each of our runs."""


def benchmark(root: Path, pairs: int, text: int, peers: Path | None, rounds: int, memory: str) -> dict[str, Any]:
    """Every system in turn, `rounds` times: the least CPU and wall of each, the most memory, or why a peer
    failed."""
    made, out = root / "pairs", root / "out"
    measure.run([sys.executable, HERE / "shuffle_pairs.py", made, str(pairs), str(text)])  # the parent stays small
    commands: dict[str, list[str | Path]] = {
        name: [sys.executable, __file__, "ours", made, out, workers] for name, workers in OURS.items()
    }
    if peers is not None:
        commands |= {
            name: [peers, HERE / "shuffle_peers.py", name, made, out, memory] for name in ("polars", "duckdb")
        }
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            out.mkdir()
            try:
                cost = measure.run(command, {"POLARS_MAX_THREADS": "2"})
            except RuntimeError as error:
                if name in OURS:
                    raise
                print(f"{pairs:,} pairs, {name}: {error}", file=sys.stderr, flush=True)
                found[name] = {"failed": str(error)}
                continue
            finally:
                shutil.rmtree(out)
            if cost.output["rows"] != pairs:
                raise RuntimeError(f"{name} wrote {cost.output['rows']:,} rows of {pairs:,}")
            figures = {**cost.figures(), **cost.output, "us_a_pair": round(cost.cpu / pairs * 1e6, 2)}
            best = found.setdefault(name, figures)
            best |= {key: min(best[key], figures[key]) for key in ("wall", "cpu", "us_a_pair")}
            best |= {key: max(best[key], figures[key]) for key in ("process_mb", "tree_mb", "private_mb")}
            print(f"{pairs:,} pairs, {name}: {figures}", file=sys.stderr, flush=True)
    shutil.rmtree(made)
    return found


def main() -> None:
    """Make pairs, run everything at each size, print the table, with `--save` write results/NAME.json after each
    size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[300_000])
    parser.add_argument("--text", type=int, default=3300, help="bytes of text a pair")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", type=Path, help="an interpreter with polars, duckdb and pyarrow")
    parser.add_argument("--memory", default="2GB", help="the bound that duckdb gets")
    parser.add_argument("--dir", type=Path, default=Path("/tmp/curate-shuffle"), help="scratch, emptied again")
    parser.add_argument("--save", help="write results/NAME.json")
    given = parser.parse_args()
    given.dir.mkdir(parents=True)
    found: dict[str, Any] = {**measure.facts(), "text": given.text, "rounds": given.rounds, "sizes": {}}
    try:
        for pairs in given.pairs:
            found["sizes"][pairs] = benchmark(
                given.dir, pairs, given.text, given.peers, given.rounds, given.memory
            )
            if given.save:
                print(measure.save(given.save, found))
    finally:
        shutil.rmtree(given.dir)
    head = ("pairs", "system", "CPU us a pair", "wall s", "largest MB", "all MB", "private MB", "written MB")
    names = ("us_a_pair", "wall", "process_mb", "tree_mb", "private_mb", "written_mb")
    rows = [
        (f"{pairs:,}", name, *(one.get(key, "failed") for key in names))
        for pairs, systems in found["sizes"].items()
        for name, one in systems.items()
    ]
    print(measure.table(rows, head))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", root, out, workers]:
            ours(Path(root), Path(out), int(workers))
        case _:
            main()

"""BaseReward's blend with planted truth through the whole of recipes/basereward_clean.yaml: cost and correctness.

    python benchmarks/blend.py --pairs 20000 --independence    also with 1 worker, and from shuffled files
    python benchmarks/blend.py --pairs 200000                  writes results/blend_200000.json
    python benchmarks/blend.py --pairs 2800000 --root DIR      about 45 GB in DIR, removed again
    python benchmarks/blend.py --made DIR/curate-blend-...     again from the raw files that `--keep` left there

Raw files of all eleven sources and seven eval sets are made in upstream's formats from a seed (`blend_files.py`),
text at true length, images at true sizes and a fiftieth of their number; `curate mix` builds the recipe from them.
Pairs are those that the raw files give, rankings and all: BaseReward's 2.8 M are the ones that are mixed.
"""

import argparse
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import blend_files
import blend_stages
import blend_truth
import measure
import polars as pl

RECIPE = Path(__file__).parents[1] / "recipes/basereward_clean.yaml"
ANNOTATIONS = "mmpr/annotations.zip"
SAVED = (200_000, 280_000, 2_800_000)


def mix(raw: Path, workspace: Path, workers: int) -> tuple[blend_stages.Run, dict[str, Any]]:
    """`curate mix` of the recipe; its run and its lock."""
    where: list[str | Path] = ["--raw", raw, "--workspace", workspace, "--workers", str(workers)]
    run = blend_stages.curate("mix", RECIPE, *where, "--json")
    lock: dict[str, Any] = json.loads(run.done.output)
    return run, lock


def cost(run: blend_stages.Run, lock: dict[str, Any], workspace: Path) -> dict[str, Any]:
    """What the run took, in all and stage by stage."""
    funnel = lock["funnel"].values()
    rows, pairs = sum(one["rows"] for one in funnel), sum(one["pairs"] for one in funnel)
    images = sum(
        pl.read_parquet(path).height for path in (workspace / "images").rglob("*.parquet") if _is_pack(path)
    )
    artefacts = {
        folder: sum(path.stat().st_size for path in (workspace / folder).rglob("*") if path.is_file())
        for folder in ("pairs", "images", "mixes", "cache")
    }
    total = sum(artefacts.values())
    return {
        "rows": rows,
        "pairs": pairs,
        "mixed": lock["rows"],
        "images": images,
        "wall_s": round(run.done.wall, 1),
        "cpu_s": round(run.done.cpu, 1),
        "ms_per_pair": round(run.done.wall * 1000 / pairs, 4),
        "peak_largest_process_mb": round(run.done.largest / 1e6),
        "peak_all_processes_mb": round(run.resident / 1e6),
        "peak_all_private_mb": round(run.private / 1e6),
        "read_from_disk_mb": round(run.done.read / 1e6),
        "written_to_disk_mb": round(run.done.written / 1e6),
        "artefacts_mb": {name: round(size / 1e6, 1) for name, size in artefacts.items()},
        "written_per_byte_of_artefacts": round(run.done.written / total, 3),
        "stages": [_stage(stage, rows, pairs, images) for stage in run.stages],
    }


def _is_pack(path: Path) -> bool:
    return path.parent.name != "grids"


def _stage(stage: blend_stages.Stage, rows: int, pairs: int, images: int) -> dict[str, Any]:
    figures = {"stage": stage.name, **stage.figures()}
    if stage.seconds > 0.5:
        figures["pairs_per_s"] = round(pairs / stage.seconds)
    if stage.name == "normalize":
        figures |= {"rows_per_s": round(rows / stage.seconds), "images_per_s": round(images / stage.seconds, 1)}
    return figures


# ------------------------------------------------------------------------------------------------ independence


def independence(root: Path, raw: Path, first: Path) -> dict[str, Any]:
    """The same blend with one worker, and with its files shuffled: are all decisions the same?"""
    _, one_worker = mix(raw, root / "one", 1)
    shuffled_files(raw, root / "shuffled")
    _, shuffled = mix(root / "shuffled", root / "other", 2)
    names = ("2 workers", "1 worker", "shuffled, 2 workers")
    places = [first, Path(one_worker["directory"]), Path(shuffled["directory"])]
    digests = dict(zip(names, blend_truth.digest(places), strict=True))
    for name in ("one", "shuffled", "other"):
        shutil.rmtree(root / name)
    return {"same": len(set(digests.values())) == 1, "digests": digests}


def shuffled_files(raw: Path, out: Path) -> None:
    """A copy of raw files whose rows are in reverse order, and whose row files have changed their names."""
    shutil.copytree(raw, out)
    for path in sorted(out.rglob("*.jsonl")):
        path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    with zipfile.ZipFile(raw / ANNOTATIONS) as old, zipfile.ZipFile(out / ANNOTATIONS, "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name, b"".join(reversed(old.read(name).splitlines(keepends=True))))
    for folder in {path.parent for path in out.rglob("*.parquet")}:
        paths = sorted(folder.glob("*.parquet"))
        tables = [pl.read_parquet(path).reverse() for path in reversed(paths)]
        if all(path.name.startswith(("train-", "RLAIF")) for path in paths):
            for path, table in zip(paths, tables, strict=True):
                table.write_parquet(path)


# ------------------------------------------------------------------------------------------------ the report


def benchmark(root: Path, made: Path, check_independence: bool) -> dict[str, Any]:
    """Run the blend in `made` and compare it with the truth; write to `root`."""
    facts = json.loads((made / "made.json").read_text())
    found: dict[str, Any] = {**measure.facts(), "made": facts}
    print(f"{facts['raw_bytes'] / 1e9:.2f} GB of raw files, {facts['planted']:,} pairs planted", flush=True)
    run, lock = mix(made / "raw", root / "workspace", 2)
    found |= {"cost": cost(run, lock, root / "workspace"), "funnel": lock["funnel"]}
    directory = Path(lock["directory"])
    truth = pl.read_parquet(made / "truth.parquet")
    found["truth"] = blend_truth.judge(truth, blend_truth.outcomes(directory, root / "workspace"))
    show(found)
    if check_independence:
        found["independence"] = independence(root, made / "raw", directory)
        print(found["independence"], flush=True)
    return found


def make(root: Path, pairs: int) -> Path:
    """Raw files and truth for this many pairs, with made.json beside them; the directory."""
    facts = {"asked": pairs, **blend_files.make(root, pairs)}
    (root / "made.json").write_text(json.dumps(facts))
    return root


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    spent = found["cost"]
    head = ("stage", "seconds", "pairs/s", "all MB", "private MB", "read MB", "written MB")
    names = ("seconds", "pairs_per_s", "resident_mb", "private_mb", "rchar", "wchar")
    print(measure.table([(one["stage"], *(one.get(name, "") for name in names)) for one in spent["stages"]], head))
    print({name: value for name, value in spent.items() if name != "stages"}, "\n")
    rows = [
        (
            name,
            one["sets"],
            one["right"],
            str(one["recall"]),
            one["wrong_pairs"] or "",
            str(one["other_outcomes"] or ""),
        )
        for name, one in found["truth"]["classes"].items()
    ]
    print(
        measure.table(rows, ("planted", "sets", "as they should be", "recall", "wrong pair", "other outcomes")),
        "\n",
    )
    bands = [
        (f"{one['from']:.2f} to {one['to']:.2f}", one["sets"], one["found"]) for one in found["truth"]["near"]
    ]
    print(measure.table(bands, ("Jaccard similarity", "sets", "dropped as near-duplicates")), "\n")
    reasons = [(name, *map(str, one.values())) for name, one in found["truth"]["reasons"].items()]
    print(measure.table(reasons, ("reason", "decisions", "planted", "precision")), "\n")
    print(f"not planted: {found['truth']['false_positives']['counts']}")
    for one in found["truth"]["false_positives"]["named"][:12]:
        print(f"  {one['source']} {one['row']} {one['outcome']}: {one['evidence']}"[:240])


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--root", type=Path, help="scratch space, about 14 kB a pair")
    parser.add_argument("--made", type=Path, help="raw files that an earlier run has kept, instead of --pairs")
    parser.add_argument(
        "--independence", action="store_true", help="also with one worker, and from shuffled files"
    )
    parser.add_argument("--keep", action="store_true", help="leave the raw files and the workspace in the root")
    parser.add_argument("--save", action="store_true", help="write the results file also at another size")
    options = parser.parse_args()
    if options.root is not None:
        options.root.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="curate-blend-", dir=options.root))
    try:
        found = benchmark(root, options.made or make(root, options.pairs), options.independence)
    finally:
        if options.keep:
            print(f"kept in {root}")
        else:
            shutil.rmtree(root)
    asked = found["made"]["asked"]
    if options.save or asked in SAVED:
        print(f"wrote {measure.save(f'blend_{asked}', found)}")


if __name__ == "__main__":
    main()

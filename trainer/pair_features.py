"""Writes the features of pairs by a frozen backbone: the features of the chosen reply less those of the rejected
one.

    python -m trainer.pair_features CONFIG --features ROOT --files FILE... --images DIR --out OUT.npy

CONFIG names the backbone and its limits, as for a probe. The files are shards or the parts of a pairs artefact.
OUT.npy is float32 [pairs, hidden], a row for each pair of the files in order, NaN where a pair has no features;
OUT.json, written last, has the folder of the features, which probes share, and why pairs have none.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curate.checksums import published
from curate.workspace import write_json
from trainer import config, programs
from trainer.features import FeatureCache
from trainer.readers import read_files


def write_differences(cache: FeatureCache, pair_ids: Sequence[str], path: Path) -> None:
    """Write the features' differences of these pairs, float32 [pairs, hidden]; one part is in memory at a time."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(pair_ids):
        rows.setdefault(name, []).append(row)
    with published(path) as temporary:
        out = np.full((len(pair_ids), 0), np.nan, np.float32)
        for part in cache.parts():
            if not out.shape[1]:
                shape = (len(pair_ids), part.chosen.shape[1])
                out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
                out[:] = np.nan
            found = [(at, row) for name, at in part.index.items() for row in rows.get(name, ())]
            if found:
                at, wanted = np.array(found).T
                out[wanted] = (part.chosen.float() - part.rejected.float()).numpy()[at]
        if isinstance(out, np.memmap):
            out.flush()
        else:
            with open(temporary, "wb") as file:
                np.save(file, out)


def main(arguments: Sequence[str]) -> None:
    """Compute the features that are missing, and write the differences."""
    parser = argparse.ArgumentParser(prog="python -m trainer.pair_features")
    parser.add_argument("config", type=Path, help="config.yaml of a run")
    parser.add_argument("--features", type=Path, required=True, help="where features are kept")
    parser.add_argument("--files", type=Path, nargs="+", required=True, help="files of pairs")
    parser.add_argument("--images", type=Path, required=True, help="image store of the pairs")
    parser.add_argument("--out", type=Path, required=True, help="the .npy file")
    options = parser.parse_args(arguments)
    reader = read_files(options.files, options.images)
    cache = FeatureCache(config.read(options.config), options.features)
    cache.add_pairs(reader)
    ids, unusable = reader.pair_ids(), cache.unusable
    write_differences(cache, ids, options.out)
    why = dict(Counter(unusable[name] for name in ids if name in unusable))
    write_json(options.out.with_suffix(".json"), {"features": cache.folder.name, "unusable": why})


if __name__ == "__main__":
    programs.run(main)

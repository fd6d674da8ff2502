"""The peers of benchmarks/near_dedup.py, each run by an interpreter of its own, as its documentation describes.

    python near_dedup_peers.py NAME documents.parquet SCRATCH out.json
    python near_dedup_peers.py --versions       what is installed, as JSON
    python near_dedup_peers.py --compile        what the wheel of Data-Juicer has as source only

Reads the columns `id` and `text`, and writes the ids that the peer would remove. All hash runs of five words.
Where a peer takes bands and rows they are 14 x 8 or 16 x 8, else its own for a threshold of .7. None verifies what
it removes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

WORKERS = 2
WORD = re.compile(r"\w+")


def documents(path: Path) -> Iterator[tuple[int, str]]:
    """(id, text) of every document."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(2000):
        yield from zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)


def shingles(text: str) -> list[str]:
    """Runs of five words."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + 5]) for i in range(max(len(words) - 4, 1))]


# ------------------------------------------------------------------------------------------------------ datatrove


def datatrove_spacy(path: Path, scratch: Path) -> list[int]:
    """As it comes: words by spaCy."""
    return datatrove(path, scratch, simple=False)


def datatrove(path: Path, scratch: Path, *, simple: bool = True) -> list[int]:
    """Its four stages in the local executor, 14 bands of 8 64-bit hashes; simple words by a regular expression."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils import word_tokenizers
    from datatrove.utils.hashing import HashConfig

    class Simple(word_tokenizers.WordTokenizer):  # type: ignore[misc]  # not installed here
        def word_tokenize(self, text: str) -> list[str]:
            return WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    from datatrove.pipeline.dedup import minhash

    if simple:
        minhash.load_word_tokenizer = lambda *_, **__: Simple()
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    where = {name: str(scratch / name) for name in ("signatures", "buckets", "remove", "removed", "kept")}

    def reader() -> Any:
        return ParquetReader(str(path.parent), glob_pattern=path.name, text_key="text", id_key="id")

    stages: list[list[Any]] = [
        [reader(), MinhashDedupSignature(output_folder=where["signatures"], config=config)],
        [MinhashDedupBuckets(input_folder=where["signatures"], output_folder=where["buckets"], config=config)],
        [MinhashDedupCluster(input_folder=where["buckets"], output_folder=where["remove"], config=config)],
        [
            reader(),
            MinhashDedupFilter(
                input_folder=where["remove"], exclusion_writer=JsonlWriter(where["removed"], compression=None)
            ),
        ],
    ]
    for number, stage in enumerate(stages):
        logs = str(scratch / f"logs{number}")
        tasks = 14 if number == 1 else 1
        LocalPipelineExecutor(stage, tasks=tasks, workers=min(WORKERS, tasks), logging_dir=logs).run()
    return [
        int(json.loads(line)["id"])
        for file in sorted(Path(where["removed"]).glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]


# ------------------------------------------------------------------------------------------- datasketch and rensa


def datasketch(path: Path, _: Path) -> list[int]:
    """Its MinHashLSH with 112 permutations, 14 bands of 8."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(num_perm=112, params=(14, 8))
    removed = []
    for number, text in documents(path):
        sketch = MinHash(num_perm=112, seed=1)
        sketch.update_batch([shingle.encode() for shingle in set(shingles(text))])
        if lsh.query(sketch):
            removed.append(number)
        else:
            lsh.insert(number, sketch)
    return removed


def rensa(path: Path, _: Path) -> list[int]:
    """Its RMinHash and RMinHashLSH with 128 permutations, 16 bands of 8."""
    from rensa import RMinHash, RMinHashLSH

    lsh = RMinHashLSH(threshold=0.7, num_perm=128, num_bands=16)
    removed = []
    for number, text in documents(path):
        sketch = RMinHash(num_perm=128, seed=1)
        sketch.update(shingles(text))
        if lsh.query(sketch):
            removed.append(number)
        else:
            lsh.insert(number, sketch)
    return removed


# ----------------------------------------------------------------------------------------------------------- daft


def daft(path: Path, _: Path) -> list[int]:
    """Its `minhash` of 112 permutations; 14 bands of 8 grouped, all but the first of a group removed."""
    import daft
    from daft import col

    rows, bands = 8, 14
    frame = daft.read_parquet(str(path)).select(col("id"), col("text").lower().alias("text"))
    frame = frame.select(
        col("id"), col("text").minhash(num_hashes=rows * bands, ngram_size=5).alias("hashes")
    ).collect()
    removed: set[int] = set()
    for band in range(bands):
        some = frame.select(col("id"), col("hashes").slice(band * rows, (band + 1) * rows).alias("band"))
        groups = some.groupby("band").agg(col("id").list_agg().alias("ids")).where(col("ids").list_count() > 1)
        for ids in groups.to_pydict()["ids"]:
            removed.update(sorted(ids)[1:])
    return sorted(removed)


# -------------------------------------------------------------------------------------- text-dedup and data-juicer


def data_juicer(path: Path, scratch: Path) -> list[int]:
    """Its `document_minhash_deduplicator` as shipped: words of five, threshold .7, 256 permutations."""
    import datasets
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_parquet(str(path), cache_dir=str(scratch))
    dataset = NestedDataset(table)
    op = DocumentMinhashDeduplicator(tokenization="space", window_size=5, lowercase=True, jaccard_threshold=0.7)
    hashed = dataset.map(op.compute_hash, num_proc=WORKERS)
    kept, _ = op.process(hashed)
    return sorted(set(table["id"]) - set(kept["id"]))


RAY_CPUS = WORKERS + 4
"""What the C++ deduplicator hashes with is the CPUs of its cluster less four: two actors, as others have two
workers."""


def data_juicer_cpp(path: Path, scratch: Path) -> list[int]:
    """Its `ray_bts_minhash_cpp_deduplicator` on a Ray of this machine, as shipped but for two hashing actors.

    It deals out numbers as batches come, so a column `id` says which document is which. Prints the CPU seconds of
    all processes of that Ray, which end unwatched.
    """
    import ray
    import ray.data._internal.execution.operators.actor_pool_map_operator  # the next sets a limit in it
    from data_juicer.ops.deduplicator.ray_bts_minhash_cpp_deduplicator import RayBTSMinhashCppDeduplicator

    cpu = CpuSeconds()
    cpu.start()
    place = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # the path of a socket has 107 bytes at most
    ray.init("local", num_cpus=RAY_CPUS, include_dashboard=False, log_to_driver=False, _temp_dir=place)
    ray.data.DataContext.get_current().enable_progress_bars = False
    op = RayBTSMinhashCppDeduplicator(
        tokenization="space", window_size=5, lowercase=True, jaccard_threshold=0.7, work_dir=str(scratch)
    )
    kept = {row["id"] for row in op.run(ray.data.read_parquet(str(path))).select_columns(["id"]).iter_rows()}
    removed = sorted({number for number, _ in documents(path)} - kept)
    print(json.dumps({"cpu": cpu.total()}))
    ray.shutdown()
    shutil.rmtree(place, ignore_errors=True)
    return removed


class CpuSeconds(threading.Thread):
    """The CPU seconds of this process and of all that it starts, looked up every fifth of a second.

    Workers of Ray end unwatched, so what the kernel adds to their parent at their end is not all.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._seen: dict[tuple[int, str], int] = {}  # by process and its start

    def run(self) -> None:
        """Look again and again."""
        while True:
            self.total()
            time.sleep(0.2)

    def total(self) -> float:
        """The sum so far."""
        stats: dict[int, list[str]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                stats[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
        tree = {os.getpid()}
        while more := {pid for pid, fields in stats.items() if int(fields[1]) in tree} - tree:
            tree |= more
        self._seen |= {(pid, stats[pid][19]): int(stats[pid][11]) + int(stats[pid][12]) for pid in tree}
        return sum(self._seen.values()) / os.sysconf("SC_CLK_TCK")


def compile_data_juicer() -> None:
    """Compile the two modules of that deduplicator that a wheel has as source only, as its own build does."""
    from importlib.util import find_spec

    import pybind11

    spec = find_spec("data_juicer")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "ops" / "deduplicator"
    suffix, include = sysconfig.get_config_var("EXT_SUFFIX"), f"-I{sysconfig.get_paths()['include']}"
    shared = ["-O3", "-shared", "-fPIC", include]
    subprocess.run([sys.executable, "-m", "cython", "-3", "tokenize.pyx"], cwd=folder, check=True)
    for command in (
        ["gcc", *shared, "tokenize.c", "-o", f"tokenize{suffix}"],
        ["g++", *shared, "-fopenmp", f"-I{pybind11.get_include()}", "minhash.cpp", "-o", f"minhash{suffix}"],
    ):
        subprocess.run(command, cwd=folder, check=True)


def text_dedup(path: Path, scratch: Path) -> list[int]:
    """Its minhash command: runs of five words, threshold .7, 250 permutations."""
    import datasets

    out = scratch / "kept"
    words = [
        "--path",
        "parquet",
        "--data_files",
        path,
        "--split",
        "train",
        "--cache_dir",
        scratch,
        "--output",
        out,
    ]
    words += ["--column", "text", "--ngram", 5, "--threshold", 0.7, "--min_length", 1, "--num_proc", WORKERS]
    command = [sys.executable, "-m", "text_dedup.minhash", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    kept = set(datasets.load_from_disk(str(out))["id"])
    return sorted({number for number, _ in documents(path)} - kept)


RUN: dict[str, Callable[[Path, Path], list[int]]] = {
    "datatrove": datatrove,
    "datatrove_spacy": datatrove_spacy,
    "datasketch": datasketch,
    "rensa": rensa,
    "daft": daft,
    "data_juicer": data_juicer,
    "data_juicer_cpp": data_juicer_cpp,
    "text_dedup": text_dedup,
}


def versions() -> dict[str, str]:
    """Versions of what does the work, where it is installed."""
    from importlib.metadata import distributions

    names = {"datatrove", "datasketch", "rensa", "daft", "text-dedup", "py-data-juicer", "ray", "pyarrow"}
    return {one.name.lower(): one.version for one in distributions() if one.name.lower() in names}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--versions"]:
            print(json.dumps(versions()))
        case ["--compile"]:
            compile_data_juicer()
        case [name, path, scratch, out]:
            Path(out).write_text(json.dumps(RUN[name](Path(path), Path(scratch))))

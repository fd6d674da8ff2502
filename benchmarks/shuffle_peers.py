"""The peers of benchmarks/shuffle.py, run by an interpreter of their own.

python shuffle_peers.py polars|duckdb PAIRS OUT MEMORY    prints rows, bytes and the version as JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

LEFT_OUT = (
    "row", "tools", "prompt_key", "chosen_key", "rejected_key", "text_bytes", "chosen_bytes", "rejected_bytes",
    "media_bytes", "reply_media", "has_fields", "known",
)  # fmt: skip


def by_polars(root: Path, out: Path) -> None:
    """Sort by a hash of the id in the streaming engine."""
    import polars as pl

    frame = pl.scan_parquet(root / "*/*.parquet").drop(*LEFT_OUT)
    frame = frame.with_columns(key=pl.col("pair_id").hash(1)).sort("key").drop("key")
    frame.sink_parquet(
        out / "all.parquet", compression="zstd", compression_level=1, row_group_size=10_000, statistics=False
    )
    print(json.dumps(written(out, pl.__version__)))


def by_duckdb(root: Path, out: Path, memory: str) -> None:
    """Sort by a hash of the id, with temporary files in `out`."""
    import duckdb

    base = duckdb.connect()
    base.execute(f"SET threads=2; SET memory_limit='{memory}'; SET temp_directory='{out / 'temporary'}'")
    base.execute("SET preserve_insertion_order=false")
    left_out = ", ".join(f'"{name}"' for name in LEFT_OUT)
    base.execute(
        f"COPY (SELECT * EXCLUDE ({left_out}) "
        f"FROM read_parquet('{root}/*/*.parquet') ORDER BY hash(pair_id)) TO '{out}/all.parquet' "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 10000)"
    )
    print(json.dumps(written(out, duckdb.__version__)))


def written(out: Path, version: str) -> dict[str, Any]:
    """Rows and bytes of a peer's file, and its version."""
    import pyarrow.parquet as there  # the peer's own

    rows = there.ParquetFile(out / "all.parquet").metadata.num_rows
    return {"rows": rows, "bytes": (out / "all.parquet").stat().st_size, "version": version}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["polars", root, out, _]:
            by_polars(Path(root), Path(out))
        case ["duckdb", root, out, memory]:
            by_duckdb(Path(root), Path(out), memory)

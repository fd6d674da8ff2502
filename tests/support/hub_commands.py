"""`curate` commands against the Hub on loopback."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import command
from tests.support.hub import Hub


def parquet(rows: int, *, start: int = 0) -> bytes:
    out = io.BytesIO()
    table = pa.table({"i": range(start, start + rows), "text": [f"row {i} " * 20 for i in range(rows)]})
    pq.write_table(table, out, row_group_size=100)
    return out.getvalue()


def curate(hub: Hub, root: Path, *args: str, **env: str) -> SimpleNamespace:
    fast = {"CURATE_HUB_FIRST_WAIT": "0.01", "COLUMNS": "200", **env}
    return command.curate(*args, env=hub.env(root / "home", **fast), cwd=root)


def without_seconds(error: str) -> str:
    """The line with N for how long something took: that depends on how busy the machine is."""
    return re.sub(r"\bin [\d,]+ s\b", "in N s", error)

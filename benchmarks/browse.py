"""`curate browse` over a large mix: seconds of a first page, of further ones, of searches; memory.

    python benchmarks/browse.py --pairs 2800000 --images 200000 --out browse

The server is a process of its own, asked over loopback. `wall` is what a visitor waits, `cpu` what the server's
process computed for it: on a machine that others use too the wall is longer.
"""

import argparse
import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from browse_mix import COMMON, RARE, make
from measure import facts, save, table

TICKS = os.sysconf("SC_CLK_TCK")


class Asked:
    """A running server, and what requests to it took."""

    def __init__(self, workspace: Path) -> None:
        command = [sys.executable, "-m", "curate", "browse", "big", "--workspace", str(workspace), "--port", "0"]
        self._started = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = None
        while found is None:
            line = self.process.stderr.readline()
            if not line:
                raise SystemExit("the server did not start")
            found = re.search(r"http://([\d.]+):(\d+)", line)
        self._address = (found[1], int(found[2]))
        self.rows: list[tuple[str, float, float, int]] = []
        self.rows.append(("start, until it listens", time.perf_counter() - self._started, self._cpu(), 0))

    def get(self, what: str, path: str) -> str:
        """A page, which is measured."""
        wall, cpu = time.perf_counter(), self._cpu()
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, (path, answer.status, data[:500])
        self.rows.append((what, time.perf_counter() - wall, self._cpu() - cpu, len(data)))
        return data.decode(errors="replace")

    def search(self, what: str, word: str) -> None:
        """Search until all pairs were looked at."""
        start, cpu = time.perf_counter(), self._cpu()
        page = self.get(f"search, {what}: first answer", f"/?q={word}")
        while "data-searching" in page:
            time.sleep(0.5)
            page = self.get("", f"/?q={word}")
            self.rows.pop()
        self.rows.append((f"search, {what}: all pairs", time.perf_counter() - start, self._cpu() - cpu, 0))
        self.get(f"search, {what}: page 2, finished", f"/?q={word}&page=2")

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def peak_mb(self) -> float:
        """The largest resident memory so far, in MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        return int(found[1]) * 1024 / 1e6 if found else 0.0


def tour(server: Asked) -> None:
    """Look at what a person looks at."""
    page = server.get("first page", "/")
    for number in (2, 3, 4, 1000, 100_000):
        server.get(f"page {number:,}", f"/?page={number}")
    server.get("dropped pairs", "/?f=" + quote("outcome:dropped"))
    two = "/?f=" + quote("source:mmpr") + "&f=" + quote("category:kind 7")
    server.get("two filters", two)
    server.get("two filters, page 2", f"{two}&page=2")
    server.get("by length ratio, first", "/?order=-length_ratio")
    server.get("by length ratio, page 2", "/?order=-length_ratio&page=2")
    server.get("blind", "/?blind=1")
    [pair, *_] = re.findall(r'data-pair="([0-9a-f]{32})"', page)
    server.get("one pair", f"/pair/{pair}")
    [image, *_] = re.findall(r"/image/[0-9a-f]{32}/small", page) or [""]
    if image:
        server.get("a picture", image)
    server.search("a word of 6 % of the pairs", COMMON)
    server.search("a word of seven pairs", RARE)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=2_800_000)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--workspace", type=Path, help="kept and used again; without it a temporary one")
    parser.add_argument("--out", default="browse")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = given.workspace or Path(folder)
        if not (workspace / "mixes").exists():
            make(workspace, given.pairs, given.images)
        server = Asked(workspace)
        try:
            tour(server)
            peak = server.peak_mb
        finally:
            server.process.terminate()
            server.process.wait(30)
    table_rows = [
        (what, f"{wall:.3f}", f"{cpu:.2f}", f"{size / 1000:.0f}" if size else "")
        for what, wall, cpu, size in server.rows
    ]
    print(table(table_rows, ("what", "wall s", "cpu s", "kB")))
    print(f"peak memory {peak:.0f} MB")
    results: dict[str, Any] = {
        **facts(), "pairs": given.pairs, "images": given.images, "peak_mb": round(peak, 1),
        "requests": [{"what": what, "wall_s": round(wall, 3), "cpu_s": round(cpu, 2), "bytes": size}
                     for what, wall, cpu, size in server.rows],
    }  # fmt: skip
    print(save(given.out, results))


if __name__ == "__main__":
    main()

"""`curate serve` under load: clients that ask single requests, each answer compared with scoring in this process.

    python benchmarks/serve_load.py --clients 64 --minutes 10 --out benchmarks/results/serve_load.json

The model is a tiny one of random weights (or --model DIR). Reported: requests/s against the dialogues/s of scoring
the same dialogues in this process, answers that were wrong or lost, latencies, and the server's memory after the
first tenth of the time and at the end. `--words` sets the length of replies.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from curate.schema import Block, Message
from trainer.config import HeadConfig
from trainer.model import build
from trainer.score import Scorer
from trainer.tiny_models import save

CLOSE = 1e-4  # scores of other batches differ by rounding


def dialogues(count: int, words: int) -> list[list[Message]]:
    """Single replies to as many questions."""
    return [
        [_message("user", f"Question {i}?"), _message("assistant", f"Reply {i} " + "very " * (words + i % 7))]
        for i in range(count)
    ]


def _message(role: str, text: str) -> Message:
    return Message(role, (Block("text", text),))


def _body(messages: list[Message]) -> bytes:
    texts = [{"role": one.role, "content": one.content[0].text} for one in messages]
    return json.dumps({"prompt": texts[:1], "replies": [texts[1:]]}).encode()


class Client(threading.Thread):
    """Asks one dialogue after the other on one connection, from its own place on."""

    def __init__(self, port: int, first: int, bodies: list[bytes], expected: list[float], end: float) -> None:
        super().__init__()
        self._port, self._at, self._bodies, self._expected, self._end = port, first, bodies, expected, end
        self.seconds: list[float] = []
        self.wrong = self.lost = 0

    def run(self) -> None:
        """Ask until the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while time.monotonic() < self._end:
            number = self._at = (self._at + 1) % len(self._bodies)
            start = time.monotonic()
            try:
                connection.request("POST", "/score", self._bodies[number], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                found = json.loads(answer.read())
                self.wrong += abs(found["scores"][0] - self._expected[number]) > CLOSE
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
                self.lost += 1
                connection.close()
            self.seconds.append(time.monotonic() - start)
        connection.close()


def resident(pid: int) -> float:
    """The resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def in_process(model: Path, requests: list[list[Message]]) -> tuple[list[float], float]:
    """The scores, and dialogues per second; the first round only warms up."""
    scorer = Scorer.load(model, 8192)
    scorer.score(requests)
    start = time.monotonic()
    found = scorer.score(requests)
    scores = [one.score for one in found if one.score is not None]
    assert len(scores) == len(requests), "all of them can be scored"
    return scores, len(requests) / (time.monotonic() - start)


def load(model: Path, clients: int, seconds: float, words: int) -> dict[str, Any]:
    """Run clients against a server of its own; what they saw."""
    requests = dialogues(512, words)
    expected, alone = in_process(model, requests)
    command = [sys.executable, "-m", "curate", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        port = next(int(found[1]) for line in server.stderr if (found := re.search(r"at http://.*:(\d+)", line)))
        threading.Thread(target=lambda: [print(line, end="") for line in server.stderr or ()], daemon=True).start()
        end = time.monotonic() + seconds
        bodies = [_body(one) for one in requests]
        threads = [Client(port, 8 * i, bodies, expected, end) for i in range(clients)]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 10)
        before = resident(server.pid)
        for thread in threads:
            thread.join()
        after = resident(server.pid)
        server.terminate()
    times = sorted(one for thread in threads for one in thread.seconds)
    rate = len(times) / seconds
    return {
        "clients": clients, "seconds": seconds, "words": words, "requests": len(times),
        "wrong": sum(thread.wrong for thread in threads), "lost": sum(thread.lost for thread in threads),
        "requests_per_s": round(rate, 1), "in_process_per_s": round(alone, 1), "ratio": round(rate / alone, 3),
        "median_s": round(times[len(times) // 2], 4), "p99_s": round(times[len(times) * 99 // 100], 4),
        "memory_mb": [round(before, 1), round(after, 1)],
    }  # fmt: skip


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model
        if model is None:
            model = build(save("text", Path(folder, "base")), HeadConfig()).save_pretrained(Path(folder, "model"))
        found = load(model, given.clients, 60 * given.minutes, given.words)
    print(json.dumps(found, indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    if found["wrong"] or found["lost"]:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""A build whose parts take long enough to be interrupted in the middle of one."""

import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

RECIPE = """
name: big
about: Two sources, one with images, with planted faults
sources:
  alpha: all
  beta: {rows: 1000}
steps: [identical, exact_duplicates]
shards: {max_mb: 2, media: embed}
"""
WORDS = [
    word
    for line in (
        "river stone garden window letter music silver morning shadow bridge candle forest mirror winter ocean",
        "paper market painter teacher village holiday station engine number colour answer question model data",
    )
    for word in line.split()
]


ALL_STEPS = (
    "steps: [identical, language: {keep: [en]}, exact_duplicates, near_dedup, decontaminate: {text: [secret.txt]}]"
)


def write_project(project: Path, rows: int) -> None:
    """Raw files, manifests and two recipes: two sources of two files with so many rows each."""
    (project / "manifests").mkdir(parents=True)
    for name in ("alpha", "beta"):
        (project / "raw" / name).mkdir(parents=True)
        images = "{images: pictures}\nmedia: [pictures]" if name == "alpha" else "{}"
        text = f'adapter: preference\nfiles: ["*.jsonl"]\nlicense: mit\ncolumns: {images}\n'
        (project / "manifests" / f"{name}.yaml").write_text(text)
        for file in range(2):
            lines = (json.dumps(_row(name, file * rows + i)) for i in range(rows))
            (project / "raw" / name / f"{file}.jsonl").write_text("\n".join(lines))
    (project / "raw" / "alpha" / "pictures").mkdir()
    for i in range(50):
        Image.new("RGB", (32 + i, 32), (i, 5 * i, 100)).save(project / "raw" / "alpha" / "pictures" / f"{i}.png")
    (project / "secret.txt").write_text(_words(7, 40) + "\n")
    (project / "big.yaml").write_text(RECIPE)
    clean = RECIPE.replace("steps: [identical, exact_duplicates]", ALL_STEPS).replace("name: big", "name: clean")
    (project / "clean.yaml").write_text(clean)


def _row(source: str, i: int) -> dict[str, Any]:
    topic = i - 1 if i % 10 == 9 else i  # every tenth nearly repeats its neighbour
    row: dict[str, Any] = {
        "prompt": f"Tell me about {_words(topic, 40)}",
        "chosen": f"{_words(topic + 1, 120)} {'indeed' if i % 10 == 9 else 'truly'}",
        "rejected": _words(topic + 2, 80),
    }
    return row | ({"pictures": [f"{topic % 50}.png"]} if source == "alpha" else {})


def _words(seed: int, count: int) -> str:
    digits = b"".join(sha256(f"{seed} {i}".encode()).digest() for i in range(count // 32 + 1))
    return " ".join(WORDS[digit % len(WORDS)] for digit in digits[:count])


def start(project: Path, recipe: str, workspace: str, *more: str) -> "subprocess.Popen[str]":
    """The build as a process of its own."""
    command = [sys.executable, "-m", "curate", "mix", recipe, "--raw", "raw", "--workspace", workspace, "--json"]
    return subprocess.Popen(
        [*command, *more], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def finished(project: Path, recipe: str, workspace: str, *more: str) -> dict[str, str]:
    """Build, and the sha256 of every file that it leaves in pairs and mixes."""
    with start(project, recipe, workspace, *more) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said
    return files(project / workspace)


def files(workspace: Path) -> dict[str, str]:
    """The sha256 of every file in pairs and mixes, but of those that a killed worker left half-written."""
    paths = [path for name in ("pairs", "mixes") for path in (workspace / name).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(workspace)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if not path.name.endswith(".tmp")
    }


def writer(process: "subprocess.Popen[str]", workspace: Path, spare: int = 0) -> int:
    """The id of a process, no child of `spare`, that has a part half-written when another is finished."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        if not list(workspace.glob("pairs/*/*/part-*.json")):
            continue
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                path, pid = str(link.readlink()), int(link.parts[2])
            except OSError:
                continue
            begins = path.startswith(str((workspace / "pairs").resolve())) and "/.part-" in path
            if begins and path.endswith(".tmp") and parent(pid) != spare:
                return pid
    raise AssertionError(f"nobody was seen at work: {process.communicate()[1]}")


def parent(pid: int) -> int:
    """Of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])

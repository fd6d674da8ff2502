"""A build whose parts take long enough to be interrupted in the middle of one."""

import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
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


ALL_STEPS = """\
steps:
  - identical
  - language: {keep: [en]}
  - decontaminate: {against: [vl_rewardbench], text: [secret.txt], images: [private]}
  - label_conflicts: {policy: keep_majority}
  - exact_duplicates
  - image_duplicates
  - near_dedup
"""
PICTURES = 50
LEAKS = 5  # pictures of VL-RewardBench under its own questions, and as many under others


def write_project(project: Path, rows: int) -> None:
    """Raw files, manifests and two recipes: two sources of two files with so many rows each, and an eval set."""
    (project / "manifests").mkdir(parents=True)
    for name in ("alpha", "beta"):
        (project / "raw" / name).mkdir(parents=True)
        images = "{images: pictures}\nmedia: [pictures]" if name == "alpha" else "{}"
        text = f'adapter: preference\nfiles: ["*.jsonl"]\nlicense: mit\ncolumns: {images}\n'
        (project / "manifests" / f"{name}.yaml").write_text(text)
        for file in range(2):
            lines = (json.dumps(_row(name, file * rows + i)) for i in range(rows))
            (project / "raw" / name / f"{file}.jsonl").write_text("\n".join(lines))
    for i in range(PICTURES):
        _draw(project / "raw" / "alpha" / "pictures" / f"{i}.jpg", i, quality=85)
        _draw(project / "raw" / "alpha" / "pictures" / f"again {i}.jpg", i, quality=60)
    _write_what_must_not_leak(project)
    (project / "big.yaml").write_text(RECIPE)
    clean = RECIPE.replace("steps: [identical, exact_duplicates]", ALL_STEPS).replace("name: big", "name: clean")
    (project / "clean.yaml").write_text(clean)


def _write_what_must_not_leak(project: Path) -> None:
    (project / "secret.txt").write_text(_words(7, 40) + "\n")
    _draw(project / "private" / "one.webp", 34, quality=80)
    folder = project / "raw" / "vl_rewardbench"
    prompts = [_row("alpha", i)["prompt"] for i in range(LEAKS)] + ["What colour is the bridge?"] * LEAKS
    items = [
        {"id": f"wildvision-{i}", "query": query, "response": [_words(-i, 30), _words(-i, 31)],
         "human_ranking": [0, 1], "image": f"images/{i}.png"}
        for i, query in enumerate(prompts)
    ]  # fmt: skip
    for i in range(len(items)):
        _draw(folder / "images" / f"{i}.png", i if i < LEAKS else PICTURES - i)
    (folder / "data.json").write_text(json.dumps(items))


def _draw(path: Path, seed: int, **options: Any) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(path, **options)


def _row(source: str, i: int) -> dict[str, Any]:
    """Of ten rows the first has no picture and is the same in both sources, every other time reversed.

    The 2nd to 4th contradict each other in a circle; the 6th repeats the 5th, in alpha about a copy of its
    picture; and the 10th nearly repeats the 9th.
    """
    digit = i % 10
    topic = i - {2: 1, 3: 2, 5: 1, 9: 1}.get(digit, 0)
    better, worse = _words(topic + 1, 120), _words(topic + 2, 80)
    if digit in (1, 2, 3):
        ring = [_words(topic + n, 60) for n in (1, 2, 3)]
        better, worse = ring[digit - 1], ring[digit - 3]
    elif source == "beta" and i % 20 == 0:
        better, worse = worse, better
    row: dict[str, Any] = {"prompt": f"Tell me about {_words(topic, 40)}", "chosen": better, "rejected": worse}
    if digit == 9:
        row["chosen"] += " indeed"
    if source == "beta":
        return row
    return row | {"pictures": [f"{'again ' * (digit == 5)}{topic % PICTURES}.jpg"] if digit else []}


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
        _, stderr_text = process.communicate()
    assert process.returncode == 0, stderr_text
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
    deadline = time.monotonic() + 600
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

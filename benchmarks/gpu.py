"""What a GPU decides, one part at a time: `benchmarks/gpu.sh` runs all of them and prints the table.

    python benchmarks/gpu.py mfu --size 7b        MFU of a step at 640/40/128, shared and not, selective, compiled
    python benchmarks/gpu.py images               images a second that the threads encode, of a megapixel each
    python benchmarks/gpu.py scoring --size 3b    pairs and tokens a second that are scored
    python benchmarks/gpu.py table                what all parts have found

Models have random weights of real shapes; on a CPU they are small and a part takes seconds, to prove that it runs.
Each part adds to results/gpu.json (results/gpu_cpu.json on a CPU).
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
from PIL import Image
from train_step import Shape, clock, ours, precision, reward_model, since, trees

from trainer import tiny_models
from trainer.batch import Batch
from trainer.flops import peak_flops, step_flops
from trainer.media import Grids, read_header
from trainer.model import RewardModel
from trainer.packing import pack
from trainer.processors import load_layout, load_tokenizer
from trainer.recompute import compile_layers
from trainer.transfer import Transfer

SHAPE = Shape(680, 128, (40, 64))
"""640 visual tokens, 40 of text, replies of 128: the shape of the goal."""
GOAL = 0.45
ARMS = {"": ("shared", "unshared"), "selective": ("shared", "unshared"), "compiled": ("shared",)}
"""What the backward pass recomputes, or what is compiled, and the layouts that are measured with it."""
RESULTS = Path(__file__).parent / "results"


def saved(device: str) -> Path:
    """The file of the results."""
    return RESULTS / ("gpu.json" if device == "cuda" else "gpu_cpu.json")


def keep(device: str, name: str, found: dict[str, Any]) -> None:
    """Add a part's results to the file."""
    path = saved(device)
    every = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(every | {name: found}, indent=2) + "\n")
    print(f"{name}: {json.dumps(found)}", file=sys.stderr)


def timed(step: Callable[[], float], rounds: int) -> float:
    """Median seconds of a step, the first left out."""
    return statistics.median([step() for _ in range(rounds + 1)][1:])


def mfu(device: str, size: str, tokens: int, rounds: int) -> None:
    """Steps of forward, backward and AdamW: seconds, MFU on the FLOPs of the row, peak memory."""
    pairs = trees(SHAPE, "image", max(1, tokens // (SHAPE.prompt + 2 * SHAPE.reply)))
    for how, layouts in ARMS.items():
        model = reward_model("image", size, device, checkpointed=True, selective=how == "selective")
        if how == "compiled":
            compile_layers(model.backbone.text)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
        for layout in layouts:
            batch = pack(pairs, model.backbone, share=layout == "shared")
            name = ", ".join(filter(None, (f"mfu {size} {layout}", how)))
            keep(device, name, steps(model, optimizer, batch, device, rounds))
        del model, optimizer, trained
        if device == "cuda":
            torch.cuda.empty_cache()


def steps(
    model: RewardModel, optimizer: torch.optim.Optimizer, batch: Batch, device: str, rounds: int
) -> dict[str, Any]:
    """What a step of this batch takes."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    pairs = len(batch.pool) // 2
    try:
        seconds = timed(lambda: ours(model, optimizer, lambda: batch, device)[0], rounds)
    except torch.OutOfMemoryError:
        return {"pairs": pairs, "out of memory": True}
    flops = step_flops(batch, model.backbone, trained_vision=False)
    peak = peak_flops(torch.cuda.get_device_name()) if device == "cuda" else None
    return {
        "pairs": pairs, "seconds": round(seconds, 4), "pairs_per_s": round(pairs / seconds, 2),
        "tflops": round(flops / seconds / 1e12, 2), "mfu": round(flops / seconds / peak, 4) if peak else None,
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1) if device == "cuda" else None,
    }  # fmt: skip


def images(device: str, count: int, scratch: Path) -> None:
    """Decode, resize and cut JPEGs of a megapixel into patches, and send them to the device."""
    values = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(values).resize((1000, 1000)).save(sink, "JPEG", quality=90)
    where = tiny_models.save("qwen2_5_vl", scratch)
    layout = load_layout(where, load_tokenizer(where), None, 501_760)
    assert isinstance(layout, Grids)
    transfer = Transfer(torch.device(device), precision(device))
    backbone = reward_model("image", "small", "cpu", checkpointed=False).backbone

    def one(_: int) -> None:
        tensors = layout.tensors([read_header(sink.getvalue())])
        [tree] = trees(SHAPE, "text", 1)
        transfer.send(replace(pack([tree], backbone), media=tensors))

    found = {}
    for threads in (1, 4, 8):
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(threads)))
            start = time.perf_counter()
            list(pool.map(one, range(count)))
            found[f"{threads} threads"] = round(count / (time.perf_counter() - start), 1)
    keep(device, "images/s", found)


@torch.no_grad()
def scoring(device: str, size: str, tokens: int, rounds: int) -> None:
    """Score pairs with an image each: layout, transfer and forward."""
    model = reward_model("image", size, device, checkpointed=False).eval()
    pairs = trees(SHAPE, "image", max(1, tokens // (SHAPE.prompt + 2 * SHAPE.reply)))
    transfer = Transfer(torch.device(device), precision(device))

    def step() -> float:
        start = clock(device)
        model(transfer.send(pack(pairs, model.backbone)).arrived()).tolist()
        return since(start, device)[0]

    seconds = timed(step, rounds)
    rate = {"pairs_per_s": round(len(pairs) / seconds, 1), "tokens_per_s": round(tokens / seconds)}
    keep(device, f"scoring {size}", {"pairs": len(pairs), "seconds": round(seconds, 4), **rate})


def table(device: str) -> None:
    """Print all results, and whether the goal is met."""
    every = json.loads(saved(device).read_text())
    print(
        measure.table([(name, *_cells(found)) for name, found in every.items()], ("part", "", "", "", "", "", ""))
    )
    reached = [
        found.get("mfu") or 0 for name, found in every.items() if name.startswith("mfu") and "unshared" not in name
    ]
    if device == "cuda":
        print(f"goal: {GOAL:.0%} MFU at {SHAPE}: best {max(reached, default=0):.1%}")


def _cells(found: dict[str, Any]) -> list[str]:
    cells = [f"{name} {value}" for name, value in found.items() if value is not None][:6]
    return cells + [""] * (6 - len(cells))


def main(arguments: Sequence[str]) -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("mfu", "images", "scoring", "table"))
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--size", choices=("small", "3b", "7b"), default="3b")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    if given.device == "cpu":
        given.size, given.tokens, given.rounds = "small", min(given.tokens, 1000), 1
    torch.manual_seed(0)
    if given.part == "table":
        table(given.device)
    elif given.part == "images":
        with tempfile.TemporaryDirectory() as scratch:
            images(given.device, 400 if given.device == "cuda" else 16, Path(scratch))
    else:
        run = mfu if given.part == "mfu" else scoring
        run(given.device, given.size, given.tokens, given.rounds)


if __name__ == "__main__":
    main(sys.argv[1:])

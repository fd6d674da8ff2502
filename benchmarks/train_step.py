"""One optimisation step of a reward model, pairs a second: shared prefixes in packed rows against the plain ways.

    export OMP_NUM_THREADS=1
    python benchmarks/train_step.py                             a small Qwen2.5-VL and Qwen2 on a CPU, half an hour
    python benchmarks/train_step.py --tokens 2000 --rounds 1    a quick look; writes no results file
    python benchmarks/train_step.py --device cuda --size 7b     random weights of the real 7B (or 3b) shape

shared   this trainer: a pair is a tree, trees are packed into one row
packed   the same, every reply whole, with its prompt and image again
padded   the same, a reply a row: the plain two forwards (without any padding: all replies are equally long)
trl      TRL's RewardTrainer on the text model's twin, in its own loop, checkpointing off; on in `trl default`

A step is layout, forward, loss, backward, clipping and AdamW. Arms take turns within a round, in another order
each round; the median of the rounds' ratios is reported. On a CPU all but the wall seconds are CPU time. The
vision tower is frozen. What is possible is the ratio of FLOPs by trainer/flops.py; `saving` is the part saved.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import measure
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, Qwen2_5_VLConfig, Qwen2Config
from transformers.utils import logging

from trainer.backbones import Backbone
from trainer.batch import Batch, Tree
from trainer.config import HeadConfig, LossConfig
from trainer.flops import peak_flops, step_flops
from trainer.losses import loss
from trainer.model import RewardHead, RewardModel
from trainer.packing import pack, pad
from trainer.prefix_attention import install

IMAGE = 1000  # the image token, in every size
PACKAGES = ("torch", "transformers", "trl", "accelerate", "flash-attn")


@dataclass(frozen=True, slots=True)
class Shape:
    """A pair: tokens of the prompt and of each reply, and the patches of the prompt's image, high and wide."""

    prompt: int
    reply: int
    image: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.prompt}/{self.reply}"


SHAPES = (Shape(1000, 150, (32, 32)), Shape(256, 256, (16, 16)), Shape(2000, 100, (64, 64)))

TOWER = {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16,
         "fullatt_block_indexes": [7, 15, 23, 31]}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    # the proportions of the 7B: tower to text as 0.4 to 1 for a visual token, MLP 5.3 times as wide
    "small": {
        "text": {"hidden_size": 256, "intermediate_size": 1344, "num_hidden_layers": 4, "num_attention_heads": 4,
                 "num_key_value_heads": 1, "vocab_size": 1024},
        "vision": {"hidden_size": 96, "intermediate_size": 256, "depth": 4, "num_heads": 3,
                   "fullatt_block_indexes": [3]},
        "mrope": [8, 12, 12],
    },
    "3b": {
        "text": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
                 "num_attention_heads": 16, "num_key_value_heads": 2, "vocab_size": 151936},
        "vision": TOWER,
        "mrope": [16, 24, 24],
    },
    "7b": {
        "text": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                 "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
        "vision": TOWER,
        "mrope": [16, 24, 24],
    },
}  # fmt: skip

Data = Literal["image", "text"]


# ---------------------------------------------------------------------------------------------------------- models


def text_config(size: str) -> Qwen2Config:
    """The text backbone of a size, which TRL's model shares."""
    return Qwen2Config(**SIZES[size]["text"], pad_token_id=0, max_position_embeddings=32768)


def reward_model(
    data: Data, size: str, device: str, checkpointed: bool, *, selective: bool = False
) -> RewardModel:
    """A reward model with random weights: fp32 on a CPU, bf16 on CUDA, its vision tower frozen."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": SIZES[size]["mrope"]}
    config = text_config(size)
    if data == "image":
        text = {**SIZES[size]["text"], "rope_parameters": rope, "pad_token_id": 0}
        vision = {**SIZES[size]["vision"], "out_hidden_size": text["hidden_size"]}
        ids = {"image_token_id": IMAGE, "video_token_id": IMAGE + 1}
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    with torch.device(device):
        module = AutoModel.from_config(config, dtype=precision(device))
        head = HeadConfig()
        backbone = Backbone.of(module, "qwen2_5_vl" if data == "image" else "text")
        model = RewardModel(backbone, RewardHead(backbone.hidden_size, head), head, source="", lora=None)
    install(module)
    for parameter in backbone.tower():
        parameter.requires_grad_(False)
    if checkpointed:
        model.checkpoint_activations(selective=selective)
    return model.train()


def precision(device: str) -> torch.dtype:
    """What weights and activations are in."""
    return torch.bfloat16 if device == "cuda" else torch.float32


def trees(shape: Shape, data: Data, count: int) -> list[Tree]:
    """So many pairs of random tokens; with an image each, which takes a part of the prompt."""
    draw = torch.Generator().manual_seed(0)
    height, width = shape.image
    made = []
    for _ in range(count):
        prompt, *replies = (
            torch.randint(1, IMAGE, (n,), generator=draw) for n in (shape.prompt, shape.reply, shape.reply)
        )
        media: dict[str, Tensor] = {}
        if data == "image":
            prompt[10 : 10 + height * width // 4] = IMAGE
            values = torch.randn(height * width, 1176, generator=draw)
            media = {"pixel_values": values, "image_grid_thw": torch.tensor([[1, height, width]])}
        made.append(Tree(tuple(torch.cat([prompt, reply]) for reply in replies), shape.prompt, media))
    return made


# ------------------------------------------------------------------------------------------------------------ arms

Cost = tuple[float, float]
"""Wall and CPU seconds of one step."""


def ours(model: RewardModel, optimizer: torch.optim.Optimizer, layout: Callable[[], Batch], device: str) -> Cost:
    """One step of this trainer's."""
    start = clock(device)
    scores = model(layout().to(device)).view(-1, 2)
    torch.autograd.backward(loss(scores[:, 0], scores[:, 1], LossConfig()))
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return since(start, device)


def clock(device: str) -> Cost:
    """Now, once the device has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def since(start: Cost, device: str) -> Cost:
    """What has passed."""
    now = clock(device)
    return now[0] - start[0], now[1] - start[1]


def trl(pairs: Sequence[Tree], size: str, device: str, checkpointed: bool, directory: str) -> Callable[[], Cost]:
    """TRL's RewardTrainer on the same tokens: a function that trains for one step."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    from trainer.tiny_models import build_tokenizer

    class Clock(TrainerCallback):  # type: ignore[misc]  # the untyped base is upstream's
        cost: Cost = (0.0, 0.0)

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.start = clock(device)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.cost = since(self.start, device)

    with torch.device(device):
        config = text_config(size)
        config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(config, dtype=precision(device))
    watch = Clock()
    rows = {"chosen_ids": [p.ids[0].tolist() for p in pairs], "rejected_ids": [p.ids[1].tolist() for p in pairs]}
    options = RewardConfig(
        output_dir=directory, per_device_train_batch_size=len(pairs), gradient_checkpointing=checkpointed,
        max_steps=1, max_length=None, bf16=device == "cuda", use_cpu=device == "cpu", report_to="none",
        save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = RewardTrainer(
        model=model, args=options, train_dataset=Dataset.from_dict(rows), processing_class=build_tokenizer("text"),
        callbacks=[watch],
    )  # fmt: skip

    trainer.remove_callback(PrinterCallback)

    def step() -> Cost:
        trainer.train()
        return watch.cost

    return step


def arms(data: Data, size: str, device: str, pairs: Sequence[Tree], directory: str) -> tuple[Any, dict[str, Any]]:
    """Our model, and every arm as a function of one step."""
    model = reward_model(data, size, device, checkpointed=device == "cuda")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
    found: dict[str, Any] = {
        name: lambda layout=layout: ours(model, optimizer, layout, device)
        for name, layout in layouts(model.backbone, pairs).items()
    }
    if data == "text" and available("trl") and device == "cpu":
        found["trl"] = trl(pairs, size, device, False, directory)
    if data == "text" and available("trl"):
        found["trl default"] = trl(pairs, size, device, True, directory)
    return model, found


def layouts(backbone: Backbone, pairs: Sequence[Tree]) -> dict[str, Callable[[], Batch]]:
    """Our own arms: how the pairs are laid out."""
    return {
        "shared": lambda: pack(pairs, backbone),
        "packed": lambda: pack(pairs, backbone, share=False),
        "padded": lambda: pad(pairs, backbone),
    }


# ------------------------------------------------------------------------------------------------------ the report


def compare(shape: Shape, data: Data, given: argparse.Namespace) -> dict[str, Any]:
    """All arms at one shape: costs, ratios to `shared`, what was possible, where the time goes."""
    pairs = trees(shape, data, -(-given.tokens // (shape.prompt + 2 * shape.reply)))
    with tempfile.TemporaryDirectory() as directory:
        model, steps = arms(data, given.size, given.device, pairs, directory)
        costs = rounds(steps, given.rounds)
        where = {name: profile(steps[name], given.device) for name in ("shared", "packed")}
    flops = {
        name: step_flops(make(), model.backbone, False) for name, make in layouts(model.backbone, pairs).items()
    }
    tokens = {name: make().tokens for name, make in layouts(model.backbone, pairs).items()}
    possible, measured = flops["packed"] / flops["shared"], ratio("packed", costs, given.device)
    return {
        "pairs": len(pairs),
        "tokens": tokens,
        "arms": {name: figures(name, costs, len(pairs), given.device) for name in steps},
        "possible": round(possible, 3),
        "saving": round((1 - 1 / measured) / (1 - 1 / possible), 3),
        "mfu": mfu(flops["shared"], costs["shared"], given.device),
        "where": where,
    }


def rounds(steps: Mapping[str, Callable[[], Cost]], count: int) -> dict[str, list[Cost]]:
    """Costs of every arm, one a round; the first round warms up and is thrown away."""
    names = list(steps)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(count + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            costs[name].append(steps[name]())
    return {name: each[1:] for name, each in costs.items()}


def ratio(name: str, costs: Mapping[str, Sequence[Cost]], device: str) -> float:
    """How many times `shared` an arm takes: the median over rounds."""
    clock_used = 1 if device == "cpu" else 0
    both = zip(costs[name], costs["shared"], strict=True)
    return statistics.median(theirs[clock_used] / own[clock_used] for theirs, own in both)


def figures(name: str, costs: Mapping[str, Sequence[Cost]], pairs: int, device: str) -> dict[str, float]:
    """An arm's medians and its ratio."""
    wall, cpu = (statistics.median(column) for column in zip(*costs[name], strict=True))
    return {
        "pairs_per_s": round(pairs / (cpu if device == "cpu" else wall), 3),
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "ratio": round(ratio(name, costs, device), 3),
    }


def mfu(flops: int, costs: Sequence[Cost], device: str) -> float | None:
    """Of the device's peak, on the FLOPs of the shared row; None on a CPU."""
    peak = peak_flops(torch.cuda.get_device_name()) if device == "cuda" else None
    return round(flops / statistics.median(wall for wall, _ in costs) / peak, 3) if peak else None


GROUPS = {
    "attention": ("scaled_dot_product", "_flash_attention", "_varlen_attn", "efficient_attention", "flash_fwd"),
    "matrices": ("aten::mm", "aten::addmm", "aten::bmm"),
    "optimizer": ("_fused_adamw_", "aten::_foreach"),
}


def profile(step: Callable[[], Cost], device: str) -> dict[str, float]:
    """Parts of one step's time by kind of operator; `rest` is norms, activations, RoPE, copies, embeddings."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as found:
        step()
    column = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    spent = dict.fromkeys([*GROUPS, "rest"], 0.0)
    for event in found.key_averages():
        group = next((g for g, names in GROUPS.items() if any(n in event.key for n in names)), "rest")
        spent[group] += getattr(event, column) / 1e6
    return {group: round(seconds / sum(spent.values()), 3) for group, seconds in spent.items()}


def available(package: str) -> bool:
    """Whether it is installed."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def facts(given: argparse.Namespace) -> dict[str, Any]:
    """Date, versions and machine, and what was asked for."""
    device = torch.cuda.get_device_name() if given.device == "cuda" else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in PACKAGES if available(name)},
        "machine": {**measure.machine(), "gpu": device, "threads": torch.get_num_threads()},
        "size": given.size,
        "dtype": str(precision(given.device)).removeprefix("torch."),
        "rounds": given.rounds,
    }


HEAD = ("data, shape", "arm", "pairs/s", "wall s", "CPU s", "x shared", "possible", "saving", "MFU")


def lines(name: str, found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The rows of one comparison."""
    rows: list[tuple[str, ...]] = []
    for arm, cost in found["arms"].items():
        own, base = arm == "shared", arm == "packed"
        rows.append((
            f"{name} x{found['pairs']}" if own else "", arm, f"{cost['pairs_per_s']:.2f}", f"{cost['wall_s']:.2f}",
            f"{cost['cpu_s']:.2f}", f"{cost['ratio']:.2f}", f"{found['possible']:.2f}" if base else "",
            f"{found['saving']:.0%}" if base else "", f"{found['mfu']:.1%}" if own and found["mfu"] else "",
        ))  # fmt: skip
    return rows


def options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", choices=tuple(SIZES), help="default: small on a CPU, 7b on CUDA")
    parser.add_argument("--tokens", type=int, default=8192, help="of a shared row, at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", choices=("image", "text"), nargs="+", default=["image", "text"])
    parser.add_argument("--save", action="store_true", help="write results also when not at full size")
    given = parser.parse_args()
    given.size = given.size or ("small" if given.device == "cpu" else "7b")
    return given


def main() -> None:
    """Measure, print a table, write results/train_step.json (train_step_cuda.json on CUDA)."""
    given = options()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    found: dict[str, Any] = facts(given)
    rows: list[tuple[str, ...]] = []
    parts: list[tuple[str, ...]] = []
    full = given.save or (given.tokens >= 8192 and given.rounds >= 3)
    for name, shape, data in [(f"{data} {shape}", shape, data) for shape in SHAPES for data in given.data]:
        print(name, file=sys.stderr)
        found[name] = compare(shape, data, given)
        rows += lines(name, found[name])
        parts += [(name, arm, *(f"{n:.0%}" for n in part.values())) for arm, part in found[name]["where"].items()]
        if full:
            measure.save("train_step" if given.device == "cpu" else "train_step_cuda", found)
    print(measure.table(rows, HEAD))
    print("\n" + measure.table(parts, ("where time goes", "arm", *GROUPS, "rest")))


if __name__ == "__main__":
    main()

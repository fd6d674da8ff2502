"""What a training run is asked to do: strict YAML, presets by name, `key=value` over them. No torch here.

`python -m trainer.config --preset tiny_cpu mix=DIR out=RUN [key=value ...]` checks it all in a moment and writes
RUN/config.yaml, which is all that `trainer.train` reads; so a typo is told before torch starts, and only once.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from curate import config
from curate.errors import ConfigError, CurateError
from curate.workspace import atomic

PRESETS = Path(__file__).parent / "presets"
Activation = Literal["none", "tanh", "relu", "silu", "gelu"]


def _within(name: str, value: float, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high:
        bound = f"at least {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
        raise ValueError(f"{name}: found {value}; expected {bound}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The shape of the reward head.

    `layers` linear layers (1 to 5) with `activation` and dropout between them; inner ones are `width` wide
    (None: the backbone's hidden size). Weights are drawn with `init_std` (None: 1/sqrt(fan_in + 1)), the last
    layer's too; biases start at zero.
    """

    layers: int = 2
    activation: Activation = "silu"
    width: int | None = None
    dropout: float = 0.0
    init_std: float | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        _within("layers", self.layers, 1, 5)
        _within("dropout", self.dropout, 0, 0.99)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """LoRA on the language model's linear layers; `target` names their last path parts (None: all of them)."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Which terms the loss has.

    `margin`: subtract a pair's margin from its difference. `center`: λ of λ·mean((r_w + r_l)²). `length_norm`:
    divide a score by ln(reply tokens + 1). `tie_weight`: weight of (r_w - r_l)² for ties, which have no
    Bradley-Terry term.
    """

    margin: bool = False
    center: float = 0.0
    length_norm: bool = False
    tie_weight: float = 0.0

    def __post_init__(self) -> None:
        _within("center", self.center, 0)
        _within("tie_weight", self.tie_weight, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run. Sizes are in pairs of the mix and in tokens; an epoch is one pass over the mix."""

    # where
    mix: str  # directory of a finished mix
    out: str  # run directory
    images: str | None = None  # image store of a mix that refers to its images

    # what
    model: str  # directory, Hub id, or tiny/KIND: random weights built into the run directory
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    lora: LoraConfig | None = None
    freeze_vision: bool = True

    # data
    max_length: int = 4096  # a longer pair is dropped and counted, never truncated
    min_pixels: int | None = None
    max_pixels: int | None = None  # of one image; None: the processor's own bound
    layout: Literal["packed", "padded"] = "packed"  # padded: two plain forwards, the reference
    share_prefix: bool = True
    max_tokens: int = 8192  # of one micro-batch
    workers: int = 1  # threads that encode ahead; 0: none

    # optimisation
    batch_pairs: int = 128  # pairs of one optimizer step, over all ranks
    epochs: float = 1.0
    max_pairs: int | None = None
    max_steps: int | None = None
    lr: float = 3e-6
    head_lr: float | None = None  # None: lr
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.03  # share of the run
    weight_decay: float = 0.0
    clip: float = 1.0  # gradient norm; 0: no clipping
    seed: int = 0

    # machine
    bf16: bool | None = None  # None: on CUDA
    zero: Literal[0, 1, 2, 3] = 1
    gradient_checkpointing: bool = True

    # evaluation and checkpoints, both also at the end
    eval_every_pairs: int | None = None
    eval_sets: dict[str, str] = dataclasses.field(default_factory=dict)  # name: pairs file, folder of them, or mix
    save_every_pairs: int | None = None
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        for name in ("max_length", "max_tokens", "batch_pairs", "keep_checkpoints"):
            _within(name, getattr(self, name), 1)
        for name in ("max_pairs", "max_steps", "eval_every_pairs", "save_every_pairs", "max_pixels"):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name), 1)
        _within("epochs", self.epochs, 1e-9)
        for name in ("lr", "weight_decay", "seed"):
            _within(name, getattr(self, name), 0)
        _within("head_lr", self.head_lr or 0.0, 0)
        _within("warmup", self.warmup, 0, 1)
        _within("clip", self.clip, 0)
        _within("workers", self.workers, 0)
        if "holdout" in self.eval_sets:
            raise ValueError("eval_sets: the name holdout means the mix's own held-out pairs")


FREE = {"out", "images", "workers", "keep_checkpoints", "save_every_pairs"}
"""Keys that may differ when a run continues: they do not change its numbers."""


def presets() -> list[str]:
    """The names of the presets that come with the trainer."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def resolve(preset: str | None, overrides: Sequence[str]) -> TrainConfig:
    """A preset (a name or a file) with `key=value` overrides; dots reach into it (`head.layers=3`).

    Raises ConfigError with the path of the fault.
    """
    where = _preset(preset)
    table = {} if where is None else config.read_yaml(where)
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: $", f"found {config.show(table)}", "a mapping")
    for text in overrides:
        _override(table, text)
    if "model" not in table:
        hint = f"--preset NAME (one of {', '.join(presets())}), or model=DIR"
        raise ConfigError("config", "no model named", "a preset or model=", hint)
    value: TrainConfig = config.build(table, TrainConfig, "config: $")
    return value


def _preset(name: str | None) -> Path | None:
    if name is None:
        return None
    path = PRESETS / f"{name}.yaml"
    if path.exists():
        return path
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    raise ConfigError("preset", f"no preset {name!r}", f"one of {', '.join(presets())}, or a YAML file")


def _override(table: dict[str, Any], text: str) -> None:
    """Put `a.b=value` into nested tables; the value is read as YAML reads it."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(text, "no key=value", "for instance lr=1e-5 or head.layers=3")
    *parents, key = path.split(".")
    for parent in parents:
        if not isinstance(table.get(parent), dict):
            table[parent] = {}
        table = table[parent]
    table[key] = config.parse_yaml(value, path)


def read(path: Path) -> TrainConfig:
    """The config of a run, as `write` left it."""
    return config.load(path, TrainConfig)


def write(wanted: TrainConfig) -> Path:
    """Put RUN/config.yaml, and return it. Raises ConfigError where the run directory has another config."""
    path = Path(wanted.out) / "config.yaml"
    if path.exists():
        _same(wanted, read(path), path)
    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump(plain(wanted), sort_keys=False), encoding="utf-8")
    return path


def _same(wanted: TrainConfig, there: TrainConfig, path: Path) -> None:
    changes = list(differences(plain(there), plain(wanted)))
    if changes:
        shown = "; ".join(f"{key} is {_short(old)}, asked {_short(new)}" for key, old, new in changes)
        hint = f"give another --out, or delete {path.parent} to start over"
        raise ConfigError(str(path.parent), f"holds a run with another config: {shown}", "the same config", hint)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterable[tuple[str, Any, Any]]:
    """Each key (dotted) that changes a run's numbers and differs, with both values."""
    for key in dict.fromkeys([*old, *new]):
        name, before, after = f"{prefix}{key}", old.get(key), new.get(key)
        if name in FREE or before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{name}.")
        else:
            yield name, before, after


def plain(value: TrainConfig) -> dict[str, Any]:
    """The config as YAML holds it: no tuples."""
    table = dataclasses.asdict(value)
    if table["lora"] and table["lora"]["target"] is not None:
        table["lora"]["target"] = list(table["lora"]["target"])
    return table


def _short(value: Any) -> str:
    return "unset" if value is None else str(value)


def main(arguments: Sequence[str]) -> None:
    """Resolve the arguments (`--preset NAME` and overrides) and write the run's config."""
    preset = arguments[1] if arguments[:1] == ["--preset"] else None
    write(resolve(preset, arguments[2:] if preset else arguments))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CurateError as error:
        from trainer.logs import fail

        sys.exit(fail(error))

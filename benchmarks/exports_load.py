"""One loader of benchmarks/exports.py, run by an interpreter of its own on an export, in its directory.

    python exports_load.py NAME PACKAGE MODEL out.json

Writes {split: pairs}; a pair is {texts, images}: what the loader gives of its texts, and the sha256 of each image,
of its bytes where the loader has them ("bytes:...") and of its pixels where it has opened it ("pixels:...").

MODEL    a text model with a tokenizer and a chat template, for loaders that render or tokenize
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import exports_calls_loaders
import exports_loaders as loaders

LOADERS = {
    "datasets 3.6": loaders.shards, "datasets 4.0": loaders.shards, "datasets 5": loaders.shards,
    "trl": loaders.trl, "trl-text": loaders.trl_text,
    "llama-factory": loaders.llama_factory, "llama-factory, embedded": loaders.llama_factory,
    "llama-factory, calls": exports_calls_loaders.llama_factory_calls,
    "ms-swift": loaders.ms_swift, "ms-swift, calls": exports_calls_loaders.ms_swift_calls,
    "openrlhf": loaders.openrlhf, "verl-rm": loaders.verl_rm, "verl-rl": loaders.verl_rl,
    "axolotl": loaders.axolotl, "webdataset": loaders.webdataset, "mosaicml": loaders.mosaicml,
}  # fmt: skip

if __name__ == "__main__":
    name, package, model, out = sys.argv[1:]
    result = {"version": version(package), "pairs": LOADERS[name](model)}
    Path(out).write_text(json.dumps(result))

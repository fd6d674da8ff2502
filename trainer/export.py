"""Write a reward model as others load it: `python -m trainer.export MODEL --for transformers|vllm --out DIR`.

transformers  a sequence classification checkpoint: text backbones, a head of one layer. TRL and vLLM load it too.
vllm          the same where that is possible; else a class of the plugin that is written beside it, vllm_plugin/

The exported directory scores as the model does where only its files are used: LoRA is merged, the head is among
the weights, no activation is applied to a score, a rendered dialogue ends with the scored token, and images are
bounded as in training. Tokens of the template inside of texts are a client's to escape: only curate does that.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from curate.errors import TrainError
from curate.schema import Block, Message
from trainer import checkpoint, programs
from trainer.backbones import quiet, saved_dtype
from trainer.encode import DATE, Encoder
from trainer.logs import say
from trainer.model import RewardHead, RewardModel, adapter_base, copy_processor, read_facts
from trainer.score import Scorer

Target = Literal["transformers", "vllm"]
PLUGIN = Path(__file__).parent / "vllm_plugin"
PLUGIN_MODELS = {  # model type: what the plugin calls it; others were never seen to score rightly there
    "qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "mistral": "Mistral", "qwen2_vl": "Qwen2VL",
    "qwen2_5_vl": "Qwen2_5_VL",
}  # fmt: skip
PROBES = (("What is 2 + 2?", "4."), ("Name a colour.\n\nAny one.", "Blue, or rather\n\n- red\n- green\n"))
TOLERANCE = 1e-3


def export_model(directory: Path, target: Target, out: Path) -> None:
    """Write the model in `directory` as `out`.

    Raises TrainError if it cannot be written so that it scores rightly there, or `out` exists.
    """
    facts = read_facts(directory)
    if out.exists():
        raise TrainError(str(out), "exists already", "the name of a new directory", "name another with --out")
    model = RewardModel.from_pretrained(directory)
    if model.paradigm != "naive":
        found, hint = f"a {model.paradigm} model, which writes before it scores", f"curate serve {directory}"
        raise TrainError(str(directory), found, "a model that only scores", hint)
    dtype = saved_dtype(str(directory) if facts["lora"] is None else adapter_base(directory))
    model.merge_lora().base.to(dtype)
    linear = _linear(model)
    _check(directory, model, target, linear is not None)
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    encoder = Scorer.load(directory, 8192).encoder
    with quiet():
        if linear is None:
            _write_for_plugin(model, temporary)
        else:
            _write_classifier(model, linear, temporary)
    _write_processor(model, encoder, temporary)
    _compare(directory, temporary, encoder, classifier=linear is not None)
    checkpoint.publish(temporary, out)
    say(f"exported: {out}")
    if linear is None:
        say(f"vLLM needs the plugin beside it: pip install {out / PLUGIN.name}")


def _linear(model: RewardModel) -> Tensor | None:
    """The weight [1, hidden] of a head that is one linear layer on a text backbone; None for any other.

    A bias of 0, which is all that Bradley-Terry leaves of it, changes no score.
    """
    layers: list[Any] = list(_head(model).layers)
    if model.backbone.kind != "text" or len(layers) != 1:
        return None
    [layer] = layers
    if layer.bias is not None and bool(layer.bias.any()):
        return None
    weight: Tensor = layer.weight.detach()
    return weight


def _head(model: RewardModel) -> RewardHead:
    assert model.head is not None, "a model that scores has a head"
    return model.head


def _check(directory: Path, model: RewardModel, target: Target, linear: bool) -> None:
    """Raise TrainError for a model that the target would load with other scores, or not at all."""
    base: Any = model.base
    kind, serve = base.config.model_type, f"curate serve {directory}"
    if target == "transformers" and not linear:
        why = (
            "its head is not one linear layer without bias" if model.backbone.kind == "text" else "it reads images"
        )
        found = f"transformers has no class for it: {why}"
        plugin = "--for vllm, or " if kind in PLUGIN_MODELS else ""
        raise TrainError(str(directory), found, "a text model with such a head", f"{plugin}{serve}")
    if not linear and kind not in PLUGIN_MODELS:
        found, known = f"a backbone of type {kind}", f"one of {', '.join(PLUGIN_MODELS)}"
        raise TrainError(str(directory), found, known, serve)


def _write_classifier(model: RewardModel, weight: Tensor, out: Path) -> None:
    """A checkpoint of transformers' own class."""
    base: Any = model.base
    config = _classifier_config(base.config)
    whole: Any = AutoModelForSequenceClassification.from_config(config)
    name = type(whole).base_model_prefix
    state = {f"{name}.{key}": tensor for key, tensor in base.state_dict().items()} | {"score.weight": weight}
    whole.load_state_dict(state)
    whole.to(base.dtype)
    whole.score.to(torch.float32).load_state_dict({"weight": weight})
    whole.config.architectures = [type(whole).__name__]
    whole.save_pretrained(out)


def _write_for_plugin(model: RewardModel, out: Path) -> None:
    """The base model's own checkpoint, with the head's tensors as `score.0.weight`, `score.2.weight` and so on."""
    base: Any = model.base
    kind = base.config.model_type
    prefix = "model." if model.backbone.kind == "text" else ""
    head = {
        f"score.{2 * number}.{name}": tensor.detach().float()
        for number, layer in enumerate(_head(model).layers)
        for name, tensor in layer.state_dict().items()
    }
    config = _classifier_config(base.config)
    base.save_pretrained(out, state_dict={f"{prefix}{key}": one for key, one in base.state_dict().items()} | head)
    config.architectures = [f"Curate{PLUGIN_MODELS[kind]}ForSequenceClassification"]
    settings = model.head_config
    assert settings is not None, "a model that scores has a head"
    config.curate_head = {
        "layers": settings.layers, "width": settings.width, "bias": settings.bias,
        "activation": settings.activation,
    }  # fmt: skip
    config.save_pretrained(out)
    shutil.copytree(PLUGIN, out / PLUGIN.name, ignore=shutil.ignore_patterns("__pycache__"))


def _classifier_config(config: Any) -> Any:
    """The config of one score without an activation: a `problem_type` of none would mean a sigmoid to vLLM."""
    made = AutoConfig.for_model(**config.to_dict())
    made.num_labels, made.problem_type = 1, "regression"
    made.id2label, made.label2id = {0: "LABEL_0"}, {"LABEL_0": 0}
    return made


def _write_processor(model: RewardModel, encoder: Encoder, out: Path) -> None:
    """Tokenizer and image processor, with a template that ends where the score is read, and training's bounds."""
    copy_processor(model.source, out)
    for name in ("chat_template.json", "processor_config.json"):
        _drop_template(out / name)
    (out / "chat_template.jinja").write_text(ending_at_the_score(encoder.template), encoding="utf-8")
    _drop_template(out / "tokenizer_config.json")
    if encoder.layout is not None:
        _update(out / "preprocessor_config.json", _bounds(encoder.layout.facts()))
    pad = _padding(encoder)
    _update(out / "config.json", {"pad_token_id": pad})


def ending_at_the_score(template: str) -> str:
    """The template, whose rendered dialogues end with the token that ends the last turn, and not after it.

    Models that read the last token would else read the newline that many templates write there. A date that the
    template prints is that of training.
    """
    date = f"{{% set date_string = {DATE!r} %}}" if "date_string" in template else ""
    body = template.removesuffix("\n")
    return (
        f"{date}{{% set curate_text %}}{{{{ '' }}}}{body}{{% endset %}}"
        "{{ curate_text if add_generation_prompt else (curate_text | string).rstrip() }}"
    )


def _bounds(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What bounds the size of images."""
    names = ("size", "min_pixels", "max_pixels", "min_patches", "max_patches")
    return {name: facts[name] for name in names if facts.get(name) is not None}


def _padding(encoder: Encoder) -> int:
    """A token to pad with. Raises TrainError if only the scored one is there: it would be taken for padding."""
    tokenizer: Any = encoder.tokenizer
    [tree] = encoder.dialogue(*_dialogue(*PROBES[0]), ())
    scored = int(tree.ids[0][-1])
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    names = (tokenizer.pad_token, "<|endoftext|>", "<pad>", "<|finetune_right_pad_id|>")
    usable = [vocabulary[name] for name in names if vocabulary.get(name, scored) != scored]
    if not usable:
        raise TrainError("tokenizer", "no token to pad with but the scored one", "a padding token of its own")
    return usable[0]


def _compare(directory: Path, out: Path, encoder: Encoder, *, classifier: bool) -> None:
    """Raise TrainError unless the exported files give the tokens, and a classifier the scores, of the model."""
    exported = Encoder(out, max_length=encoder.max_length)
    scorer, loaded = Scorer.load(directory, 8192), None
    if classifier:
        with quiet():
            loaded = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32).eval()
    for prompt, reply in PROBES:
        question, replies = _dialogue(prompt, reply)
        [tree] = encoder.dialogue(question, replies, ())
        turns = [{"role": one.role, "content": _content(one, encoder)} for one in (*question, *replies[0])]
        text = exported.tokenizer.apply_chat_template(turns, tokenize=False)
        ids = exported.tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids != tree.ids[0].tolist():
            found = f"its exported chat template renders {text[-40:]!r} at the end of a dialogue"
            raise TrainError(str(directory), found, "the tokens of training", "curate serve")
        if loaded is not None:
            with torch.no_grad():
                score = float(loaded(torch.tensor([ids])).logits[0, 0])
            own = scorer.score([[*question, *replies[0]]])[0].score
            if own is None or abs(score - own) > TOLERANCE * max(1, abs(own)):
                raise TrainError(
                    str(directory), f"transformers gives {score} where it gives {own}", "equal scores"
                )


def _dialogue(prompt: str, reply: str) -> tuple[list[Message], list[list[Message]]]:
    return [Message("user", (Block("text", prompt),))], [[Message("assistant", (Block("text", reply),))]]


def _content(message: Message, encoder: Encoder) -> Any:
    text = message.content[0].text
    return text if encoder.layout is None else [{"type": "text", "text": text}]


def _update(path: Path, more: Mapping[str, Any]) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**facts, **more}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _drop_template(path: Path) -> None:
    """Remove a template that would be read in place of the exported one."""
    if not path.exists():
        return
    facts = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "chat_template.json":
        path.unlink()
    elif facts.pop("chat_template", None) is not None:
        path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Export one model."""
    parser = argparse.ArgumentParser(prog="python -m trainer.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="directory of a reward model")
    parser.add_argument("--for", dest="target", choices=get_args(Target), required=True)
    parser.add_argument("--out", type=Path, required=True, help="directory of the exported model")
    options = parser.parse_args(arguments)
    export_model(options.model, options.target, options.out)


if __name__ == "__main__":
    programs.run(main)

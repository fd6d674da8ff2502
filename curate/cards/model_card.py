"""The card of a reward model: the mix it was trained on with its licences, its results, what it is for."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml

from curate.cards import mix_card
from curate.cards.markdown import markdown, percent
from curate.tables import Table
from curate.text.inert import Markdown, markdown_text, terminal_text

Facts = Mapping[str, Any]

USE = """## Intended use

To compare replies to one prompt, and to reward a policy in training. A score has no unit and no zero: only
differences between replies to the same prompt mean something. It is not a measure of truth or safety, and a policy
that is trained on it long enough will find replies that it overrates. `curate doctor` says what else predicts the
labels of the data, such as the length of a reply."""

Form = Literal["transformers", "vllm", "curate"]
LOAD: dict[Form, str] = {
    "transformers": """```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(DIRECTORY)
tokenizer = AutoTokenizer.from_pretrained(DIRECTORY)
text = tokenizer.apply_chat_template(messages, tokenize=False)  # ends with the scored token
score = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, 0]
```

vLLM serves it as it is: `vllm serve DIRECTORY --runner pooling`, and `/classify` with `use_activation: false`.""",
    "vllm": """```
pip install DIRECTORY/vllm_plugin
vllm serve DIRECTORY --runner pooling   # then /classify with use_activation: false
```

Without the plugin vLLM refuses the architecture; transformers has no class for this head.""",
    "curate": """`curate serve DIRECTORY`, `curate evaluate --model DIRECTORY` and
`trainer.reward.CurateReward(DIRECTORY)` score with it; `curate export` writes it for vLLM or transformers.""",
}


def model_card(
    name: str, reward: Facts, lock: Facts | None, result: Facts | None, evals: Facts | None, form: Form
) -> str:
    """The README.md of a model's directory, with front matter for the Hub.

    reward   its reward_config.json
    lock     of the mix it was trained on, result  its run's result.json; None if they are not known
    evals    what `curate evaluate --json` printed for it; None if it was not evaluated
    form     what loads the directory
    """
    head = yaml.safe_dump(_front_matter(reward, lock), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        _opening(name, reward, result),
        f"## Use\n\n{LOAD[form]}",
        _data(lock),
        _results(evals),
        USE,
    ]
    return terminal_text(f"---\n{head}---\n\n" + "\n\n".join(sections) + "\n")


def _front_matter(reward: Facts, lock: Facts | None) -> dict[str, Any]:
    tags = {"tags": ["reward-model", "rlhf", "curate"], "pipeline_tag": "text-classification"}
    base = str(reward["base"])
    found = {} if base.startswith("/") else {"base_model": base}
    if lock is None:
        return {**tags, **found}
    blend = lock["licenses"]["verdict"]
    named = {"license_name": blend["license_name"]} if blend["license"] == "other" else {}
    return {"license": blend["license"], **named, **tags, **found}


def _opening(name: str, reward: Facts, result: Facts | None) -> str:
    base = str(reward["base"])
    known = markdown_text(base.rsplit("/", 1)[-1] if base.startswith("/") else base)
    head = reward["head"]
    layers = f"a head of {head['layers']} layers ({head['activation']})" if head else "no head"
    trained = ""
    if result is not None:
        trained = f" Trained on {result['pairs']:,} pairs in {result['step']:,} steps."
    return (
        f"# {markdown_text(name)}\n\nA reward model ({reward.get('paradigm', 'naive')}): {known} with {layers}."
        f"{trained} Made by `curate`. The licence of the base model holds as well."
    )


def _data(lock: Facts | None) -> str:
    if lock is None:
        return "## Data\n\nNot known: there was no `mix.lock.json` beside the model."
    sources = [label for label, facts in lock["funnel"].items() if facts["mixed"]]
    return (
        f"## Data\n\nThe mix {markdown_text(lock['name'])}, fingerprint `{lock['fingerprint']}`: {lock['rows']:,} "
        f"preference pairs from {len(sources)} sources.\n\n{mix_card.licenses(lock)}"
    )


def _results(evals: Facts | None) -> str:
    if evals is None:
        return "## Results\n\nNot evaluated."
    rows = [_row(one["benchmark"], measure) for one in evals["results"] for measure in one["measures"]]
    table = Table("", ("eval set", "measure", "value", "95 % interval", "clusters"), rows)
    return f"## Results\n\n{markdown(table)}\n\nIntervals by Wilson, or by bootstrap where there are clusters."


def _row(name: str, measure: Facts) -> tuple[Any, ...]:
    value = measure["value"]
    return (
        name,
        measure["name"],
        "" if value is None else percent(value),
        _interval(measure),
        measure["clusters"],
    )


def _interval(measure: Facts) -> Markdown:
    bounds: Sequence[float] | None = measure.get("bootstrap") or measure.get("wilson")
    return Markdown(f"{percent(bounds[0])} to {percent(bounds[1])}") if bounds else Markdown("")

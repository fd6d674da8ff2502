"""The card of a mix: its README.md, plots and Croissant metadata, all of them functions of its lock.

Every number comes from the lock. A lock may also have `decontamination`, a mapping of facts {name: value}; a value
that is itself a mapping becomes a line of a table.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from curate import lock_tables
from curate.cards.croissant import croissant
from curate.cards.figures import plot
from curate.cards.front_matter import columns, front_matter, splits
from curate.cards.markdown import cell, hub_page, markdown, percent
from curate.cards.recipe_text import recipe_text
from curate.cards.reproduce import reproduce
from curate.contamination.strengths import recall_line
from curate.errors import WorkspaceError
from curate.licenses import NO_ADVICE, known_id, terms
from curate.mixing import shard_schema
from curate.steps import STEPS
from curate.steps.base import Step
from curate.steps.decontaminate import Decontaminate
from curate.steps.exact_duplicates import ExactDuplicates
from curate.steps.image_duplicates import ImageDuplicates
from curate.steps.label_conflicts import LabelConflicts
from curate.steps.near_dedup import NearDedup
from curate.tables import Table, count
from curate.text.inert import code, fenced, json_text, markdown_text, terminal_text
from curate.workspace import atomic

Lock = Mapping[str, Any]

COLUMNS = {
    "pair_id": "names the pair by its content",
    "group_id": "the upstream row or ranking; all its pairs share it",
    "source": "the source",
    "prompt": "the dialogue before the replies, media blocks included",
    "chosen": "the better reply, one turn or more",
    "rejected": "the worse reply",
    "media": "kind and keys of every image or video, in the order of the media blocks",
    "margin": "how much better, on the source's own scale; null where upstream does not say",
    "chosen_score": "upstream's score of the chosen reply",
    "rejected_score": "upstream's score of the rejected reply",
    "chosen_critique": "what the judge wrote about the chosen reply",
    "rejected_critique": "what the judge wrote about the rejected reply",
    "category": "upstream's own category",
    "annotator": "who judged: human, a model's name, or rule",
    "license": "licence id of the row, null where upstream states none",
    "revision": "commit of the source",
    "extra": "what else upstream has, as JSON",
    "repeat": "how often this pair stood in the mix before",
    "weight": "the factor of this pair's loss in training",
    "tools": "the functions that the assistant may call, as JSON, like the `arguments` of `tool_calls`",
    "images": "the bytes of the media, a video as its frames",
}
"""What the columns of a shard mean."""


def write(lock: Lock, directory: Path) -> list[str]:
    """Publish README.md, plots/*.svg and croissant.json beside the shards; their names."""
    texts = {f"plots/{name}.svg": text for name, text in plot(lock).items()}
    texts |= {"README.md": card(lock), "croissant.json": json_text(croissant(lock, columns(lock))) + "\n"}
    for name, text in texts.items():
        with atomic(directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)


def card(lock: Lock) -> str:
    """The README.md of a mix, with front matter for the Hub.

    Raises WorkspaceError for a lock that was written before locks had a summary.
    """
    if "summary" not in lock:
        where, hint = f"lock of {lock['name']}", "delete the directory of the mix and run curate mix again"
        raise WorkspaceError(where, "it has no summary", "a lock of this version", hint)
    head = yaml.safe_dump(front_matter(lock), sort_keys=False, allow_unicode=True, width=100)
    sections = [
        _opening(lock),
        _load(lock),
        _contents(lock),
        f"## Recipe\n\n{fenced(recipe_text(lock['recipe']), 'yaml')}",
        _funnel(lock),
        _steps(lock),
        licenses(lock),
        *(_facts(title, lock[name]) for name, title in RESULTS.items() if lock.get(name)),
        _lengths(lock),
        reproduce(lock),
        "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in _limits(lock)),
    ]
    return terminal_text(f"---\n{head}---\n\n" + "\n\n".join(sections) + "\n")


RESULTS = {"decontamination": "Decontamination"}

# ------------------------------------------------------------------------------------------------ sections


def _opening(lock: Lock) -> str:
    used = sum(1 for facts in lock["funnel"].values() if facts["mixed"])
    held = f", and {lock['held_out']:,} held out" if lock["held_out"] else ""
    about = f"{markdown_text(lock['recipe']['about'])}\n\n" if lock["recipe"]["about"] else ""
    return (
        f"# {lock['name']}\n\n{about}"
        f"{lock['rows']:,} preference pairs from {used} sources{held}: a prompt, a chosen and a rejected reply, "
        f"and where they are from. Built by `curate` {lock['curate']}; the fingerprint of this mix is "
        f"`{lock['fingerprint']}`. Every number below is read from `lock.json`."
    )


def _load(lock: Lock) -> str:
    media = "images" in columns(lock).names
    images = (
        "\n\nMedia blocks in `prompt` stand for the entries of `images` in their order; a video is its frames. "
        "Images have the bytes that upstream has: `datasets` decodes a photograph as it is stored, and "
        "`PIL.ImageOps.exif_transpose` turns it upright, as everything in `curate` sees it."
        if media
        else ""
    )
    held = ',\n    eval_dataset=mix["holdout"],' if "holdout" in splits(lock) else ","
    return f"""## Load it

```python
from datasets import load_dataset

mix = load_dataset("REPOSITORY")  # its name on the Hub, or the directory that holds this file
```

Replies are message lists, ready for `apply_chat_template`, and the columns have the names that TRL reads:

```python
from trl import DPOConfig, DPOTrainer

DPOTrainer(
    model, args=DPOConfig("out"), processing_class=processor, train_dataset=mix["train"]{held}
).train()
```{images}"""


def _contents(lock: Lock) -> str:
    rows = []
    for label, facts in lock["funnel"].items():
        origin, figures = lock["origins"][label], lock["summary"]["sources"][label]
        kinds = ", ".join(name for name, n in figures["modality"].items() if n) or None
        share = percent(facts["mixed"] / lock["rows"]) if lock["rows"] else None
        page = hub_page(origin["repo"])
        rows.append((label, page, facts["mixed"], share, facts["held_out"], kinds, origin["annotator"]))
    names = ("source", "dataset", "pairs", "share", "held out", "modality", "judged by")
    table = Table("", names, rows, ("all", "", lock["rows"], "", lock["held_out"], "", ""))
    fields = Table(
        "", ("column", "type", "meaning"), [(code(f.name), _type(f.type), COLUMNS[f.name]) for f in columns(lock)]
    )
    return f"## What is in it\n\n{markdown(table)}{_below_caps(lock)}\n\n### Columns\n\n{markdown(fields)}"


def _below_caps(lock: Lock) -> str:
    """One line for each entry of the recipe that has fewer pairs than the recipe would have taken."""
    caps = {entry["label"]: entry["cap"] for entry in lock["recipe"]["entries"]}
    lines = [
        f"- {markdown_text(line['label'])}: {line['rows']:,} pairs are all there are; the recipe takes "
        f"up to {cap:,}"
        for line in lock["plan"]["sources"]
        if (cap := caps[line["label"]]) is not None and line["rows"] < cap
    ]
    return "\n\n" + "\n".join(lines) if lines else ""


def _type(kind: pa.DataType) -> str:
    if kind == shard_schema.IMAGES.type:
        return "list of images"
    if pa.types.is_list(kind):
        return "list of structs"
    return {"double": "float64"}.get(str(kind), str(kind))


def _funnel(lock: Lock) -> str:
    reasons = lock_tables.reasons_table(lock["funnel"])
    why = f"\n\nWhy rows gave no pair, and why pairs were dropped:\n\n{markdown(reasons)}" if reasons.rows else ""
    return (
        "## Funnel\n\nRows are the publisher's, pairs are ours. Every row and every pair is accounted for: rows = "
        "skipped + those that gave pairs, pairs = dropped + kept, kept = held out + unused + those in the mix. "
        f"`mixed` counts repeats.\n\n{markdown(lock_tables.funnel_table(lock['funnel']))}{why}"
    )


def _steps(lock: Lock) -> str:
    """The steps that ran, those that found nothing too, and what they looked for."""
    dropped = Counter[str]()
    for facts in lock["funnel"].values():
        for reason, pairs in facts["dropped"].items():
            dropped[reason.partition("/")[0]] += pairs
    rows = [(code(name), facts["version"], dropped[name]) for name, facts in lock["steps"]]
    lines = [
        f"- {text} {', '.join(map(code, names))}."
        for what, text in LOOKED_FOR.items()
        if (names := _that(lock, what))
    ]
    if flipped := sum(facts.get("flipped", 0) for facts in lock["funnel"].values()):
        lines.append(
            f"- The replies of {flipped:,} pairs are exchanged: people or an audit found the other better."
        )
    if weighted := sum(facts.get("weighted", 0) for facts in lock["funnel"].values()):
        lines.append(f"- {weighted:,} pairs have a `weight` other than 1, the factor of their loss in training.")
    about = "In this order; a pair that one drops, later ones do not see."
    table = markdown(Table("", ("step", "version", "dropped"), rows))
    return "\n\n".join(["## Steps", about, table, *(["\n".join(lines)] if lines else [])])


LOOKED_FOR: Mapping[type[Step], str] = {
    ExactDuplicates: "Equal pairs were looked for by",
    NearDedup: "Near-duplicates were looked for by",
    ImageDuplicates: "Copies of images were looked for by",
    LabelConflicts: "Contradicting labels were looked for by",
    Decontaminate: "Items of benchmarks were looked for by",
}
"""What steps that compare pairs look for."""


def _that(lock: Lock, kind: type[Step]) -> list[str]:
    """The names of the steps of this kind that ran."""
    return [name for name, _ in lock["steps"] if name in STEPS and issubclass(STEPS[name], kind)]


def licenses(lock: Lock) -> str:
    """The section about licences: each source's, and the verdict of the blend."""
    rows = [
        (line["label"], known_id(line["license"]), lock["origins"][line["label"]]["revision"], line["pairs"],
         line["held_out"], percent(line["share"]))
        for line in lock["licenses"]["table"]
    ]  # fmt: skip
    table = Table("", ("source", "licence", "commit", "pairs", "held out", "share"), rows)
    lines = "\n".join(f"- {line}" for line in _terms(lock["licenses"]["verdict"]))
    return (
        f"## Licences\n\n{markdown(table)}\n\nThe most restrictive terms of the blend, held out pairs included. "
        f"{NO_ADVICE}\n\n{lines}{_opt_out(lock)}"
    )


def _opt_out(lock: Lock) -> str:
    """The recipe line that leaves out pairs whose licence is not known to allow commercial use."""
    ids = {known_id(line["license"]) for line in lock["licenses"]["table"]}
    closed = sorted(name for name in ids if terms(name).commercial != "allowed")
    if not closed:
        return ""
    excluded = yaml.safe_dump({"exclude": closed}, default_flow_style=True, allow_unicode=True, width=math.inf)
    return (
        "\n\nA mix of only those pairs whose licence is known to allow commercial use has this line in its recipe:"
        f"\n\n{fenced(f'licenses: {excluded}', 'yaml')}"
    )


def _terms(blend: Mapping[str, Any]) -> list[str]:
    due = {"yes": "required", "no": "not required", "unknown": "unknown"}
    lines = [
        f"Commercial use: **{blend['commercial']}**{_by(blend['forbids_commercial'])}.",
        f"Sharing a changed copy: **{blend['redistribution']}**{_by(blend['forbids_redistribution'])}.",
        f"Attribution: {due[blend['attribution']]}. Same licence for what is made of it: "
        f"{due[blend['share_alike']]}.",
    ]
    if parts := blend.get("parts_not_commercial"):
        lines.append(f"Parts of {_names(parts)} may not be used commercially; their rows do not show which.")
    if blend["unknown"]:
        sources = ", ".join(f"{markdown_text(source)} ({n:,})" for source, n in blend["unknown"].items())
        lines.append(
            f"Of {blend['unknown_pairs']:,} pairs of {blend['pairs']:,} the terms are unknown, which does not "
            f"mean allowed: {sources}."
        )
    lines += [f"In conflict: {markdown_text(conflict)}." for conflict in blend["conflicts"]]
    return lines


def _by(sources: Sequence[str]) -> str:
    return f" by {_names(sources)}" if sources else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(markdown_text, names))


def _leaks(lock: Lock) -> str:
    """What decontamination finds, and how many items it could not."""
    share = next((facts.get("share") for name, facts in lock["steps"] if name in _that(lock, Decontaminate)), None)
    sets = [one for one in lock.get("decontamination", {}).values() if isinstance(one, Mapping)]
    neither = sum(one.get("by_neither", 0) for one in sets)
    items = sum(one.get("items", 0) for one in sets)
    missing = sum(one.get("pictures_missing", 0) for one in sets)
    found = [recall_line(share)] if isinstance(share, float) else []
    found.append(f"{neither:,} of {count(items, 'item')} can be found neither by words nor by picture")
    if missing:
        found.append(f"the pictures of {count(missing, 'item')} were not here")
    return "; ".join(found)


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    """Facts as a list; those that are mappings as one table, with a column for each of their keys."""
    lines = [f"- {_words(name)}: {cell(value)}" for name, value in facts.items() if not isinstance(value, Mapping)]
    tables = {name: value for name, value in facts.items() if isinstance(value, Mapping)}
    names = list(dict.fromkeys(key for value in tables.values() for key in value))
    rows = [(name, *(value.get(key) for key in names)) for name, value in tables.items()]
    table = markdown(Table("", ("", *map(_words, names)), rows)) if rows else ""
    return "\n\n".join(part for part in (f"## {title}", "\n".join(lines), table) if part)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _lengths(lock: Lock) -> str:
    summary = lock["summary"]
    quantiles = [f"{q} %" for q in summary["quantiles"]]
    everything = {"all": summary["all"], **summary["sources"]}
    lengths = [(label, side, *figures[side]["quantiles"]) for label, figures in everything.items()
             for side in ("prompt", "chosen", "rejected") if figures["rows"]]  # fmt: skip
    longer = [(label, figures["rows"], *(percent(n / figures["rows"]) for n in figures["longer"].values()))
              for label, figures in everything.items() if figures["rows"]]  # fmt: skip
    margins = [(label, figures["margin"]["pairs"], *figures["margin"]["quantiles"])
               for label, figures in summary["sources"].items() if figures["margin"]]  # fmt: skip
    parts = [
        "## Lengths and margins",
        "Lengths are in bytes of UTF-8. A column such as 25 % is the length that a quarter of the pairs do not "
        "exceed; in the plots by source a thick line goes from 25 to 75 %, a thin one from 5 to 95 %, and a dot "
        "stands at 50 %.",
        "![Lengths of replies](plots/lengths.svg)\n\n![Lengths of replies by source](plots/sources.svg)",
        _folded("Lengths by source", Table("", ("source", "part", *quantiles), lengths)),
        "![Which reply is longer](plots/longer.svg)",
        _folded("Which reply is longer", Table("", ("source", "pairs", "chosen", "rejected", "neither"), longer)),
    ]
    if margins:
        parts += [
            "Margins stand on each source's own scale and cannot be compared between sources.",
            "![Margins](plots/margins.svg)",
            _folded("Margins by source", Table("", ("source", "pairs", *quantiles), margins)),
        ]
    return "\n\n".join(parts)


def _folded(title: str, table: Table) -> str:
    return f"<details><summary>{title}, in numbers</summary>\n\n{markdown(table)}\n\n</details>"


def _limits(lock: Lock) -> list[str]:
    """The limits of this mix that its lock shows."""
    origins, blend = lock["origins"], lock["licenses"]["verdict"]
    figures = lock["summary"]["all"]
    repeats = lock["rows"] - sum(facts["selected"] for facts in lock["funnel"].values())
    judged = [label for label, origin in origins.items() if origin["annotator"] is None]
    unpinned = [label for label, origin in origins.items() if origin["revision"] is None]
    found = {
        f"The commit is not recorded of {_names(unpinned)}: upstream may have changed since.": unpinned,
        f"Who judged the pairs of {_names(judged)} is not stated upstream.": judged,
        f"The terms of {blend['unknown_pairs']:,} pairs are unknown.": blend["unknown"],
        f"{repeats:,} rows repeat a pair that stands in the mix already.": repeats,
        f"Items of benchmarks may be left: {_leaks(lock)}.": _that(lock, Decontaminate),
        "Nothing was compared with benchmarks: the mix may contain their items.": not _that(lock, Decontaminate),
        "Equal pairs were not looked for.": not (_that(lock, ExactDuplicates) or _that(lock, NearDedup)),
        "Near-duplicates were not looked for.": not _that(lock, NearDedup),
        "The longer reply is the chosen one in "
        f"{percent(figures['longer']['chosen'] / max(figures['rows'], 1))} of the pairs, so length alone says "
        "something about the label.": figures["longer"]["chosen"] * 2 > figures["rows"],
        "Labels are as upstream gave them; nobody read them again.": True,
    }
    return [text for text, holds in found.items() if holds]

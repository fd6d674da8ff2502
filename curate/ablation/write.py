"""The report as files: Markdown with plots, and JSON."""

from pathlib import Path

from curate.ablation import charts
from curate.ablation.effects import ALPHA
from curate.ablation.eval_items import title
from curate.ablation.findings import COARSE, NEGLIGIBLE
from curate.ablation.halves import STATED
from curate.ablation.probe import agreement_text
from curate.ablation.report import Report, tables
from curate.cards.markdown import markdown
from curate.text.inert import code, markdown_text
from curate.workspace import atomic, write_json


def write(report: Report, folder: Path) -> Path:
    """Write report.md with its plots, and report.json; return the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in charts.charts(report.found.tests).items():
        with atomic(folder / name) as temporary:
            temporary.write_text(drawing, encoding="utf-8")
    write_json(folder / "report.json", report.to_dict())
    with atomic(folder / "report.md") as temporary:
        temporary.write_text(text(report), encoding="utf-8")
    return folder / "report.md"


def text(report: Report) -> str:
    """The whole report in Markdown."""
    facts = report.facts
    head = "\n\n".join(
        [f"# {markdown_text(facts['name'])}", *map(markdown_text, filter(None, [facts["about"]])), ""]
    )
    if report.probe is not None:
        head += f"{PROBE}\n\n{agreement_text(report.probe)}\n\n"
    parts = [
        f"## {table.title[0].upper()}{table.title[1:]}\n\n{markdown(table)}"
        for table in tables(report)
        if table.rows
    ]
    parts[1] += f"\n\n{_means_note(report)}"
    plots = "\n\n".join(f"![{name}]({name})" for name in charts.charts(report.found.tests))
    return head + "\n\n".join([_setup(report), *parts, plots, _method(report)]) + "\n"


PROBE = (
    "**This is a probe**: the backbone is frozen, its features were computed once, and only heads were trained on "
    "them. It ranks arms cheaply; it is no substitute for training the whole model, and how well the two agree is "
    "known only where full runs exist."
)


def _setup(report: Report) -> str:
    facts = report.facts
    eval_sets = ", ".join(f"{markdown_text(name)} ({count:,} items)" for name, count in facts["exams"].items())
    given = [*([facts["budget"]] if facts["budget"] else []), *facts["settings"]]
    settings = f", {markdown_text(' '.join(given))}" if given else ""
    return (
        f"{len(report.arms)} arms of the recipe {code(facts['recipe'])}, {facts['seeds']} seed"
        f"{'s' if facts['seeds'] > 1 else ''} each, preset {code(facts['preset'])}{settings}. "
        f"Every arm is scored on {eval_sets}."
    )


def _means_note(report: Report) -> str:
    notes = [
        f" The {heading} is the plain mean of {', '.join(title(*column) for column in columns)}."
        for heading, columns in report.modalities().items()
    ]
    stars = "In percent; in brackets the difference from the baseline, * p < .05, ** < .01, *** < .001 after Holm."
    return stars + "".join(notes)


STEPS = (
    "*Over random*: a filter against the arm that lacks as many pairs, drawn at random. It is called better only "
    "where it also beats that arm: training on fewer pairs can help by itself."
)


def _method(report: Report) -> str:
    family = len(report.found.tests)
    how = {
        "mcnemar": "McNemar's exact test",
        "bootstrap": "a bootstrap over clusters (weighted means, and trials that share a cluster)",
        "t": "Student's t on the mean over seeds, its variance that of the items (bootstrap over clusters) plus "
        "that of the seeds, Satterthwaite's degrees of freedom",
    }
    used = "; ".join(text for name, text in how.items() if any(one.test == name for one in report.found.tests))
    seeds = report.facts["seeds"]
    limit = (
        "One seed: how much another seed would change is not measured."
        if seeds == 1
        else f"{seeds} seeds say little of how much seeds differ; intervals are wide for that reason."
    )
    missing = {eval_set: count for eval_set, count in report.unscored.items() if count}
    lost = "".join(
        f" {count:,} items of {eval_set} had no score and count as wrong." for eval_set, count in missing.items()
    )
    sentences = (
        f"All arms are scored on the same items, so differences are paired by item and by seed: {used}.",
        f"Holm's correction is over the {family} tests of this report (every arm on every measure).",
        f"A suggestion needs p < {ALPHA:g} after it.",
        f"*Useless* means that the interval ends below +{100 * NEGLIGIBLE:g} points on every measure,",
        f"*too small to tell* that no effect under {100 * COARSE:g} points could have been detected.",
        "The effect of a dataset is the value with it less the value without it.",
        "Of the held-out pairs, *others* are those of the other sources; *own* are its own, which count for no",
        "suggestion: a dataset teaches its own labels, right or wrong.",
        f"*On the other half*: {STATED[0].lower()}{STATED[1:]} Shown is the measure that differs most",
        "for its error on the first half, as it is on the second, which had no part in that choice.",
        *([STEPS] if any(arm.control for arm in report.arms) else []),
        f"{limit} An equal score is wrong.{lost}",
    )
    return f"## Method\n\n{' '.join(sentences)}"

"""The page: every section under one head, with its style and its small script inside it."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

from curate.html_report import sample
from curate.html_report.analysis_sections import Examined, sections
from curate.html_report.audit_sections import audit_sections
from curate.html_report.lock_sections import contents, opening
from curate.html_report.markup import Section, paragraph, words
from curate.html_report.pair_cards import Pictures, cards, every_item
from curate.html_report.review_sections import review_sections
from curate.images.store import ImageStore
from curate.inspect import render
from curate.inspect.artefacts import Mix
from curate.workspace import Workspace

SHOWN = "Words that only one of two texts has are marked. Long texts are cut; curate show MIX --pair ID --full"


def page(mix: Mix, workspace: Workspace, known: Examined | None, *, pairs: int, seed: int) -> str:
    """The HTML of a mix: at most `pairs` sampled pairs, and half as many dropped ones.

    It refers to nothing outside itself, and is the same for one mix and seed. Raises WorkspaceError where the
    mix's pairs are missing or damaged.
    """
    lock = mix.lock
    parts = [
        *contents(lock),
        *sections(known),
        *audit_sections(mix, workspace),
        *review_sections(mix, max(pairs, 1)),
        *_samples(mix, workspace, pairs, seed),
    ]
    links = "".join(f'<li><a href="#{part.name}">{words(part.title)}</a></li>' for part in parts)
    return document(
        lock["name"],
        f'<a class="skip" href="#main">Skip to the report</a>\n<header>\n{opening(lock)}\n</header>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main id="main">\n'
        + "\n".join(part.html for part in parts)
        + "\n</main>",
    )


def _samples(mix: Mix, workspace: Workspace, pairs: int, seed: int) -> Sequence[Section]:
    kept = sample.mixed(mix, pairs, seed)
    lost = sample.dropped(mix, pairs // 2, seed, workspace)
    labels = render.media_labels(every_item([*kept, *lost]), workspace.images)
    pictures = Pictures(ImageStore(workspace.images), labels)
    kept_cards, lost_cards = cards(kept, pictures, labels, "pair"), cards(lost, pictures, labels, "lost")
    about_kept = (
        f"{len(kept):,} of {mix.lock['rows']:,} rows, as evenly over the sources as there are. {SHOWN} shows all."
    )
    dropped = sum(sum(account["dropped"].values()) for account in mix.lock["funnel"].values())
    about_lost = f"{len(lost):,} of {dropped:,} dropped pairs, as evenly over the reasons as there are."
    beside = " Where a pair lost to another one, its winner is shown beside it."
    return [
        Section("pairs", "Sampled pairs", f'{paragraph(about_kept)}\n<div class="pairs">\n{kept_cards}\n</div>'),
        Section(
            "dropped",
            "Dropped pairs",
            f'{paragraph(about_lost + beside)}\n<div class="pairs">\n{lost_cards}\n</div>',
        ),
    ]


def document(title: str, body: str) -> str:
    """The document. Its policy lets nothing run or load that is not part of it, whatever a text may contain."""
    style, script = (
        files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,">\n<title>{words(title)}: report</title>\n'
        f"<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )

"""How Sphinx builds the pages; `make docs` calls it, offline and with every warning an error."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from docs import generate

project = "curate"
author = "the authors of curate"
copyright = "licensed under Apache-2.0"  # noqa: A001 - the name that Sphinx reads
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "curate"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_copy_source = False
nitpicky = True

ELSEWHERE = re.compile(r"<(?:script|img|iframe|link)\b[^>]+(?:src|href)=\"?https?:[^>]*>")


def fill_in(_app: Any, _page: str, source: list[str]) -> None:
    """Put into a page what its marks name."""
    source[0] = generate.filled(source[0])


def refuse_other_hosts(app: Any, error: Exception | None) -> None:
    """Fail the build where a page loads a script, a style or a picture from another host."""
    for path in [] if error else sorted(Path(app.outdir).rglob("*.html")):
        if found := ELSEWHERE.search(path.read_text(encoding="utf-8")):
            raise ValueError(f"{path.name} loads from another host: {found[0]}")


def setup(app: Any) -> None:
    """Register both."""
    app.connect("source-read", fill_in)
    app.connect("build-finished", refuse_other_hosts)

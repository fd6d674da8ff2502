"""The page of `curate search`: the recommendation, the candidates, and the surface that was fitted."""

from curate.ablation.search import Outcome
from curate.ablation.search_charts import surface_chart
from curate.ablation.search_tables import candidate_table, domain_table, method, rows_table
from curate.html_report.markup import Section, figure, paragraph, table, words
from curate.html_report.page import document


def page(found: Outcome) -> str:
    """The HTML of a search; it refers to nothing outside itself."""
    name = found.search.template.recipe.name
    drawings = "\n".join(figure(surface_chart(found, i)) for i in range(len(found.seen.domains)))
    tables = "\n".join(table(one) for one in (candidate_table(found), domain_table(found), rows_table(found)))
    about = "Each box is a small run; the line is the fit while the other sources keep their natural proportions."
    parts = [
        Section("result", "Result", f"{paragraph(_sentence(found.why))}\n{tables}"),
        Section("surface", "Share against accuracy", f"{paragraph(about)}\n{drawings}"),
        Section("method", "Method", "\n".join(map(paragraph, method(found)))),
    ]
    body = "\n".join(part.html for part in parts)
    head = f"<header>\n<h1>{words(name)}: search for a mix</h1>\n</header>"
    return document(
        name, f'<a class="skip" href="#main">Skip to the report</a>\n{head}\n<main id="main">\n{body}\n</main>'
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."

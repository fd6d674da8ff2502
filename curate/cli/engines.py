"""curate engines."""

from dataclasses import asdict

from curate.cli.options import AddressOption, JsonOption
from curate.cli.output import data, show_table
from curate.engines import survey
from curate.tables import Table


def engines(address: AddressOption = None, as_json: JsonOption = False) -> None:
    """List the engines, and whether they can be used here; with --address, how large that cluster is."""
    found = [asdict(facts) for facts in survey(address)]
    if as_json:
        data(found)
        return
    rows = [tuple("yes" if value is True else value for value in facts.values()) for facts in found]
    show_table(Table("engines", tuple(found[0]), rows))

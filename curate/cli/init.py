"""curate init: a manifest and a recipe for files that have none."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.options import MANIFESTS, WORKSPACE, JsonOption, WorkspaceOption
from curate.cli.output import data, say, show_table, show_text
from curate.errors import ConfigError
from curate.tables import Table
from curate.text.inert import terminal_line
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.inspect.candidates import Candidate
    from curate.sources.base import Draft

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
RECIPES = Path("recipes")
SHOWN = 3

RECIPE = """\
name: {name}
sources: {{{name}: all}}
holdout: {{share: 0.05}}
steps: [identical, formatting_only, empty_reply, exact_duplicates]
"""


FilesArgument = Annotated[str, typer.Argument(help="A file, a folder, or a dataset on the Hub (owner/name).")]
SourceNameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the source and the recipe.  [default: the file's]")
]
ReadingOption = Annotated[
    int | None, typer.Option("--reading", min=1, help="Which reading to take where several fit.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]


def init(
    target: FilesArgument,
    *,
    name: SourceNameOption = None,
    reading: ReadingOption = None,
    yes: YesOption = False,
    workspace: WorkspaceOption = WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Look at rows, guess adapter and columns, show the first pairs, and write a manifest and a recipe.

    Where the rows can be read in several ways, you are asked which; a guess decides nothing.
    """
    from curate.inspect import candidates

    on_hub = HUB_ID.fullmatch(target) is not None and not (Path(target).exists() or _names_a_file(target))
    label = name or candidates.slug(target.rpartition("/")[2] if on_hub else Path(target).resolve().name)
    if on_hub:
        found, root = _of_hub(target, label), None
    else:
        sample, found = candidates.of_path(Path(target), label)
        root = sample.root
    candidate = _chosen(found, target, reading)
    written = {"manifest": MANIFESTS / f"{label}.yaml", "recipe": RECIPES / f"{label}.yaml"}
    _check_free(written["manifest"], candidate)
    if as_json:
        pairs, skipped = len(candidate.drafts), dict(candidate.skipped)
        data({"name": label, "manifest": candidate.manifest, "pairs": pairs, "skipped": skipped})
    else:
        _show(candidate)
    _confirm(yes, written)
    candidates.write_manifest(written["manifest"], candidate.manifest)
    if root is not None:
        candidates.link(Workspace(workspace).raw(label), root)
    _write_recipe(written["recipe"], label)
    say(f"wrote {written['manifest']} and {written['recipe']}")
    fetched = f"curate pin {label} && curate fetch {label} && " if on_hub else ""
    say(f"next: {fetched}curate mix {label}")


def _write_recipe(path: Path, source: str) -> None:
    """Write a recipe of the source alone, unless there is one of this name."""
    if not path.exists():
        RECIPES.mkdir(exist_ok=True)
        path.write_text(RECIPE.format(name=source), encoding="utf-8")


def _names_a_file(target: str) -> bool:
    """Whether it is no repository's name: it begins as paths do, or ends as files of rows do."""
    from curate.rawfiles.rows import KINDS

    return target.startswith(".") or not {*Path(target.lower()).suffixes}.isdisjoint(f".{kind}" for kind in KINDS)


def _of_hub(target: str, label: str) -> "list[Candidate]":
    from curate.hub.retry import RetryPolicy

    policy = RetryPolicy.from_env()
    from curate.hub.preview import preview  # fails at settings that the policy has checked
    from curate.inspect import candidates
    from curate.sources.base import Row

    seen = preview(target, policy, rows=100)
    base = {"files": list(seen.files), "repo": target}
    return candidates.of_rows([Row(row) for row in seen.rows], base, None, label)


def _chosen(found: "list[Candidate]", target: str, reading: int | None) -> "Candidate":
    """The reading that --reading gives, the only one, or the one that the user types."""
    from curate.inspect.candidates import only

    if reading is not None:
        if reading > len(found):
            raise ConfigError("--reading", f"found {reading}", f"1 to {len(found)}")
        return found[reading - 1]
    if len(found) > 1 and sys.stdin.isatty():
        for number, candidate in enumerate(found, 1):
            say(f"{number}: {candidate.description}")
        answer = typer.prompt("Which reading is right?", type=int, err=True)
        return _chosen(found, target, answer)
    return only(found, target, "add --reading N for reading N, or run it in a terminal to be asked")


def _check_free(path: Path, candidate: "Candidate") -> None:
    """Refuse to write over a manifest that says something else."""
    from curate.sources.generic import to_yaml

    if path.exists() and path.read_text(encoding="utf-8") != to_yaml(candidate.manifest):
        raise ConfigError(
            str(path), "is there already and says something else", "a free name", "give another --name"
        )


def _confirm(yes: bool, written: dict[str, Path]) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("curate init", "nothing was written", "your word for it", "add --yes")
    if not typer.confirm(
        terminal_line(f"Write {written['manifest']} and {written['recipe']}?"), default=True, err=True
    ):
        raise typer.Exit(1)


def _show(candidate: "Candidate") -> None:
    from curate.sources.generic import to_yaml

    show_text(to_yaml(candidate.manifest).rstrip("\n"))
    rows = [(number, *_cells(draft)) for number, draft in enumerate(candidate.drafts[:SHOWN], 1)]
    show_table(Table("first pairs", ("", "prompt", "chosen", "rejected", "margin", "media"), rows))
    pairs = f"{len(candidate.drafts):,} pairs"
    say(f"{candidate.description}: {pairs} from the rows looked at" if candidate.description else pairs)
    for reason, count in candidate.skipped.most_common(5):
        say(f"{count:,} rows give no pair: {reason}")
    if candidate.missing:
        media = f"{candidate.missing:,} of the media that the rows name"
        say(f"{media} are not beside them: such rows will be skipped")


def _cells(draft: "Draft") -> tuple[Any, ...]:
    from curate.inspect.text import shorten

    def beginning(turns: Any) -> str:
        return shorten(" ".join(block.text or f"[{block.type}]" for turn in turns for block in turn.content), 40)

    margin = "" if draft.margin is None else f"{draft.margin:g}"
    return (
        beginning(draft.prompt[-1:]),
        beginning(draft.chosen),
        beginning(draft.rejected),
        margin,
        len(draft.media),
    )

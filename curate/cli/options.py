"""Options and arguments that several commands share, declared once, and how a command takes a block of them.

A command takes a block as one keyword parameter, such as `work: WorkOptions`. `expanded` gives typer a parameter
for each field of the block.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import engines
from curate.cli import completion
from curate.engines.base import Engine
from curate.errors import ConfigError
from curate.workspace import Workspace

if TYPE_CHECKING:  # takes half a second to import: only the commands that read sources pay for it
    from curate.inputs import Inputs

WORKSPACE = Path("data")
MANIFESTS = Path("manifests")
A_MIX = "A mix: its recipe, by name or file; name@fingerprint; STUDY/ARM of an ablation; or its directory."

WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace", metavar="DIR", envvar="CURATE_HOME", help="Directory of raw files, pairs, images and mixes."
    ),
]
RawOption = Annotated[
    Path | None,
    typer.Option(
        "--raw",
        metavar="DIR",
        help="Raw files as published, one folder per source or eval set.  [default: as the recipe says, and "
        "WORKSPACE/raw]",
    ),
]
ManifestsOption = Annotated[
    Path,
    typer.Option(
        "--manifests", metavar="DIR", help="Your own sources: manifests that name an adapter and a column map."
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Tasks that run at the same time.  [default: one for each CPU, here or of the cluster]",
    ),
]
EngineOption = Annotated[
    engines.Name,
    typer.Option("--engine", help="Where the work runs; the result is the same with any of them."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Ray: the address of the cluster's head, or auto for the cluster that this machine belongs to.  "
        "[default: RAY_ADDRESS, else a new Ray on this machine]",
    ),
]
CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Read all raw files again, those too whose size and time are as they were."),
]
StrictImagesOption = Annotated[
    bool,
    typer.Option(
        "--strict-images", help="Decode every image at once, not only when a step first needs what it shows."
    ),
]
PrivateOption = Annotated[bool, typer.Option("--private", help="Make or expect a private repository.")]
PresetOption = Annotated[str | None, typer.Option("--preset", "-p", metavar="NAME", help="As for curate train.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait while another run holds the workspace.")]
MAX_TOKENS = 8192
MaxTokensOption = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of one forward pass.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A recipe: its name (curate recipes lists them; quickstart is one that runs offline) or its file.",
        show_default=False,
        autocompletion=completion.recipes,
    ),
]
PoolsArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="A mix, a source, or a recipe whose sources are normalized.")
]
MixArgument = Annotated[str, typer.Argument(help=A_MIX, show_default=False, autocompletion=completion.mixes)]


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Where raw files, finished work and the user's own sources are."""

    raw: RawOption = None
    workspace: WorkspaceOption = WORKSPACE
    manifests: ManifestsOption = MANIFESTS

    @property
    def inputs(self) -> "Inputs":
        """What these options mean to a build."""
        from curate.inputs import Inputs

        if self.manifests != MANIFESTS and not self.manifests.is_dir():
            found = "is no directory" if self.manifests.exists() else "no such directory"
            raise ConfigError(f"--manifests {self.manifests}", found, "a directory of manifests")
        return Inputs(workspace=Workspace(self.workspace), raw=self.raw, manifests=self.manifests)


@dataclass(frozen=True, slots=True)
class WorkOptions(InputOptions):
    """The options of every command that computes: its inputs, and the engine that it runs on."""

    engine: EngineOption = "local"
    address: AddressOption = None
    workers: WorkersOption = None
    wait: WaitOption = False

    @contextmanager
    def open_engine(self) -> Iterator[Engine]:
        """Hold the workspace and open the engine for work in it."""
        place = Workspace(self.workspace)
        with (
            place.hold(wait=self.wait),
            engines.open_engine(self.engine, place.root, self.workers, self.address) as engine,
        ):
            yield engine


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """The command `function` with a keyword parameter for each field of the option blocks that it takes."""
    parameters = inspect.signature(function).parameters
    blocks: dict[str, type[Any]] = {
        name: one.annotation
        for name, one in parameters.items()
        if isinstance(one.annotation, type) and dataclasses.is_dataclass(one.annotation)
    }
    flat: list[inspect.Parameter] = []
    for name, one in parameters.items():
        flat += inspect.signature(blocks[name]).parameters.values() if name in blocks else [one]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, block in blocks.items():
            given[name] = block(**{field.name: given.pop(field.name) for field in dataclasses.fields(block)})
        function(**given)

    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in flat]
    vars(command)["__signature__"] = inspect.Signature(keywords)  # typer reads it
    return command

"""Where work runs. Every engine gives the same results in the same order."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.engines.base import Engine, cpus
from curate.errors import ConfigError, EngineError

Name = Literal["local", "ray"]


def open_engine(
    name: Name, workspace: Path, workers: int | None = None, address: str | None = None
) -> AbstractContextManager[Engine]:
    """Return the engine of that name for work in a workspace; `workers` is how many tasks run at once.

    Without `workers` as many run as there are CPUs, and little work starts no processes. Raises ConfigError for an
    address that the engine does not use, EngineError where it is not installed.
    """
    if name == "local":
        if address is not None:
            raise ConfigError("--address", "local processes have no address", "", "add --engine ray")
        from curate.engines.local import Local

        return Local(workers or cpus(), adapts=workers is None)
    _require_ray()
    from curate.engines.ray import Ray

    return Ray(workspace, address, workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """Whether an engine can be used here; `nodes` and `cpus` are null where no cluster was named."""

    engine: Name
    usable: bool
    version: str | None
    nodes: int | None
    cpus: int | None
    note: str


def survey(address: str | None = None) -> list[EngineFacts]:
    """Return facts of all engines, with the size of the cluster at the address."""
    here = EngineFacts(
        engine="local", usable=True, version=None, nodes=1, cpus=cpus(), note="processes of this machine"
    )
    return [here, _survey_ray(address)]


def _survey_ray(address: str | None) -> EngineFacts:
    version = nodes = cpus = None
    try:
        version = _require_ray()
        note = "ready; --address HOST:PORT for a cluster, else one of its own on this machine"
        if address is not None:
            from curate.engines import ray

            found = ray.survey(address)
            nodes, cpus, note = found.nodes, found.cpus, f"the cluster at {address}"
    except EngineError as error:
        return EngineFacts(engine="ray", usable=False, version=version, nodes=None, cpus=None, note=str(error))
    return EngineFacts(engine="ray", usable=True, version=version, nodes=nodes, cpus=cpus, note=note)


def _require_ray() -> str:
    """Ray's version. Raises EngineError where it is not installed."""
    import importlib.metadata

    from curate.installation import install_command

    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise EngineError("--engine ray", "Ray is not installed", "", install_command("ray")) from None

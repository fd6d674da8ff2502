"""The processes that Slurm's `srun` started: torch's variables from Slurm's."""

import re
from collections.abc import Mapping

from curate.errors import TrainError

FIRST_PORT, PORTS = 20_000, 20_000


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT of this task of a Slurm step.

    {} outside of a step of several tasks, and where torchrun or deepspeed have set RANK. The port is a function
    of the job and its step, so that jobs that share a node do not meet. Raises TrainError for a list of nodes
    that cannot be read.
    """
    tasks = environment.get(
        "SLURM_STEP_NUM_TASKS", "1"
    )  # srun alone sets it; SLURM_NTASKS is also a batch script's
    if "RANK" in environment or tasks == "1":
        return {}
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    job, step = (int(environment.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    found = {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": tasks,
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "MASTER_ADDR": first_node(nodes),
        "MASTER_PORT": str(FIRST_PORT + (job + 37 * step) % PORTS),
    }
    return {
        name: environment.get(name, value) if name.startswith("MASTER") else value for name, value in found.items()
    }


def first_node(nodes: str) -> str:
    """The first name of a list as Slurm writes it, `gpu[007-012,020],login1`: gpu007. Raises TrainError."""
    found = re.match(r"([\w.-]+)(?:\[(\w+)[^\]]*\]([\w.-]*))?(?:,|$)", nodes)
    if found is None:
        raise TrainError("SLURM_STEP_NODELIST", f"found {nodes[:80]!r}", "names of nodes", "set MASTER_ADDR")
    name, number, rest = found.groups(default="")
    return name + number + rest

"""What Slurm says of its tasks, and how torch's variables follow from it."""

import pytest

from curate.errors import TrainError
from trainer.distributed import own_device
from trainer.slurm import first_node, variables

STEP = {
    "SLURM_STEP_NUM_TASKS": "16", "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "2", "SLURM_STEP_NODELIST": "gpu[007-008]",
}  # fmt: skip


def test_a_task_of_a_step():
    assert variables(STEP) == {
        "RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu007",
        "MASTER_PORT": str(20_000 + (123_456 + 74) % 20_000),
    }  # fmt: skip
    assert variables({**STEP, "MASTER_ADDR": "10.0.0.1"})["MASTER_ADDR"] == "10.0.0.1"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "16", "SLURM_PROCID": "0"},  # a batch script: srun has started nothing
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},  # srun --pty bash
        {**STEP, "RANK": "0", "WORLD_SIZE": "8"},  # torchrun inside of a step
    ],
)
def test_what_is_no_step_of_several_tasks(environment):
    assert variables(environment) == {}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu007", "gpu007"), ("a,b", "a"), ("gpu[007-012,020],login1", "gpu007"), ("n[3]-ib", "n3-ib"),
        ("rack2-node[1,3].cluster.org", "rack2-node1.cluster.org"),
    ],
)  # fmt: skip
def test_the_first_node(nodes, first):
    assert first_node(nodes) == first


@pytest.mark.parametrize("nodes", ["", "[1-2]", "a[", "a b"])
def test_a_list_of_nodes_that_is_none(nodes):
    with pytest.raises(TrainError, match=r"SLURM_STEP_NODELIST: found .*; expected names of nodes") as error:
        first_node(nodes)
    assert error.value.hint == "set MASTER_ADDR"


def test_a_process_has_a_device_of_its_own():
    assert own_device(3, 8, bound=False) == 3
    assert own_device(3, 1, bound=True) == 0, "Slurm shows each task one GPU"
    with pytest.raises(
        TrainError, match="--nproc: 3 processes on a machine with 2 GPUs; expected one for each GPU"
    ):
        own_device(2, 2, bound=True)
    with pytest.raises(TrainError):
        own_device(1, 1, bound=False)

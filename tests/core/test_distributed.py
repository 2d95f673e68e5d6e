"""Two processes with half a batch each against one process with the whole batch."""

import copy
import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from gradsurgery import GradientSurgery, available, build

METHODS = [name for name in available() if name != "torchjd"]
STEPS = 3


def train(name, x, y, rank=None):
    """`STEPS` steps on all of (x, y), or on this rank's half; the parameters at the end."""
    torch.manual_seed(0)
    trunk, heads = nn.Linear(5, 6).double(), nn.ModuleList(nn.Linear(6, 1) for _ in range(3)).double()
    surgery = GradientSurgery(trunk.parameters(), build(name), seed=1, heads=heads.parameters())
    parameters = [*trunk.parameters(), *heads.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    part = slice(None) if rank is None else slice(rank * len(x) // 2, (rank + 1) * len(x) // 2)
    for step in range(STEPS):
        optimizer.zero_grad()
        z = trunk(x[part] * (step + 1)).tanh()
        losses = [(head(z)[:, 0] - y[part, k]).square().mean() * 10**k for k, head in enumerate(heads)]
        if step == 1:  # the last task has no examples in either process
            losses[2] = losses[0] * 0.5
        assert surgery.backward(losses)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def worker(rank, folder, x, y):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save({name: train(name, x, y, rank) for name in METHODS}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator).double(), torch.randn(8, 3, generator=generator).double()


@pytest.fixture(scope="module")
def ranks(data):
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, args=(folder, *data), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_equal_one_on_the_joint_batch(name, ranks, data):
    single = train(name, *data)
    assert torch.equal(ranks[0][name], ranks[1][name])
    torch.testing.assert_close(ranks[0][name], single, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_without_averaging_the_processes_would_differ(data):
    halves = [train("pcgrad", copy.deepcopy(data[0]), data[1], rank) for rank in range(2)]
    assert not torch.allclose(*halves, rtol=1e-3)

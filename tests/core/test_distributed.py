"""Two processes with half a batch each against one process with the whole batch."""

import copy
import re
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


class Heads(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.heads = heads

    def forward(self, z):
        return [head(z) for head in self.heads]


def situations(x, y, rank):
    """What goes wrong in one process only, or in all; each must end alike in both."""
    part = slice(rank * len(x) // 2, (rank + 1) * len(x) // 2)
    found = {}

    def network():
        torch.manual_seed(0)
        trunk, heads = nn.Linear(5, 6).double(), nn.ModuleList(nn.Linear(6, 1) for _ in range(3)).double()
        return trunk, heads, nn.Parameter(torch.ones(1).double())

    def losses(trunk, heads):
        z = trunk(x[part]).tanh()
        return [(head(z)[:, 0] - y[part, k]).square().mean() for k, head in enumerate(heads)]

    def said(engine, *arguments):
        try:
            return engine.backward(*arguments)
        except (ValueError, RuntimeError) as error:
            return str(error)

    trunk, heads, _ = network()
    found["heads forgotten"] = said(GradientSurgery(trunk.parameters(), build("pcgrad")), losses(trunk, heads))
    found["grad after"] = trunk.weight.grad is None
    engine = GradientSurgery(trunk.parameters(), build("pcgrad"), heads=heads[:2].parameters())
    found["a head forgotten"] = said(engine, losses(trunk, heads))

    for name in ("sum", "pcgrad", "sam_gs"):
        trunk, heads, lone = network()
        engine = GradientSurgery([*trunk.parameters(), lone], build(name), heads=heads.parameters())
        spoilt = losses(trunk, heads)
        spoilt[1] = spoilt[1] + (torch.nan if rank == 1 else 0.0)
        found[f"{name}, NaN in one"] = said(engine, spoilt), engine.skipped_steps
        trunk.zero_grad()
        heads.zero_grad()
        uneven = losses(trunk, heads)
        if rank == 0:
            uneven[0] = uneven[0] + lone.sum()
        else:
            uneven[2] = None
        found[f"{name}, uneven"] = said(engine, uneven), lone.grad, trunk.weight.grad, heads[2].weight.grad
        trunk.zero_grad()
        found[f"{name}, absent in both"] = said(engine, [*losses(trunk, heads)[:2], None]), engine.weights

    for wrapped in ("bare", "trunk in DDP", "all in DDP"):
        trunk, heads, _ = network()
        inner = nn.parallel.DistributedDataParallel(trunk) if wrapped == "trunk in DDP" else trunk
        whole = nn.Sequential(inner, nn.Tanh(), Heads(heads))
        if wrapped == "all in DDP":
            whole = nn.parallel.DistributedDataParallel(whole)
        engine = GradientSurgery(trunk.parameters(), build("pcgrad"), heads=heads.parameters())
        try:
            for _ in range(2):
                whole.zero_grad()
                outputs = whole(x[part])
                result = engine.backward([(z[:, 0] - y[part, k]).square().mean() for k, z in enumerate(outputs)])
        except RuntimeError as error:  # DDP's own, in the second step
            result = str(error)
        found[wrapped] = result, trunk.weight.grad
    return found


def worker(rank, folder, x, y):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    trained = {name: train(name, x, y, rank) for name in METHODS}
    torch.save(trained | {"situations": situations(x, y, rank)}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 5, generator=generator).double(), torch.randn(8, 3, generator=generator).double()


@pytest.fixture(scope="module")
def ranks(data):
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, args=(folder, *data), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(2)]


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


@pytest.mark.slow
def test_forgotten_heads_are_refused_before_grad_is_touched(ranks):
    for found in (ranks[0]["situations"], ranks[1]["situations"]):
        assert re.search("`heads` must hold every parameter besides `shared` .*found 12 left", found["heads forgotten"])
        assert found["grad after"]
        assert "found 4 left out over all processes" in found["a head forgotten"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sum", "pcgrad", "sam_gs"])
def test_processes_agree_on_what_only_one_of_them_saw(name, ranks):
    first, second = (found["situations"] for found in ranks)
    assert first[f"{name}, NaN in one"] == second[f"{name}, NaN in one"] == (False, 1)
    for a, b in zip(first[f"{name}, uneven"], second[f"{name}, uneven"], strict=True):
        assert a is True or torch.equal(a, b)
    assert first[f"{name}, uneven"][1] is not None  # the parameter that one process reached
    for taken, weights in (first[f"{name}, absent in both"], second[f"{name}, absent in both"]):
        assert taken is True
        assert weights is None or weights[2] == 0.0


@pytest.mark.slow
def test_a_trunk_in_ddp_is_right_and_a_network_in_ddp_is_refused(ranks):
    for found in (ranks[0]["situations"], ranks[1]["situations"]):
        assert found["bare"][0] is found["trunk in DDP"][0] is True
        torch.testing.assert_close(found["trunk in DDP"][1], found["bare"][1])
        assert "ready only once" in found["all in DDP"][0]

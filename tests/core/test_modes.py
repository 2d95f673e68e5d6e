"""Other ways to the weights, against the engine that stores J."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradsurgery import GradientSurgery, available, build
from gradsurgery.core.interfaces import Weighting
from gradsurgery.core.segments import gram_of

WEIGHTINGS = [name for name in available() if name != "torchjd" and isinstance(build(name), Weighting)]
MODES = [{"gradients": "two_pass"}, {"gradients": "representation"}, {"gradients": "sub_batch"}, {"keep_weights": 3}]


class Skips(nn.Module):
    """What is hard to cut: skips, tied weights, BatchNorm, channels_last, an early exit, a parameter of one task alone."""

    def __init__(self, tasks=4):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, padding=1).to(memory_format=torch.channels_last)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 6, 3, padding=1))
            for _ in range(3)
        )
        self.wide, self.tied, self.alone = nn.Linear(6, 40), nn.Linear(40, 40), nn.Linear(40, 40)
        self.heads = nn.ModuleList(nn.Linear(40, 2) for _ in range(tasks - 1))
        self.exit = nn.Linear(6, 2)

    def shared(self):
        modules = (self.stem, self.blocks, self.wide, self.tied, self.alone)
        return [p for module in modules for p in module.parameters()]

    def forward(self, x):
        """The representation, and the losses; the first task leaves early, the second has a layer for itself."""
        h = self.stem(x)
        for i, block in enumerate(self.blocks):
            h = h + block(h)
            if i == 0:
                early = self.exit(h.mean((2, 3)))
        z = self.tied(self.tied(self.wide(h.mean((2, 3)))).tanh())
        inputs = [z + self.alone(z).tanh(), *[z] * (len(self.heads) - 1)]
        outputs = [early, *(head(own) for head, own in zip(self.heads, inputs, strict=True))]
        return z, [(output - (-1.0) ** k).square().mean() * 10**k for k, output in enumerate(outputs)]


class Plain(nn.Module):
    """A trunk that all tasks read the output of, so that the representation is all there is between."""

    def __init__(self, tasks=3):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(tasks))

    def forward(self, x):
        z = self.trunk(x)
        return z, [(head(z) - (-1.0) ** k).square().mean() * 10**k for k, head in enumerate(self.heads)]


@pytest.fixture
def x():
    return torch.randn(16, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pictures():
    return torch.randn(8, 3, 7, 7, generator=torch.Generator().manual_seed(1))


def gradients(network):
    return torch.cat(
        [torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.reshape(-1) for p in network.parameters()]
    )


def step(engine, network, x, part=None, absent=(), **more):
    """One call of the engine, in the way that its mode asks for."""
    network.zero_grad()
    if engine.mode is not None and engine.mode.gradients == "sub_batch" and engine.mode.due:
        losses = network(x[: part or len(x)])[1]
        engine.weigh([None if k in absent else loss for k, loss in enumerate(losses)])
    z, losses = network(x)
    scale = more.get("scale", 1.0)
    return engine.backward(
        [None if k in absent else loss * scale for k, loss in enumerate(losses)], representation=z, **more
    )


def pair(kind, name="cagrad", **options):
    """Two equal networks with engines: J stored, and as the options say."""
    networks = kind(), kind()
    engines = [
        GradientSurgery(
            network.trunk.parameters() if hasattr(network, "trunk") else network.shared(), build(name), seed=3, **own
        )
        for network, own in zip(networks, ({}, options), strict=True)
    ]
    return networks, engines


def far(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_two_passes_are_the_stored_gradients(name, pictures):
    networks, engines = pair(Skips, name, gradients="two_pass")
    for _ in range(3):
        for network, engine in zip(networks, engines, strict=True):
            assert step(engine, network, pictures)
        np.testing.assert_allclose(engines[1].gram, engines[0].gram, rtol=1e-5, atol=2e-6 * engines[0].gram.max())
        assert far(gradients(networks[1]), gradients(networks[0])) < 2e-6
    assert engines[1].mode.gradients == "two_pass"
    with pytest.raises(RuntimeError, match="`jacobian` needs"):
        _ = engines[1].jacobian


def test_the_stretches_are_many_and_small(pictures):
    """Else two passes would be right, and save nothing."""
    network = Skips()
    losses = network(pictures)[1]
    sizes = []
    real = torch.Tensor.new_zeros

    def spy(self, size):
        sizes.append(size)
        return real(self, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "new_zeros", spy)
        gram_of(losses, network.shared())
    P = sum(p.numel() for p in network.shared())
    assert sum(columns for _, columns in sizes) == P
    assert max(columns for _, columns in sizes) < 0.5 * P  # `tied` alone is a third of it, `alone` another
    assert all(rows == 4 for rows, _ in sizes)

"""Buffers of every dtype, there and back, without taking the place of the network's own tensors."""

import pytest
import torch
from torch import nn

from gradsurgery.core.buffers import Buffers, kept_buffers


@pytest.fixture
def norms():
    return nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3).double())


def forward(norms):
    norms[1](norms[0](torch.randn(8, 3)).double())


def test_buffers_are_put_back(norms):
    before = [buffer.clone() for buffer in norms.buffers()]
    own = list(norms.buffers())
    with kept_buffers(norms):
        forward(norms)
        assert norms[1].num_batches_tracked == 1
        assert not torch.equal(norms[1].running_mean, before[3])
    assert all(map(torch.equal, norms.buffers(), before))
    assert all(a is b for a, b in zip(norms.buffers(), own, strict=True))


def test_what_is_put_back_is_what_was_kept_last(norms):
    buffers = Buffers(norms)
    for _ in range(2):
        forward(norms)
        buffers.keep()
    forward(norms)
    buffers.put_back()
    assert [int(norm.num_batches_tracked) for norm in norms] == [2, 2]


def test_a_network_without_buffers_costs_nothing():
    buffers = Buffers(nn.Linear(2, 2))
    buffers.keep()
    buffers.put_back()

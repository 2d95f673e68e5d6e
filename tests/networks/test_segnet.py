"""SegNet: published sizes, maps of the pictures' size, and pooling undone."""

import pytest
import torch
from torch import nn

from gradsurgery.core.discovery import build


def _size(parameters):
    return sum(p.numel() for p in parameters)


@pytest.mark.parametrize(("outputs", "size"), [((7, 1), 25_017_675), ((13, 1, 3), 25_055_188)])
def test_the_published_sizes_less_three_unused_weights(outputs, size):
    with torch.device("meta"):
        network = build("networks", "segnet", outputs=list(outputs))
    assert _size(network.parameters()) == size - 3
    assert _size(network.shared_parameters()) == 24_943_296


@pytest.mark.parametrize("size", [(32, 64), (37, 45)])
def test_one_map_per_task_of_the_size_of_the_picture(size):
    network = build("networks", "segnet", outputs=[5, 1, 3], width=2)
    assert [m.shape for m in network(torch.rand(2, 3, *size))] == [(2, c, *size) for c in (5, 1, 3)]


def test_shared_parameters_are_those_that_every_task_trains():
    network = build("networks", "segnet", width=2)
    reached = []
    for k in range(2):
        network.zero_grad()
        network(torch.rand(2, 3, 32, 32))[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None})
    assert reached[0] & reached[1] == {id(p) for p in network.shared_parameters()}
    assert reached[0] | reached[1] == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
def test_unpooling_is_torchs_with_and_without_gradient_and_is_deterministic(size):
    network = build("networks", "segnet", width=1)
    full = torch.randn(2, 3, *size, dtype=torch.float64)
    pooled, indices = network.pool(full)
    pooled.requires_grad_()
    expected = nn.functional.max_unpool2d(pooled, indices, 2, output_size=full.shape)
    weights = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), pooled)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        found = network.unpool(pooled, indices, full)
        (gradient,) = torch.autograd.grad((found * weights).sum(), pooled)
    finally:
        torch.use_deterministic_algorithms(before)
    assert torch.equal(found, expected)
    assert torch.equal(gradient, wanted)


def test_biases_are_zero_and_weights_are_xaviers():
    torch.manual_seed(0)
    network = build("networks", "segnet", width=16)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert not module.bias.any()
    weight = network.encoder[3][3].weight  # 128 -> 128
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)


def test_fields_are_checked():
    with pytest.raises(ValueError, match="`width` must be at least 1, found width = 0"):
        build("networks", "segnet", width=0)
    for outputs in ([], [3, 0]):
        with pytest.raises(ValueError, match="`outputs` must name at least one channel for each task"):
            build("networks", "segnet", outputs=outputs)

"""LeNet: both published sizes, and pooling before the ReLU computes the same."""

import pytest
import torch

from gradsurgery.core.discovery import build


def _size(parameters):
    return sum(p.numel() for p in parameters)


def test_lenet_sizes():
    lenet = build("networks", "lenet")
    assert _size(lenet.shared_parameters()) == 10 * 26 + 20 * 251 + 721 * 50
    assert _size(lenet.heads[0].parameters()) == 51 * 50 + 51 * 10
    small = build("networks", "lenet", variant="cagrad")
    assert _size(small.shared_parameters()) == 5 * 82 + 10 + 10 * 126 + 500 + 251 * 50
    assert _size(small.heads[0].parameters()) == 51 * 10


def test_lenet_pools_before_the_relu_and_computes_the_same():
    network = build("networks", "lenet")
    x = torch.rand(2, 1, 36, 36)
    first, second = network.trunk[0], network.trunk[3]
    z = torch.max_pool2d(torch.relu(first(x)), 2)
    z = torch.max_pool2d(torch.relu(second(z)), 2)
    torch.testing.assert_close(network.trunk(x), torch.relu(network.trunk[7](z.flatten(1))))


def test_a_variant_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"`lenet\.variant` must be one of 'lenet', 'cagrad', found 'alexnet'"):
        build("networks", "lenet", variant="alexnet")

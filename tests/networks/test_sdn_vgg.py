"""SDN-VGG-16: the published trunk, and where its exits sit."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks.sdn_vgg import SDNVGG


def _size(module):
    return sum(p.numel() for p in module.parameters())


def test_vgg_has_the_known_trunk_and_its_exits_where_the_code_puts_them():
    with torch.device("meta"):
        network = build("networks", "sdn_vgg")
        outputs = network(torch.empty(2, 3, 32, 32))
    assert [tuple(output.shape) for output in outputs] == [(2, 100)] * 7
    assert _size(network.layers) == 14_723_136  # as torchvision's vgg16_bn without its classifier
    assert network.exits == [1, 3, 5, 6, 8, 9]
    # max and average pool to 4 x 4 wherever the map is as large, and the last exits see less
    assert [head.linear.in_features for head in network.heads[:-1]] == [
        64 * 16,
        128 * 16,
        256 * 16,
        256 * 16,
        512 * 16,
        512 * 4,
    ]
    assert _size(network.heads[-1]) == 2 * (512 * 513) + 513 * 100


def test_five_stages_halve_the_picture_and_one_task_has_no_inner_exit():
    network = SDNVGG(num_tasks=1, num_classes=3, width=1, size=64).eval()
    x, sizes = torch.rand(2, 3, 64, 64), []
    for layer in network.layers:
        x = layer(x)
        sizes.append(x.shape[-1])
    assert sizes == [64, 32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 2]
    assert network.exits == []
    assert [tuple(out.shape) for out in network(torch.rand(2, 3, 64, 64))] == [(2, 3)]
    assert {id(p) for p in network.shared_parameters()} == {id(p) for p in network.layers.parameters()}


def test_a_size_that_cannot_be_halved_five_times_is_refused():
    with pytest.raises(ValueError, match="`size` must be a multiple of 32, found size = 48"):
        SDNVGG(size=48)

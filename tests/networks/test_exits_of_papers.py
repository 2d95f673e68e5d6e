"""MSDNet's ImageNet form and SDN-VGG-16: published sizes and places, and what trains what."""

import pytest
import torch

from gradsurgery.core.discovery import build

SMALL = {
    "msdnet_imagenet": ({"num_tasks": 3, "num_classes": 5, "base": 1, "step": 1, "growth": 4, "width": 4}, 64),
    "sdn_vgg": ({"num_tasks": 3, "num_classes": 5, "width": 2}, 32),
}


def _size(module):
    return sum(p.numel() for p in module.parameters())


def test_msdnet_has_the_published_parameters_up_to_every_exit():
    with torch.device("meta"):
        network = build("networks", "msdnet_imagenet")
    found, trunk = [], _size(network.stem)
    for i, layer in enumerate(network.layers):
        trunk += _size(layer)
        if i in network.places:
            found.append((trunk + sum(map(_size, network.heads[: len(found) + 1]))) / 1e6)
    assert [round(own, 2) for own in found] == [4.24, 8.77, 13.07, 16.75, 23.96]
    assert _size(network) == 23_958_408


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


@pytest.mark.parametrize("name", SMALL)
def test_shared_are_the_parameters_that_two_exits_train(name):
    fields, size = SMALL[name]
    network = build("networks", name, **fields)
    reached: dict[int, int] = {}
    for k in range(3):
        network.zero_grad()
        network(torch.randn(4, 3, size, size))[k].square().sum().backward()
        for p in network.parameters():
            reached[id(p)] = reached.get(id(p), 0) + (p.grad is not None)
    assert {own for own, count in reached.items() if count > 1} == {id(p) for p in network.shared_parameters()}
    assert min(reached.values()) == 1  # nothing is built that no exit reads


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("sdn_vgg", {"size": 48}, "`size` must be a multiple of 32, found size = 48"),
        ("sdn_vgg", {"num_tasks": 14}, "`num_tasks` must be at most 13, found num_tasks = 14"),
        ("msdnet_imagenet", {"growth": 5}, "`growth` must be even, found growth = 5"),
        ("msdnet_imagenet", {"factors": [1, 0]}, "`factors` must be numbers from 1 to 100, one for each scale, found"),
    ],
)
def test_wrong_fields_are_named(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", name, **fields)

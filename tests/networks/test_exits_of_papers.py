"""MSDNet's ImageNet form: published sizes; of it and SDN-VGG-16 what trains what."""

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

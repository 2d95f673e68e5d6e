"""ResNet-18: the published size."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks.resnet import ResNet


def _size(parameters):
    return sum(p.numel() for p in parameters)


def test_resnet_has_the_published_size():
    network = build("networks", "resnet")
    assert _size(network.parameters()) == 11_223_560
    assert len(network.shared_parameters()) == 62


def test_four_stages_of_two_blocks_double_the_channels_and_halve_the_picture_but_for_the_first():
    network = ResNet(width=3).eval()
    x, seen = torch.rand(2, 1, 64, 64), []
    for layer in network.trunk:
        x = layer(x)
        seen.append(tuple(x.shape[1:]))
    assert seen[3] == (3, 16, 16)  # stem and pooling
    assert seen[4:12] == [(3, 16, 16)] * 2 + [(6, 8, 8)] * 2 + [(12, 4, 4)] * 2 + [(24, 2, 2)] * 2
    assert seen[-1] == (100,)


def test_a_block_without_its_branch_is_the_relu_of_its_input():
    block = ResNet(width=3).trunk[4].eval()
    with torch.no_grad():
        block.branch[-1].weight.zero_()
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(block(x), x.relu())


def test_wrong_widths_are_refused():
    with pytest.raises(ValueError, match="`width` must be at least 1, found width = 0"):
        build("networks", "resnet", width=0)

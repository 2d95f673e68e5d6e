"""MTAN: the published size, maps of the pictures' size, masks that act, and what is shared."""

import pytest
import torch
from torch import nn

from gradsurgery.core.discovery import build
from gradsurgery.core.layers import shared_layers

SMALL = {"outputs": [3, 1], "width": 2}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _size(parameters):
    return sum(p.numel() for p in parameters)


def test_the_published_size_less_three_unused_weights():
    with torch.device("meta"):
        network = build("networks", "mtan", outputs=[13, 1, 3])
    assert _size(network.parameters()) == 44_229_076 - 3
    assert len(shared_layers(network)) == 72


@pytest.mark.parametrize("size", [(32, 64), (37, 45)])
def test_one_map_per_task_of_the_size_of_the_picture(size):
    network = build("networks", "mtan", **SMALL)
    assert [m.shape for m in network(torch.rand(2, 3, *size))] == [(2, c, *size) for c in (3, 1)]


def test_shared_parameters_are_those_that_every_task_trains():
    network = build("networks", "mtan", **SMALL)
    reached = []
    for k in range(2):
        network.zero_grad()
        network(torch.rand(2, 3, 32, 32))[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None})
    assert reached[0] & reached[1] == {id(p) for p in network.shared_parameters()}
    assert reached[0] | reached[1] == {id(p) for p in network.parameters()}


def test_masks_of_ones_show_a_task_the_shared_features_themselves():
    """With every mask at 1 the last masked features are the last shared ones, as SegNet makes them."""
    network = build("networks", "mtan", **SMALL).eval()
    for masks in (network.encoder_masks, network.decoder_masks):
        for norm in (m[4] for task in masks for m in task):
            nn.init.zeros_(norm.weight)
            nn.init.constant_(norm.bias, 100.0)  # the sigmoid of which is 1
    picture = torch.rand(1, 3, 32, 32)
    x, places = picture, []
    for first, rest in zip(network.encoder_first, network.encoder_rest, strict=True):
        full = rest(first(x))
        x, indices = nn.functional.max_pool2d(full, 2, return_indices=True)
        places.append((indices, full.shape))
    for j in reversed(range(5)):
        indices, shape = places[j]
        x = nn.functional.max_unpool2d(x, indices, 2, output_size=shape)
        x = network.decoder_rest[j](network.decoder_first[j](x))
    for output, head in zip(network(picture), network.heads, strict=True):
        torch.testing.assert_close(output, head(x))


def test_a_mask_of_zeros_hides_a_stage_from_its_task_only():
    network = build("networks", "mtan", **SMALL).eval()
    norm = network.decoder_masks[0][0][4]
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, -100.0)
    one, other = (network(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(s))) for s in (1, 2))
    torch.testing.assert_close(one[0], other[0])  # what the head makes of nothing, whatever the picture
    assert not torch.allclose(one[1], other[1])


def test_biases_are_zero_and_weights_are_xaviers():
    network = build("networks", "mtan", outputs=[1], width=16)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert not module.bias.any()
    weight = network.encoder_rest[3][3].weight  # 128 -> 128
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)


def test_fields_are_checked():
    with pytest.raises(ValueError, match="`width` must be at least 1, found width = 0"):
        build("networks", "mtan", width=0)
    for outputs in ([], [3, 0]):
        with pytest.raises(ValueError, match="`outputs` must name at least one channel for each task"):
            build("networks", "mtan", outputs=outputs)

"""SegNet made larger: twice the channels at the bottom, or twice the convolutions everywhere."""

import pytest
import torch
from torch import nn

from gradsurgery.core.discovery import build
from gradsurgery.networks.split_segnet import SplitSegNet


def _channels(stages):
    return [[m.out_channels for m in stage if isinstance(m, nn.Conv2d)] for stage in stages]


def test_wide_has_sixteen_widths_at_the_deepest_stage_alone():
    network = SplitSegNet((5, 1), 1, "wide")
    assert _channels(network.encoder) == [[1] * 2, [2] * 2, [4] * 3, [8] * 3, [16] * 3]
    assert _channels(network.decoder) == [[8] * 3, [4] * 3, [2] * 3, [1] * 2, [1] * 2]


def test_deep_has_a_second_convolution_behind_each_one():
    network = SplitSegNet((5, 1), 1, "deep")
    assert [len(own) for own in _channels(network.encoder)] == [4, 4, 6, 6, 6]
    assert [len(own) for own in _channels(network.decoder)] == [6, 6, 6, 4, 4]
    assert max(max(own) for own in _channels(network.encoder)) == 8


@pytest.mark.parametrize("variant", ["wide", "deep"])
def test_maps_are_of_the_pictures_size(variant):
    network = SplitSegNet((5, 1), 1, variant).eval()
    assert [m.shape for m in network(torch.rand(1, 3, 32, 64))] == [(1, 5, 32, 64), (1, 1, 32, 64)]


def test_another_variant_is_refused():
    with pytest.raises(ValueError, match=r"`split_segnet\.variant` must be one of 'wide', 'deep', found 'tall'"):
        build("networks", "split_segnet", variant="tall")

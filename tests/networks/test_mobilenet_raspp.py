"""MobileNetV2 with R-ASPP: the size that Recon's table implies, and who trains which head."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks.mobilenet_raspp import MobileNetRASPP


def test_the_shared_part_has_the_size_that_recons_table_implies():
    with torch.device("meta"):
        network = build("networks", "mobilenet_raspp")
    shared = sum(p.numel() for p in network.shared_parameters())
    # Table 4: four networks of one task take 30.09 MB, one of four 8.04: the difference is three shared parts.
    assert abs(shared - (30.09 - 8.04) / 3 * 2**20 / 4) < 900  # what rounding to 0.01 MB leaves open
    assert shared == 1_927_168


def test_outputs_are_of_the_pictures_size_and_train_their_own_heads():
    network = build("networks", "mobilenet_raspp", outputs=(2, 1), width=8)
    outputs = network(torch.rand(2, 3, 48, 32))
    assert [tuple(output.shape) for output in outputs] == [(2, 2, 48, 32), (2, 1, 48, 32)]
    outputs[0].square().sum().backward()
    reached = {id(p) for p in network.parameters() if p.grad is not None}
    heads = [network.high_heads[0], network.low_heads[0]]
    assert reached == {id(p) for p in network.shared_parameters()} | {
        id(p) for head in heads for p in head.parameters()
    }


def test_pictures_are_standardised_before_the_trunk():
    network = MobileNetRASPP((1,), 4)
    seen = []
    network.trunk[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.eval()(
        torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        + torch.tensor([0.229, 0.0, -0.225]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    )
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([1.0, 0.0, -1.0]))


def test_a_map_without_a_channel_is_refused():
    with pytest.raises(ValueError, match="`outputs` must name at least one channel for each task, found outputs = "):
        MobileNetRASPP((3, 0))

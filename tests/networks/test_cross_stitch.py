"""Cross-stitch: what a stitch weighs."""

import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks.cross_stitch import CrossStitch


def small(name, field, value, outputs=(5, 1, 3)):
    return build("networks", name, outputs=list(outputs), **{field: value} | {"width": 2})


def test_a_stitch_of_zero_takes_a_task_out_of_the_others():
    network = small("cross_stitch", "width", 2).eval()
    picture = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = network(picture)
        network.stitches[:, 1] = 0.0  # whatever the second network finds is read by nobody but its own head
        cut = network(picture)
        for parameter in network.networks[1].encoder.parameters():
            parameter.add_(1.0)
        after = network(picture)
    assert not torch.allclose(before[0], cut[0])
    assert torch.equal(cut[0], after[0])


def test_there_is_a_stitch_of_one_behind_every_stage_but_the_last():
    network = CrossStitch((5, 1), 2)
    assert torch.equal(network.stitches, torch.ones(9, 2))  # five stages down and five up


def test_stages_read_the_weighted_sum_of_what_all_networks_found():
    network = CrossStitch((5, 1), 2)
    with torch.no_grad():
        network.stitches[3] = torch.tensor([2.0, -1.0])
    x, y = torch.randn(2, 1, 2, 4, 4)
    assert torch.equal(network._stitch([x, y], 3), 2.0 * x - y)

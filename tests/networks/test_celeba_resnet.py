"""ResNet-18 on CelebA: the published sizes, of the joint network and of forty, and one logit a task."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from gradsurgery.core.discovery import build

MEGABYTE = 2**20


def _megabytes(network):
    return round(4 * sum(p.numel() for p in network.parameters()) / MEGABYTE, 2)


def test_the_published_sizes():
    with torch.device("meta"):
        joint = build("networks", "celeba_resnet")
        alone = build("networks", "separate", of="celeba_resnet", num_tasks=40)
    assert sum(p.numel() for p in joint.shared_parameters()) == 11_176_512
    assert (_megabytes(joint), _megabytes(alone)) == (43.26, 1706.03)


@pytest.mark.parametrize("stem", ["wide", "narrow"])
def test_one_logit_per_task_from_a_map_of_two_by_two(stem):
    network = build("networks", "celeba_resnet", num_tasks=3, width=2, stem=stem)
    assert network.trunk[:-2](torch.rand(2, 3, 64, 64)).shape == (2, 16, *((2, 2) if stem == "wide" else (8, 8)))
    assert [o.shape for o in network(torch.rand(4, 3, 64, 64))] == [(4,)] * 3


def test_the_difference_of_two_logits_has_their_cross_entropy():
    network = build("networks", "celeba_resnet", num_tasks=2, width=2)
    pictures, truth = torch.rand(6, 3, 64, 64), torch.tensor([0, 1, 1, 0, 1, 0])
    both = network.eval().heads[1](network.trunk(pictures))
    ours = binary_cross_entropy_with_logits(network(pictures)[1], truth.float())
    torch.testing.assert_close(ours, cross_entropy(both, truth))

"""ARML's own step by hand, on losses that are multiples of one sum; statistics that a pass leaves alone."""

import pytest
import torch

from gradsurgery.networks.wide_resnet import WideResNet
from gradsurgery.problems._auxiliary import reweigh, statistics_kept


@pytest.fixture
def network():
    return WideResNet(num_classes=2, depth=10, width=1)


def _reweighed(network, main, free, step):
    """The weights after a step of rate `step` / P, with losses that are these multiples of the sum of P parameters."""
    total = torch.stack([p.sum() for p in network.shared_parameters()]).sum()
    count = sum(p.numel() for p in network.shared_parameters())
    reweigh(network, main * total, [factor * total for factor in free], step / count)
    return network.weights.tolist()


def test_weights_whose_mixture_is_the_main_gradient_stay(network):
    assert _reweighed(network, 3.0, (1.0, 2.0), 0.1) == pytest.approx([1.0, 1.0], abs=1e-4)  # 1 + 2 = 3


def test_a_step_by_hand_keeps_the_mean_at_one(network):
    # b_k (a - sum b) = (1, 2) (4 - 3), times 2 * 0.1: (1.2, 1.4), brought to mean 1
    assert _reweighed(network, 4.0, (1.0, 2.0), 0.1) == pytest.approx([0.9, 1.1], abs=1e-4)


def test_no_weight_falls_below_nought(network):
    # (1 + 10, 1 + 20), brought to mean 1: (-4, 6)
    assert _reweighed(network, 4.0, (1.0, 2.0), 5.0) == pytest.approx([0.0, 6.0], abs=1e-3)


def test_statistics_are_kept_inside_and_move_outside_also_after_an_error(network):
    norm, pictures = network.trunk[-4], torch.rand(4, 3, 8, 8)
    before = norm.running_mean.clone()
    with pytest.raises(RuntimeError, match="on purpose"), statistics_kept(network.trunk):  # noqa: PT012
        network(pictures)
        raise RuntimeError("on purpose")
    assert torch.equal(norm.running_mean, before)
    network(pictures)
    assert not torch.equal(norm.running_mean, before)

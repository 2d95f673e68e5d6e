"""The convolutional network of CelebA: the published size, its stages, and one logit a task."""

import pytest
import torch
from torch import nn

from gradsurgery.networks.celeba_cnn import CelebACNN


def test_the_shared_part_has_the_published_size_and_forty_heads_of_one_logit():
    with torch.device("meta"):
        network = CelebACNN()
    assert sum(p.numel() for p in network.shared_parameters()) == 5_176_640
    assert sum(p.numel() for p in network.heads.parameters()) == 40 * 513


def test_pictures_are_halved_three_times_and_then_averaged_as_a_whole():
    network, sizes = CelebACNN(num_tasks=2, width=1).eval(), []
    for module in network.trunk:
        if isinstance(module, nn.MaxPool2d | nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    outputs = network(torch.rand(3, 3, 16, 24))
    assert sizes == [(1, 8, 12), (2, 4, 6), (4, 2, 3), (8, 1, 1)]
    assert [tuple(output.shape) for output in outputs] == [(3,), (3,)]


def test_no_layer_before_a_normalisation_has_a_bias():
    trunk = CelebACNN(num_tasks=1, width=1).trunk
    assert all(module.bias is None for module in trunk if isinstance(module, nn.Conv2d | nn.Linear))


def test_a_network_without_a_task_is_refused():
    with pytest.raises(ValueError, match="`num_tasks` must be at least 1, found num_tasks = 0"):
        CelebACNN(num_tasks=0)

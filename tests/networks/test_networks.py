"""Every network: one output per task, shared parameters that are shared, and the published sizes."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build

PICTURES = [
    ("lenet", {}), ("lenet", {"variant": "cagrad"}), ("resnet", {"width": 4}), ("mlp", {"hidden": (16, 8)}),
]  # fmt: skip


def _size(parameters):
    return sum(p.numel() for p in parameters)


@pytest.mark.parametrize(("name", "fields"), PICTURES)
def test_one_output_per_task(name, fields):
    network = build("networks", name, num_tasks=3, num_classes=7, **fields)
    outputs = network(torch.rand(5, 1, 36, 36))
    assert [output.shape for output in outputs] == [(5, 7)] * 3


@pytest.mark.parametrize(("name", "fields"), PICTURES)
def test_shared_parameters_are_those_that_every_task_trains(name, fields):
    network = build("networks", name, num_tasks=2, num_classes=4, **fields)
    reached = []
    for k in range(2):
        network.zero_grad()
        network(torch.rand(6, 1, 36, 36))[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None})
    assert reached[0] & reached[1] == {id(p) for p in network.shared_parameters()}
    assert reached[0] | reached[1] == {id(p) for p in network.parameters()}


@pytest.mark.parametrize(("name", "fields"), PICTURES)
def test_fields_are_checked(name, fields):
    with pytest.raises(ValueError, match="`num_tasks` must be at least 1, found num_tasks = 0"):
        build("networks", name, num_tasks=0, **fields)


def test_resnet_has_the_published_size():
    network = build("networks", "resnet")
    assert _size(network.parameters()) == 11_223_560
    assert len(network.shared_parameters()) == 62


def test_lenet_sizes():
    lenet = build("networks", "lenet")
    assert _size(lenet.shared_parameters()) == 10 * 26 + 20 * 251 + 721 * 50
    assert _size(lenet.heads[0].parameters()) == 51 * 50 + 51 * 10
    small = build("networks", "lenet", variant="cagrad")
    assert _size(small.shared_parameters()) == 5 * 82 + 10 + 10 * 126 + 500 + 251 * 50
    assert _size(small.heads[0].parameters()) == 51 * 10


def test_lenet_pools_before_the_relu_and_computes_the_same():
    network = build("networks", "lenet")
    x = torch.rand(2, 1, 36, 36)
    first, second = network.trunk[0], network.trunk[3]
    z = torch.max_pool2d(torch.relu(first(x)), 2)
    z = torch.max_pool2d(torch.relu(second(z)), 2)
    torch.testing.assert_close(network.trunk(x), torch.relu(network.trunk[7](z.flatten(1))))


def test_points_start_where_told_and_are_copied():
    starts = np.array([[1.0, 2.0], [3.0, 4.0]])
    network = build("networks", "point", starts=starts, num_tasks=3)
    starts[0] = 9.0
    outputs = network(torch.empty(0))
    assert len(outputs) == 3
    assert outputs[0].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert network.shared_parameters() == [network.theta]
    assert network.theta.dtype == torch.float64


def test_wrong_widths_are_refused():
    with pytest.raises(ValueError, match="`width` must be at least 1, found width = 0"):
        build("networks", "resnet", width=0)
    with pytest.raises(ValueError, match="`hidden` must name at least one shared layer"):
        build("networks", "mlp", hidden=())

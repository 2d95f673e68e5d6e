"""Networks of small pictures: one output per task, and shared parameters that are shared."""

import pytest
import torch

from gradsurgery.core.discovery import build

PICTURES = [
    ("lenet", {}), ("lenet", {"variant": "cagrad"}), ("resnet", {"width": 4}), ("mlp", {"hidden": (16, 8)}),
]  # fmt: skip


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

"""A network for every task: nothing is shared between them, whatever the list of shared parameters says."""

import pytest
import torch

from gradsurgery.networks.celeba_cnn import CelebACNN
from gradsurgery.networks.separate import Separate


def test_forty_attributes_have_forty_networks_of_one_logit():
    with torch.device("meta"):
        network = Separate("celeba_cnn", num_tasks=40)
    one = 5_176_640 + 513
    assert sum(p.numel() for p in network.parameters()) == 40 * one


def test_a_task_is_answered_by_its_own_network_alone():
    network = Separate("celeba_cnn", num_tasks=3, width=1).eval()
    pictures = torch.rand(2, 3, 16, 16)
    outputs = network(pictures)
    assert torch.equal(outputs[1], network.networks[1](pictures)[0])
    outputs[1].sum().backward()
    reached = [{p.grad is not None for p in own.parameters()} for own in network.networks]
    assert reached == [{False}, {True}, {False}]
    assert [type(own) for own in network.networks] == [CelebACNN] * 3


def test_all_parameters_are_listed_as_shared():
    network = Separate("celeba_cnn", num_tasks=2, width=1)
    assert [id(p) for p in network.shared_parameters()] == [id(p) for p in network.parameters()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"of": "mtan"}, "`outputs` must be at least 1 for of = 'mtan', found outputs = 0"),
        ({"of": "celeba_resnet"}, "`num_tasks` must be at least 1 for of = 'celeba_resnet'"),
        ({"of": "celeba_cnn", "num_tasks": -1}, "`num_tasks` must be at least 0, found num_tasks = -1"),
    ],
)
def test_a_network_without_tasks_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Separate(**fields)

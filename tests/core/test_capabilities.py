"""Who asks for towers gets the very network, and a network without them is refused by the rule's name."""

import pytest
import torch
from torch import nn

from gradsurgery.core.capabilities import Towers, towers_of
from gradsurgery.core.interfaces import Network
from gradsurgery.networks.mlp import MLP


class Towered(Network, Towers):
    def __init__(self):
        super().__init__()
        self.towers, self.mu = nn.ModuleList([nn.Linear(2, 1)]), None

    def forward(self, inputs):
        return (self.towers[0](inputs),)

    def shared_parameters(self):
        return []


def test_a_network_with_towers_comes_back_itself():
    network = Towered()
    assert towers_of(network, "drgrad") is network


def test_a_network_without_towers_is_refused_by_its_name_and_the_rules():
    with pytest.raises(ValueError, match=r"rule `drgrad` must be given a network with towers, .*, found MLP"):
        towers_of(MLP(in_features=2, hidden=(2,)), "drgrad")


def test_modules_that_are_called_towers_are_not_enough():
    network = MLP(in_features=2, hidden=(2,))
    network.towers = nn.ModuleList([nn.Linear(2, 1)])
    network.register_buffer("mu", torch.ones(2))
    with pytest.raises(ValueError, match="must be given a network with towers"):
        towers_of(network, "drgrad")

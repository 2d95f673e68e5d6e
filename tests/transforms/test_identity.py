"""The neutral transform: nothing is built, copied or drawn."""

import numpy as np
import pytest
from torch import nn

from gradsurgery.core.discovery import build
from gradsurgery.networks.mlp import MLP


def test_the_network_comes_back_itself_whatever_the_evidence_and_nothing_is_drawn():
    network, generator = MLP(in_features=2, hidden=(3,)), np.random.default_rng(0)
    for evidence in (None, {"scores": {"trunk.1": [9]}}):
        assert build("transforms", "identity")(network, evidence, generator) is network
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state
    assert [type(layer) for layer in network.trunk] == [nn.Flatten, nn.Linear, nn.ReLU]


def test_a_check_builds_no_network():
    def costly():
        raise AssertionError("built")

    build("transforms", "identity").check(costly)


def test_it_has_no_fields():
    with pytest.raises(ValueError, match=r"`identity\.k` is no field of identity"):
        build("transforms", "identity", k=1)

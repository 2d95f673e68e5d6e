"""What a run is watched by, on two gradients whose every number is known: (1, 0) and (-1, 1)."""

import math

import pytest
import torch
from torch import nn

from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.core.instruments import Instruments
from gradsurgery.core.interfaces import Network
from gradsurgery.core.surgery import GradientSurgery

GRADIENTS = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])


class Linear(Network):
    """Each loss is the product of one weight vector and the task's gradient."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(2, 1, bias=False)

    def forward(self, inputs):
        return tuple((self.trunk.weight[0] * gradient).sum() for gradient in GRADIENTS)

    def shared_parameters(self):
        return list(self.trunk.parameters())


def _watched(thresholds=()):
    network = Linear()
    surgery = GradientSurgery(network.shared_parameters(), PCGrad())
    return network, surgery, Instruments(network, surgery, network, thresholds, False, False)


def test_diagnostics_of_a_step_by_hand():
    network, surgery, instruments = _watched()
    assert surgery.backward(network(None))
    found = instruments.diagnose([0, 1])  # PCGrad: d = (1/2, 1/2) + (0, 1)
    assert found["conflict_share"] == 1.0
    assert found["mean_cosine"] == pytest.approx(-(0.5**0.5))
    assert found["magnitude_similarity"] == pytest.approx(2 * 2**0.5 / 3)
    assert found["worst_alignment"] == pytest.approx(0.5 / 2.5**0.5)
    assert found["deviation"] == pytest.approx(math.sqrt(2 - 2 * 1.5 / 2.5**0.5), abs=1e-3)


def test_conflicts_are_counted_by_layer_below_each_threshold_and_for_the_whole():
    network, surgery, instruments = _watched((0.0, -0.5, -0.8))  # the cosine is -0.71
    for _ in range(2):
        instruments.begin_epoch()
        for step in range(3):
            assert surgery.backward(network(None))
            instruments.look(step, [0, 1], [None], diagnosed=False)
    told = instruments.history(6)["layers"]
    assert told["names"] == ["trunk"]
    assert told["sizes"] == [2]
    assert told["scores"] == [[[3, 3, 0]]] * 2
    assert told["whole"] == [[3, 3, 0]] * 2


def test_what_was_not_asked_for_is_not_told():
    network, surgery, instruments = _watched()
    instruments.begin_epoch()
    assert surgery.backward(network(None))
    assert instruments.look(0, [0, 1], [None], diagnosed=True) == {}
    told = instruments.history(1)
    assert (told["observed"], told["layers"]) == (None, None)
    assert told["activity"]["share_changed"] == 1.0


def test_what_was_counted_goes_on_from_a_checkpoint():
    network, surgery, instruments = _watched((0.0,))
    instruments.begin_epoch()
    assert surgery.backward(network(None))
    instruments.look(0, [0, 1], [None], diagnosed=False)
    *_, other = _watched((0.0,))
    other.load_state_dict(instruments.state_dict())
    assert other.history(1) == instruments.history(1)

"""`state_dict`: what `torch.load` takes by default, a snapshot, and the same bits afterwards."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.core.interfaces import Aggregator
from tests.contracts import METHODS, generator

ALL = METHODS | {
    "gcond-lion": build("gcond", output="lion", dominance_window=2),
    "gradvac": build("torchjd", method="gradvac"),
    "nash_mtl": build("torchjd", method="nash_mtl"),
}
ROWS = torch.from_numpy(np.random.default_rng(1).standard_normal((5, 3, 6))).float()


def engine(name, seed=0):
    return GradientSurgery([nn.Parameter(torch.ones(6))], ALL[name], seed=seed)


def step(surgery, rows):
    (p,) = surgery.parameters
    p.grad = None
    assert surgery.backward([(row * p).sum() for row in rows])
    return p.grad.clone()


def through_a_file(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream)


def as_lightning_does(state):
    """Its contract: hooks put plain entries into the checkpoint, which is read with weights_only, onto the CPU."""
    stream = io.BytesIO()
    torch.save({"state_dict": {}, "epoch": 1, "surgery": state}, stream)
    stream.seek(0)
    return torch.load(stream, map_location=lambda storage, _: storage, weights_only=True)["surgery"]


def old_format(state):
    """As it was written before: numpy arrays as they are."""

    def plain(value):
        if isinstance(value, dict):
            return (
                value["__numpy__"].numpy() if set(value) == {"__numpy__"} else {k: plain(v) for k, v in value.items()}
            )
        return value

    return plain(state)


@pytest.mark.filterwarnings("ignore::UserWarning")  # cvxpy
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("way", [through_a_file, as_lightning_does, copy.deepcopy, old_format])
def test_it_continues_to_the_bit(name, way):
    straight, resumed = engine(name), engine(name, seed=9)
    for rows in ROWS[:2]:
        step(straight, rows)
    state = straight.state_dict()
    resumed.load_state_dict(way(state))
    for rows in ROWS[2:]:
        assert torch.equal(step(straight, rows), step(resumed, rows))
    assert resumed.skipped_steps == straight.skipped_steps


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ALL)
def test_it_is_a_snapshot(name):
    surgery, other = engine(name), engine(name)
    step(surgery, ROWS[0])
    state = surgery.state_dict()
    text = str(state)
    for rows in ROWS[1:]:
        step(surgery, rows)
    assert str(state) == text
    other.load_state_dict(state)
    step(other, ROWS[1])
    assert str(state) == text


def test_other_generators_travel_too():
    surgery = engine("pcgrad")
    surgery.generator = generator(3)  # PCG64: its numbers have 128 bits
    step(surgery, ROWS[0])
    state = through_a_file(surgery.state_dict())
    other = engine("pcgrad")
    other.generator = generator(4)
    other.load_state_dict(state)
    assert torch.equal(step(surgery, ROWS[1]), step(other, ROWS[1]))


def test_engine_and_network_may_be_copied_together():
    network = nn.Linear(3, 2)
    surgery = GradientSurgery(network.parameters(), build("sam_gs"))
    x = torch.ones(1, 3)
    surgery.backward(network(x).square().squeeze(0))
    twin, engine_of_twin = copy.deepcopy((network, surgery))
    for n, s in ((network, surgery), (twin, engine_of_twin)):
        n.zero_grad()
        assert s.backward(n(x).square().squeeze(0))
    assert torch.equal(network.weight.grad, twin.weight.grad)
    assert network.weight.grad.data_ptr() != twin.weight.grad.data_ptr()


class Odd(Aggregator):
    def __call__(self, J, state, generator):
        return J.sum(0), {"what": object()}


def test_a_state_that_cannot_be_saved_is_refused_when_it_is_asked_for():
    p = nn.Parameter(torch.ones(6))
    surgery = GradientSurgery([p], Odd())
    surgery.backward([p.sum(), p.sum()])
    with pytest.raises(TypeError, match=r"`state` must hold tensors, arrays, .*, found object"):
        surgery.state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: {},
            "`state` must be all of a `state_dict`, found no of, method, generator, skipped_steps in it",
        ),
        (lambda state: {k: v for k, v in state.items() if k != "generator"}, "found no generator in it"),
        (lambda state: engine("gcond").state_dict(), "`state` must be that of the method PCGrad, found that of GCond"),
    ],
)
def test_what_another_engine_wrote_is_refused_before_any_change(change, message):
    surgery = engine("pcgrad")
    step(surgery, ROWS[0])
    before = str(surgery.state_dict())
    with pytest.raises(ValueError, match=message):
        surgery.load_state_dict(change(surgery.state_dict()))
    assert str(surgery.state_dict()) == before


def test_loading_drops_an_unfinished_step():
    surgery = engine("pcgrad")
    state = surgery.state_dict()
    surgery.accumulate([surgery.parameters[0].sum()] * 2)
    surgery.load_state_dict(state)
    with pytest.raises(RuntimeError, match="`accumulate` first"):
        surgery.aggregate()

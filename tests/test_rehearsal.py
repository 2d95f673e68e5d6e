"""One step of a method of each kind by hand, and a rehearsal that lets only sound ones through."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gradsurgery import build
from gradsurgery.core.interfaces import Aggregator
from gradsurgery.foreign import Fault
from gradsurgery.rehearsal import step, try_out

J = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])


@dataclass(frozen=True)
class Bad(Aggregator):
    """Sound in its first step, and in the second what `then` makes of J."""

    then: object

    def __call__(self, J, state, generator):
        return (J.sum(dim=0) if state is None else self.then(J)), {"t": 1}


def _stepped(method, state=None):
    d, after = step(method, J, state, np.random.default_rng(0))
    return d.tolist(), after


def test_a_step_of_each_kind_by_hand():
    assert _stepped(build("mean")) == ([0.0, 0.5], {})
    assert _stepped(build("pcgrad"))[0] == [0.5, 1.5]
    assert _stepped(build(lambda J: 3.0 * J[0])) == ([3.0, 0.0], {})


def test_state_goes_in_and_comes_out():
    method = Bad(lambda J: J[0])
    d, state = _stepped(method)
    assert (d, state) == ([0.0, 1.0], {"t": 1})
    assert _stepped(method, state)[0] == [1.0, 0.0]


@pytest.mark.parametrize("name", ["sum", "pcgrad", "sam_gs", "gcond"])
def test_sound_methods_pass(name):
    try_out(build(name), name, 3)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (lambda J: J.sum(dim=0) / 0.0, "`mine` must return finite numbers, found 64 of 64 that are not"),
        (lambda J: J.zero_()[0], "`mine` must leave J as it is, found it changed"),
        (lambda J: 1 / 0, r"`mine` must return a direction for J \(2, 64\), found ZeroDivisionError"),
    ],
)
def test_a_fault_of_the_second_step_is_found_too(then, said):
    with pytest.raises(Fault, match=said):
        try_out(Bad(then), "mine", 2)

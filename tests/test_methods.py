"""`build` takes whatever a user has, and says in one sentence what it does not take."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gradsurgery import GradientSurgery, build
from gradsurgery.core.interfaces import Weighting

J = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 1.0, 0.5]])


@dataclass(frozen=True)
class Tilted(Weighting):
    """Weighs the first task by `tilt`."""

    tilt: float = 2.0

    def __call__(self, G, state, generator):
        return np.array([self.tilt, *[1.0] * (len(G) - 1)]), {}


def _step(method):
    trunk = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        trunk.weight.copy_(torch.tensor([[0.5, -1.0]]))
    surgery = GradientSurgery(trunk.parameters(), method)
    out = trunk(torch.eye(2))
    assert surgery.backward([out[0, 0], 3.0 * out[1, 0]])
    return trunk.weight.grad[0].tolist()


def test_a_function_a_class_and_an_object_of_ones_own_need_no_registration():
    assert _step(build(lambda J: J.mean(dim=0))) == [0.5, 1.5]
    assert _step(build(Tilted, tilt=4.0)) == [4.0, 3.0]
    assert _step(build(Tilted(3.0))) == [3.0, 3.0]
    assert build(Tilted) == Tilted(2.0)


@pytest.mark.parametrize(
    ("method", "fields", "error", "said"),
    [
        ("recon", {"k": 3}, ValueError, r"`gradsurgery.recon` scores .* found 'recon', one of the transforms\."),
        ("dr_mgf", {}, ValueError, r"`gradsurgery.epochs.learner` runs .* found 'dr_mgf', one of the rules\."),
        ("dwa", {}, ValueError, r"`gradsurgery.epochs.learner` takes .* one of the balancers\."),
        ("pcgrda", {}, ValueError, "did you mean pcgrad"),
        (Tilted, {"tild": 1.0}, ValueError, "`Tilted.tild` is no field of Tilted; .* did you mean tilt"),
        (Tilted(), {"tilt": 1.0}, ValueError, "`tilt` must be left out unless `method` is a name or a class"),
        (Tilted(), {"preset": "paper"}, ValueError, "`preset` must be left out unless `method` is a name, found 'pa"),
        (3, {}, TypeError, "`method` must be a name, a function of J, or .* found 3"),
        (dict, {}, TypeError, "found dict"),
    ],
)
def test_what_it_does_not_take_is_named(method, fields, error, said):
    with pytest.raises(error, match=said):
        build(method, **fields)


@pytest.mark.parametrize(
    ("function", "found"), [(lambda J: J, r"shape \(2, 3\)"), (lambda J: 1.0, "float"), (lambda J: None, "NoneType")]
)
def test_a_function_that_returns_no_direction_is_refused(function, found):
    with pytest.raises(ValueError, match=rf"`function` must return a tensor of shape \(3,\), found {found}"):
        build(function)(J, None, np.random.default_rng())


def test_a_functions_direction_comes_back_in_the_dtype_of_J():
    d, state = build(lambda J: J.double().sum(dim=0))(J, None, np.random.default_rng())
    assert d.dtype == J.dtype
    assert state == {}

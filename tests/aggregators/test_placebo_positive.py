"""The projection where gradients agree: worked by hand, and as PCGrad's mirror image."""

import itertools

import numpy as np
import torch

from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.aggregators.placebo_positive import PlaceboPositive
from tests.contracts import direction, generator, gradients

AGREE = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)

CONFLICT = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)


def test_positive_by_hand() -> None:
    # g1 minus its part along g2: (1, 0) - 1/2 (1, 1); g2 minus its part along g1: (1, 1) - (1, 0).
    assert torch.allclose(direction(PlaceboPositive(), AGREE), torch.tensor([0.5, 0.5]).double())


def test_positive_leaves_conflicts_alone() -> None:
    assert torch.equal(direction(PlaceboPositive(), CONFLICT), CONFLICT.sum(dim=0))
    assert not torch.allclose(direction(PCGrad(), CONFLICT), CONFLICT.sum(dim=0))


def test_positive_is_the_mirror_of_pcgrad_for_two_tasks() -> None:
    """Turning one gradient round turns agreement into conflict: v_i then loses the same part."""
    mirror = torch.tensor([1.0, -1.0]).double()
    J = gradients(2, 5)
    if float(J[0] @ J[1]) < 0:
        J[1] *= -1
    d = mirror @ torch.stack([_without(J[0], J[1]), -_without(J[1], J[0])])
    assert torch.allclose(direction(PlaceboPositive(), J), d)
    assert torch.allclose(direction(PCGrad(), J * mirror[:, None]), _without(J[0], J[1]) - _without(J[1], J[0]))


def test_positive_draws_pcgrads_orders() -> None:
    """With many tasks every order gives one of the results that explicit vectors give."""
    J = np.array([[1.0, 0], [2, 1], [2, -1]])
    expected = set()
    for orders in itertools.product(*(itertools.permutations([j for j in range(3) if j != i]) for i in range(3))):
        d = np.zeros(2)
        for i, order in enumerate(orders):
            v = J[i].copy()
            for j in order:
                s = v @ J[j]
                v = v - s / (J[j] @ J[j]) * J[j] if s > 0 else v
            d += v
        expected.add(tuple(np.round(d, 9) + 0.0))
    rng = generator()
    drawn = {tuple(np.round(PlaceboPositive()(J @ J.T, None, rng)[0] @ J, 9) + 0.0) for _ in range(200)}
    assert drawn == expected


def _without(v: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return v - (v @ g) / (g @ g) * g

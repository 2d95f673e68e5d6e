"""PCGrad's projection off random vectors: worked examples, lengths, gains, and when nothing is drawn."""

import numpy as np
import pytest
import torch

from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.aggregators.placebo_random import PlaceboRandom
from tests.contracts import direction, generator, gradients

AGREE = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
CONFLICT = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)


def test_random_in_the_plane_is_pcgrad_or_its_mirror_image() -> None:
    """In two dimensions r can only be g_j or g_j mirrored at g_i: four directions, worked by hand, PCGrad's among them.

    v1 = (1, 0) -> (1/2, +-1/2), as |v1| = sin 135 = 0.7071; v2 = (-1, 1) -> (0, 1) or its mirror at g2, (-1, 0).
    """
    rng = generator()
    seen = {tuple(np.round(direction(PlaceboRandom(), CONFLICT, rng).numpy(), 6) + 0.0) for _ in range(60)}
    assert seen == {(0.5, 1.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)}
    assert tuple(direction(PCGrad(), CONFLICT).tolist()) in {(0.5, 1.5)}


def test_random_keeps_lengths_and_first_order_gain() -> None:
    """v is as long as PCGrad's, loses as much of g_i, and u is at right angles to g_i: <v, g_i> = (1 - c^2) |g_i|^2."""
    J = gradients(2, 200)
    J[1] = 0.4 * J[1] - 0.5 * J[0]
    alone = torch.stack([J[0], J[1]])
    c = float(J[0] @ J[1] / J[0].norm() / J[1].norm())
    rng = generator()
    ds = torch.stack([direction(PlaceboRandom(), alone, rng) for _ in range(400)])
    mean = (1 - c**2) * J.sum(dim=0)
    assert torch.allclose(ds.mean(dim=0), mean, atol=5 * float(ds.std(dim=0).max()) / 20)
    # |v1 + v2|^2 = |mean|^2 + the two sideways parts, which are independent
    sideways = c**2 * (1 - c**2) * (J[0] @ J[0] + J[1] @ J[1])
    assert float((ds - mean).square().sum(dim=1).mean()) == pytest.approx(float(sideways), rel=0.05)
    conflict = (ds @ J[1]) / ds.norm(dim=1) / J[1].norm()
    assert conflict.std() > 0.01


def test_random_goes_on_from_what_is_left_of_a_gradient() -> None:
    """g2 twice: the second projection meets v, whose cosine with g2 is c s (s the sine), and takes (c s)^2 of the rest.

    E<v1, g1> = s^2 (1 - c^2 s^2) |g1|^2, and E<v, g1> = s^2 <g2, g1> for both others: at right angles u adds nothing.
    """
    g = torch.zeros(2, 400, dtype=torch.float64)
    g[0, 0], g[1, 0], g[1, 1] = 1.0, -(0.5**0.5), 0.5**0.5  # c = -sqrt(1/2)
    rng = generator()
    gains = [float(direction(PlaceboRandom(), g[[0, 1, 1]], rng) @ g[0]) for _ in range(300)]
    assert np.mean(gains) == pytest.approx(0.5 * (1 - 0.25) - 2 * 0.5 * 0.5**0.5, abs=0.02)


def test_random_draws_only_where_there_is_a_conflict() -> None:
    rng = generator()
    assert torch.equal(direction(PlaceboRandom(), AGREE, rng), AGREE.sum(dim=0))
    assert rng.bit_generator.state == generator().bit_generator.state
    direction(PlaceboRandom(), CONFLICT, rng)
    assert rng.bit_generator.state != generator().bit_generator.state


@pytest.mark.parametrize("P", [1, 4])
def test_random_with_opposite_gradients_is_pcgrad(P: int) -> None:
    J = torch.ones(2, P, dtype=torch.float64) * torch.tensor([[1.0], [-2.0]])
    assert torch.allclose(direction(PlaceboRandom(), J), torch.zeros(P).double(), atol=1e-7)


def test_random_agrees_with_pcgrad_that_nothing_conflicts() -> None:
    J = gradients(4, 30).abs()
    assert torch.allclose(direction(PlaceboRandom(), J), direction(PCGrad(), J))

"""DRGrad as its code has it: similarities and weights, routing both ways, and the towers that it needs."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks.mlp import MLP
from gradsurgery.networks.recommender import Recommender
from gradsurgery.rules.drgrad_code import DRGradCode, stakes
from tests.core.rows import Rows, learner


def test_the_codes_similarities():
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.standard_normal(4000)) for _ in range(2))
    b = b + 0.8 * a
    b[:100] = 0.0
    s, w, v = stakes(a, b, "sign_agreement")
    assert s == pytest.approx(float((torch.sign(a) * torch.sign(b)).mean()), abs=1e-12)
    assert w == v == pytest.approx(0.1 + 0.9 * float((a * b > 0).double().mean()), abs=1e-12)
    s, w, v = stakes(a, b, "cosine")
    assert s == pytest.approx(float(torch.nn.functional.cosine_similarity(a, b, dim=0)), abs=1e-9)
    assert w == pytest.approx(float(a.norm() / b.norm()), rel=1e-9)
    assert w * v == pytest.approx(1.0)
    assert stakes(a, 1e3 * b, "cosine")[1:] == (0.1, 5.0)
    assert stakes(0 * a, b, "cosine")[0] == 0.0


def test_signs_and_lengths_by_hand():
    a, b = torch.tensor([3.0, -4.0, 0.0, 0.0]), torch.tensor([0.5, 0.0, 0.0, 0.0])
    assert stakes(a, b, "sign_agreement") == pytest.approx((0.25, 0.325, 0.325))  # one sign of four is equal
    assert stakes(a, b, "cosine") == pytest.approx((0.6, 5.0, 0.1))  # 5 / 0.5 = 10, cut at 5


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_first_kernel_gets_the_others_gradient_as_it_was_and_more_of_it_in_conflict(sign):
    """Equal lengths: w = 1; cosine 0.6 sign, so that a conflict counts 1.6 times."""
    network = Recommender((), 2, variant="mmoe", width=1, tower=2, equal_capacity=False)
    first, second = (next(tower.parameters()) for tower in network.towers)
    first.grad, second.grad = torch.tensor([[1.0], [0.0]]), sign * torch.tensor([[0.6], [0.8]])
    factor = 1.0 if sign > 0 else 1.6
    expected = first.grad + factor * second.grad, second.grad + factor * first.grad
    run = learner(problem=Rows(own=(0, 1)))
    DRGradCode("cosine")._before_step(run, network)
    torch.testing.assert_close((first.grad, second.grad), expected)
    assert run.instruments.activity.means()["routed"] == pytest.approx(factor)


def test_networks_without_one_tower_for_each_of_two_tasks_are_refused():
    rule, sizes = build("rules", "drgrad_code"), {"num_continuous": 2, "width": 2, "tower": 2}
    network = Recommender((), **sizes)
    assert rule.attach(network) is network
    with pytest.raises(ValueError, match=r"for each of two tasks, found 3 towers, two of them the first task's\."):
        rule.attach(Recommender((), variant="split", **sizes))
    with pytest.raises(ValueError, match=r"for each of two tasks, found 3 towers\."):
        rule.attach(Recommender((), num_tasks=3, **sizes))
    with pytest.raises(ValueError, match="must be given a network with towers, such as `recommender`, found MLP"):
        rule.attach(MLP(in_features=2, hidden=(2,)))


def test_another_similarity_is_refused():
    with pytest.raises(ValueError, match=r"similarity` must be one of 'cosine', 'sign_agreement', found 'dot'"):
        build("rules", "drgrad_code", similarity="dot")

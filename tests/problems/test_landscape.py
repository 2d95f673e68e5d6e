"""The analytic landscapes: published points, minima, gates, and closed forms against autograd."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems.landscape import OPTIMA, STARTS, evaluate, jacobian, prepare

# point -> L1, L2, grad L1, grad L2: the specification's check points
POINTS = [
    ("sam_gs_toy1", (-8, 5), (6.31966374, 7.76644636), (-0.32889134, 0.08528643), (-0.07589235, 0.10463700)),
    ("sam_gs_toy1", (10, -2.5), (-15.94561172, 7.80633020), (0.50897018, 2.72886042), (2.88416438, -1.19694770)),
    ("sam_gs_toy1", (3.5, -4), (-17.94537340, -8.49790312), (-0.67481931, 0.73470476), (2.02445792, 0.38851572)),
    ("sam_gs_toy2", (3.5, -4), (-1.28809288, -20.79845910), (0.47803222, 1.58964445), (-4.49813847, 2.30457393)),
    ("sam_gs_toy2", (0, -8), (-19.85731023, -19.85731023), (2.92457040, 4.71017048), (-2.92457040, 4.71017048)),
]


def _autograd(landscape, theta):
    theta = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    losses = evaluate(landscape, theta)
    rows = [torch.autograd.grad(loss.sum(), theta, retain_graph=True)[0] for loss in losses]
    return torch.stack([loss.detach() for loss in losses]).numpy(), torch.stack(rows, dim=1).numpy()


@pytest.mark.parametrize(("landscape", "point", "losses", "first", "second"), POINTS)
def test_published_points(landscape, point, losses, first, second):
    for found_losses, J in (
        jacobian(landscape, np.array([point], dtype=float)),
        _autograd(landscape, np.array([point])),
    ):
        np.testing.assert_allclose(found_losses[:, 0], losses, atol=1e-8)
        np.testing.assert_allclose(J[0], [first, second], atol=1e-8)


@pytest.mark.parametrize("landscape", STARTS)
def test_the_closed_form_equals_autograd(landscape):
    theta = np.random.default_rng(0).uniform(-12, 12, (300, 2))
    theta = np.concatenate([theta, np.array(STARTS[landscape]), [[0, 0], [3, 0], [-3, -0.0]]])
    losses, J = jacobian(landscape, theta)
    expected_losses, expected = _autograd(landscape, theta)
    # Near a valley 1/u amplifies the rounding of u by its own square, hence the second term.
    steep = abs(expected).max(axis=2, keepdims=True) ** 2
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-13, atol=4e-13)
    assert (abs(J - expected) <= 4e-15 * (1 + abs(expected)) + 1e-15 * steep).all()


@pytest.mark.parametrize("landscape", ["cagrad_toy", "sam_gs_toy1"])
def test_both_gates_are_open_on_the_axis(landscape):
    # From here torch 2.14's `clamp` would never move.
    for losses, J in (jacobian(landscape, np.zeros((1, 2))), _autograd(landscape, np.zeros((1, 2)))):
        np.testing.assert_allclose(losses, 0.0, atol=0)
        np.testing.assert_allclose(J[0], [[0.0, 10.8564], [0.0, 10.8564]], atol=1e-4)


@pytest.mark.parametrize("landscape", ["cagrad_toy", "sam_gs_toy1", "sam_gs_toy2"])
def test_the_two_tasks_mirror_each_other(landscape):
    theta = np.random.default_rng(1).uniform(-12, 12, (50, 2))
    losses, _ = jacobian(landscape, theta)
    mirrored, _ = jacobian(landscape, theta * [-1, 1])
    np.testing.assert_allclose(losses, mirrored[::-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("landscape", ["cagrad_toy", "sam_gs_toy1", "sam_gs_toy2"])
def test_the_optimum_is_one(landscape):
    point, value = OPTIMA[landscape]
    losses, J = jacobian(landscape, np.array([point]))
    assert losses.sum() == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(J[0].sum(axis=0), 0.0, atol=1e-4)
    x, y = np.meshgrid(np.linspace(-12, 12, 241), np.linspace(-14, 12, 261))
    grid, _ = jacobian(landscape, np.stack([x.ravel(), y.ravel()], axis=1))
    assert grid.sum(axis=0).min() > value


def test_wells_have_the_published_losses():
    losses, _ = jacobian("sam_gs_toy2", np.array([OPTIMA["sam_gs_toy2"][0]]))
    np.testing.assert_allclose(losses[:, 0], [-50.293755, -23.840233], atol=1e-5)


def test_logarithms_have_a_floor_and_no_slope_below_it():
    theta = np.array([[0.0, 0.0]])  # u1 = 0 exactly
    losses, J = jacobian("pcgrad_toy", theta)
    assert losses[0, 0] == pytest.approx(20 * np.log(5e-6))
    np.testing.assert_array_equal(J[0, 0], 0.0)
    assert np.isfinite(_autograd("pcgrad_toy", theta)[1]).all()


@pytest.mark.parametrize(
    ("landscape", "inside", "outside"),
    [
        ("cagrad_toy", (0.005, -8.355), (0.02, -8.355)),
        ("sam_gs_toy1", (0.0, -8.3), (0.0, -6.0)),
        ("sam_gs_toy2", (5.454, -10.8), (0.0, -10.84)),
        ("pcgrad_toy", (-1.998, 6.254), (1.827, -1.557)),
    ],
)
def test_solved(landscape, inside, outside):
    problem = build("problems", "landscape", arrays={}, landscape=landscape, steps=10, epochs=2)
    theta = np.array([inside, outside])
    assert problem.solved(theta, problem.jacobian(theta)[0]).tolist() == [True, False]


def test_starts_are_the_papers():
    arrays = prepare({}, {"landscape": "cagrad_toy"})
    assert arrays["starts"].tolist() == [[-8.5, 7.5], [-8.5, -5.0], [0.0, 0.0], [9.0, 9.0], [10.0, -8.0]]
    assert [len(STARTS[name]) for name in ("sam_gs_toy1", "sam_gs_toy2", "pcgrad_toy")] == [7, 6, 1]


def test_perturbed_starts_are_a_small_seeded_cloud():
    settings = {"landscape": "pcgrad_toy", "perturbed_starts": 32, "seed": 0}
    starts = prepare({}, settings)["starts"]
    away = abs(starts - [0.5, -3.0])
    assert starts.shape == (32, 2)
    assert (away[0] == 0).all()
    assert 5e-8 < away.max() < 1.001e-7
    assert len(np.unique(starts, axis=0)) == 32
    np.testing.assert_array_equal(starts, prepare({}, settings)["starts"])
    assert (starts[1:] != prepare({}, settings | {"seed": 1})["starts"][1:]).any()
    with pytest.raises(ValueError, match="`perturbed_starts` must be 1"):
        prepare({}, settings | {"landscape": "cagrad_toy"})


def test_the_problem_reports_what_the_plane_says():
    arrays = prepare({}, {"landscape": "cagrad_toy"})
    problem = build("problems", "landscape", arrays=arrays, landscape="cagrad_toy", steps=10, epochs=5)
    network = problem.network(torch.Generator())
    losses, J = problem.jacobian(arrays["starts"])
    first, second = problem.losses(network, next(problem.batches(np.random.default_rng(), np.random.default_rng())))
    first.backward(retain_graph=True)
    np.testing.assert_allclose(network.theta.grad.numpy(), J[:, 0], rtol=1e-13, atol=1e-14)
    assert second.item() == pytest.approx(losses[1].sum())
    found = problem.evaluate(network, "val").metrics
    assert found == problem.evaluate(network, "test").metrics
    assert found["all.loss"] == pytest.approx(losses.mean())
    assert found["all.solved"] == 0.0
    assert len(list(problem.batches(np.random.default_rng(), np.random.default_rng()))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"landscape": "hill"}, "`landscape.landscape` must be one of"),
        ({"steps": 11}, "`steps` must be a multiple of epochs = 2, found steps = 11"),
        ({"lr": -1.0}, "`lr` must be positive, found lr = -1.0"),
        ({"clip": 0.0}, "`clip` must be positive, found clip = 0.0"),
        ({"network": {"name": "lenet"}}, "`network` must be {'name': 'point'} for a landscape"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    settings = {"arrays": {}, "landscape": "cagrad_toy", "steps": 10, "epochs": 2} | changes
    with pytest.raises(ValueError, match=message):
        build("problems", "landscape", **settings)

"""SAM-GS: the reference numbers T1-T16 of its specification."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradsurgery.aggregators.sam_gs import SAMGS
from gradsurgery.core.discovery import build
from tests.contracts import generator, gradients


def bare(**fields):
    """The rule alone: not multiplied by K, not clipped, which is how the reference numbers are given."""
    return SAMGS(**{"scale_by_num_tasks": False, "max_norm": None} | fields)


def run(method, *matrices):
    """Directions and states of consecutive steps from a fresh state."""
    state, found = None, []
    for J in matrices:
        d, state = method(torch.as_tensor(np.array(J), dtype=torch.float64), state, generator())
        found.append((d.numpy(), copy.deepcopy(state)))
    return found


def rows(*norms):
    return np.diag(np.array(norms, dtype=float))


T3 = [[3.0, 4], [0, 10]]
S1 = [[0.5, -1, 2, 0.25], [1.5, 0.5, -0.75, 1], [-0.25, 2, 0.5, -1.5]]
S2 = [[0.75, -0.5, 1.5, 0.5], [1, 0.25, -1.25, 0.75], [-0.5, 1.5, 1, -1]]
S3 = [[4, -3, 0.5, 1], [0.125, 0.0625, -0.125, 0.25], [-0.25, 0.5, 0.25, -0.5]]


@pytest.mark.parametrize(
    ("norms", "kind", "psi"),
    [
        ((5, 10), "pairs_mean", 0.8),
        ((5, 5), "pairs_mean", 1.0),
        ((5, 0.1), "pairs_mean", 0.0399840064),
        ((1, 2, 4), "pairs_mean", 0.690196078),
        ((1, 2, 4), "min", 0.470588235),
        ((1, 2, 4), "mtrl", 0.470588235),
        ((1, 2, 4), "full_mean", 0.793464052),
        ((5, 10), "full_mean", 0.9),
        ((0, 3), "pairs_mean", 0.0),
        ((0, 0), "pairs_mean", 1.0),
        ((0, 0, 3), "pairs_mean", 1 / 3),
        ((1e-200, 2e-200), "pairs_mean", 0.8),
    ],
)
def test_T1_similarity(norms, kind, psi):
    decides, _ = bare(similarity=kind)._similarities(np.array(norms, dtype=float))
    assert decides == pytest.approx(psi, abs=1e-9)
    assert bare(similarity=kind)._similarities(100.0 * np.array(norms[::-1], dtype=float))[0] == pytest.approx(psi)


def test_T1_mtrl_records_the_mean():
    assert bare(similarity="mtrl")._similarities(np.array([1.0, 2, 4]))[1] == pytest.approx(0.690196078)
    assert bare(similarity="min")._similarities(np.array([1.0, 2, 4]))[1] == pytest.approx(0.470588235)


def test_T2_equalisation():
    J = np.array([[3, 4], [0.1, 0]])
    [(d, state)] = run(bare(), J)
    assert state["similarity"] == pytest.approx(0.0399840064, abs=1e-10)
    assert d == pytest.approx([4.08, 2.04], abs=1e-12)
    for g in J:
        assert g @ d / np.linalg.norm(g) / np.linalg.norm(d) == pytest.approx(0.894427191)
    [(scaled, _)] = run(bare(), J * [[1], [0.5]])
    assert scaled / np.linalg.norm(scaled) == pytest.approx(d / np.linalg.norm(d))


def test_T3_momentum_first_step():
    [(d, state)] = run(bare(), T3)
    assert d == pytest.approx([44.99943751054667, 579.9927501359348], rel=1e-12)
    assert state["similarity"] == pytest.approx(0.8)
    assert state["h"] / 0.01 == pytest.approx(0.040001)
    [(clipped, _)] = run(SAMGS(), T3)
    assert clipped == pytest.approx([0.07735374, 0.99700371], abs=1e-8)
    [(divided, _)] = run(bare(eps_in_denominator=True), T3)
    assert divided == pytest.approx(d, rel=1e-7)
    assert not np.array_equal(divided, d)


def test_T4_two_steps():
    _, (d, state) = run(bare(), T3, [[-3, 4], [6, 0]])
    assert state["similarity"] == pytest.approx(0.9836065574)
    assert state["h"] / (1 - 0.99**2) == pytest.approx(2.0035545207e-02)
    assert d == pytest.approx([130.51274770809718, 113.0366817756739], rel=1e-12)


def test_T5_strictness():
    assert run(bare(gamma=0.8), T3)[0][1]["equalised"] == 0.0
    [(d, state)] = run(bare(gamma=0.8000001), T3)
    assert state["equalised"] == 1.0
    assert d == pytest.approx([4.5, 13.5])


@pytest.mark.parametrize(("beta2", "d"), [(0.99, (9000, 41000)), (0.9, (28460.49894, 129653.38407))])
def test_T6_floor(beta2, d):
    assert run(bare(beta2=beta2), [[3, 4], [0, 5]])[0][0] == pytest.approx(d, rel=1e-9)


def test_T7_beta2_is_a_common_factor():
    for step, ratio in ((0, 1.00223228), (1, 1.01395504)):
        d9 = run(bare(beta2=0.9), S1, S2)[step][0]
        d99 = run(bare(beta2=0.99), S1, S2)[step][0]
        assert d9 / d99 == pytest.approx(np.full(4, ratio), abs=1e-8)


def test_T8_homogeneity():
    assert run(bare(), 10 * np.array(T3))[0][0] == pytest.approx(100 * run(bare(), T3)[0][0])
    J = np.array([[3, 4], [0.1, 0]])
    assert run(bare(), 10 * J)[0][0] == pytest.approx(10 * run(bare(), J)[0][0])


def test_T9_opposite_gradients():
    J = [[2.0, 0], [-20, 0]]
    assert run(bare(gamma=0.7), J)[0][0] == pytest.approx([0, 0], abs=1e-12)
    assert run(bare(gamma=0.1), J)[0][0] == pytest.approx([-493.77739391699146, 0], rel=1e-12)


def test_T10_three_tasks():
    J = rows(1, 2, 4)
    assert run(bare(gamma=0.7), J)[0][0] == pytest.approx(np.full(3, 7 / 3))
    [(d, state)] = run(bare(gamma=0.6), J)
    assert d == pytest.approx([3.22783129, 12.91132514, 51.64530057], abs=1e-8)
    assert state["h"] / 0.01 == pytest.approx(0.09597946982)
    for kind in ("min", "mtrl"):
        assert run(bare(gamma=0.6, similarity=kind), J)[0][0] == pytest.approx(np.full(3, 7 / 3))
    assert run(bare(gamma=0.7), rows(1, 2, 20))[0][0] == pytest.approx(np.full(3, 23 / 3))


D1 = (171.3904562742, 228.5206083656, 259.2829979533, -83.4979145951)
D2 = (128.3052611189, 196.6236469095, 177.4611728463, -33.3260418491)
D3 = (1.7942666619, 0.512476783, 0.0286789948, 0.75284008)


@pytest.mark.parametrize(
    ("gamma", "beta2", "expected"),
    [
        (0.1, 0.99, (D1, D2, (20.5234976365, -11.0822417258, 1.905407086, 0.7844497701))),
        (
            0.9,
            0.9,
            (
                (171.7730479179, 229.0307305572, 259.8617904399, -83.6843053959),
                (130.0957663132, 199.3675379865, 179.9376508098, -33.7911081333),
                D3,
            ),
        ),
        (0.7, 0.99, (D1, D2, D3)),
    ],
)
def test_T11_sequence(gamma, beta2, expected):
    found = run(bare(gamma=gamma, beta2=beta2), S1, S2, S3)
    for (d, state), e, psi in zip(found, expected, (0.9858132885, 0.9911710401, 0.3689002929), strict=True):
        assert d == pytest.approx(e, abs=1e-9)
        assert state["similarity"] == pytest.approx(psi, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(K=st.integers(2, 6), seed=st.integers(0, 10**6), gamma=st.sampled_from([0.0, 1.1]))
def test_T12_T13_signs_and_order(K, seed, gamma):
    """What each task adds has the sign of its gradient, and the order of the tasks does not matter."""
    J1, J2 = generator(seed).standard_normal((2, K, 5))
    (_, _), (d, state) = run(bare(gamma=gamma), J1, J2)
    order = generator(seed).permutation(K)
    assert run(bare(gamma=gamma), J1[order], J2[order])[1][0] == pytest.approx(d, rel=1e-9, abs=1e-9)
    weights = np.abs(state["m"].numpy()) if gamma == 0.0 else 1.0 / np.linalg.norm(J2, axis=1)[:, None]
    total = (weights * J2).sum(axis=0)
    assert d / np.linalg.norm(d) == pytest.approx(total / np.linalg.norm(total), abs=1e-9)


def test_T13_equalisation_turns_with_the_axes_and_momentum_does_not():
    Q = np.linalg.qr(generator(1).standard_normal((5, 5)))[0]
    J = generator(2).standard_normal((3, 5))
    turned, straight = (run(bare(gamma=1.1), J @ R)[0][0] for R in (Q, np.eye(5)))
    assert turned == pytest.approx(straight @ Q)
    turned, straight = (run(bare(gamma=0.0), J @ R)[0][0] for R in (Q, np.eye(5)))
    assert not np.allclose(turned, straight @ Q, rtol=1e-2)


def test_T14_state_advances_in_both_regimes():
    equalised = [[3, 4], [0.1, 0]]
    with_step, without = run(bare(), equalised, T3)[1][0], run(bare(), T3)[0][0]
    assert not np.allclose(with_step, without, rtol=1e-2)
    for first in (equalised, T3):
        [(_, state)] = run(bare(), first)
        assert state["t"] == 1
        assert state["m"].numpy() == pytest.approx(0.1 * np.array(first))
        assert state["h"] > 0


def test_the_momentum_is_advanced_inside_its_tensor_and_never_in_J():
    J = gradients(3, 8)
    _, first = bare()(J, None, generator())
    tensor = first["m"]
    _, second = bare()(J, first, generator())
    assert second["m"].data_ptr() == tensor.data_ptr()
    assert tensor.data_ptr() != J.data_ptr()


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.1])
@pytest.mark.parametrize("zero", [[0], [0, 1], [0, 1, 2]], ids=str)
def test_T15_tasks_without_gradient(gamma, zero):
    J = generator(0).standard_normal((3, 4))
    J[zero] = 0.0
    for d, _ in run(bare(gamma=gamma), J, J):
        assert np.isfinite(d).all()


def test_T15_zero_rows_keep_the_mean_length_over_all_tasks():
    assert run(bare(gamma=1.1), [[3.0, 4.0], [0.0, 0.0]])[0][0] == pytest.approx([1.5, 2.0])


def test_T15_one_task_is_its_gradient():
    assert run(bare(), [[3.0, 4.0]])[0][0] == pytest.approx([3, 4])
    assert run(SAMGS(), [[3.0, 4.0]])[0][0] == pytest.approx([0.6, 0.8], abs=1e-6)


@pytest.mark.parametrize("K", [2, 3, 40])
def test_blocks_of_columns_make_no_difference(K, monkeypatch):
    J1, J2 = generator(0).standard_normal((2, K, 57))
    whole = run(bare(gamma=0.0), J1, J2)[1][0]
    monkeypatch.setattr("gradsurgery.aggregators.sam_gs._BLOCK", 10 * K)
    assert run(bare(gamma=0.0), J1, J2)[1][0] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_momentum_in_float32(dtype):
    method, full, half = bare(gamma=0.0), None, None
    for seed in range(20):
        J = gradients(3, 50, seed, torch.float32).to(dtype)
        d, half = method(J, half, generator())
        expected, full = method(J.float(), full, generator())
        assert half["m"].dtype == torch.float32
        assert torch.allclose(d.float(), expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))
    assert torch.equal(half["m"], full["m"])


def test_clip_is_an_upper_bound():
    for seed in range(5):
        d = run(SAMGS(max_norm=0.5), generator(seed).standard_normal((3, 6)))[0][0]
        assert np.linalg.norm(d) == pytest.approx(0.5, abs=1e-5)
    small = 1e-9 * generator(0).standard_normal((3, 6))
    assert run(SAMGS(), small)[0][0] == pytest.approx(3 * run(bare(), small)[0][0])


def test_refuses_a_state_of_another_shape():
    _, state = SAMGS()(gradients(2, 5), None, generator())
    with pytest.raises(ValueError, match=r"shape the state was made for, \(2, 5\), found \(2, 6\)"):
        SAMGS()(gradients(2, 6), state, generator())


@pytest.mark.parametrize(
    "fields",
    [{"gamma": -0.1}, {"beta1": 1.0}, {"beta2": -0.5}, {"eps": 0.0}, {"similarity": "mean"}, {"max_norm": 0.0},
     {"gamma": math.nan}, {"eps_in_denominator": "yes"}],
)  # fmt: skip
def test_refuses(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        build("aggregators", "sam_gs", **fields)


def toy(x):
    """Losses and gradients of the one-optimum landscape at x (2,), written out for this test alone."""
    x = torch.as_tensor(x, dtype=torch.float64).requires_grad_()
    a, b = x
    c1 = torch.where(b >= 0, torch.tanh(b / 2), torch.zeros_like(b))
    c2 = torch.where(b <= 0, torch.tanh(-b / 2), torch.zeros_like(b))
    floor = torch.tensor(5e-6, dtype=torch.float64)
    f1 = torch.log(torch.maximum((0.5 * (-a - 7) - torch.tanh(-b)).abs(), floor)) + 6
    f2 = torch.log(torch.maximum((0.5 * (-a + 3) + torch.tanh(-b) + 2).abs(), floor)) + 6
    q = [((sign * 7 - a) ** 2 + 0.1 * (-b - 8) ** 2) / 10 - 20 for sign in (1, -1)]
    losses = [c1 * f1 + c2 * q[0], c1 * f2 + c2 * q[1]]
    return losses, torch.stack([torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses])


def test_T16_toy_point_checks():
    losses, J = toy([-8.0, 5.0])
    assert [loss.item() for loss in losses] == pytest.approx([6.31966374, 7.76644636])
    assert J.flatten().tolist() == pytest.approx([-0.32889134, 0.08528643, -0.07589235, 0.10463700])


@pytest.mark.parametrize(
    ("start", "steps", "end"),
    [
        ((-8, 5), 100, (-7.8985, 4.8964)),
        ((10, -2.5), 100, (9.8993, -2.5983)),
        pytest.param((-8, 5), 1000, (-6.9765, 3.5984), marks=pytest.mark.slow),
        pytest.param((10, -2.5), 1000, (8.9614, -3.2916), marks=pytest.mark.slow),
    ],
)
def test_T16_toy_early_steps(start, steps, end):
    """The first steps of the official configuration; full runs belong to the landscape problems."""
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, state = torch.optim.Adam([theta], lr=1e-3), None
    for _ in range(steps):
        _, J = toy(theta.detach())
        theta.grad, state = SAMGS()(J, state, generator())
        optimizer.step()
    assert theta.tolist() == pytest.approx(end, abs=2e-4)


def _scaled(dtype, k, **fields):
    """Two directions for the same gradients times 2^k, in units of 2^(k degree)."""
    rng, state, found = np.random.default_rng(7), None, []
    for _ in range(3):
        J = torch.from_numpy(rng.standard_normal((3, 50))).to(dtype)
        d, state = bare(**fields)(J * 2.0**k, state, generator())
        degree = 1 if state["equalised"] else 2
        found.append(torch.ldexp(d.double(), torch.tensor(-degree * k)))
    return torch.stack(found)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize(
    ("dtype", "powers"), [(torch.float32, (-45, -20, 20, 45)), (torch.float64, (-300, -45, 45, 300))]
)
def test_a_power_of_two_changes_no_bit(dtype, powers, gamma):
    for k in powers:
        assert torch.equal(_scaled(dtype, k, gamma=gamma), _scaled(dtype, 0, gamma=gamma)), k


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("rows", [1, 3])
def test_what_is_clipped_stays_finite_at_any_size_and_keeps_its_direction(rows, gamma):
    J = torch.from_numpy(np.random.default_rng(1).standard_normal((rows, 40)))
    for power in (10, 60, 83, 110, 122):
        wanted, _ = SAMGS(gamma=gamma)(J * 2.0**power, None, generator())
        found, _ = SAMGS(gamma=gamma)((J * 2.0**power).float(), None, generator())
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)
        assert float(found.norm()) == pytest.approx(1.0, rel=1e-5)


def test_momenta_are_right_when_sizes_change_from_step_to_step():
    rng, states, sizes = np.random.default_rng(2), [None, None], (1e-15, 1e25, 1e-10, 1.0, 1e18, 1e-16)
    for size in sizes:
        J = torch.from_numpy(size * rng.standard_normal((2, 30)))
        ds = []
        for i, dtype in enumerate((torch.float64, torch.float32)):
            d, states[i] = SAMGS(gamma=0.0)(J.to(dtype), states[i], generator())
            ds.append(d.double())
        torch.testing.assert_close(ds[1], ds[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(states[1]["m"].double(), states[0]["m"], rtol=1e-5, atol=1e-5 * size)
        assert (states[0]["m"].norm(dim=1).numpy() <= states[0]["reach"] * (1 + 1e-12)).all()

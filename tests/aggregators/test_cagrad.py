"""CAGrad against its golden numbers, its duality certificate, brute force, torchjd and the official solver."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import special_ortho_group

from gradsurgery.aggregators.cagrad import CAGrad
from gradsurgery.core.discovery import build
from tests.contracts import direction, generator


def bare(c, **fields):
    """Algorithm 1: mean units, not rescaled."""
    return CAGrad(c=float(c), rescale=0, scale_by_num_tasks=False, **fields)


def solve(method, J):
    J = np.array(J, dtype=float)
    alpha, state = method(J @ J.T, None, generator())
    return alpha, alpha @ J, state["gap"]


A, B, C = [[1, 0], [-1, 1]], [[-4, 1, 1], [6, 1, 1]], [[1, 0], [-2, 1], [-2, -1]]
D, E = [[1, 0, 0], [0, 2, 0], [0, 0, 2]], [[1, 0, 0], [-2, 1, 0], [0, -1, 1]]
S22 = math.sqrt(22)
GOLDEN = [
    (A, 0.2, (0.6, 0.5), (0.1, 0.5)),
    (A, 0.4, (0.7, 0.5), (0.2, 0.5)),
    (A, 0.5, (0.75, 0.5), (0.25, 0.5)),
    (A, 1, (1.2, 0.8), (0.4, 0.8)),
    (A, 2, (1.9076696831, 1.2717797887), (0.6358898944, 1.2717797887)),
    (B, 0.5, (0.7041241452, 0.5), (0.1835034191, 1.2041241452, 1.2041241452)),
    (B, 1, (1.2, 0.8), (0, 2, 2)),
    (D, 0.5, (5 / 6, 1 / 3, 1 / 3), (5 / 6, 2 / 3, 2 / 3)),
    (D, 2, ((2 + S22) / 3, (2 + S22) / 12, (2 + S22) / 12), ((2 + S22) / 3, (2 + S22) / 6, (2 + S22) / 6)),
    (C, 0.4, (0.7333333333, 1 / 3, 1 / 3), (-0.6, 0)),
    (E, 1, (1.2072124511, 0.5649958124, 1 / 3), (0.0772208263, 0.2316624790, 1 / 3)),
    (E, 2, (3.0471601113, 1.4220080519, 0.8125760297), (0.2031440075, 0.6094320222, 0.8125760297)),
    ([[1, 0], [-2, 0]], 0.5, (0.75, 0.5), (-0.25, 0)),
    ([[1, 0], [3, 0]], 0.5, (1.5, 0.5), (3, 0)),
    ([[3, 0], [0, 1]], 0.5, (0.5, 1.2905694150), (1.5, 1.2905694150)),
]


@pytest.mark.parametrize(("J", "c", "alpha", "d"), GOLDEN)
def test_golden(J, c, alpha, d):
    found, step, gap = solve(bare(c), J)
    assert found == pytest.approx(alpha, abs=2e-10)
    assert step == pytest.approx(d, abs=2e-10)
    assert abs(gap) < 1e-9


@pytest.mark.parametrize(
    ("c", "r1", "r2", "official"),
    [
        (0.2, (0.0961538, 0.4807692), (0.0833333, 0.4166667), (0.1923077, 0.9615385)),
        (0.4, (0.1724138, 0.4310345), (0.1428571, 0.3571429), (0.3448276, 0.8620690)),
        (0.5, (0.2, 0.4), (0.1666667, 0.3333333), (0.4, 0.8)),
        (1.0, (0.2, 0.4), (0.2, 0.4), (0.4, 0.8)),
    ],
)
def test_golden_scalings(c, r1, r2, official):
    assert solve(CAGrad(c=c, rescale=1, scale_by_num_tasks=False), A)[1] == pytest.approx(r1, abs=1e-7)
    assert solve(CAGrad(c=c, rescale=2, scale_by_num_tasks=False), A)[1] == pytest.approx(r2, abs=1e-7)
    assert solve(CAGrad(c=c), A)[1] == pytest.approx(official, abs=1e-7)


def test_golden_large_c_is_mgda_in_direction():
    assert solve(bare(10.0), A)[1] / 11 == pytest.approx((0.2212573, 0.4425147), abs=1e-7)
    assert solve(bare(1e7), A)[1] / 1e7 == pytest.approx((0.2236068, 0.4472136), abs=1e-6)


def test_golden_identical_gradients():
    assert solve(bare(0.3), [[1, 2], [1, 2]])[1] == pytest.approx((1.3, 2.6))
    assert solve(bare(0.3), [[1, 2], [1, 2]])[0].sum() == pytest.approx(1.3)


@pytest.mark.parametrize("K", [1, 2, 3, 7])
def test_special_sets(K):
    alike = np.tile([1.0, 2.0], (K, 1))
    assert solve(bare(0.4), alike)[1] == pytest.approx([1.4, 2.8])
    assert solve(CAGrad(c=0.4, rescale=1, scale_by_num_tasks=False), alike)[1] == pytest.approx(
        np.array([1.4, 2.8]) / 1.16
    )
    assert solve(CAGrad(c=0.4, rescale=2, scale_by_num_tasks=False), alike)[1] == pytest.approx([1, 2])
    assert solve(bare(0.4), np.eye(K))[0] == pytest.approx(np.full(K, 1.4 / K))


def test_opposite_gradients_give_nothing():
    assert solve(bare(0.5), [[1, 2], [-1, -2]])[1] == pytest.approx([0, 0], abs=1e-15)
    assert solve(bare(2.0), [[1, 0], [-2, 0]])[1] == pytest.approx([0, 0], abs=1e-15)
    assert solve(bare(2.0), [[1, 0], [-0.5, 1], [-0.5, -1.5]])[1] == pytest.approx([0, 0], abs=1e-9)


def check(J, c, method=None, tolerance=1e-7):
    """Certificate and invariants of the paper for any J; rounding alone leaves 3e-8 where gradients nearly cancel."""
    K = len(J)
    G = J @ J.T
    unit = np.trace(G) / K
    alpha, d, gap = solve(method or bare(c), J)
    g0 = J.mean(axis=0)
    length, radius = np.linalg.norm(g0), c * np.linalg.norm(g0)
    slack = 1e-7 * np.sqrt(unit)
    assert abs(gap) < tolerance
    assert np.linalg.norm(d - g0) <= radius + slack
    if c < 1:
        assert (1 - c) * length - slack <= np.linalg.norm(d) <= (1 + c) * length + slack
        assert d @ g0 >= (1 - c) * length**2 - 1e-7 * unit
    else:
        assert (J @ d).min() >= -1e-7 * unit
    assert (J @ d).min() >= (J @ g0).min() - 1e-7 * unit
    return alpha, d


@settings(max_examples=120, deadline=None)
@given(
    K=st.integers(1, 9),
    P=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    c=st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.9, 1.0, 2.0, 10.0]),
    kind=st.sampled_from(["plain", "twin", "opposite", "zero", "unequal", "near-twin"]),
)
def test_certificate(K, P, seed, c, kind):
    rng = generator(seed)
    J = rng.standard_normal((K, P))
    if kind == "twin":
        J[-1] = J[0]
    elif kind == "near-twin":
        J[-1] = J[0] * (1 + 1e-4)
    elif kind == "opposite" and K > 1:
        J[-1] = -1.7 * J[0]
    elif kind == "zero" and K > 1:
        J[0] = 0.0
    elif kind == "unequal":
        J *= 10.0 ** rng.uniform(-2, 2, (K, 1))
    check(J, c)


@pytest.mark.parametrize("c", [0.1, 0.4, 0.9, 2.0])
@pytest.mark.parametrize(("K", "P"), [(20, 200), (40, 3), (40, 30), (40, 400)])
def test_certificate_many_tasks(K, P, c):
    check(generator(K + P).standard_normal((K, P)) + 0.2 * generator(1).standard_normal(P), c)


def test_opposite_pair_does_not_stop_the_others():
    """The dual is at a kink: the pair can gain nothing, and the third task gets the whole step."""
    _, d, gap = solve(bare(0.5), [[1, 0], [-1, 0], [0, 1]])
    assert d == pytest.approx([0, 0.5], abs=1e-12)
    assert abs(gap) < 1e-12
    J = np.zeros((4, 3))
    J[0], J[1], J[2], J[3] = (1, 0, 0), (-2, 0, 0), (0, 1, 0), (0, -0.5, 1)
    check(J, 0.9)


def test_no_point_of_the_ball_is_better():
    rng = generator(0)
    for K, P in [(2, 3), (3, 3), (5, 4)]:
        J = rng.standard_normal((K, P))
        g0 = J.mean(axis=0)
        _, d, _ = solve(bare(0.6), J)
        steps = rng.standard_normal((500, P))
        steps *= 0.6 * np.linalg.norm(g0) * rng.uniform(0, 1, (500, 1)) / np.linalg.norm(steps, axis=1, keepdims=True)
        assert ((g0 + steps) @ J.T).min(axis=1).max() <= (J @ d).min() + 1e-9


@settings(max_examples=60, deadline=None)
@given(K=st.integers(2, 6), seed=st.integers(0, 10**6), exponent=st.integers(-6, 6), c=st.sampled_from([0.2, 0.5, 2.0]))
def test_invariances(K, seed, exponent, c):
    J = generator(seed).standard_normal((K, 8))
    alpha = solve(bare(c), J)[0]
    assert solve(bare(c), J * 10.0**exponent)[0] == pytest.approx(alpha, rel=1e-6)
    assert solve(bare(c), J @ special_ortho_group.rvs(8, random_state=seed))[0] == pytest.approx(alpha, rel=1e-5)
    order = generator(seed).permutation(K)
    assert solve(bare(c), J[order])[0] == pytest.approx(alpha[order], rel=1e-5)
    assert (alpha >= 1.0 / K - 1e-12).all()
    assert solve(bare(0.0), J)[1] == pytest.approx(J.mean(axis=0))


@pytest.mark.parametrize("J", [A, [[3.0, 0.2], [0.1, 1]], C])
@pytest.mark.parametrize("factor", [1e-100, 1e100])
def test_lengths_whose_fourth_power_is_no_float(J, factor):
    for c in (0.4, 2.0):
        assert solve(bare(c), factor * np.array(J))[0] == pytest.approx(solve(bare(c), J)[0], rel=1e-9)


def test_closed_form_and_active_set_agree():
    """Two tasks are padded with copies of themselves, which changes neither the mean nor the maximin."""
    for seed in range(50):
        J = generator(seed).standard_normal((2, 4)) * [[1.0], [10.0 ** (seed % 3)]]
        for c in (0.2, 0.7, 3.0):
            assert solve(bare(c), np.vstack([J, J]))[1] == pytest.approx(solve(bare(c), J)[1], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("c", [0.5, 2.0])
def test_tasks_without_gradient(c):
    J = [[1.0, 2.0], [0.0, 0.0]]
    assert solve(bare(c), J)[1] == pytest.approx(np.array([0.5, 1.0]) * (1 + c))
    assert solve(bare(c, zero_task="keep"), J)[1] == pytest.approx([0.5, 1.0])
    three = [[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]]
    reduced = check(np.array(three), c)[1]
    assert reduced @ [1.0, 2.0] > 0
    assert solve(bare(c, zero_task="keep"), three)[1] == pytest.approx([1.0, 1.0])
    losing = [[1.0, 0.0], [0.0, 0.0], [-2.0, 0.1]]
    if c < 1:
        assert solve(bare(c, zero_task="keep"), losing)[1] == pytest.approx(solve(bare(c), losing)[1])
    assert solve(bare(c), np.zeros((3, 2)))[1] == pytest.approx([0, 0])


OFFICIAL = [(A, 0.2), (A, 0.4), (A, 0.5), (A, 1.0), (B, 0.5), (D, 0.5), (C, 0.4), (E, 1)]


@pytest.mark.parametrize(("J", "c"), OFFICIAL)
def test_official_solver_comes_near_at_ordinary_scale(J, c):
    _, d, gap = solve(bare(c, solver="official"), J)
    assert d == pytest.approx(solve(bare(c), J)[1], abs=1e-3)
    assert abs(gap) < 1e-2


@pytest.mark.xfail(strict=True, reason="SLSQP's tolerance is absolute: it returns its start for small gradients")
def test_official_solver_is_not_scale_free():
    J = generator(3).standard_normal((3, 5))
    tiny = solve(bare(0.4, solver="official"), 1e-3 * J)[0]
    assert tiny == pytest.approx(solve(bare(0.4), J)[0], abs=1e-2)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchjd_agrees():
    pytest.importorskip("cvxpy")
    peer = pytest.importorskip("torchjd.aggregation")
    for seed, c in enumerate([0.2, 0.5, 0.9, 2.0]):
        J = torch.from_numpy(generator(seed).standard_normal((2 + seed, 6)))
        assert torch.allclose(direction(bare(c), J), peer.CAGrad(c)(J), atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"c": -1.0}, r"`c` must be non-negative, found c = -1.0\."),
        ({"c": math.inf}, "`cagrad.c` must be a finite number, found inf"),
        ({"c": "big"}, "`cagrad.c` must be a number"),
        ({"rescale": 3}, "`cagrad.rescale` must be one of 0, 1, 2"),
        ({"solver": "fast"}, "`cagrad.solver`"),
        ({"zero_task": "skip"}, "`cagrad.zero_task`"),
    ],
)
def test_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        build("aggregators", "cagrad", **fields)

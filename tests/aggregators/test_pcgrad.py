"""PCGrad against its golden numbers, its invariants, an implementation with explicit vectors, and torchjd."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import special_ortho_group

from gradsurgery.aggregators.pcgrad import PCGrad, _weights
from gradsurgery.core.discovery import build
from tests.contracts import direction, generator

THREE = np.array([[1.0, 0], [-2, 1], [-2, -1]])
FIXED = PCGrad(order="fixed")


def weights(J, method=FIXED, rng=None):
    return method(J @ J.T, None, rng or generator())[0]


def in_orders(J, orders, include_self=False):
    """Weights for the given order of the others per task; a task's own turn comes last, or never."""
    full = np.array([[*order, i] for i, order in enumerate(orders)])
    return _weights(J @ J.T, full, include_self)


def by_vectors(J, orders, include_self=False):
    """Algorithm 1 of the paper with vectors: running left side, original right side."""
    d = np.zeros(J.shape[1])
    for i, order in enumerate(orders):
        v = J[i].copy()
        for j in order:
            s = v @ J[j]
            if s < 0 and (j != i or include_self):
                v = v - s / (J[j] @ J[j]) * J[j]
        d += v
    return d


def exact_expectation(J):
    K = len(J)
    total = np.zeros(J.shape[1])  # of what projection adds to each task's own gradient
    for i in range(K):
        orders = list(itertools.permutations([j for j in range(K) if j != i]))
        for order in orders:
            alone = [()] * K
            alone[i] = order
            total += (by_vectors(J, alone) - J.sum(axis=0)) / len(orders)
    return J.sum(axis=0) + total


@pytest.mark.parametrize(
    ("J", "alpha", "d"),
    [
        ([[1, 0], [-1, 1]], [2, 1.5], [0.5, 1.5]),
        ([[-4, 1, 1], [6, 1, 1]], [2.2222222, 1.5789474], [0.5847953, 3.8011696, 3.8011696]),
    ],
)
def test_golden_two_tasks(J, alpha, d):
    J = np.array(J, dtype=float)
    assert weights(J) == pytest.approx(alpha, abs=1e-7)
    assert weights(J) @ J == pytest.approx(d, abs=1e-7)
    assert weights(J, PCGrad(reduction="mean")) @ J == pytest.approx(np.array(d) / 2, abs=1e-7)


@pytest.mark.parametrize(
    ("task", "order", "coefficients", "v"),
    [
        (0, (1, 2), (1, 0.4, 0.16), (-0.12, 0.24)),
        (0, (2, 1), (1, 0.16, 0.4), (-0.12, -0.24)),
        (1, (0, 2), (2, 1, 0.2), (-0.4, 0.8)),
        (1, (2, 0), (2, 1, 0), (0, 1)),
        (2, (0, 1), (2, 0.2, 1), (-0.4, -0.8)),
        (2, (1, 0), (2, 0, 1), (0, -1)),
    ],
)
def test_golden_three_tasks_each_order(task, order, coefficients, v):
    """The contribution of one task: the others are made to sit still by orders that visit nobody but themselves."""
    full = np.array([[i, i, i] for i in range(3)])
    full[task] = [*order, task]
    alpha = _weights(THREE @ THREE.T, full, include_self=False) - 1.0
    alpha[task] += 1.0
    assert alpha == pytest.approx(coefficients, abs=1e-12)
    assert alpha @ THREE == pytest.approx(v, abs=1e-12)


def test_golden_three_tasks_all_eight():
    found = set()
    for orders in itertools.product([(1, 2), (2, 1)], [(0, 2), (2, 0)], [(0, 1), (1, 0)]):
        found.add(tuple(np.round(in_orders(THREE, orders) @ THREE, 9) + 0.0))
    expected = {(-0.92, 0.24), (-0.52, 0.04), (-0.52, 0.44), (-0.12, 0.24)}
    assert found == expected | {(x, -y) for x, y in expected}
    assert in_orders(THREE, [(1, 2), (0, 2), (0, 1)]) == pytest.approx([5, 1.6, 1.36])
    # No promise of harmony from three tasks on: the first task loses.
    assert (in_orders(THREE, [(1, 2), (0, 2), (0, 1)]) @ THREE) @ THREE[0] == pytest.approx(-0.92)


def test_golden_self_projection_is_what_differs():
    full = np.array([[1, 2, 0], [1, 1, 1], [2, 2, 2]])
    assert _weights(THREE @ THREE.T, full, include_self=True) == pytest.approx([1.12, 1.4, 1.16])
    assert _weights(THREE @ THREE.T, full, include_self=False) == pytest.approx([1, 1.4, 1.16])


@pytest.mark.parametrize(("scale", "d"), [(10.0, (-2.0, 2.4)), (0.1, (-0.812, 0.024))])
def test_golden_scaling_one_task(scale, d):
    J = THREE * np.array([[scale], [1], [1]])
    assert in_orders(J, [(1, 2), (0, 2), (0, 1)]) @ J == pytest.approx(d, abs=1e-12)


def test_mean_over_random_orders_is_the_exact_expectation():
    assert exact_expectation(THREE) == pytest.approx([-0.52, 0.0], abs=1e-12)
    rng = generator(1)
    drawn = np.mean([weights(THREE, PCGrad(), rng) for _ in range(4000)], axis=0)
    assert drawn == pytest.approx([5, 1.38, 1.38], abs=0.02)
    J = generator(2).standard_normal((4, 3))
    drawn = np.mean([weights(J, PCGrad(), rng) for _ in range(4000)], axis=0)
    assert drawn @ J == pytest.approx(exact_expectation(J), abs=0.05)


def test_random_orders_are_independent_per_task():
    """All eight outcomes of the three-task example turn up; one order shared by the tasks would give fewer."""
    rng = generator(0)
    assert len({tuple(np.round(weights(THREE, PCGrad(), rng), 9)) for _ in range(200)}) == 8


@pytest.mark.parametrize("K", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("include_self", [False, True])
def test_equals_explicit_vectors(K, include_self):
    for seed in range(20):
        J = generator(seed).standard_normal((K, max(2, K // 2)))
        orders = generator(seed + 100).permuted(np.tile(np.arange(K), (K, 1)), axis=1)
        d = _weights(J @ J.T, orders, include_self) @ J
        assert d == pytest.approx(by_vectors(J, orders, include_self), rel=1e-10, abs=1e-10)


def test_projects_on_the_original_gradients():
    """With rows that are updated in turn, as some ports do, the three-task example would end elsewhere."""
    rows = THREE.copy()
    for i in range(3):
        for j in [j for j in range(3) if j != i]:
            s = rows[i] @ rows[j]
            if s < 0:
                rows[i] = rows[i] - s / (rows[j] @ rows[j]) * rows[j]
    assert not np.allclose(rows.sum(axis=0), weights(THREE) @ THREE)


@settings(max_examples=60, deadline=None)
@given(K=st.integers(2, 6), P=st.integers(1, 8), seed=st.integers(0, 10**6), exponent=st.integers(-6, 6))
def test_invariances(K, P, seed, exponent):
    rng = generator(seed)
    J = rng.standard_normal((K, P))
    alpha = weights(J)
    assert (alpha >= 1.0).all()
    assert weights(J * 10.0**exponent) == pytest.approx(alpha, rel=1e-9)
    if P > 1:
        assert weights(J @ special_ortho_group.rvs(P, random_state=seed)) == pytest.approx(alpha, rel=1e-6)
    order = rng.permutation(K)
    orders = [tuple(rng.permutation([j for j in range(K) if j != i])) for i in range(K)]
    moved = [tuple(int(np.flatnonzero(order == j)[0]) for j in orders[i]) for i in order]
    assert in_orders(J[order], moved) == pytest.approx(in_orders(J, orders)[order], rel=1e-9)
    a, b = np.abs(rng.standard_normal((2, K, 1))) + 0.1
    mixed = weights(J * (a + b)) @ (J * (a + b))
    assert mixed == pytest.approx(weights(J * a) @ (J * a) + weights(J * b) @ (J * b), rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(P=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_two_tasks_never_lose_and_never_draw(P, seed):
    J = generator(seed).standard_normal((2, P))
    rng = generator(0)
    w, _ = PCGrad()(J @ J.T, None, rng)
    assert (J @ (w @ J) >= -1e-12).all()
    assert rng.bit_generator.state == generator(0).bit_generator.state
    assert np.allclose(w, _weights(J @ J.T, np.array([[0, 1], [0, 1]]), include_self=True))


@pytest.mark.parametrize(
    ("J", "alpha"),
    [
        ([[1, 2]], [1]),
        ([[1, 0], [0, 1], [1, 1]], [1, 1, 1]),
        ([[1, 2], [1, 2], [1, 2]], [1, 1, 1]),
        ([[1, 2], [0, 0]], [1, 1]),
        ([[1, 0], [0, 0], [-1, 1]], [2, 1, 1.5]),
    ],
)
def test_no_conflict_is_the_sum(J, alpha):
    J = np.array(J, dtype=float)
    assert weights(J) == pytest.approx(alpha)


@pytest.mark.parametrize("a", [0.3, 1.0, 4.0])
def test_opposite_gradients_cancel(a):
    J = np.array([[1.0, 2], [-a, -2 * a]])
    assert weights(J) @ J == pytest.approx([0, 0], abs=1e-15)


def test_torchjd_says_the_same_for_two_tasks():
    peer = pytest.importorskip("torchjd.aggregation")
    for seed in range(10):
        J = torch.from_numpy(generator(seed).standard_normal((2, 4)))
        assert torch.allclose(direction(PCGrad(), J), peer.PCGrad()(J), atol=1e-12)


def test_torchjd_draws_the_same_set_for_three_tasks():
    peer = pytest.importorskip("torchjd.aggregation")
    J = torch.from_numpy(THREE)
    with torch.random.fork_rng():
        theirs = {tuple(np.round(peer.PCGrad()(J).numpy(), 9) + 0.0) for _ in range(200)}
    rng = generator(0)
    ours = {tuple(np.round(weights(THREE, PCGrad(), rng) @ THREE, 9) + 0.0) for _ in range(200)}
    assert ours == theirs


@pytest.mark.parametrize("fields", [{"reduction": "max"}, {"order": "shuffled"}, {"include_self": 1}, {"seed": 1}])
def test_refuses(fields):
    with pytest.raises(ValueError, match=f"`(pcgrad.)?{next(iter(fields))}`"):
        build("aggregators", "pcgrad", **fields)

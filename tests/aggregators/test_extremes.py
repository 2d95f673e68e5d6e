"""MGDA and CAGrad where lengths differ by up to twelve decades, gradients are alike, opposite, zero, or do not suffice.

Everything is checked in long double, from J itself: no use is made of the solvers' own Gram matrix or certificate.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradsurgery import build
from gradsurgery.core import simplex
from tests.contracts import generator

KINDS = ("independent", "agreeing", "twins", "nearly alike", "nearly opposite", "one zero")


def drawn(seed, K, P, kind, decades):
    """J (K, P): directions of one kind, with lengths spread evenly in their logarithm over so many decades."""
    rng = generator(seed)
    J = rng.standard_normal((K, P))
    if kind == "agreeing":
        J += 3.0 * rng.standard_normal(P)
    if kind == "twins":
        J[-1] = J[0]
    if kind == "nearly alike":
        J[1] = J[0] + 1e-6 * rng.standard_normal(P)
    if kind == "nearly opposite":
        J[1] = -J[0] + 1e-3 * rng.standard_normal(P)
    J *= 10.0 ** (-decades * rng.random(K))[:, None] / np.linalg.norm(J, axis=1, keepdims=True)
    if kind == "one zero":
        J[0] = 0.0
    return J


def exact(weights, J):
    """d = J^T w, its products with the rows of J, lengths of the rows, and |d|: in long double."""
    J = J.astype(np.longdouble)
    d = np.asarray(weights).astype(np.longdouble) @ J
    return d, J @ d, np.sqrt((J * J).sum(axis=1)), np.sqrt((d * d).sum())


problems = given(
    seed=st.integers(0, 10**6), K=st.integers(2, 20), ratio=st.sampled_from([0.5, 1.0, 3.0]),
    kind=st.sampled_from(KINDS), decades=st.floats(0.0, 12.0),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@problems
def test_mgda_hurts_no_task(seed, K, ratio, kind, decades):
    J = drawn(seed, K, max(1, int(ratio * K)), kind, decades)
    w = np.asarray(build("mgda")(J @ J.T, None, generator())[0])
    _, products, lengths, length = exact(w, J)
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0)
    if length <= 2e-7 * float(w @ lengths):
        return  # zero is in the hull, and what is left of d is below what float64's G can tell from it
    assert (products >= -1e-9 * lengths * length).all()
    # The shortest vector of the hull: <g_k, d> >= |d|^2, to rounding beside |g_k| |d|.
    assert (products >= length**2 - 1e-6 * lengths * length).all()


@settings(max_examples=150, deadline=None)
@given(c=st.sampled_from([0.2, 0.5, 0.9, 1.5]), data=st.data())
def test_cagrad_is_certified_beside_every_tasks_own_length(c, data):
    """d lies in the ball, and no task is served worse than the dual value F(w) allows: the gap is zero task by task."""
    K = data.draw(st.integers(2, 20))
    P = max(1, int(data.draw(st.sampled_from([0.5, 1.0, 3.0])) * K))
    kind = data.draw(st.sampled_from(KINDS))
    J = drawn(data.draw(st.integers(0, 10**6)), K, P, kind, data.draw(st.floats(0.0, 12.0)))
    method = build("cagrad", c=c, rescale=0, scale_by_num_tasks=False)
    alpha, state = method(J @ J.T, None, generator())
    d, products, lengths, length = exact(alpha, J)
    g0 = J.astype(np.longdouble).mean(axis=0)
    size = np.sqrt((g0 * g0).sum())
    if size <= 1e-5 * lengths.mean():
        return  # float64's G holds too few digits of a mean so much shorter than what it is the mean of
    if length == 0.0:
        assert c >= 1.0, "nobody may be left where they are who can be helped"
        return
    assert abs(np.sqrt(((d - g0) ** 2).sum()) - c * size) <= 1e-5 * c * size
    moving = lengths > 0.0
    dual = min(_dual(w, J[moving], g0, c * size) for w in _weights(alpha, J, moving, c))
    assert (products >= dual - 2e-6 * lengths * size)[moving].all()
    assert abs(state["gap"]) <= 1e-7


def _weights(alpha, J, moving, c):
    """Candidates for the dual's w: what was added to the mean, and where zero is in the hull, the solver's own."""
    beta = np.maximum(np.asarray(alpha) - 1.0 / len(J), 0.0)[moving]
    G = J @ J.T
    G /= np.trace(G) / len(J)
    m = G.mean(axis=1)
    found = simplex.minimise(G[np.ix_(moving, moving)], m[moving], c * np.sqrt(max(m.mean(), 0.0)))
    return [found.w, *([beta / beta.sum()] if beta.sum() > 0.0 else [])]


def _dual(w, J, g0, s):
    """F(w): whatever w is, no d of the ball does better for the task that is worst off."""
    gw = w.astype(np.longdouble) @ J.astype(np.longdouble)
    return gw @ g0 + s * np.sqrt((gw * gw).sum())


@pytest.mark.parametrize("decades", [0, 2, 3.9])
def test_ordinary_lengths_take_the_ordinary_path(decades, monkeypatch):
    """Up to four decades G is solved as it is, and every number stays what it was."""
    seen, inner = [], simplex._minimise
    monkeypatch.setattr(simplex, "_minimise", lambda G, m, s, floor, a: seen.append(a) or inner(G, m, s, floor, a))
    J = generator(1).standard_normal((6, 30))
    J *= np.logspace(0, -decades, 6)[:, None] / np.linalg.norm(J, axis=1, keepdims=True)
    for name in ("mgda", "cagrad"):
        build(name)(J @ J.T, None, generator())
    build("mgda")(J[:2] @ J[:2].T, None, generator())
    assert len(seen) == 2, "two tasks have a closed form"
    assert seen == [None, None]


def test_both_paths_agree_where_both_can_see(monkeypatch):
    for seed in range(60):
        J = drawn(seed, 3 + seed % 8, 30, KINDS[seed % 2], 2.0)
        found = []
        for spread in (1e8, 0.0):
            monkeypatch.setattr(simplex, "_SPREAD", spread)
            found.append([np.asarray(build(name)(J @ J.T, None, generator())[0]) @ J for name in ("mgda", "cagrad")])
        for one, other in zip(*found, strict=True):
            assert np.linalg.norm(one - other) <= 1e-7 * np.linalg.norm(one)

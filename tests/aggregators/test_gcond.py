"""GCond against the numbers of its specification, and against the same rules written with vectors instead of weights.

G1 to G20 name the entries of the specification's list. G16 belongs to the training rule: tests/rules/test_joint.py.
"""

import copy
import dataclasses
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gradsurgery.aggregators.gcond import GCond
from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import State

EPS = 1e-8
ONE = {"max_iters": 1, "output": "raw"}
OFFICIAL = {
    "beta": 0.85, "dominance_window": 3, "max_iters": None, "buffers": "bfloat16", "trust_coef": 1e-4,
    "trust_clip": 100.0,
}  # fmt: skip
CRITICAL = [[4.0, 0.0], [-3.0, 1.0]]
MODERATE = [[4.0, 0.0], [-3.0, 4.0]]
MILD = [[4.0, 0.0], [-7.0, 24.0]]
SEQUENCE = [
    [[0.5, -1.0, 2.0, 0.25], [1.5, 0.5, -0.75, 1.0], [-0.25, 2.0, 0.5, -1.5]],
    [[0.75, -0.5, 1.5, 0.5], [1.0, 0.25, -1.25, 0.75], [-0.5, 1.5, 1.0, -1.0]],
    [[4.0, -3.0, 0.5, 1.0], [0.125, 0.0625, -0.125, 0.25], [-0.25, 0.5, 0.25, -0.5]],
]


def call(method: GCond, J: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    return method(J, state, np.random.default_rng(0))


def run(*steps: list[list[float]], **fields: Any) -> tuple[np.ndarray, State]:
    """The direction and state after these steps, in float64."""
    method, state = GCond(**fields), None
    for J in steps:
        d, state = call(method, torch.tensor(J, dtype=torch.float64), state)
    assert state is not None
    return d.numpy(), state


def random_steps(rng: np.random.Generator, count: int, K: int, P: int) -> list[list[list[float]]]:
    lengths = np.exp(rng.normal(size=(count, K, 1)))
    return (lengths * (rng.normal(size=(count, K, P)) + rng.normal(size=(1, K, P)))).tolist()


class Vectors:
    """The rules of section 1 applied to vectors one by one: no Gram matrix, no coefficients. State in attributes."""

    def __init__(self, method: GCond) -> None:
        self.method, self.t, self.m = method, 0, 0.0
        self.ema: list[float] = []
        self.past: list[np.ndarray] = []
        self.history: list[int] = []

    def step(self, J: list[list[float]]) -> np.ndarray:
        f = self.method
        raw = [np.array(row) for row in J]
        rows, K = [row.copy() for row in raw], len(raw)
        self.ema = self.ema or [1.0] * K
        self.past = self.past or [np.zeros_like(row) for row in rows]
        for k in range(K):
            length = np.linalg.norm(rows[k])
            self.ema[k] = max(f.ema_beta * self.ema[k] + (1 - f.ema_beta) * length, EPS)
            if f.norm_cap is not None and length > f.norm_cap:
                rows[k] *= f.norm_cap / (length + EPS)
        for _ in range(2 * K if f.max_iters is None else f.max_iters):
            worst, pair = f.thresholds[2], None
            for i in range(K):
                for j in range(i + 1, K):
                    a, b = rows[i] @ rows[i], rows[j] @ rows[j]
                    c = rows[i] @ rows[j] / (math.sqrt(a * b) + EPS)
                    if a >= EPS and b >= EPS and c < worst:
                        worst, pair = c, (i, j)
            if pair is None:
                break
            self._resolve(rows, pair, max(worst, -1.0))
        self.past = rows if f.previous == "resolved" else raw
        g = np.sum(rows, axis=0)
        self.t += 1
        self.m = f.beta * self.m + (1 - f.beta) * g
        return g if f.output == "raw" else self.m / (1 - f.beta**self.t)

    def _resolve(self, rows: list[np.ndarray], pair: tuple[int, int], c: float) -> None:
        f, (i, j) = self.method, pair
        crit, main, weak = f.thresholds
        if f.mode == "zones" and c >= main:
            a, b = rows[i], rows[j]
            rows[i], rows[j] = a - (a @ b) / (b @ b + EPS) * b, b - (a @ b) / (a @ a + EPS) * a
            return
        ratio = {k: np.linalg.norm(rows[k]) / (self.ema[k] + EPS) for k in pair}
        score = {}
        for k in pair:
            lengths = np.linalg.norm(rows[k]) * np.linalg.norm(self.past[k])
            steady = rows[k] @ self.past[k] / (lengths + EPS)
            strong = ratio[k] / (ratio[i] + ratio[j] + EPS)
            score[k] = f.tie_weights[0] * max(0.0, steady) + f.tie_weights[1] * strong
        winner = j if score[j] > score[i] else i
        last = self.history[-f.dominance_window :] if f.dominance_window else []
        if last and last == [last[0]] * f.dominance_window and last[0] in pair:
            winner = i + j - last[0]
        loser = i + j - winner
        self.history.append(winner)
        v, u = rows[winner], rows[loser]
        if f.mode == "zones":
            rows[loser] = 0 * u if c < crit else u - (u @ v) / (v @ v + EPS) * v
            return
        if c <= crit:
            angle = math.pi
        elif c < main:
            angle = math.pi / 2 + math.pi / 2 * ((c - main) / (crit - main)) ** f.remap_power
        else:
            angle = math.pi / 2 * (1 - (c - main) / (weak - main))
        rows[winner] = v - math.sin(angle) * (u @ v) / (u @ u + EPS) * u
        rows[loser] = u - math.sin(min(angle, math.pi / 2)) * (u @ v) / (v @ v + EPS) * v


@pytest.mark.parametrize(
    ("c", "winner", "loser"),
    [
        *((c, 0.0, 1.0) for c in (-1.0, -0.9, -0.8)),
        (-0.75, 0.461749, 1.0), (-0.7, 0.766044, 1.0), (-0.65, 0.923880, 1.0), (-0.6, 0.984808, 1.0),
        (-0.55, 0.999048, 1.0), (-0.5, 1.0, 1.0), (-0.4, 0.951057, 0.951057), (-0.3, 0.809017, 0.809017),
        (-0.25, 0.707107, 0.707107), (-0.2, 0.587785, 0.587785), (-0.1, 0.309017, 0.309017),
        (-0.05, 0.156434, 0.156434), (-0.01, 0.031411, 0.031411),
    ],
)  # fmt: skip
def test_shares_of_the_angle_map(c: float, winner: float, loser: float) -> None:  # G1
    u = [10.0 * c, 10.0 * math.sqrt(1 - c * c)]  # ten times stronger: the second row wins on strength
    _, state = run([[1.0, 0.0], u], **ONE)
    assert state["decisions"].tolist() == [[1, 0]]
    first, second = state["previous"].numpy()
    # v - s <v,u>/|u|^2 u, projected on what it was reduced by
    given_up = {0: -(first @ u - 10.0 * c) / (10.0 * c), 1: -(second[0] - 10.0 * c) / (10.0 * c)}
    assert given_up[1] == pytest.approx(winner, abs=2e-6)
    assert given_up[0] == pytest.approx(loser, abs=2e-6)


def test_orthogonal_is_no_conflict() -> None:  # G1, c = 0
    _, state = run([[1.0, 0.0], [0.0, 3.0]])
    assert state["resolutions"] == 0.0


@pytest.mark.parametrize("threshold", [-0.8, -0.5, 0.0])
def test_continuous_at_the_thresholds(threshold: float) -> None:  # G1
    around = [run([[1.0, 0.0], [c, math.sqrt(1 - c * c)]], **ONE)[0] for c in (threshold - 1e-9, threshold + 1e-9)]
    np.testing.assert_allclose(*around, atol=1e-7)


def test_agreement() -> None:  # G2
    first, second = [[4.0, 0.0], [3.0, 4.0]], [[0.0, 2.0], [1.0, 1.0]]
    d, state = run(first)
    np.testing.assert_allclose(d, [7.0, 4.0], rtol=1e-14)
    np.testing.assert_allclose(state["ema"], [1.15, 1.2], rtol=1e-14)
    assert state["decisions"].shape == (0, 2)
    d, state = run(first, second)
    np.testing.assert_allclose(d, [3.8421052632, 3.4736842105], atol=1e-10)
    np.testing.assert_allclose(state["ema"], [1.1925, 1.21071068], atol=1e-8)
    np.testing.assert_allclose(run(first, second, output="raw")[0], [1.0, 3.0], rtol=1e-14)


def test_critical() -> None:  # G3
    g, state = run(CRITICAL, **ONE)
    np.testing.assert_allclose(g, [4.0, 1.0], atol=1e-6)
    winner, loser = state["previous"].numpy()
    np.testing.assert_allclose(winner, [4.0, 0.0], atol=1e-15)
    assert abs(winner @ loser) < 1e-6
    assert state["decisions"].tolist() == [[0, 1]]
    np.testing.assert_allclose(run(CRITICAL, mode="zones", **ONE)[0], [4.0, 0.0], atol=1e-15)


def test_moderate() -> None:  # G4
    g, state = run(MODERATE, **ONE)
    np.testing.assert_allclose(state["previous"], [[2.56, 1.92], [-0.04557675, 4.0]], atol=1e-6)
    np.testing.assert_allclose(g, [2.51442325, 5.92], atol=1e-6)
    assert state["decisions"].tolist() == [[1, 0]]
    np.testing.assert_allclose(run(MODERATE, mode="zones", **ONE)[0], [-0.44, 5.92], atol=1e-6)


@pytest.mark.parametrize("max_iters", [1, 3, None])
def test_mild(max_iters: int | None) -> None:  # G5
    g, state = run(MILD, max_iters=max_iters, output="raw")
    np.testing.assert_allclose(state["previous"], [[3.75836704, 0.82845585], [-1.60640724, 24.0]], atol=1e-6)
    np.testing.assert_allclose(g, [2.15195980, 24.82845585], atol=1e-6)
    assert state["resolutions"] == 1.0


def test_mild_in_hard_zones_is_pcgrad() -> None:  # G5
    g, state = run(MILD, mode="zones", dominance_window=3, **ONE)
    np.testing.assert_allclose(g, [3.6864, 25.0752], atol=1e-6)
    assert state["history"].tolist() == []  # nobody won


def test_boundary_is_pcgrad() -> None:  # G6
    g, state = run([[4.0, 0.0], [-2.0, 2.0 * math.sqrt(3.0)]], **ONE)
    np.testing.assert_allclose(state["previous"], [[3.0, 1.7320508], [0.0, 3.4641016]], atol=1e-6)
    np.testing.assert_allclose(g, [3.0, 5.1961524], atol=1e-6)
    weights, _ = build("aggregators", "pcgrad")(np.array([[16.0, -8.0], [-8.0, 16.0]]), None, np.random.default_rng(0))
    np.testing.assert_allclose(g, weights @ [[4.0, 0.0], [-2.0, 2.0 * math.sqrt(3.0)]], atol=1e-6)


@pytest.mark.parametrize(
    ("max_iters", "expected"),
    [(1, [0.92781153, 1.02573424]), (3, [0.93461611, 1.03325699]), (None, [0.93628675, 1.03510394])],
)
def test_mild_conflicts_are_revisited(max_iters: int | None, expected: list[float]) -> None:  # G7
    d, state = run([[1.0, 0.0], [-0.1, math.sqrt(0.99)]], max_iters=max_iters)
    np.testing.assert_allclose(d, expected, atol=1e-6)
    assert state["resolutions"] == (4.0 if max_iters is None else max_iters)


def test_dominance_window() -> None:  # G8
    expected = [([4.0, 1.0], [0]), ([4.0, 1.0], [0, 0]), ([4.0, 1.0], [0, 0, 0]), ([-2.6, 2.2], [0, 0, 1])]
    for n, (g, history) in enumerate(expected, 1):
        found, state = run(*[CRITICAL] * n, dominance_window=3, **ONE)
        np.testing.assert_allclose(found, g, atol=1e-6)
        assert state["history"].tolist() == history
    fifth, state = run(*[CRITICAL] * 5, dominance_window=3, **ONE)
    np.testing.assert_allclose(fifth, [-2.6, 2.2], atol=1e-6)
    assert state["history"].tolist() == [0, 1, 1]  # on steadiness, not by force


def test_rounding_fills_the_dominance_window_unless_tolerated() -> None:  # G8, and quirk 4
    _, state = run(CRITICAL, dominance_window=3, max_iters=None)
    assert state["decisions"][:, 0].tolist() == [0, 0, 0, 1]
    assert state["history"].tolist() == [0, 0, 1]
    _, state = run(CRITICAL, dominance_window=3, max_iters=None, conflict_tol=1e-6)
    assert state["history"].tolist() == [0]


@pytest.mark.parametrize(
    ("previous", "winner", "expected"),
    [("resolved", 0, [0.625, 1.375]), ("raw", 1, [-1.17647058, 0.45588236])],
)
def test_previous_gradient_decides(previous: str, winner: int, expected: list[float]) -> None:  # G9
    steps = [[[4.0, 0.0], [0.0, 4.0]], [[3.0, 0.0], [-3.0, 1.0]], [[1.0, 1.0], [-1.0, -0.25]]]
    g, state = run(*steps, previous=previous, **ONE)
    np.testing.assert_allclose(g, expected, atol=1e-6)
    assert state["decisions"][0, 0] == winner


def test_first_task_wins_a_tie() -> None:  # G10
    g, state = run([[1.0, 0.0], [-1.0, 0.0]], **ONE)
    np.testing.assert_allclose(g, [1.0, 0.0], atol=1e-6)
    assert state["decisions"].tolist() == [[0, 1]]


def test_tiny_gradients_are_in_no_conflict() -> None:  # G11
    g, state = run([[3.05e-5, 0.0], [-1.0, 0.0]], **ONE)
    np.testing.assert_allclose(g, [3.05e-5 - 1.0, 0.0], rtol=1e-12)
    assert state["resolutions"] == 0.0
    g, state = run([[1.22e-4, 0.0], [-1.0, 0.0]], **ONE)
    np.testing.assert_allclose(g, [-1.0, 0.0], atol=1e-6)
    assert state["decisions"].tolist() == [[1, 0]]


def test_norm_cap() -> None:  # G12
    g, state = run(MODERATE, norm_cap=1.0, **ONE)
    np.testing.assert_allclose(g, [0.64546921, 1.27270771], atol=1e-6)
    np.testing.assert_allclose(state["ema"], [1.15, 1.2], rtol=1e-12)
    assert state["decisions"].tolist() == [[0, 1]]
    _, state = run([[4.0, 0.0], [0.0, 0.5]], norm_cap=1.0)
    np.testing.assert_allclose(state["previous"], [[1.0, 0.0], [0.0, 0.5]], atol=1e-7)


def test_lion() -> None:  # G13
    J = torch.tensor(CRITICAL, dtype=torch.float64)
    method = GCond(output="lion", max_iters=1, trust_coef=1e-4, trust_clip=100.0)
    d, _ = call(method, J, {"sizes": [2], "norms": [5.0]})
    np.testing.assert_allclose(d, [1.21267813e-4, 1.21267813e-4], rtol=1e-7)
    d, state = call(method, J, {"sizes": [1, 1], "norms": [3.0, 4.0]})
    np.testing.assert_allclose(d, [0.75e-4, 4e-4], rtol=1e-7)
    d, _ = call(dataclasses.replace(method, trust_clip=2.0), J, {"sizes": [1, 1], "norms": [3.0, 4.0]})
    np.testing.assert_allclose(d, [0.75e-4, 2e-4], rtol=1e-7)
    d, _ = call(method, J, {"sizes": [1, 1], "norms": np.array([0.0, 4.0])})
    np.testing.assert_allclose(d, [1e-4, 4e-4], rtol=1e-7)  # no ratio for a parameter of length zero
    d, state = call(method, J, {**state, "sizes": [2], "norms": [5.0]})
    assert state["t"] == 2
    np.testing.assert_allclose(d, [1.21267813e-4, 1.21267813e-4], rtol=1e-7)


@pytest.mark.parametrize(
    "state", [None, {"sizes": [2]}, {"sizes": [3], "norms": [1.0]}, {"sizes": [1, 1], "norms": [1]}]
)
def test_lion_wants_the_parameters(state: State | None) -> None:
    with pytest.raises(ValueError, match=r"^`(state|sizes)` must "):
        call(GCond(output="lion"), torch.ones(2, 2), state)


def test_three_tasks() -> None:  # G14
    J = [[4.0, 0.0, 0.0], [-3.0, 4.0, 0.0], [-1.0, -2.0, 2.0]]
    g, state = run(J, max_iters=3, output="raw")
    np.testing.assert_allclose(g, [2.82777085, 4.12470621, 4.42778993], atol=1e-6)
    assert state["decisions"].tolist() == [[1, 0], [0, 2], [1, 2]]
    np.testing.assert_allclose(run(J, **ONE)[0], [1.51442325, 3.92, 2.0], atol=1e-6)


def test_sequence() -> None:  # G15
    g = [
        [2.585419601, 2.1697366149, 2.3960120838, -0.2785981236],
        [2.166917903, 2.3756528312, 0.9826325568, 0.508298946],
        [3.6770630138, -0.9913388223, 1.4759097866, -0.6616094396],
    ]
    d = [
        g[0],
        [2.3651555494, 2.2781135708, 1.6521281222, 0.1355582288],
        [2.8492542448, 1.0716735734, 1.5871029061, -0.1585995824],
    ]
    decisions = [[[2, 0], [2, 1], [0, 1]], [[2, 1], [0, 1], [2, 0]], [[0, 2], [1, 2]]]
    for n in (1, 2, 3):
        np.testing.assert_allclose(run(*SEQUENCE[:n], output="raw")[0], g[n - 1], rtol=1e-6)
        found, state = run(*SEQUENCE[:n])
        np.testing.assert_allclose(found, d[n - 1], rtol=1e-6)
        assert state["decisions"].tolist() == decisions[n - 1]
    np.testing.assert_allclose(state["ema"], [1.30400806, 1.04875681, 1.11326460], atol=1e-8)


def test_first_step_is_unsmoothed() -> None:  # G17
    g = run(MODERATE, output="raw")[0]
    for beta in (0.0, 0.5, 0.85, 0.9, 0.99):
        np.testing.assert_allclose(run(MODERATE, beta=beta)[0], g, rtol=1e-14)
    np.testing.assert_array_equal(run(*SEQUENCE, beta=0.0)[0], run(*SEQUENCE, output="raw")[0])


def test_raw_output_keeps_the_momentum_going() -> None:
    raw, smooth = run(*SEQUENCE, output="raw")[1], run(*SEQUENCE)[1]
    assert torch.equal(raw["m"], smooth["m"])


@pytest.mark.parametrize(("scale", "winner"), [(1e-2, 0), (1.0, 1), (1e3, 1)])
def test_scale_moves_strength_but_not_zones(scale: float, winner: int) -> None:  # G18
    past, J = scale * np.array([[10.0, 0.0], [0.0, 1.0]]), scale * np.array([[4.0, 0.0], [-1.8, 2.4]])  # c = -0.6
    _, state = run(past.tolist(), J.tolist(), tie_weights=(0.0, 1.0), **ONE)
    assert state["decisions"].tolist() == [[winner, 1 - winner]]
    lengths = np.linalg.norm(J, axis=1)
    given_up = np.linalg.norm(state["previous"].numpy() - J, axis=1) / (0.6 * lengths)
    np.testing.assert_allclose(given_up[[winner, 1 - winner]], [0.98480775, 1.0], atol=2e-5)


def test_a_resolution_never_deepens_a_conflict_of_two() -> None:  # G19
    method = GCond(**ONE)
    for J in torch.from_numpy(np.random.default_rng(0).normal(size=(300, 2, 3))):
        before = float(J[0] @ J[1])
        first, second = call(method, J)[1]["previous"]
        assert float(first @ second) >= before - 1e-12
        if before < -1e-3:
            assert float(first @ second) > before


@pytest.mark.parametrize("tasks", [2, 3, 4])
@pytest.mark.parametrize(
    "fields",
    [
        {}, {"max_iters": None, "conflict_tol": 0.0}, {"mode": "zones"}, {"previous": "raw"}, {"norm_cap": 1.5},
        {"norm_cap": 1.5, "previous": "raw"}, {"dominance_window": 3, "max_iters": 1}, {"output": "raw"},
        {"dominance_window": 2, "mode": "zones", "max_iters": 1}, {"thresholds": (-1.0, -0.4, 0.1), "remap_power": 3.0},
        {"thresholds": (-0.5, -0.5, 0.0)}, {"tie_weights": (0.2, 0.8), "ema_beta": 0.5, "beta": 0.5},
    ],
)  # fmt: skip
def test_equals_the_rules_written_with_vectors(tasks: int, fields: dict[str, Any]) -> None:
    rng = np.random.default_rng([tasks, len(str(fields))])
    method = GCond(**fields)
    for _ in range(3):
        oracle, state, seen = Vectors(method), None, 0.0
        for J in random_steps(rng, 10, tasks, 5):
            d, state = call(method, torch.tensor(J, dtype=torch.float64), state)
            expected = oracle.step(J)
            np.testing.assert_allclose(d, expected, atol=1e-6 * np.linalg.norm(J))
            seen += state["resolutions"]
            if method.dominance_window:
                assert state["history"].tolist() == oracle.history[-method.dominance_window :]
        assert seen > 0


def test_defaults_and_the_official_set() -> None:
    assert GCond() == build("aggregators", "gcond", thresholds=[-0.8, -0.5, 0.0], tie_weights=[0.8, 0.2])
    official = build("aggregators", "gcond", **OFFICIAL)
    assert {name: getattr(official, name) for name in OFFICIAL} == OFFICIAL


@pytest.mark.parametrize("fields", [{"beta": 0.9}, {"beta": 0.9, "previous": "raw"}])
def test_bfloat16_buffers_stay_near(fields: dict[str, Any]) -> None:
    method, state = GCond(buffers="bfloat16", **fields), None
    for J in SEQUENCE:
        d, state = call(method, torch.tensor(J), state)
    assert state is not None
    assert {state["m"].dtype, state["previous"].dtype} == {torch.bfloat16}
    assert d.dtype == torch.float32
    exact = run(*SEQUENCE, **fields)[0]
    assert np.linalg.norm(d.numpy() - exact) < 1e-2 * np.linalg.norm(exact)
    assert np.abs(d.numpy() - exact).max() > 1e-4  # it did round


def test_bfloat16_buffers_of_the_official_code() -> None:  # G4, G15: what it returned on these inputs
    d, _ = run(MODERATE, buffers="bfloat16", **ONE)
    np.testing.assert_allclose(d, [2.515625, 5.921875], rtol=1e-2)
    assert d[1] == 5.921875  # the sum itself is not rounded
    d, _ = run(*SEQUENCE, buffers="bfloat16")
    np.testing.assert_allclose(d, [2.859375, 1.0703125, 1.5859375, -0.16210938], atol=0.01)


@pytest.mark.parametrize(("beta", "limit"), [(0.99, 0.98046875), (0.9, 1.0)])
def test_bfloat16_momentum_loses_small_updates(beta: float, limit: float) -> None:  # quirk 10
    method, state = GCond(beta=beta, buffers="bfloat16"), None
    for _ in range(1500):
        d, state = call(method, torch.ones(1, 1), state)
    assert d.item() == limit


def test_one_task() -> None:
    d, state = run([[3.0, 4.0]], [[1.0, 0.0]], norm_cap=1.0, beta=0.5)
    np.testing.assert_allclose(d, (np.array([3.0, 4.0]) + 2.0 * np.array([1.0, 0.0])) / 3.0, rtol=1e-14)
    assert set(state) == {"m", "t"}  # no norm to remember where nobody competes
    np.testing.assert_array_equal(run([[3.0, 4.0]], output="raw")[0], [3.0, 4.0])


def test_no_resolution_is_the_smoothed_sum() -> None:
    sums = np.array(SEQUENCE).sum(axis=1)
    weights = 0.1 * 0.9 ** np.arange(2, -1, -1)
    d, state = run(*SEQUENCE, max_iters=0)
    np.testing.assert_allclose(d, weights @ sums / (1.0 - 0.9**3), rtol=1e-12)
    assert set(state) == {"m", "t"}


def test_zero_gradients() -> None:
    np.testing.assert_array_equal(run([[0.0, 0.0], [0.0, 0.0]], output="raw")[0], [0.0, 0.0])
    d, state = run([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [-3.0, 1.0, 0.0]], **ONE)
    np.testing.assert_allclose(d, run([[4.0, 0.0, 0.0], [-3.0, 1.0, 0.0]], **ONE)[0], rtol=1e-12)
    assert np.isfinite(state["ema"]).all()
    d, _ = run(CRITICAL, [[0.0, 0.0], [-3.0, 1.0]], CRITICAL)
    assert np.isfinite(d).all()


def test_duplicates_agree() -> None:
    d, state = run([[3.0, -1.0]] * 4, output="raw")
    np.testing.assert_allclose(d, [12.0, -4.0], rtol=1e-14)
    assert state["resolutions"] == 0.0


@pytest.mark.parametrize("scale", [1e-10, 1e-3, 1e6, 1e15])
@pytest.mark.parametrize("tasks", [2, 5, 40])
def test_finite_at_any_scale(scale: float, tasks: int) -> None:
    J = (scale * np.random.default_rng(tasks).normal(size=(tasks, 6))).tolist()
    d, state = run(J, J, max_iters=None, dominance_window=3)
    assert np.isfinite([*d, *state["ema"]]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    state, method = None, GCond()
    for J in SEQUENCE:
        d, state = call(method, torch.tensor(J, dtype=dtype), state)
    assert state is not None
    assert {d.dtype, state["previous"].dtype} == {dtype}
    assert state["m"].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    bound = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 1e-2)
    exact = run(*SEQUENCE)[0]
    assert np.linalg.norm(d.double().numpy() - exact) <= bound * np.linalg.norm(exact)


@pytest.mark.parametrize("fields", [{}, {"output": "raw"}, {"previous": "raw"}, {"beta": 0.0}, {"buffers": "bfloat16"}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tasks", [1, 3])
def test_gradients_are_left_alone_and_memory_is_reused(
    fields: dict[str, Any], dtype: torch.dtype, tasks: int
) -> None:  # G20
    method = GCond(**fields)
    J = torch.tensor(SEQUENCE[0], dtype=dtype)[:tasks]
    original = J.clone()
    first, state = call(method, J)
    kept = first.clone()
    owned = {key: state[key].untyped_storage().data_ptr() for key in ("m", "previous") if key in state}
    d, after = call(method, J, copy.copy(state))
    assert torch.equal(J, original)
    assert torch.equal(first, kept)  # a direction that was handed out is not ours any more
    assert {key: after[key].untyped_storage().data_ptr() for key in owned} == owned
    outside = [t.untyped_storage().data_ptr() for t in (J, first, d)]
    assert len({*outside, *owned.values()}) == 3 + len(owned)
    if tasks > 1:
        assert not any(np.shares_memory(after[key], state[key]) for key in ("ema", "history"))


@pytest.mark.parametrize("fields", [{}, {"previous": "raw"}, {"buffers": "bfloat16"}, {"output": "raw"}])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    method = GCond(**fields)
    steps = torch.tensor(random_steps(np.random.default_rng(5), 6, 3, 41))
    expected, state = [], None
    for J in steps:
        d, state = call(method, J, state)
        expected.append(d)
    monkeypatch.setattr("gradsurgery.aggregators.gcond._BLOCK", 30)  # four blocks of ten columns, and one more
    state = None
    for J, wanted in zip(steps, expected, strict=True):
        d, state = call(method, J, state)
        torch.testing.assert_close(d, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("fields", [{}, {"dominance_window": 2, "max_iters": 1}, OFFICIAL])
def test_state_survives_a_checkpoint(fields: dict[str, Any]) -> None:  # G20
    method, state = GCond(**fields), None
    steps = torch.tensor(random_steps(np.random.default_rng(3), 8, 3, 6))
    for J in steps[:4]:
        _, state = call(method, J, state)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for J in steps[4:]:
        straight, state = call(method, J, state)
        resumed, loaded = call(method, J, loaded)
        assert torch.equal(resumed, straight)
    forgotten, _ = call(method, steps[-1])
    assert not torch.equal(forgotten, straight)


def test_no_randomness_is_used() -> None:
    def everything() -> list[str]:  # but for `random`, with which the annotation checker picks what it checks
        numpy_state = np.random.get_state()  # noqa: NPY002
        return list(map(repr, (numpy_state, torch.get_rng_state().tolist(), rng.bit_generator.state)))

    rng = np.random.default_rng(7)
    before = everything()
    method, J = GCond(max_iters=None, dominance_window=3), torch.tensor(SEQUENCE[0])
    (first, _), (second, _) = method(J, None, rng), method(J, None, np.random.default_rng(8))
    assert torch.equal(first, second)
    assert everything() == before


def test_log_is_plain_floats() -> None:
    _, state = run(CRITICAL)
    assert {k for k, v in state.items() if type(v) is float} == {"resolutions"}


@pytest.mark.parametrize("shape", [(3, 4), (2, 3)])
def test_shape_must_stay(shape: tuple[int, int]) -> None:
    _, state = call(GCond(), torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"^`J` must keep the \d (rows|columns) the state was made for, found \d\.$"):
        call(GCond(), torch.ones(shape), state)


@pytest.mark.parametrize(
    "fields",
    [
        {"thresholds": (-0.5, -0.8, 0.0)}, {"thresholds": (-1.1, -0.5, 0.0)}, {"thresholds": (-0.8, math.nan, 0.0)},
        {"tie_weights": (-0.1, 0.2)}, {"tie_weights": (math.inf, 0.2)}, {"ema_beta": 1.0}, {"beta": -0.1},
        {"remap_power": 0.0}, {"dominance_window": -1}, {"max_iters": -1}, {"norm_cap": 0.0}, {"trust_coef": 0.0},
        {"trust_clip": -1.0}, {"conflict_tol": -1e-6}, {"eps": 0.0},
    ],
)  # fmt: skip
def test_refuses(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(ValueError, match=rf"^`{name}` must be .*, found {name} = .*\.$"):
        GCond(**fields)


@pytest.mark.parametrize(
    "fields", [{"mode": "soft"}, {"previous": "last"}, {"output": "sign"}, {"buffers": "int8"}, {"thresholds": [0.0]}]
)
def test_refuses_through_build(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(ValueError, match=rf"`(gcond\.)?{name}` must be "):
        build("aggregators", "gcond", **fields)

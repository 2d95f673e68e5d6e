"""PCGrad's condition: the formula is that of its own direction, and shares are counted where they can be judged."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradsurgery.aggregators.pcgrad import PCGrad
from gradsurgery.evidence import pcgrad_condition
from gradsurgery.evidence.history import Run, parse
from gradsurgery.report import condition
from tests.histories import evidence_of

# cosine, magnitude similarity, curvature of the mean loss; what each step meets follows below
STEPS = [(0.4, 0.5, 1.0), (-0.2, 0.5, 1.0), (-0.55, 0.5, 1.0), (-0.9, 0.5, -1.0), (-0.9, 0.5, 1.0), (-0.9, 0.5, 30.0)]


def make(made_up: Callable[..., dict], method: str = "sum", seeds: int = 2, **settings: Any) -> list[Run]:
    records = [made_up("p", method, seed, 0.0) for seed in range(seeds)]
    for record in records:
        record["diagnostics"] = [
            {"step": s, "mean_cosine": c, "magnitude_similarity": phi, "curvature": h}
            for s, (c, phi, h) in enumerate(STEPS)
        ]
        record["declaration"]["settings"] |= settings
    return parse([json.dumps(record) for record in records], method)


def pairs(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal((2, 3)) * np.exp(2 * rng.standard_normal((2, 1))) for _ in range(count)]
    return [J for J in drawn if J[0] @ J[1] < 0]


def measured(J: np.ndarray) -> tuple[float, float]:
    a, b = np.linalg.norm(J, axis=1)
    return float(J[0] @ J[1] / (a * b)), float(2 * a * b / (a**2 + b**2))


def test_xi_is_the_squared_length_of_pcgrads_direction_over_that_of_the_sum() -> None:
    generator = np.random.default_rng(0)
    for J in pairs(100):
        weights, _ = PCGrad()(J @ J.T, None, generator)
        c, phi = measured(J)
        found = pcgrad_condition.xi(np.array([c]), np.array([phi]))[0]
        assert found == pytest.approx(np.sum((weights @ J) ** 2) / np.sum(J.sum(axis=0) ** 2), rel=1e-9)
    assert np.isinf(pcgrad_condition.xi(np.array([-1.0]), np.array([1.0]))[0])


def test_where_all_three_parts_hold_the_step_is_no_worse() -> None:
    """The theorem itself, on bowls of curvature h, where l = L = h and t is the smallest that (c) allows."""
    generator, met = np.random.default_rng(0), 0
    for J in pairs(400):
        c, phi = measured(J)
        ratio = float(pcgrad_condition.xi(np.array([c]), np.array([phi]))[0])
        if c > -phi or ratio >= 1.0:
            continue
        met += 1
        h, g = 0.7, J.sum(axis=0)
        weights, _ = PCGrad()(J @ J.T, None, generator)
        for t in (2.0 / (h - ratio * h), 5.0 / (h - ratio * h)):
            ours, theirs = (-t * g @ d + 0.5 * t**2 * h * d @ d for d in (weights @ J, g))
            assert ours <= theirs + 1e-9
            assert t * h >= 2.0, "what is counted for (c) is implied by it"
    assert met > 20


def test_xi_at_most_one_contains_part_a() -> None:
    c, phi = np.meshgrid(np.linspace(-1.0, -1e-3, 400), np.linspace(1e-3, 1.0, 400))
    held = pcgrad_condition.xi(c.ravel(), phi.ravel()) <= 1.0
    assert held.any()
    assert (c.ravel()[held] <= -phi.ravel()[held] + 1e-12).all()
    rearranged = -c.ravel() >= phi.ravel() * (2 - c.ravel() ** 2)
    assert np.mean(held == rearranged) > 0.999


def test_every_part_is_counted_with_those_before_it(made_up: Callable[..., dict]) -> None:
    found = pcgrad_condition.shares(make(made_up, optimizer="sgd", lr=0.05, momentum=0.5))
    assert {part: share.count for part, share in found.items()} == {"conflict": 10, "a": 8, "b": 6, "bends": 4, "c": 2}
    assert {share.steps for share in found.values()} == {12}
    assert found["b"].mean == 0.5
    assert found["b"].low == pytest.approx(0.211, abs=1e-3), "seeds agree exactly, so it is Clopper and Pearson's"


def test_step_lengths_are_those_of_sgd_only(made_up: Callable[..., dict]) -> None:
    assert pcgrad_condition.step_length({"optimizer": "sgd", "lr": 0.1, "momentum": 0.9}) == pytest.approx(1.0)
    assert pcgrad_condition.step_length({"optimizer": "sgd", "lr": 0.1}) == 0.1
    assert pcgrad_condition.step_length({"optimizer": "adam", "lr": 0.1}) is None
    assert pcgrad_condition.step_length({"lr": 0.1}) is None
    assert "c" not in pcgrad_condition.shares(make(made_up, optimizer="adam", lr=0.05))


def test_only_two_tasks_and_recorded_cosines_can_be_judged(made_up: Callable[..., dict]) -> None:
    three = made_up("p", "sum", 0, 0.0) | {"tasks": ["a", "b", "c"]}
    assert pcgrad_condition.shares(parse([json.dumps(three)], "h")) == {}
    silent = made_up("p", "sum", 0, 0.0) | {"diagnostics": []}
    assert pcgrad_condition.shares(parse([json.dumps(silent)], "h")) == {}
    plain = made_up("p", "sum", 0, 0.0)
    assert list(pcgrad_condition.shares(parse([json.dumps(plain)], "h"))) == ["conflict", "a", "b"]
    assert condition.sentence(evidence_of({"p-sum": parse([json.dumps(silent)], "h")})) == ""
    assert condition.table(evidence_of({"p-sum": parse([json.dumps(silent)], "h")})).empty

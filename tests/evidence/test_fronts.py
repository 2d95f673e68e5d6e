"""The front of static weights: worked distances, what noise does to them, hypervolume, and real shapes of input."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.fronts import Front, _areas, _band, _distances, _Seeds, distance
from gradsurgery.evidence.fronts import front as front_of
from gradsurgery.evidence.history import Role, Run, parse
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import summarise
from gradsurgery.report import fronts
from gradsurgery.report.style import svg
from tests.histories import role_of

METRICS = {"left.accuracy": True, "right.accuracy": True}
LINE = np.array([[0.9, 0.5], [0.8, 0.7], [0.7, 0.8], [0.5, 0.9]])  # concave, as fronts are


def of(points: np.ndarray, **others: np.ndarray) -> _Seeds:
    return _Seeds(tuple(range(len(points))), points, others)


def distances(found: _Seeds, noise: float | None = None) -> dict[str, Contrast]:
    gaps = {m: _distances(found, own) for m, own in found.others.items()}
    terms = ("all.accuracy", True)
    return {
        m: Contrast("front", "p", m, "static weights", *terms, summarise(own, noise or 0.0), "equal epochs", noise)
        for m, own in gaps.items() if own
    }  # fmt: skip


def shown(found: _Seeds) -> Front:
    grid, band = _band(found)
    names = [f"static-{i}" for i in range(found.points.shape[1])]
    others = {m: own.mean(axis=0).tolist() for m, own in found.others.items()}
    middle = found.points.mean(axis=0).tolist()
    return Front(METRICS, len(found.seeds), names, middle, grid.tolist(), band.tolist(), others, _areas(found))


def front(made: dict[str, list[Run]], rule: str) -> tuple[Front, list[Contrast]] | None:
    return front_of({method: Line(group, rule) for method, group in made.items()}, "front")


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0.8, 0.7), 0.0), ((0.75, 0.75), 0.0), ((0.8, 0.8), 0.05), ((0.7, 0.7), -0.05), ((0.85, 0.75), 0.05),
        ((0.95, 0.55), 0.05),
    ],
)  # fmt: skip
def test_distance_is_what_both_tasks_gain_at_once(point: tuple[float, float], expected: float) -> None:
    assert distance(LINE, np.array(point)) == pytest.approx(expected)
    assert distance(LINE[::-1], np.array(point)) == pytest.approx(expected)  # the weights' order does not matter


def test_beyond_the_ends_there_is_no_distance() -> None:
    assert np.isnan(distance(LINE, np.array([0.95, 0.4])))
    found = of(np.stack([LINE] * 3), far=np.array([[0.95, 0.4]] * 3), near=np.array([[0.8, 0.8]] * 3))
    assert list(distances(found)) == ["near"]
    assert "beyond the weights' ends" in fronts.table(shown(found), list(distances(found).values())).to_string()
    once = of(np.stack([LINE] * 3), astray=np.array([[0.8, 0.8], [0.8, 0.8], [0.95, 0.4]]))
    assert distances(once) == {}, "one seed beyond the ends is enough"


def simulated(seeds: int, shift: float, rng: np.random.Generator) -> _Seeds:
    shared = 0.02 * rng.standard_normal((seeds, 1, 2))
    noise = 0.003 * rng.standard_normal((seeds, len(LINE), 2))
    own = np.array([0.75, 0.75]) + shift + shared[:, 0] + 0.003 * rng.standard_normal((seeds, 2))
    return of(LINE + shared + noise, method=own)


def test_the_interval_of_a_distance_covers_it() -> None:
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(400):
        entry = distances(simulated(5, 0.004, rng))["method"].difference
        assert entry.low is not None
        assert entry.high is not None
        covered.append(entry.low <= 0.004 <= entry.high)
    assert 0.92 < np.mean(covered) < 0.98


def test_seeds_cancel_what_they_share() -> None:
    entry = distances(simulated(5, 0.004, np.random.default_rng(0)))["method"].difference
    assert entry.sd is not None
    assert entry.sd < 0.008  # the seeds themselves move by 0.02 in both tasks


@pytest.mark.parametrize(("seeds", "slack"), [(3, 0.1), (5, 0.15)])
def test_the_band_is_as_wide_as_students_interval_at_a_weight(seeds: int, slack: float) -> None:
    """Of three seeds the bootstrap's quantiles are the extremes: 0.94 to 1.08 of Student's width, by their range."""
    rng, factor = np.random.default_rng(1), student.ppf(0.975, seeds - 1)
    ratios = []
    for _ in range(12):
        points = LINE + 0.01 * rng.standard_normal((seeds, 1, 1))  # moves along v only, so that u stays
        grid, (low, middle, high) = _band(of(points))
        v = points.sum(axis=2) / 2**0.5
        at = np.interp((LINE[1, 0] - LINE[1, 1]) / 2**0.5, grid, high - low)
        ratios.append(at / (2 * factor * v[:, 1].std(ddof=1) / seeds**0.5))
        assert (low <= middle).all()
        assert (middle <= high).all()
    assert ratios == pytest.approx(np.ones(len(ratios)), abs=slack)


def test_the_band_repeats() -> None:
    found = of(LINE + 0.01 * np.random.default_rng(1).standard_normal((7, 4, 2)))
    for first, again in zip(_band(found), _band(found), strict=True):
        assert np.array_equal(first, again)


def test_hypervolume_by_hand() -> None:
    """Reference (0.5, 0.5): two of the points hold 0.3 x 0.2 + 0.2 x 0.1 = 0.08, the ends nothing; (0.8, 0.8) 0.09."""
    found = of(np.stack([LINE] * 2), inner=np.array([[0.7, 0.7]] * 2), outer=np.array([[0.8, 0.8]] * 2))
    gains = _areas(found)
    assert gains["inner"].mean == 0.0
    assert gains["outer"].mean == pytest.approx(100 * (0.09 / 0.08 - 1))
    # Another seed whose worst value is 0.4 moves the reference of both to (0.4, 0.4).
    lower = np.stack([LINE, np.where(LINE == 0.5, 0.4, LINE)])
    joined = _areas(of(lower, outer=np.array([[0.8, 0.8]] * 2)))["outer"]
    assert joined.mean == pytest.approx(100 * ((0.18 / 0.17 - 1) + (0.16 / 0.15 - 1)) / 2)


@pytest.fixture
def runs(made_up: Callable[..., dict]) -> Callable[..., dict[str, list[Run]]]:
    def build(weights: tuple[int, ...] = (10, 30, 50, 70, 90), seeds: int = 3, **changes: Any) -> dict[str, list[Run]]:
        made = {}
        for method in ["sum", "pcgrad", "single_task-left", *(f"static-{w}" for w in weights)]:
            records = [made_up("p", method, seed, 0.0) for seed in range(seeds)]
            for record in records:
                if method.startswith("static"):
                    record["declaration"]["aggregator"] = {"name": "sum"}
                    _trade(record, int(method.split("-")[1]) / 100 - 0.5)
                record.update({"role": role_of(method), **changes})
            made[method] = parse([json.dumps(record) for record in records], method)
        return made

    return build


def _trade(record: dict[str, Any], slope: float) -> None:
    for row in record["epochs"]:
        for split in ("val", "test"):
            row[f"{split}.left.accuracy"] += 0.1 * slope - 0.1 * slope**2
            row[f"{split}.right.accuracy"] -= 0.1 * slope + 0.1 * slope**2


def test_a_front_is_read_from_the_runs(runs: Callable[..., dict[str, list[Run]]]) -> None:
    found = front(runs(), "last")
    assert found is not None
    record, gaps = found
    assert record.weights == ["static-10", "static-30", "static-50", "static-70", "static-90"]
    assert set(record.others) == {"sum", "pcgrad"}
    assert (record.seeds, np.shape(record.points)) == (3, (5, 2))
    table = fronts.table(record, gaps)
    assert len(table) == 2
    assert table["n"].tolist() == [3, 3]
    assert b"<svg" in svg(fronts.figure(record, gaps, []))


def test_what_makes_no_front(runs: Callable[..., dict[str, list[Run]]]) -> None:
    assert front(runs(weights=(10, 90)), "last") is None
    assert front(runs(seeds=1), "last") is None
    assert front(runs(track="reference"), "last") is None


def test_who_belongs_to_a_front(runs: Callable[..., dict[str, list[Run]]]) -> None:
    """Weights under another aggregator are a method; lines that only watch, or lack a seed, are neither."""
    made = runs()
    declaration = made["static-30"][0].declaration | {"aggregator": {"name": "pcgrad"}}
    made["pcgrad-static-30"] = [dataclasses.replace(run, declaration=declaration) for run in made["static-30"]]
    watching = [dataclasses.replace(run, role=Role("null", "sum")) for run in made["sum"]]
    made |= {"sum-half_batches": watching, "short": made["sum"][1:]}
    made["static-50"] = made["static-50"][:2]
    found = front(made, "last")
    assert found is not None
    assert found[0].weights == ["static-10", "static-30", "static-50", "static-70", "static-90"]
    assert found[0].seeds == 2, "those that every weight has"
    assert set(found[0].others) == {"sum", "pcgrad", "pcgrad-static-30"}


def test_points_are_those_of_the_rule_turned_so_that_more_is_better(runs: Callable[..., dict[str, list[Run]]]) -> None:
    made = runs()
    for rule, index in (("last", -1), ("last10", None)):
        found = front(made, rule)
        assert found is not None
        rows = [run.epochs[index:] if index else run.epochs[-2:] for run in made["pcgrad"]]
        expected = [[np.mean([row[f"test.{name}"] for row in each]) for name in METRICS] for each in rows]
        assert found[0].others["pcgrad"] == pytest.approx(np.mean(expected, axis=0))
    lower = front(runs(metrics=dict.fromkeys(METRICS, False)), "last")
    assert lower is not None
    expected = -np.mean([list(_last(run).values()) for run in made["pcgrad"]], axis=0)
    assert lower[0].others["pcgrad"] == pytest.approx(expected)
    assert (np.array(lower[0].points) < 0).all()


def _last(run: Run) -> dict[str, float]:
    return {name: run.epochs[-1][f"test.{name}"] for name in METRICS}

"""Delta-m against arithmetic done by hand; the published rows are recomputed in tests/ledger/test_arithmetic.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradsurgery.core.metrics import delta_m_metric, delta_m_task, largest_contributor, mean_ranks, relative_change

METRICS = {"seg.iou": True, "seg.acc": True, "depth.err": False}
BASE = {"seg.iou": 0.5, "seg.acc": 0.8, "depth.err": 2.0}
OURS = {"seg.iou": 0.6, "seg.acc": 0.8, "depth.err": 3.0}  # 20 % better, equal, 50 % worse


def test_worked_example() -> None:
    assert relative_change(OURS, BASE, METRICS) == pytest.approx({"seg.iou": -20.0, "seg.acc": 0.0, "depth.err": 50.0})
    assert delta_m_metric(OURS, BASE, METRICS) == pytest.approx(10.0)
    assert delta_m_task(OURS, BASE, METRICS) == pytest.approx((-10.0 + 50.0) / 2)
    assert largest_contributor(OURS, BASE, METRICS) == "depth.err"


def test_base_against_itself_is_zero() -> None:
    assert delta_m_metric(BASE, BASE, METRICS) == delta_m_task(BASE, BASE, METRICS) == 0.0


def test_conventions_agree_when_tasks_have_as_many_metrics() -> None:
    metrics = {"a.x": True, "b.x": False}
    ours, base = {"a.x": 3.0, "b.x": 5.0}, {"a.x": 2.0, "b.x": 4.0}
    assert delta_m_metric(ours, base, metrics) == pytest.approx(delta_m_task(ours, base, metrics))


@pytest.mark.parametrize(("ours", "base"), [({}, BASE), (OURS, {}), (OURS, BASE | {"seg.acc": 0.0})])
def test_what_cannot_be_compared_is_refused(ours: dict[str, float], base: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"`(ours|base)` must"):
        delta_m_metric(ours, base, METRICS)


def test_ranks_share_ties_and_respect_direction() -> None:
    rows = {"a": OURS, "b": BASE, "c": OURS}
    assert mean_ranks(rows, METRICS) == pytest.approx({"a": (1.5 + 2 + 2.5) / 3, "b": (3 + 2 + 1) / 3, "c": 2.0})


@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 1000))
def test_mean_ranks_sum_to_a_constant(methods: int, metrics: int, seed: int) -> None:
    # The property that unmasked a column of mean ranks printed as Delta-m (sam_gs.md 3.4).
    values = np.random.default_rng(seed).integers(0, 4, (methods, metrics)).astype(float)
    names = {f"t.{m}": bool(m % 2) for m in range(metrics)}
    rows = {str(i): dict(zip(names, row, strict=True)) for i, row in enumerate(values)}
    assert sum(mean_ranks(rows, names).values()) == pytest.approx(methods * (methods + 1) / 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_without_a_rank_is_refused_as_it_would_leave_nobody_one(value):
    rows = {"a": {"t.accuracy": 0.5}, "b": {"t.accuracy": value}}
    with pytest.raises(ValueError, match=rf"`rows` must be finite to be ranked, found t.accuracy = {value} in b"):
        mean_ranks(rows, {"t.accuracy": True})

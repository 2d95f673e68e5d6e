"""Methods beside the sum in what the layers' gradients do: paired by seed, silent where nothing was recorded."""

import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.evidence.observed_methods import against, movement, observe
from tests.observing import See


def test_methods_are_held_against_the_sum_by_seed(see: See) -> None:
    entries = against(see({"sum": -0.3, "pcgrad": -0.1, "cagrad-c0_5": -0.3, "sum-half_batches": -0.3}))
    assert list(entries) == ["sum", "pcgrad", "cagrad-c0_5"]
    assert entries["sum"].cosine_minus is None
    raised, same = entries["pcgrad"].cosine_minus, entries["cagrad-c0_5"].cosine_minus
    assert raised is not None
    assert same is not None
    assert (raised.separates(), same.separates()) == (True, False)
    assert raised.difference.sd == pytest.approx(0.0, abs=1e-12), "seeds share their noise"
    assert (entries["pcgrad"].changed, entries["pcgrad"].layers) == (["layer0", "layer1", "layer2"], 3)
    assert (entries["cagrad-c0_5"].changed, entries["cagrad-c0_5"].layers) == ([], 3)
    # one seed adds 1 to the whole vector's curvature, which its change over training does not feel
    assert entries["sum"].curvature.mean == pytest.approx(5.0 + 1.5)
    assert movement(see({"sum": 0.0})["sum"]).mean == pytest.approx(6.0)


def test_nothing_is_observed_where_no_line_recorded_its_layers(made_up: Callable[..., dict]) -> None:
    assert observe({}) is None
    assert observe({"sum": parse([json.dumps(made_up("p", "sum", 0, 0.0))], "sum")}) is None


def test_without_the_sum_nothing_is_subtracted_and_the_first_line_moves(see: See) -> None:
    found = observe(see({"pcgrad": -0.1, "mgda": -0.2}))
    assert found is not None
    assert (found.principal, found.moving, found.halves) == ("pcgrad", "pcgrad", False)
    assert [(one.cosine_minus, one.layers) for one in found.methods.values()] == [(None, 0), (None, 0)]


def test_seeds_that_the_sum_lacks_are_not_paired(see: See) -> None:
    runs = see({"sum": -0.3, "pcgrad": -0.1})
    runs["sum"] = runs["sum"][1:]
    minus = against(runs)["pcgrad"].cosine_minus
    assert minus is not None
    assert (minus.difference.n, minus.difference.mean) == (3, pytest.approx(0.2))


def test_the_line_of_half_batches_is_shown_and_never_compared(see: See) -> None:
    found = observe(see({"sum": 0.0, "sum-half_batches": 0.0}))
    assert found is not None
    assert (found.principal, found.halves, list(found.methods)) == ("sum-half_batches", True, ["sum"])
    # curvature rises by one a step over nine: thirds of three steps are six apart
    assert (found.movement.mean, found.movement.n) == (pytest.approx(6.0), 4)

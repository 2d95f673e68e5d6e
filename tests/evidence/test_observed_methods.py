"""Methods beside the sum in what the layers' gradients do: paired by seed, silent where nothing was recorded."""

import pytest

from gradsurgery.evidence.observed_methods import against, movement
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

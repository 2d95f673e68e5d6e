"""Power of a comparison, the least effect that it finds, and the seeds that decide: by hand and by a peer."""

import numpy as np
import pytest

from gradsurgery.evidence.power import decides, power

SEEDS = (3, 5, 8, 10, 24)


def test_power_as_statsmodels_has_it() -> None:
    peer = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for n in SEEDS:
        assert power(0.9, 1.0, n) == pytest.approx(peer.power(0.9, n, 0.05), abs=2e-3)  # its other tail counts too
    assert decides(0.5, 1.0) == np.ceil(peer.solve_power(0.5, None, 0.05, 0.8))


def test_no_number_of_seeds_sees_through_a_small_test_set() -> None:
    assert decides(0.1, 1.0, noise=0.1) is None
    assert decides(1.0, 0.0) == 2

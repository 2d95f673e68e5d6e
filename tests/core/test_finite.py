"""A `G` that is not finite is refused in one sentence by every method that takes it, ours or a user's."""

import numpy as np
import pytest

from gradsurgery.core.interfaces import Weighting
from tests.contracts import METHODS, generator


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if isinstance(method, Weighting)])
@pytest.mark.parametrize("K", [1, 2, 3, 7])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_every_weighting_alike(name, K, value):
    G = np.eye(K)
    G[K - 1, 0] = value
    with pytest.raises(ValueError, match=rf"^`G` must be finite, and its sum too, found {value} at \[{K - 1}, 0\]\.$"):
        METHODS[name](G, None, generator())


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("K", [2, 5])
def test_finite_numbers_whose_sum_is_not_are_refused(K):
    with pytest.raises(ValueError, match=r"^`G` must be finite, and its sum too, found numbers whose sum is not\.$"):
        METHODS["mgda"](np.full((K, K), 1e308), None, generator())


def test_a_weighting_of_a_user_is_guarded_as_ours_are():
    class Own(Weighting):
        def __call__(self, G, state, generator):
            return np.ones(len(G)), {}

    class Derived(Own):
        def __call__(self, G, state, generator):
            return super().__call__(G, state, generator)

    for method in (Own(), Derived()):
        assert method(np.eye(2), None, generator())[0].tolist() == [1.0, 1.0]
        with pytest.raises(ValueError, match="`G` must be finite"):
            method(np.full((2, 2), np.nan), None, generator())

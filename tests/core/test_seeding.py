"""Streams that are repeatable, apart from each other, and can be put back."""

import itertools

import numpy as np
import pytest
import torch

from gradsurgery.core.seeding import Generators, philox

PLAIN = getattr(philox, "__wrapped__", philox)  # without the check of types that tests put around it
NAMES = ("split", "order", "augmentation", "method")


def draws(generators, n=4000):
    streams = {name: getattr(generators, name).random(n) for name in NAMES}
    return streams | {"init": torch.rand(n, generator=generators.init, dtype=torch.float64).numpy()}


def test_the_same_seed_draws_the_same_and_another_does_not():
    a, b, c = draws(Generators(3)), draws(Generators(3)), draws(Generators(4))
    for name in a:
        assert (a[name] == b[name]).all()
        assert not np.isclose(a[name], c[name]).all()


def test_streams_of_neighbouring_seeds_are_uncorrelated():
    streams = [stream for seed in range(3) for stream in draws(Generators(seed)).values()]
    worst = max(abs(np.corrcoef(a, b)[0, 1]) for a, b in itertools.combinations(streams, 2))
    assert worst < 0.08  # five standard errors of 1 / sqrt(4000)


@pytest.mark.parametrize("used", [*NAMES, "init"])
def test_using_one_stream_more_never_moves_another(used):
    generators = Generators(0)
    if used == "init":
        torch.rand(17, generator=generators.init)
    else:
        getattr(generators, used).random(17)
    reference, moved = draws(Generators(0)), draws(generators)
    for name in reference:
        assert (reference[name] == moved[name]).all() == (name != used)


def test_global_generators_are_not_touched():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draws(Generators(0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_every_stream_continues_where_it_was_saved():
    generators = Generators(5)
    draws(generators, 13)
    generators.order.normal(size=3)
    state = generators.state_dict()
    expected = draws(generators)
    other = Generators(6)
    other.load_state_dict(state)
    found = draws(other)
    for name in expected:
        assert (expected[name] == found[name]).all()


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"`seed` must be non-negative, found seed = -1\."):
        Generators(-1)


@pytest.mark.parametrize("seed", [None, 1.5, "0"])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(TypeError, match=f"`seed` must be a whole number, found seed = {seed!r}"):
        PLAIN(seed, "split")


def test_a_seed_may_be_of_numpy():
    assert PLAIN(np.int64(3), "split").random() == philox(3, "split").random()

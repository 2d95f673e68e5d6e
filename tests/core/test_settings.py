"""Settings of a problem: which are refused, and that drawing a network leaves no trace."""

import pytest
import torch

from gradsurgery.core.settings import check, network_of

FIELDS = {"name": "recommender", "width": 8, "tower": 4, "embedding": 2}
OWN = {"num_tasks": 2, "num_continuous": 2, "cardinalities": (3, 5)}


def test_settings():
    sizes = {"train_size": (64, 0), "batch_size": (32, 1)}
    check(sizes, {"lr": 0.1, "clip": None})
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, found batch_size = 0"):
        check(sizes | {"batch_size": (0, 1)}, {})
    with pytest.raises(ValueError, match="`batch_size` must be at most train_size = 64, found batch_size = 65"):
        check(sizes | {"batch_size": (65, 1)}, {})
    check(sizes | {"train_size": (0, 0), "batch_size": (65, 1)}, {})  # 0 means all
    for rate in (0.0, float("nan")):
        with pytest.raises(ValueError, match="`lr` must be positive, found lr ="):
            check(sizes, {"lr": rate})


def test_a_network_depends_on_the_generator_alone_and_leaves_torchs_untouched():
    before = torch.get_rng_state()
    a, b, c = (network_of(FIELDS, OWN, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))


def test_without_a_generator_fields_are_checked_and_nothing_is_made():
    assert all(p.is_meta for p in network_of(FIELDS, OWN, None).parameters())
    with pytest.raises(ValueError, match="`network` must have a `name`"):
        network_of({}, OWN, None)
    with pytest.raises(ValueError, match=r"`recommender\.depth` is no field of recommender"):
        network_of(FIELDS | {"depth": 3}, OWN, None)
    with pytest.raises(ValueError, match=r"`network\.num_tasks` must be left to the problem, found num_tasks = 3"):
        network_of(FIELDS | {"num_tasks": 3}, OWN, None)

"""Settings of a problem: which are refused, and that drawing a network leaves no trace."""

import pytest
import torch

from gradsurgery.core.settings import OneSet, check, check_rows, check_sizes, network_of

FIELDS = {"name": "recommender", "width": 8, "tower": 4, "embedding": 2}
OWN = {"num_tasks": 2, "num_continuous": 2, "cardinalities": (3, 5)}


def test_numbers_have_a_least_value_and_rates_are_positive():
    check({"hidden": (1, 1)}, {"lr": 0.1, "clip": None})
    with pytest.raises(ValueError, match="`hidden` must be at least 1, found hidden = 0"):
        check({"hidden": (0, 1)}, {})
    for rate in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`lr` must be positive, found lr ="):
            check({}, {"lr": rate})


def test_sizes_of_a_network_have_a_least_and_a_largest_value():
    check_sizes({"width": (1, 1), "depth": (10_000, 0)})
    with pytest.raises(ValueError, match=r"`width` must be at least 1 for a test, found width = 0\."):
        check_sizes({"width": (0, 1)}, " for a test")
    with pytest.raises(ValueError, match=r"`depth` must be at most 10000, found depth = 10001\."):
        check_sizes({"depth": (10_001, 0)})


def test_a_batch_fits_into_the_data_and_no_split_is_empty():
    check_rows({"train": 16, "val": 1, "test": 1}, 16)
    with pytest.raises(ValueError, match="`batch_size` must be at most the 15 training rows, found batch_size = 16"):
        check_rows({"train": 15, "val": 1, "test": 1}, 16)
    with pytest.raises(ValueError, match="`val_size` must leave a row, found none"):
        check_rows({"train": 16, "val": 0, "test": 1}, 16)


def test_one_data_set_may_be_named_twice_and_not_two():
    assert OneSet("cifar100", 0, "cifar100") != OneSet("cifar100", 0)
    with pytest.raises(ValueError, match="`right` must be left out or left = 'cifar100', found right = 'mnist'"):
        OneSet("cifar100", 0, "mnist")


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

"""What a problem says of a network: metrics, and no examples where it gives none."""

import dataclasses

import pytest

from gradsurgery.core.evaluation import Evaluation


def test_without_examples_there_are_none_and_no_two_share_them():
    one, other = Evaluation({"a.loss": 1.0}), Evaluation({"a.loss": 1.0})
    assert (one.examples, one.strata) == ({}, {})
    assert one.examples is not other.examples
    assert one == other


def test_it_is_not_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Evaluation({}).metrics = {"a.loss": 0.0}

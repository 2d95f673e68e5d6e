"""Equal weights leave the very tensors alone."""

from gradsurgery.core.discovery import build
from tests.balancers.worked import losses
from tests.contracts import generator


def test_the_losses_come_out_as_the_same_objects_and_nothing_is_remembered():
    given = losses(1.0, 2.0)
    balanced, state = build("balancers", "equal")(given, {}, None, generator())
    assert all(a is b for a, b in zip(balanced, given, strict=True))
    assert state == {}


def test_an_absent_task_stays_absent_and_the_slot_counts_as_empty():
    balancer = build("balancers", "equal")
    assert balancer([None], {}, {"left": "over"}, generator()) == ([None], {})
    assert balancer.neutral

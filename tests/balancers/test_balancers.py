"""What no balancer takes: each wrong field, and each wrong number of tasks, by its name."""

import pytest

from gradsurgery.core.discovery import build


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("static", {"weights": [1.0, -1.0]}, r"`weights` must be non-negative"),
        ("static", {"weights": [0.0, 0.0]}, "at least one above 0"),
        ("static", {}, "`static.weights` must be given"),
        ("random_weights", {"distribution": "uniform"}, "`random_weights.distribution`"),
        ("dwa", {"temperature": 0.0}, r"`temperature` must be positive, found temperature = 0.0"),
        ("single_task", {"task": -1}, "`task` must be non-negative, found task = -1"),
        ("single_task", {"task": True}, "`single_task.task` must be a whole number"),
    ],
)
def test_refuses(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("balancers", name, **fields)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("static", {"weights": [1.0, 1.0]}, "one entry for each of 3 tasks"),
        ("single_task", {"task": 3}, "less than the number of tasks, 3, found task = 3"),
    ],
)
def test_refuses_another_number_of_tasks(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("balancers", name, **fields).check(3)

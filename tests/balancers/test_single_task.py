"""One loss is kept, and the others are dropped."""

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses
from tests.contracts import generator


def test_the_chosen_loss_comes_out_alone():
    assert balance(build("balancers", "single_task", task=1), losses(1.0, 2.0, 3.0)) == [2.0]


def test_a_run_answers_for_the_chosen_task_only():
    assert list(build("balancers", "single_task", task=1).trained(3)) == [1]


def test_a_batch_without_the_chosen_task_has_no_loss():
    found, _ = build("balancers", "single_task", task=0)([None, losses(2.0)[0]], {}, None, generator())
    assert found == [None]


def test_the_last_task_is_a_task():
    build("balancers", "single_task", task=2).check(3)

"""Which lines figures put in front, leave out of courses or join as a front: by what is declared, never by a name."""

import dataclasses

from gradsurgery.evidence.groups import joint, studied, weighted
from gradsurgery.evidence.roles import Role
from tests.histories import as_run, image_run


def _lines(**lines):
    """Runs by method, each with a family, a role and a balancer of its own."""
    made = {}
    for method, (family, role, balancer) in lines.items():
        run = as_run(image_run("p", "any", 0, 0.0))
        declaration = {**run.declaration, "balancer": balancer}
        made[method] = [
            dataclasses.replace(run, experiment=f"p-{method}", family=family, role=Role(*role), declaration=declaration)
        ]
    return made


EQUAL, STATIC = {"name": "equal"}, {"name": "static", "weights": [0.3, 0.7]}
LINES = _lines(
    sum=("baselines", ("baseline",), STATIC),  # a problem may weigh the losses of all its lines
    thirty=("baselines", ("baseline",), STATIC), static=("mine", ("study",), STATIC),
    again=("controls", ("repeat", "sum"), EQUAL), trees=("controls", ("floor", "sum"), EQUAL),
    left=("baselines", ("baseline",), {"name": "single_task", "task": 0}),
)  # fmt: skip


def test_in_front_are_families_of_papers_and_the_sum():
    assert studied(LINES) == {"sum", "static"}


def test_a_floor_and_a_single_task_have_no_course():
    assert set(joint(LINES)) == {"sum", "thirty", "static", "again"}


def test_a_front_is_of_baselines_with_constant_weights():
    assert weighted(LINES) == ["thirty"]

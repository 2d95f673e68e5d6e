"""The table of MT50's tasks, and that its arms ask for the package."""

import numpy as np
import pytest

from gradsurgery.core import extras
from gradsurgery.metaworld_arms import TASKS
from gradsurgery.metaworld_fifty import FIFTY, Fifty, draw
from tests.arms import goals_of_fifty, with_package


def test_fifty_tasks_are_named_once_and_mt10s_have_the_same_goals():
    assert len(FIFTY) == 50
    assert set(FIFTY.values()) == {3, 6}
    assert {task: FIFTY[task] for task in TASKS} == TASKS


def test_without_the_package_arms_stand_still_and_no_goal_is_drawn(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    arms = Fifty(("assembly",), 5)
    assert (arms.observations, arms.actions, arms.horizon) == (39, 4, 5)
    for made in (draw, lambda: arms.start(np.zeros((1, 6)))):
        with pytest.raises(ValueError, match=r"`metaworld` must be installed, .*pip install 'gradsurgery\[rl\]'\."):
            made()


@with_package
def test_a_task_that_mt10_lacks_is_played():
    arms = Fifty(("sweep", "reach"), 3)
    row = list(FIFTY).index("reach")
    goals = np.stack([[0.0, 0.6, 0.02, 0.0, 0.0, 0.0], goals_of_fifty()["test_goals"][row, 0]])
    seen = arms.start(goals)
    assert seen.shape == (2, 39)
    after, rewards, success = arms.advance(np.ones((2, 4), np.float32))
    assert not np.array_equal(after, seen)
    assert np.isfinite(rewards).all()
    assert success.tolist() == [0.0, 0.0]

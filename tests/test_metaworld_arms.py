"""Arms: an episode leaves no trace in the next, and an arm goes as it is told."""

import numpy as np
import pytest

from gradsurgery.core import extras
from gradsurgery.metaworld_arms import MOST_REWARD, TASKS, Arms, require_package
from tests.arms import ROWS, goals, with_package


@with_package
def test_an_episode_leaves_no_trace_in_the_next():
    made, rng = (
        goals()["train_goals"][[ROWS[task] for task in ("window_open", "reach")]],
        np.random.default_rng(0),
    )
    actions = rng.uniform(-1, 1, (20, 2, 4)).astype(np.float32)

    def played(arms, number):
        seen = [arms.start(made[:, number])]
        for action in actions:
            after, rewards, _ = arms.advance(action)
            seen.append(np.concatenate([after, rewards[:, None]], axis=1))
        return np.concatenate([part.ravel() for part in seen])

    used, fresh = (Arms(("window_open", "reach"), 20) for _ in range(2))
    played(used, 0)
    played(used, 1)
    assert np.array_equal(played(used, 0), played(fresh, 0))
    assert not np.array_equal(played(used, 0), played(used, 1))


@with_package
def test_an_arm_goes_where_its_action_points_and_a_goal_reached_is_a_success():
    arms, there = Arms(("reach",), 5), goals()["test_goals"][[ROWS["reach"]], 0]
    for direction in (1.0, -1.0):
        hand = arms.start(there)[0, :3]  # an observation begins with the hand's place
        for _ in range(5):
            seen, rewards, success = arms.advance(np.array([[direction, 0.0, 0.0, 0.0]], np.float32))
        assert np.sign(seen[0, 0] - hand[0]) == direction
        assert 0.0 < rewards[0] < MOST_REWARD
        assert success.tolist() == [0.0]


def test_the_ten_tasks_are_mt10s_with_goals_of_three_or_six_numbers():
    assert len(TASKS) == 10
    assert set(TASKS.values()) == {3, 6}


def test_without_the_package_arms_can_be_named_but_not_started(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    arms = Arms(("reach",), 5)
    with pytest.raises(ValueError, match=r"`metaworld` must be installed, .*pip install 'gradsurgery\[rl\]'\."):
        arms.start(np.zeros((1, 6)))
    with pytest.raises(ValueError, match="`metaworld` must be installed"):
        require_package()

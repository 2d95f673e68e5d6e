"""Meta-World's robot arms as environments, and the goals that the package draws for them; needs the extra `rl`."""

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from gradsurgery.core.extras import need
from gradsurgery.environments import Environments

TASKS = (
    "reach", "push", "pick_place", "door_open", "drawer_open", "drawer_close", "button_press_topdown",
    "peg_insert_side", "window_open", "window_close",
)  # fmt: skip  # of MT10, in its order
LONGEST = 500  # steps after which an arm refuses to go on
MOST_REWARD = 10.0  # of a step
_GOAL = 6  # numbers in the longest goal; shorter ones end in NaN
_SEEDS = (1, 2)  # of the package's draws, for which 0 means none


class Arms(Environments):
    """An arm for every task, one after the other in one process: measured faster than a process each.

    Args:
        tasks: names out of `TASKS`.
        horizon: steps of an episode, at most `LONGEST`.
    """

    observations, actions = 39, 4

    def __init__(self, tasks: Sequence[str], horizon: int) -> None:
        self.tasks, self.horizon = tasks, horizon
        self._arms: list[Any] = []  # made when they are first needed, which takes a third of a second each

    def start(self, goals: Float64[np.ndarray, "K goal"]) -> Float32[np.ndarray, "K O"]:
        require_package()
        import metaworld

        if not self._arms:
            self._arms = [metaworld.ALL_V3_ENVIRONMENTS[_known(task)]() for task in self.tasks]
        for task, arm, goal in zip(self.tasks, self._arms, goals, strict=True):
            told = {"rand_vec": goal[~np.isnan(goal)], "env_cls": type(arm), "partially_observable": False}
            arm.set_task(metaworld.Task(_known(task), pickle.dumps(told)))
        return np.stack([arm.reset()[0] for arm in self._arms]).astype(np.float32)

    def advance(
        self, actions: Float32[np.ndarray, "K A"]
    ) -> tuple[Float32[np.ndarray, "K O"], Float32[np.ndarray, " K"], Float32[np.ndarray, " K"]]:
        steps = [arm.step(action) for arm, action in zip(self._arms, actions, strict=True)]
        seen, rewards, _, _, told = zip(*steps, strict=True)
        success = [each["success"] for each in told]
        return np.stack(seen).astype(np.float32), np.array(rewards, np.float32), np.array(success, np.float32)


def draw() -> dict[str, Float64[np.ndarray, "tasks 2 50 goal"]]:
    """Two draws of 50 goals for every task, by the package itself: the data set `metaworld`."""
    require_package()
    import metaworld

    goals = np.full((len(TASKS), len(_SEEDS), 50, _GOAL), np.nan)
    for row, task in zip(goals, TASKS, strict=True):
        for own, seed in zip(row, _SEEDS, strict=True):
            for place, drawn in zip(own, metaworld.MT1(_known(task), seed=seed).train_tasks, strict=True):
                found = pickle.loads(drawn.data)["rand_vec"]
                place[: len(found)] = found
    return {"goals": goals}


def require_package() -> None:
    """Raises ValueError, as for any run that cannot be made, where the package is not installed."""
    try:
        need("rl", "metaworld", "mujoco")
    except ImportError as error:
        raise ValueError(str(error)) from None


def _known(task: str) -> str:
    """What the package calls a task."""
    return f"{task.replace('_', '-')}-v3"

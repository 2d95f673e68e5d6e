"""Meta-World's robot arms as environments, and the goals that the package draws for them; needs the extra `rl`."""

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from gradsurgery.core.extras import need
from gradsurgery.environments import Environments

TASKS = {
    "reach": 6, "push": 6, "pick_place": 6, "door_open": 3, "drawer_open": 3, "drawer_close": 3,
    "button_press_topdown": 3, "peg_insert_side": 6, "window_open": 3, "window_close": 3,
}  # fmt: skip  # of MT10, in its order, and how many numbers a goal has
LONGEST = 500  # steps after which an arm refuses to go on
MOST_REWARD = 10.0  # of a step
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
            told = {"rand_vec": goal[: TASKS[task]], "env_cls": type(arm), "partially_observable": False}
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
    """Two draws of 50 goals for every task, shorter ones ending in zeros, by the package itself."""
    require_package()
    import metaworld

    goals = np.zeros((len(TASKS), len(_SEEDS), 50, max(TASKS.values())))
    for row, (task, size) in zip(goals, TASKS.items(), strict=True):
        for own, seed in zip(row, _SEEDS, strict=True):
            drawn = metaworld.MT1(_known(task), seed=seed).train_tasks
            own[:, :size] = [pickle.loads(each.data)["rand_vec"] for each in drawn]
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

"""All fifty tasks of Meta-World as environments, and the goals that the package draws; needs the extra `rl`."""

import pickle

import numpy as np
from jaxtyping import Float32, Float64

from gradsurgery.metaworld_arms import Arms, require_package

_SMALL = (  # tasks of MT50 whose goals are 3 numbers; those of the others are 6
    "button_press_topdown", "button_press_topdown_wall", "button_press", "button_press_wall", "coffee_button",
    "dial_turn", "door_close", "door_lock", "door_open", "door_unlock", "drawer_close", "drawer_open", "faucet_open",
    "faucet_close", "hammer", "handle_press_side", "handle_press", "handle_pull_side", "handle_pull", "lever_pull",
    "peg_unplug_side", "sweep", "window_open", "window_close",
)  # fmt: skip
_LARGE = (
    "assembly", "basketball", "bin_picking", "box_close", "coffee_pull", "coffee_push", "disassemble", "hand_insert",
    "pick_place_wall", "pick_out_of_hole", "pick_place", "plate_slide", "plate_slide_side", "plate_slide_back",
    "plate_slide_back_side", "peg_insert_side", "soccer", "stick_push", "stick_pull", "push", "push_wall", "push_back",
    "reach", "reach_wall", "shelf_place", "sweep_into",
)  # fmt: skip
FIFTY = {**dict.fromkeys(_SMALL, 3), **dict.fromkeys(_LARGE, 6)}
_SEEDS = (1, 2)  # of the package's draws, for which 0 means none


class Fifty(Arms):
    """`Arms` for any tasks out of `FIFTY`."""

    def start(self, goals: Float64[np.ndarray, "K goal"]) -> Float32[np.ndarray, "K O"]:
        require_package()
        import metaworld

        if not self._arms:
            self._arms = [metaworld.ALL_V3_ENVIRONMENTS[_known(task)]() for task in self.tasks]
        for task, arm, goal in zip(self.tasks, self._arms, goals, strict=True):
            told = {"rand_vec": goal[: FIFTY[task]], "env_cls": type(arm), "partially_observable": False}
            arm.set_task(metaworld.Task(_known(task), pickle.dumps(told)))
        return np.stack([arm.reset()[0] for arm in self._arms]).astype(np.float32)


def draw() -> dict[str, Float64[np.ndarray, "tasks 2 50 goal"]]:
    """Two draws of 50 goals for every task, shorter ones ending in zeros, by the package itself."""
    require_package()
    import metaworld

    goals = np.zeros((len(FIFTY), len(_SEEDS), 50, max(FIFTY.values())))
    for row, (task, size) in zip(goals, FIFTY.items(), strict=True):
        for own, seed in zip(row, _SEEDS, strict=True):
            own[:, :size] = [
                pickle.loads(each.data)["rand_vec"] for each in metaworld.MT1(_known(task), seed).train_tasks
            ]
    return {"goals": goals}


def _known(task: str) -> str:
    return f"{task.replace('_', '-')}-v3"

"""Meta-World's MT50: fifty manipulations at once."""

from collections.abc import Mapping

import numpy as np

from gradsurgery.core.settings import network_of
from gradsurgery.metaworld_arms import require_package
from gradsurgery.metaworld_fifty import FIFTY, Fifty
from gradsurgery.problems import metaworld
from gradsurgery.problems.metaworld import Metaworld, _Preparation, _Training, prepare

__all__ = ["DATA_CARD", "MetaworldFifty", "_Preparation", "prepare"]

DATA_CARD = (
    metaworld.DATA_CARD
    + """
Here are all 50 tasks of MT50 instead of the ten of MT10."""
)
_ROWS = {task: row for row, task in enumerate(FIFTY)}  # of the prepared arrays


class MetaworldFifty(Metaworld):
    """`metaworld` with the tasks of MT50.

    Source: see `metaworld`; CAGrad (arXiv 2110.14048, appendix B.3) prints MT50 beside MT10.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: lengths and rate, whose fields are settings beside the others.
        tasks: names of tasks of MT50; none named: all.

    Departures: those of `metaworld`.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, tasks: tuple[str, ...] = ()
    ) -> None:
        if len(set(tasks)) < len(tasks) or not set(tasks) <= set(FIFTY):
            raise ValueError(f"`tasks` must be different ones of {', '.join(FIFTY)}, found {', '.join(tasks)}.")
        self.tasks = tuple(tasks) or tuple(FIFTY)
        self.metrics = {f"{task}.success": True for task in self.tasks}
        self.epochs, self.clip = training.epochs, None
        self.environments, self.practice = Fifty(self.tasks, training.horizon), training
        self._network, self._training = network, training
        self._own = {"num_tasks": len(self.tasks), "observations": Fifty.observations, "actions": Fifty.actions}
        network_of(network, self._own, None)  # wrong fields are found before any work
        if arrays:
            require_package()
            rows = [_ROWS[task] for task in self.tasks]
            most = {"train": None, "val": training.val_size or None, "test": training.test_size or None}
            self._goals = {split: arrays[f"{split}_goals"][rows, : most[split]] for split in most}
            self.test_rows = self._goals["test"].shape[1]

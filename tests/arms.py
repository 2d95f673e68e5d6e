"""Meta-World in tests: goals that its package could have drawn, and who lacks the package skips, saying so."""

from importlib.util import find_spec

import numpy as np
import pytest

from gradsurgery.metaworld_arms import TASKS
from gradsurgery.metaworld_fifty import FIFTY

ROWS = {task: row for row, task in enumerate(TASKS)}
INSTALLED = find_spec("metaworld") is not None
with_package = pytest.mark.skipif(not INSTALLED, reason="package metaworld is not installed: the extra `rl`")
SETTINGS = {
    "network": {"name": "actor_critic", "width": 8, "depth": 1}, "tasks": ["window_open", "reach"], "epochs": 3,
    "episodes": 2, "horizon": 5, "warmup": 3, "batch_size": 4, "diagnose_every": 3,
}  # fmt: skip


def skip_without_package(needed):
    """Skips a test that is about Meta-World where the package is missing."""
    if needed and not INSTALLED:
        pytest.skip("package metaworld is not installed: the extra `rl`")


def goals():
    """Four goals for training and two for each other split, of two tasks; those of the others are left out."""
    arrays = {}
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        made = np.zeros((len(TASKS), count, 6))
        low, high = [-0.09, 0.6, 0.02, -0.09, 0.8, 0.06], [0.09, 0.7, 0.02, 0.09, 0.89, 0.29]
        made[ROWS["reach"]] = rng.uniform(low, high, (count, 6))
        made[ROWS["window_open"], :, :3] = rng.uniform([-0.09, 0.71, 0.16], [0.09, 0.89, 0.16], (count, 3))
        arrays[f"{split}_goals"] = made
    return arrays


def goals_of_fifty():
    """The same, in the rows of MT50."""
    places = [list(FIFTY).index(task) for task in ("reach", "window_open")]
    arrays = {}
    for name, own in goals().items():
        arrays[name] = np.zeros((len(FIFTY), *own.shape[1:]))
        arrays[name][places] = own[[ROWS["reach"], ROWS["window_open"]]]
    return arrays

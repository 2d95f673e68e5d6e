"""A run small enough for a test: the overlay problem on random pictures with a small perceptron."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# Shapes are checked in the modules that state some; in all of the package that would be a third of the report's tests.
_SOURCES = Path(__file__).parents[1] / "src"
install_import_hook(
    [
        ".".join(path.relative_to(_SOURCES).with_suffix("").parts)
        for path in sorted(_SOURCES.rglob("*.py"))
        if "jaxtyping" in path.read_text(encoding="utf-8")
    ],
    "beartype.beartype",
)

import gradsurgery.aggregators
from gradsurgery.core import discovery
from gradsurgery.experiment import build_learner
from tests.histories import checkout, experiments, findings, laptop, made_up, others  # noqa: F401  fixtures: made-up histories for three packages
from tests.observing import see  # noqa: F401  likewise

SETTINGS = {
    "network": {"name": "mlp", "hidden": [16, 8]},
    "epochs": 4,
    "batch_size": 16,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "milestones": [2],
}


@pytest.fixture(autouse=True)
def no_leaf_is_left():
    """`pipelines.commands` lets discovery find one leaf more in its process, which no other test is to find."""
    before = list(gradsurgery.aggregators.__path__)
    yield
    if list(gradsurgery.aggregators.__path__) != before:
        gradsurgery.aggregators.__path__[:] = before
        discovery._names.cache_clear()


@pytest.fixture(scope="session")
def arrays():
    rng = np.random.default_rng(0)
    made = {}
    for split, n in (("train", 64), ("val", 16), ("test", 16)):
        made[f"{split}_images"] = rng.integers(0, 255, (n, 36, 36)).astype(np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 10, (n, 2)).astype(np.uint8)
    return made


@pytest.fixture
def declare():
    """A function from slots to a declaration: `declare("pcgrad", {"name": "dwa"}, settings={"clip": 1.0})`."""

    def slot(value):
        return {"name": value} if isinstance(value, str) else value

    def build(aggregator="pcgrad", balancer="equal", rule="joint", settings=None, **learner):
        return {
            "problem": "multi_mnist",
            "module": "overlay",
            "settings": SETTINGS | (settings or {}),
            "transform": {"name": "identity"},
            "balancer": slot(balancer),
            "rule": slot(rule),
            "aggregator": slot(aggregator),
            "learner": {"diagnose_every": 3} | learner,
        }

    return build


@pytest.fixture
def make(declare, arrays):
    """A function from the same slots to a learner with seed 0."""
    return lambda *slots, **more: build_learner(declare(*slots, **more), arrays, 0)


@pytest.fixture(autouse=True, scope="module")
def _process_settings_of_a_file():
    """What `_own_process_settings` does for a test, for the fixtures of a whole file."""
    yield from _settings_kept()


@pytest.fixture(autouse=True)
def _own_process_settings():
    """`build_learner` sets threads and determinism for the whole process; no test may lean on another's."""
    yield from _settings_kept()


def _settings_kept():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)

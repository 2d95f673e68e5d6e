"""Meta-World: the package's own experts solve our tasks, evaluation counts what they reach, goals are held out."""

import pickle

import numpy as np
import pytest
import torch

from gradsurgery import metaworld_arms
from gradsurgery.core import extras
from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Network
from gradsurgery.metaworld_arms import Arms, draw
from gradsurgery.problems.metaworld import prepare
from tests.arms import ROWS, SETTINGS, goals, with_package

pytestmark = pytest.mark.filterwarnings("ignore:Constant.s. may be too high")  # of the package's experts


def problem(**changes):
    return build("problems", "metaworld", arrays=goals(), **{**SETTINGS, **changes})


class Expert(Network):
    """The scripted policies of the package, task by task; `idle` tasks stay where they are.

    After `leaves` steps it goes away, as far as it can.
    """

    def __init__(self, tasks, idle=(), leaves=None):
        from metaworld import policies

        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        names = ["".join(word.capitalize() for word in task.split("_")) for task in tasks]
        self.experts = [getattr(policies, f"Sawyer{name}V3Policy")() for name in names]
        self.idle = [task in idle for task in tasks]
        self.leaves, self.steps = leaves, 0

    def forward(self, inputs):
        self.steps += 1
        if self.leaves is not None and self.steps > self.leaves:
            return tuple(-torch.ones(1, 4) for _ in self.idle)
        actions = [
            np.zeros(4) if idle else np.clip(expert.get_action(seen[0].double().numpy()), -1, 1)
            for expert, idle, seen in zip(self.experts, self.idle, inputs, strict=True)
        ]
        return tuple(torch.tensor(action, dtype=torch.float32)[None] for action in actions)

    def shared_parameters(self):
        return [self.unused]


@with_package
def test_an_expert_succeeds_on_every_goal_and_who_stays_does_not():
    found = problem(horizon=150)
    for idle, wanted in (((), 1.0), (("reach", "window_open"), 0.0)):
        judged = found.evaluate(Expert(found.tasks, idle), "test")
        assert {judged.metrics[f"{task}.success"] for task in found.tasks} == {wanted}
        for task in found.tasks:
            bits = judged.examples[f"{task}.success"]
            assert bits.tolist() == [bool(wanted)] * 2
            shortfall = 10.0 - judged.metrics[f"{task}.return"] / 150
            assert judged.metrics[f"{task}.loss"] == pytest.approx(shortfall)
            assert 0.0 <= shortfall <= 10.0
    assert found.test_rows == 2


@with_package
def test_what_an_evaluation_says_of_an_episode_is_what_happened_in_it():
    found = problem(horizon=60, tasks=["reach"], test_size=1)
    expert = Expert(found.tasks)
    arms = Arms(("reach",), 60)
    seen, total, first = arms.start(goals()["test_goals"][[ROWS["reach"]], 0]), 0.0, None
    for step in range(60):
        seen, reward, success = arms.advance(expert(torch.from_numpy(seen)[:, None])[0].numpy())
        total += float(reward[0])
        first = step if first is None and success[0] else first
    assert first is not None
    judged = found.evaluate(expert, "test").metrics
    assert judged["reach.return"] == pytest.approx(total)
    short = problem(horizon=first, tasks=["reach"], test_size=1)
    assert short.evaluate(Expert(short.tasks), "test").metrics["reach.success"] == 0.0
    assert judged["reach.success"] == 1.0
    long = problem(horizon=150, tasks=["reach"], test_size=1)
    judged = long.evaluate(Expert(long.tasks, leaves=first + 2), "test")
    assert judged.metrics["reach.success"] == 1.0, "any step counts, not the last"
    assert not long.environments.advance(-np.ones((1, 4), np.float32))[2].any()


@with_package
def test_goals_are_the_packages_own_and_none_is_in_two_splits(monkeypatch):
    import metaworld

    monkeypatch.setattr(metaworld_arms, "TASKS", {"reach": 6, "window_open": 3})
    drawn = draw()
    assert drawn["goals"].shape == (2, 2, 50, 6)
    theirs = [pickle.loads(task.data)["rand_vec"] for task in metaworld.MT1("window-open-v3", seed=1).train_tasks]
    assert np.array_equal(drawn["goals"][1, 0, :, :3], theirs)
    assert not drawn["goals"][1, :, :, 3:].any()
    assert (drawn["goals"][0] != 0.0).all()
    made = prepare({"metaworld": drawn}, {"left": "metaworld", "seed": 0})
    assert {name: array.shape for name, array in made.items()} == {
        "train_goals": (2, 50, 6), "val_goals": (2, 25, 6), "test_goals": (2, 25, 6),
    }  # fmt: skip
    assert len(np.unique(np.concatenate([array[0] for array in made.values()]), axis=0)) == 100
    other = prepare({"metaworld": drawn}, {"left": "metaworld", "seed": 1})
    assert not np.array_equal(made["val_goals"][0], other["val_goals"][0])
    held_out = [
        np.sort(np.concatenate([each["val_goals"][0], each["test_goals"][0]]), axis=0) for each in (made, other)
    ]
    assert np.array_equal(*held_out)


@with_package
def test_an_epoch_begins_as_many_episodes_as_asked_for_each_goal_as_likely():
    found = problem(episodes=400)
    batches = list(found.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert len(batches) == 400
    rows = [ROWS[task] for task in found.tasks]
    for k, row in enumerate(rows):
        known = goals()["train_goals"][row]
        counts = np.array([(known == batch[k]).all(axis=1) for batch in batches]).sum(axis=0)
        assert counts.sum() == 400
        assert counts.min() > 60


def test_without_the_package_it_is_checked_but_not_trained(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    build("problems", "metaworld", arrays={}, **SETTINGS)
    for make in (problem, draw, lambda: Arms(("reach",), 5).start(np.zeros((1, 6)))):
        with pytest.raises(ValueError, match=r"`metaworld` must be installed, .*pip install 'gradsurgery\[rl\]'\."):
            make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["reach", "reach"]}, "`tasks` must be different ones of reach, push, .*, found reach, reach"),
        ({"tasks": ["fly"]}, "`tasks` must be different ones of reach"),
        ({"tasks": []}, "`tasks` must be different ones of reach"),
        ({"horizon": 501}, "`horizon` must be at most 500, found horizon = 501"),
        ({"episodes": 0}, "`episodes` must be at least 1, found episodes = 0"),
        ({"warmup": 31}, "`warmup` must be at most the 30 steps of a run, found warmup = 31"),
        ({"warmup": 0}, "`warmup` must be at least 1, found warmup = 0"),
        ({"reward_scale": 0.0}, "`reward_scale` must be positive, found reward_scale = 0.0"),
        (
            {"network": {"name": "actor_critic", "observations": 3}},
            r"`network\.observations` must be left to the problem",
        ),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "metaworld", arrays={}, **{**SETTINGS, **changes})


def test_a_rule_that_asks_for_losses_is_refused():
    with pytest.raises(ValueError, match="`rule` must be one that acts, such as `sac`"):
        build("problems", "metaworld", arrays={}, **SETTINGS).losses(build("networks", "mlp"), None)

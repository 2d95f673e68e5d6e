"""MT50: the package's own tasks and goals, and MT10's played alike."""

import pickle

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.metaworld_arms import TASKS
from gradsurgery.metaworld_fifty import FIFTY
from tests.arms import SETTINGS, goals, goals_of_fifty, with_package


@with_package
def test_mt50_has_the_packages_tasks_and_their_goals_and_mt10s_are_played_alike():
    import metaworld

    assert set(FIFTY) == {name.removesuffix("-v3").replace("-", "_") for name in metaworld.env_dict.MT50_V3}
    assert {task: FIFTY[task] for task in TASKS} == TASKS
    for task in ("assembly", "sweep"):
        drawn = metaworld.MT1(f"{task}-v3", seed=1).train_tasks[0]
        assert len(pickle.loads(drawn.data)["rand_vec"]) == FIFTY[task]
    fields = {**SETTINGS, "network": {"name": "task_actor_critic", "width": 8, "depth": 1}}
    ours = build("problems", "metaworld_fifty", arrays=goals_of_fifty(), **fields)
    theirs = build("problems", "metaworld", arrays=goals(), **fields)
    network = ours.network(torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert ours.evaluate(network, "test").metrics == theirs.evaluate(network, "test").metrics


def test_no_task_named_means_all_fifty_each_with_its_success():
    whole = build("problems", "metaworld_fifty", arrays={}, **{**SETTINGS, "tasks": []})
    assert whole.tasks == tuple(FIFTY)
    assert list(whole.metrics) == [f"{task}.success" for task in FIFTY]
    assert whole.environments.tasks == whole.tasks
    assert whole.network(torch.Generator().manual_seed(0)).log_alpha.shape == (50,)


@pytest.mark.parametrize("tasks", [["juggle"], ["reach", "reach"]])
def test_tasks_that_mt50_lacks_or_that_come_twice_are_refused(tasks):
    with pytest.raises(ValueError, match=rf"`tasks` must be different ones of .*, found {', '.join(tasks)}\."):
        build("problems", "metaworld_fifty", arrays={}, **{**SETTINGS, "tasks": tasks})

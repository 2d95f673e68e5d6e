"""What a rule that learns from acting asks for: refused by name where it is not there; how much is practised."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.environments import Practice, acted_in, actor_of
from gradsurgery.networks.actor_critic import ActorCritic
from gradsurgery.networks.mlp import MLP
from tests.arms import SETTINGS
from tests.core.rows import Rows


def test_a_problem_to_act_in_and_a_network_that_acts_come_back_themselves():
    problem = build("problems", "metaworld", arrays={}, **SETTINGS)
    network = problem.network(torch.Generator().manual_seed(0))
    assert acted_in(problem, "sac") is problem
    assert actor_of(network, "sac") is network
    assert isinstance(network, ActorCritic)


def test_others_are_refused_by_their_names_and_the_rules():
    with pytest.raises(ValueError, match=r"rule `sac` must be given a problem to act in, .*, found Rows\."):
        acted_in(Rows(), "sac")
    with pytest.raises(ValueError, match=r"rule `sac` must be given a network that acts, .*, found MLP\."):
        actor_of(MLP(in_features=2, hidden=(2,)), "sac")


@pytest.mark.parametrize("field", ["batch_size", "warmup", "every", "capacity", "diagnose_every"])
def test_every_count_of_practice_is_at_least_one(field):
    assert getattr(Practice(**{field: 1}), field) == 1
    with pytest.raises(ValueError, match=f"`{field}` must be at least 1, found {field} = 0"):
        Practice(**{field: 0})


def test_rewards_are_not_turned_round():
    with pytest.raises(ValueError, match=r"`reward_scale` must be positive, found reward_scale = -1\.0"):
        Practice(reward_scale=-1.0)

"""Soft actor-critic: it learns tasks that pull apart, a step is that of plain autograd, and it refuses what it must."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from gradsurgery.core.discovery import build
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Problem
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators
from gradsurgery.environments import Acting, Environments, Practice


class Line(Environments):
    """Two carts on a line that see where they are; each is rewarded for being near its own goal."""

    tasks, observations, actions, horizon = ("left", "right"), 1, 1, 10

    def start(self, goals):
        self.goals, self.at = goals, np.zeros(2, np.float32)
        return self.at[:, None]

    def advance(self, actions):
        self.at = (self.at + 0.25 * actions[:, 0]).clip(-1, 1)
        away = np.abs(self.at - self.goals).astype(np.float32)
        return self.at[:, None], 1.0 - away, (away < 0.1).astype(np.float32)


class Carts(Problem, Acting):
    def __init__(self, width=32, episodes=12, horizon=10, **practice):
        self.tasks, self.epochs, self.clip = ("left", "right"), 4, None
        self.metrics = {f"{task}.success": True for task in self.tasks}
        self.environments, self.practice = Line(), Practice(**{"warmup": 50, "batch_size": 16} | practice)
        self.environments.horizon, self.test_rows, self.width, self.episodes = horizon, 1, width, episodes

    def network(self, generator):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return build("networks", "actor_critic", num_tasks=2, observations=1, actions=1, width=self.width, depth=1)

    def optimizer(self, parameters):
        return torch.optim.Adam(parameters, 3e-3)

    def scheduler(self, optimizer):
        return None

    def batches(self, order, augmentation):
        for _ in range(self.episodes):
            yield np.array([-1.0, 1.0], np.float32)

    def losses(self, network, batch):
        raise NotImplementedError

    @torch.no_grad()
    def evaluate(self, network, split):
        seen, total, success = self.environments.start(np.array([-1.0, 1.0], np.float32)), np.zeros(2), None
        for _ in range(self.environments.horizon):
            seen, reward, success = self.environments.advance(
                torch.cat(network(torch.from_numpy(seen)[:, None])).numpy()
            )
            total += reward
        found = {f"{task}.success": float(success[k]) for k, task in enumerate(self.tasks)}
        return Evaluation(found | {f"{task}.loss": float(10 - total[k]) for k, task in enumerate(self.tasks)})


def learner(problem=None, aggregator="sum", balancer="equal", rule=None, **options):
    problem, generators = problem or Carts(), Generators(0)
    return Learner(
        problem, problem.network(generators.init), build("rules", "sac", **(rule or {})), build("balancers", balancer),
        build("aggregators", aggregator), generators, **options,
    )  # fmt: skip


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad"])
def test_it_learns_two_tasks_that_pull_apart(aggregator):
    run = learner(Carts(diagnose_every=50), aggregator)
    before = run.problem.evaluate(run.network, "val").metrics
    assert min(before["left.success"], before["right.success"]) == 0.0
    rows = [run.epoch() for _ in range(4)]
    assert rows[-1]["val.left.success"] == rows[-1]["val.right.success"] == 1.0
    assert rows[-1]["train.left.return"] > rows[0]["train.left.return"] + 1.0
    assert run.step_count == 4 * 12 * 10 - 49
    assert run.skipped_steps == 0
    assert run.backward_passes == (2 if aggregator == "sum" else 4)
    for row in run.diagnostics:
        assert {"conflict_share", "critics.conflict_share", "deviation", "critics.worst_alignment"} <= row.keys()
    assert [row["step"] for row in run.diagnostics] == list(range(0, run.step_count, 50))
    assert ("share_changed" in run.instruments.activity.means()) == (aggregator != "sum")


def test_a_step_is_that_of_plain_autograd():
    """Written once more with torch's distributions, one loss for all tasks and two optimisers."""
    problem = Carts(width=8, episodes=1, horizon=51, warmup=51, batch_size=6, reward_scale=0.5)
    run = learner(problem, rule={"tau": 0.1, "discount": 0.9})
    wanted = copy.deepcopy(run.network)
    run.epoch()
    assert run.step_count == 1

    from gradsurgery.core.seeding import philox
    from gradsurgery.replay import Replay

    replay = Replay(2, 51, 1, 1, torch.device("cpu"))
    replay.load_state_dict(run.rule_state["replay"])
    batch = replay.draw(6, philox(0, "replay"))
    noise = torch.from_numpy(philox(0, "policy").standard_normal((2, 2, 6, 1), np.float32))
    one_hot = torch.eye(2)[:, None].expand(2, 6, 2)

    def policy(observations, noise):
        means, log_std = wanted.actor(torch.cat([observations, one_hot], dim=-1)).chunk(2, dim=-1)
        normal = Independent(Normal(means, log_std.exp()), 1)
        actions = (means + log_std.exp() * noise).tanh()
        return actions, TransformedDistribution(normal, [TanhTransform()]).log_prob(actions)

    def values(critics, observations, actions):
        return [critic(torch.cat([observations, one_hot, actions], dim=-1))[..., 0] for critic in critics]

    alpha = torch.ones(2, 1)
    with torch.no_grad():
        following, density = policy(batch.following, noise[0])
        future = torch.minimum(*values(wanted.targets, batch.following, following)) - alpha * density
        y = 0.5 * batch.rewards + 0.9 * future
    loss = sum(
        (value - y).square().mean(dim=1).sum() for value in values(wanted.critics, batch.observations, batch.actions)
    )
    critics, rest = (torch.optim.Adam(part, 3e-3) for part in (
        wanted.critics.parameters(), [*wanted.actor.parameters(), wanted.log_alpha]))  # fmt: skip
    loss.backward()
    critics.step()
    actions, density = policy(batch.observations, noise[1])
    cost = (alpha * density - torch.minimum(*values(wanted.critics, batch.observations, actions))).mean(dim=1).sum()
    temperature = -(wanted.log_alpha.exp()[:, None] * (density.detach() - 1.0)).mean(dim=1).sum()
    (cost + temperature).backward()
    rest.step()
    for target, critic in zip(wanted.targets.parameters(), wanted.critics.parameters(), strict=True):
        target.data += 0.1 * (critic.data - target.data)
    for (name, mine), theirs in zip(run.network.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6, msg=name)


def test_where_an_epoch_ends_changes_nothing():
    """Noise, draws, memories and what was seen go on; only evaluation comes between."""
    whole, parts = (learner(Carts(episodes=n, warmup=15, diagnose_every=7), "sam_gs") for n in (6, 2))
    whole.epoch()
    for _ in range(3):
        parts.epoch()
    assert parts.step_count == whole.step_count == 46
    assert parts.diagnostics == whole.diagnostics
    assert all(map(torch.equal, whole.network.parameters(), parts.network.parameters()))
    assert torch.equal(*(run.rule_state["replay"]["actions"] for run in (whole, parts)))


def test_values_and_policy_have_a_memory_each():
    run = learner(Carts(episodes=6), "sam_gs")
    run.epoch()
    sizes = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (("critics", run.network.critics), ("actor", run.network.actor))
    }
    assert {name: tuple(state["m"].shape) for name, state in run.rule_state["methods"].items()} == {
        name: (2, size) for name, size in sizes.items()
    }


def test_every_kind_of_randomness_has_its_own_stream():
    """A method that draws, and one that does not, act alike and draw the same from replay until the first update."""
    runs = [learner(Carts(episodes=5, warmup=51), name) for name in ("sum", "placebo_random")]
    for run in runs:
        run.epoch()
    one, other = (run.rule_state for run in runs)
    assert torch.equal(one["replay"]["actions"], other["replay"]["actions"])
    assert runs[0].step_count == runs[1].step_count == 0
    before = [run.generators.state_dict() for run in runs]
    for run in runs:
        run.epoch()
    assert not torch.equal(runs[0].rule_state["replay"]["actions"], runs[1].rule_state["replay"]["actions"])
    streams = [{n: repr(s) for n, s in run.rule_state["streams"].items()} for run in runs]
    assert streams[0] == streams[1]
    assert repr(before[0]["method"]) == repr(runs[0].generators.state_dict()["method"])
    assert repr(before[1]["method"]) != repr(runs[1].generators.state_dict()["method"])


def test_a_step_that_is_not_finite_is_left_out_and_counted():
    problem = Carts(episodes=6)
    run = learner(problem)
    problem.environments.advance = lambda actions, real=problem.environments.advance: (
        lambda seen, rewards, success: (seen, np.full(2, np.inf, np.float32), success)
    )(*real(actions))
    before = [p.detach().clone() for p in run.network.parameters()]
    run.epoch()
    assert run.skipped_steps == run.step_count == 11
    assert run.diverged == 1
    assert all(torch.equal(p, q) for p, q in zip(before, run.network.parameters(), strict=True))


def test_what_it_cannot_train_is_refused():
    with pytest.raises(
        ValueError, match="rule `sac` must be given a balancer that leaves losses as they are, found DWA"
    ):
        learner(balancer="dwa").epoch()
    with pytest.raises(ValueError, match="rule `sac` must be given a precision of float32, found bfloat16"):
        learner(precision="bfloat16").epoch()
    problem = Carts()
    problem.network = lambda generator: build("networks", "mlp")
    with pytest.raises(ValueError, match="must be given a network that acts, such as `actor_critic`, found MLP"):
        learner(problem)
    for field, value in (("tau", 0.0), ("discount", 1.5)):
        with pytest.raises(ValueError, match=f"`{field}` must be above 0 and at most 1, found {field} = {value}"):
            build("rules", "sac", **{field: value})


def test_a_problem_that_is_not_acted_in_is_refused(make):
    run = make("sum")
    run.network = learner().network
    with pytest.raises(ValueError, match="must be given a problem to act in, such as `metaworld`, found Overlay"):
        next(build("rules", "sac").epoch(run, iter([])))
    assert isinstance(run.network, nn.Module)

"""Soft actor-critic on several tasks: two networks learn from what they did, each by its own task gradients."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gradsurgery.core.activity import of_step
from gradsurgery.core.instruments import Instruments
from gradsurgery.core.interfaces import Metrics, Network, Scalarization
from gradsurgery.core.run import Run, TrainingRule
from gradsurgery.core.seeding import philox
from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.environments import acted_in, actor_of
from gradsurgery.replay import Replay

_STREAMS = ("explore", "replay", "policy")  # noise while acting, what is drawn to learn from, noise while learning


@dataclass(frozen=True)
class Sac(TrainingRule):
    """Acts in all tasks at once and learns from replay: values by temporal differences, a policy by the values.

    Source: Haarnoja et al. 2018, arXiv 1812.05905, Algorithm 1, with a temperature for each task (Yu et al. 2020, arXiv
    2001.06782, section 5.2). For task k, with transitions (s, a, r, s') of its own, a' and log p' from the policy, and
    c the scale of rewards:

        y = c r + discount (min_i Q_i'(s', a') - alpha_k log p')         the slow copies Q' follow by tau
        L_k = mean sum_i (Q_i(s, a) - y)^2                 g_k of both values, aggregated, one step
        L_k = mean (alpha_k log p - min_i Q_i(s, a))       g_k of the policy, aggregated, one step
        dL / d log alpha_k = -alpha_k mean (log p - A)     target entropy -A for A numbers in an action

    Values and policy each have an engine, so that what a method remembers of the one is not mixed with the other.
    Episodes have no end but that of time, so that values are always bootstrapped. Diagnostics are those of the policy;
    the values' have `critics.` before them. Activity is that of both.

    Args:
        discount: of the return.
        tau: share by which the slow copies follow in an update.

    Departures: none known.
    """

    discount: float = 0.99
    tau: float = 0.005

    def __post_init__(self) -> None:
        for name in ("discount", "tau"):
            if not 0.0 < (value := getattr(self, name)) <= 1.0:
                raise ValueError(f"`{name}` must be above 0 and at most 1, found {name} = {value}.")

    def attach(self, network: Network) -> Network:
        actor_of(network, "sac")
        return network

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """An episode of every task for each batch, which holds its goals; updates on the way."""
        agent = _Agent(self, run)
        episodes = list(batches)
        agent.replay.grow(len(episodes), agent.practice.capacity // agent.world.horizon)
        for goals in episodes:
            yield agent.play(goals)
        run.rule_state.update(agent.state_dict())


class _Agent:
    """One epoch's acting and learning, from where the last one stood."""

    def __init__(self, rule: Sac, run: Run) -> None:
        for wanted, fits, found in (
            ("balancer that leaves losses as they are", run.balancer.neutral, type(run.balancer).__name__),
            ("precision of float32", run.precision == "float32", run.precision),
        ):
            if not fits:
                raise ValueError(f"rule `sac` must be given a {wanted}, found {found}.")
        self.rule, self.run, self.network = rule, run, actor_of(run.network, "sac")
        problem = acted_in(run.problem, "sac")
        self.world = world = problem.environments
        self.practice = problem.practice
        self.K = len(world.tasks)
        self.replay = Replay(self.K, world.horizon, world.observations, world.actions, run.device)
        self.streams = {name: philox(run.generators.seed, name) for name in _STREAMS}
        self.engines = {
            "critics": GradientSurgery(self.network.critics.parameters(), run.method),
            "actor": GradientSurgery(self.network.actor.parameters(), run.method),
        }
        self.acted = 0  # steps of each task so far
        for engine in self.engines.values():
            engine.generator = run.generators.method
        if run.rule_state:
            self.load_state_dict(run.rule_state)

    def play(self, goals: Any) -> Metrics:
        """One episode of every task, with updates: its return, whether it was a success, mean losses of the values."""
        practice, world = self.practice, self.world
        seen = world.start(goals)
        self.replay.begin(seen)
        told = {"return": np.zeros(self.K), "success": np.zeros(self.K)}
        losses = []
        for _ in range(world.horizon):
            actions = self.act(seen)
            seen, rewards, success = world.advance(actions)
            self.replay.add(actions, rewards, seen)
            told["return"] += rewards
            told["success"] = np.maximum(told["success"], success)
            self.acted += 1
            if self.acted >= practice.warmup and self.acted % practice.every == 0:
                losses.append(self.update())
        if losses:
            told["loss"] = torch.stack(losses).mean(dim=0).cpu().numpy()
        return {f"train.{task}.{name}": float(v[k]) for name, v in told.items() for k, task in enumerate(world.tasks)}

    def act(self, seen: Float[np.ndarray, "K O"]) -> Float32[np.ndarray, "K A"]:
        """At random at first, then by the policy with its noise."""
        shape, stream = (self.K, self.world.actions), self.streams["explore"]
        if self.acted < self.practice.warmup:
            return stream.uniform(-1.0, 1.0, shape).astype(np.float32)
        with torch.no_grad():
            inputs = self.network.told(torch.from_numpy(seen)[:, None].to(self.run.device))
            found, _ = self.network.policy(inputs, self._normal("explore", *shape)[:, None])
        return found[:, 0].cpu().numpy()

    def update(self) -> Float[Tensor, " K"]:
        """A step of the values, one of policy and temperatures, one of the slow copies; the losses of the values."""
        started, rule, network, run = time.perf_counter(), self.rule, self.network, self.run
        batch = self.replay.draw(self.practice.batch_size, self.streams["replay"])
        noise = self._normal("policy", 2, self.K, self.practice.batch_size, self.world.actions)
        before, after = network.told(batch.observations), network.told(batch.following)
        with torch.no_grad():
            alpha = network.log_alpha.exp()
            following, density = network.policy(after, noise[0])
            future = network.slow_value(after, following) - alpha[:, None] * density
            wanted = self.practice.reward_scale * batch.rewards + rule.discount * future
        # One small graph a task, so that the pass of a task goes over its own transitions only.
        errors = [network.values(before[k], batch.actions[k]) - wanted[k] for k in range(self.K)]
        losses = [error.square().mean(dim=1).sum() for error in errors]
        taken = self._differentiate("critics", losses)
        if taken:
            run.optimizer.step()
            found = [network.policy(before[k], noise[1, k]) for k in range(self.K)]
            costs = [
                (alpha[k] * density - network.values(before[k], actions).amin(dim=0)).mean()
                for k, (actions, density) in enumerate(found)
            ]
            taken = self._differentiate("actor", costs)
        if taken:
            entropy = -torch.stack([density.detach().mean() for _, density in found])
            network.log_alpha.grad = alpha * (entropy + self.world.actions)
            run.optimizer.step()
            network.follow(rule.tau)
        passes = 2 if isinstance(run.method, Scalarization) else 2 * self.K
        run.count(time.perf_counter() - started, skipped=not taken, passes=passes)
        return torch.stack([loss.detach() for loss in losses])

    def state_dict(self) -> dict[str, Any]:
        return {
            "replay": self.replay.state_dict(),
            "streams": {name: stream.bit_generator.state for name, stream in self.streams.items()},
            "methods": {name: engine.state for name, engine in self.engines.items()},
            "acted": self.acted,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.replay.load_state_dict(state["replay"])
        for name, stream in self.streams.items():
            stream.bit_generator.state = state["streams"][name]
        for name, engine in self.engines.items():
            engine.state = state["methods"][name]
        self.acted = state["acted"]

    def _differentiate(self, name: str, losses: list[Tensor]) -> bool:
        """Puts the direction into `.grad` of one part of the network, and nothing elsewhere. False if not finite."""
        run, engine = self.run, self.engines[name]
        diagnosed = run.step_count % self.practice.diagnose_every == 0
        run.optimizer.zero_grad()
        if not engine.backward(losses, diagnose=diagnosed, inputs=()):
            return False
        run.report(of_step(engine, diagnosed))
        if diagnosed:
            prefix = "" if name == "actor" else f"{name}."
            found = Instruments(run.network, engine, run.balance, (), False, False).diagnose(range(self.K))
            run.note(run.step_count, {f"{prefix}{key}": value for key, value in found.items()})
        return True

    def _normal(self, stream: str, *shape: int) -> Tensor:
        return torch.from_numpy(self.streams[stream].standard_normal(shape, np.float32)).to(self.run.device)

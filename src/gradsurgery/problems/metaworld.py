"""Meta-World: a robot arm learns several manipulations at once, by trial and reward instead of from data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.settings import check, check_seed, network_of
from gradsurgery.environments import Acting, Practice
from gradsurgery.metaworld_arms import LONGEST, MOST_REWARD, TASKS, Arms, require_package

DATA_CARD = """\
Meta-World (Yu et al. 2020, arXiv 1910.10897) simulates a Sawyer arm in MuJoCo; `metaworld` 3.1.1 with `mujoco` 3.3.0,
the environments by the name of v3. There is no data set: what is fixed, and lies in data/processed, are the goals, that
is where objects stand and where they must go, 50 draws of the package's own for every task of MT10 to train on, and
25 others each for validation and test. Observations are 39 numbers (hand, gripper and objects now and a step before,
goal), actions 4 (a displacement and the gripper), rewards lie in 0 to 10 and are dense. An episode is a success if any
of its steps is. MIT licence."""


_ROWS = {task: row for row, task in enumerate(TASKS)}  # of the prepared arrays


@dataclass(frozen=True, kw_only=True)
class _Training(Practice):
    """How long and how fast.

    Args:
        epochs: parts of a run, each followed by an evaluation.
        episodes: episodes of every task in an epoch.
        horizon: steps of an episode, at most 500. Time is up then, and nothing ends before.
        lr: learning rate of Adam, of policy, values and temperatures alike.
        val_size: episodes of every task that validation plays, each with a goal of its own; 0 for all goals.
        test_size: likewise.
    """

    epochs: int
    episodes: int
    horizon: int = 150
    lr: float = 3e-4
    val_size: int = 0
    test_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {"epochs": 1, "episodes": 1, "horizon": 1, "val_size": 0, "test_size": 0}
        check({name: (getattr(self, name), bound) for name, bound in least.items()}, {"lr": self.lr})
        if self.horizon > LONGEST:
            raise ValueError(f"`horizon` must be at most {LONGEST}, found horizon = {self.horizon}.")
        if self.warmup > (steps := self.epochs * self.episodes * self.horizon):
            raise ValueError(f"`warmup` must be at most the {steps} steps of a run, found warmup = {self.warmup}.")


class Metaworld(Problem, Acting):
    """Tasks of MT10 at the same time; metric: `<task>.success`, the share of held-out goals that the policy reaches.

    The policy is judged without its noise. `evaluate` also gives `<task>.return`, the mean sum of an episode's rewards;
    `<task>.loss` is how far the mean reward of a step stays behind the 10 that it could be. Only a rule that acts, such
    as `sac`, can train it.

    Source: Meta-World, see `DATA_CARD`; the length of an episode and the settings at scale paper are those of the MTRL
    code base, which CAGrad (arXiv 2110.14048, section 5.3) and SAM-GS (arXiv 2506.06130) used.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        tasks: names of tasks of MT10.
        training: lengths and rate, whose fields are settings beside the others.

    Departures:
        1. The published runs are of version 2 at commit d9a75c4. Version 3, the maintained one, has the same tasks and,
           as it says itself, the rewards of version 2, on other bindings of MuJoCo.
        2. They judge on the goals of training, one or ten episodes a task; we on goals that training never sees.
        3. They divide rewards by a running deviation; the rule `sac` has one constant factor.
        4. The task is told one-hot; whether their rows have a task encoder besides differs from row to row.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, tasks: tuple[str, ...], training: _Training
    ) -> None:
        if not tasks or len(set(tasks)) < len(tasks) or not set(tasks) <= set(TASKS):
            raise ValueError(f"`tasks` must be different ones of {', '.join(TASKS)}, found {', '.join(tasks)}.")
        self.tasks = tuple(tasks)
        self.metrics = {f"{task}.success": True for task in self.tasks}
        self.epochs, self.clip = training.epochs, None
        self.environments, self.practice = Arms(self.tasks, training.horizon), training
        self._network, self._training = network, training
        self._own = {"num_tasks": len(tasks), "observations": Arms.observations, "actions": Arms.actions}
        network_of(network, self._own, None)  # wrong fields are found before any work
        if arrays:
            require_package()
            rows = [_ROWS[task] for task in self.tasks]
            most = {"train": None, "val": training.val_size or None, "test": training.test_size or None}
            self._goals = {split: arrays[f"{split}_goals"][rows, : most[split]] for split in most}
            self.test_rows = self._goals["test"].shape[1]

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self._training.lr, fused=True)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[Float64[np.ndarray, "K goal"]]:
        """For each of an epoch's episodes a goal of every task, each as likely as any other."""
        goals = self._goals["train"]
        for _ in range(self._training.episodes):
            yield goals[np.arange(len(goals)), order.integers(goals.shape[1], size=len(goals))]

    def losses(self, network: Network, batch: Any) -> list[torch.Tensor | None]:
        """None: ValueError for a rule that asks, as rewards have no gradient."""
        raise ValueError(
            "`rule` must be one that acts, such as `sac`, on problem `metaworld`, found one that does not."
        )

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Success and return on every held-out goal of the split."""
        device, arms, success, rewards = next(network.parameters()).device, self.environments, [], []
        for goals in self._goals[split].swapaxes(0, 1):
            seen, reached, total = arms.start(goals), np.zeros(len(goals), bool), np.zeros(len(goals))
            for _ in range(arms.horizon):
                actions = torch.cat(network(torch.from_numpy(seen)[:, None].to(device))).cpu().numpy()
                total[~np.isfinite(actions).all(axis=1)] = np.nan  # the arm stays where it is: it cannot be simulated
                seen, reward, done = arms.advance(np.nan_to_num(actions, posinf=0.0, neginf=0.0))
                reached |= done > 0
                total += reward
            success.append(reached)
            rewards.append(total)
        bits = dict(zip(self.metrics, np.stack(success, axis=1), strict=True))
        returns = dict(zip(self.tasks, np.stack(rewards, axis=1).mean(axis=1).tolist(), strict=True))
        return Evaluation(
            {f"{task}.success": float(bits[f"{task}.success"].mean()) + 0.0 * mean for task, mean in returns.items()}
            | {f"{task}.return": mean for task, mean in returns.items()}
            | {f"{task}.loss": MOST_REWARD - mean / arms.horizon for task, mean in returns.items()},
            bits,
        )


@dataclass(frozen=True)
class _Preparation:
    """Which data set holds the draws; `seed` of the order in which validation and test share the held-out one."""

    left: str
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Goals of all tasks, with zeros behind: `train_goals` (10, 50, 6), `val_goals` and `test_goals` (10, 25, 6)."""
    own: _Preparation = make(_Preparation, "prepare", settings)
    train, held_out = raw[own.left]["goals"].swapaxes(0, 1)
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    order = np.argsort(np.random.Philox(own.seed).random_raw(held_out.shape[1]), kind="stable")
    val, test = np.array_split(held_out[:, order], 2, axis=1)
    return {"train_goals": train, "val_goals": val, "test_goals": test}

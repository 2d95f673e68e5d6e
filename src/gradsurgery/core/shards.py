"""A problem over several processes: each differentiates its own part of every batch and knows the losses of the whole.

Order and augmentation are drawn for the whole batch, by the same generators in every process, and only then is it cut
along the first axis. With n_r of the n examples of a batch in process r of W, what that process differentiates is

    L_k = W (n_r / n) L_k(part r)      whose mean over the processes is L_k of the batch, for any n from W on

if L_k is a mean over examples. Its value is replaced by that mean, so that balancers, diagnostics and histories see the
batch, and all processes the same; its gradient is averaged by the engine. A loss over what counts in a batch, such as
the pixels that have a label, is the mean of the processes' own means, as everywhere in data-parallel training.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.batch import part
from gradsurgery.core.capabilities import Indivisible
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Losses, Network, Problem
from gradsurgery.core.processes import several
from gradsurgery.core.run import TrainingRule


class Sharded(Problem):
    """Another problem, of which this process has its part. Only where `several` processes train.

    Args:
        problem: hands out whole batches.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.tasks, self.metrics, self.epochs = problem.tasks, problem.metrics, problem.epochs
        self.clip, self.test_rows = problem.clip, problem.test_rows

    def network(self, generator: torch.Generator) -> Network:
        return self._problem.network(generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return self._problem.optimizer(parameters)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return self._problem.scheduler(optimizer)

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Any]:
        """Whole ones, so that a rule may cut them further before they are dealt out."""
        return self._problem.batches(order, augmentation)

    def losses(self, network: Network, batch: Any) -> Losses:
        """Values of the whole batch, gradients of this process's part. Raises ValueError for fewer examples than
        processes."""
        rank, count = dist.get_rank(), dist.get_world_size()
        whole = _length(batch)
        if whole < count:
            raise ValueError(f"`batch_size` must be at least the number of processes, {count}, found {whole} examples.")
        own = part(batch, rank, count)
        losses = self._problem.losses(network, own)
        return _of_all(losses, count * _length(own) / whole, next(network.parameters()).device)

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """By every process, with the buffers of the first one: BatchNorm's statistics are else each process's own."""
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)
        return self._problem.evaluate(network, split)


def divided(problem: Problem, rule: TrainingRule) -> Problem:
    """The problem as a run trains it: as it is, unless several processes do.

    Raises:
        ValueError: one of the two cannot be divided.
    """
    if not several():
        return problem
    check_divisible(type(problem), type(rule), dist.get_world_size())
    return Sharded(problem)


def check_divisible(problem: type, rule: type, count: int) -> None:
    """Refuses the problem or rule of a run that `count` processes cannot share. Raises ValueError."""
    whole = {"problem": issubclass(problem, Indivisible), "rule": not rule.divisible}  # type: ignore[attr-defined]
    for kind, found in (("problem", problem), ("rule", rule)):
        if whole[kind]:
            name = found.__module__.rpartition(".")[2]
            raise ValueError(f"{kind} `{name}` must run in one process, found {count}.")


def _of_all(losses: Losses, weight: float, device: torch.device) -> Losses:
    """The losses times `weight`, with their means over the processes that have them as values."""
    own = [None if loss is None else weight * loss for loss in losses]
    zero = torch.zeros((), dtype=torch.float64, device=device)
    values = [zero if loss is None else loss.detach().double() for loss in own]
    there = torch.tensor([loss is not None for loss in own], dtype=torch.float64, device=device)
    total: Float[Tensor, "2 K"] = torch.stack([torch.stack(values), there])
    dist.all_reduce(total)
    means = total[0] / total[1]
    return [
        None if loss is None else loss + (mean - loss.detach().double()).to(loss.dtype)
        for loss, mean in zip(own, means, strict=True)
    ]


def _length(batch: Any) -> int:
    """Examples of a batch; 0 where it holds no tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    entries = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple | list) else ()
    return next(filter(None, map(_length, entries)), 0)

"""The ordinary loop, with every batch handed over in parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gradsurgery.core.interfaces import Metrics
from gradsurgery.core.run import Run, TrainingRule


@dataclass(frozen=True)
class SplitBatches(TrainingRule):
    """Cuts each batch into as many parts as there are tasks and takes one optimiser step on all of them.

    Source: none; it is what the control `placebo_permuted` needs. With the balancer `equal` it trains as `joint` does.

        J = (1/K) sum_m J_m,  J_m that of the m-th part

    Departures:
        1. Where K does not divide the batch the parts differ by one example, and the examples of the smaller ones count
           a little more.
        2. Normalisation over the batch sees the parts and not the batch.
    """

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One `Learner.step` per batch. Raises ValueError for a batch of fewer examples than tasks."""
        K = len(run.problem.tasks)
        for batch in batches:
            yield run.step(*(part(batch, m, K) for m in range(K)))


def part(batch: Any, m: int, K: int) -> Any:
    """The m-th of K parts of a batch: of every tensor in it, along its first axis."""
    if isinstance(batch, Tensor):
        if len(batch) < K:
            raise ValueError(f"`batch_size` must be at least the number of parts, {K}, found {len(batch)}.")
        return batch.tensor_split(K)[m]
    if isinstance(batch, tuple | list):
        return type(batch)(part(entry, m, K) for entry in batch)
    if isinstance(batch, dict):
        return {name: part(entry, m, K) for name, entry in batch.items()}
    return batch

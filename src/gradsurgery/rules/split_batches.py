"""The ordinary loop, with every batch handed over in parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradsurgery.core.batch import part
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

    divisible = True

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One `Learner.step` per batch. Raises ValueError for a batch of fewer examples than tasks."""
        K = len(run.problem.tasks)
        for batch in batches:
            yield run.step(*(part(batch, m, K) for m in range(K)))

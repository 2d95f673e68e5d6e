"""The ordinary training loop."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from gradsurgery.core.interfaces import Metrics
from gradsurgery.core.run import Run, TrainingRule


@dataclass(frozen=True)
class Joint(TrainingRule):
    """Trains all tasks together: one optimiser step for every `micro_batches` batches.

    Source: none for "exact"; this is what all seven papers compare their rules with. "stochastic": section II of the
    Gradient Conductor, 2025, arXiv 2509.07252 (v2), and the official code at 1b0518a.

        exact:       g_k = (1/N) sum_b g_k(b)        over all N micro-batches of a step         N K backward passes
        stochastic:  g_k = (K/N) sum_b g_k(b)        over the k-th N/K of them in a row         N backward passes

    For losses that are means over equally many examples, exact is the J of the joint batch. Stochastic costs as much as
    accumulating the summed loss, whatever K; its g_k are unbiased with K times the variance, and no two tasks see the
    same examples.

    Args:
        micro_batches: N, batches per step.
        accumulation: "exact" or "stochastic"; the latter needs K to divide N.
        leftover: what becomes of the last, fewer than N batches of an epoch: "drop" leaves them out; "average" takes
            one more step on them, stochastic in blocks as even as they can be, if every task gets one.

    Departures:
        1. A balancer is called once per micro-batch, so that its state (and its draws) advance N times a step.
        2. The official code does one forward pass per task and micro-batch in exact accumulation (N K), we one (N).
        3. It draws from a stream without end and says nothing of leftovers; "drop" is what it would have to do.
    """

    divisible = True
    micro_batches: int = 1
    accumulation: Literal["exact", "stochastic"] = "exact"
    leftover: Literal["drop", "average"] = "drop"

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise ValueError(f"`micro_batches` must be at least 1, found micro_batches = {self.micro_batches}.")
        for name, words in (("accumulation", ("exact", "stochastic")), ("leftover", ("drop", "average"))):
            if getattr(self, name) not in words:
                raise ValueError(f"`{name}` must be one of {words}, found {name} = {getattr(self, name)!r}.")

    @property
    def one_batch(self) -> bool:
        return self.micro_batches == 1

    def check(self, num_tasks: int) -> None:
        """Refuses a number of tasks that the micro-batches of a step cannot be dealt out to."""
        if self.accumulation == "stochastic" and self.micro_batches % num_tasks:
            raise ValueError(
                f"`micro_batches` must be a multiple of the {num_tasks} tasks for accumulation = 'stochastic', "
                f"found micro_batches = {self.micro_batches}."
            )

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One `Learner.step` per group of batches."""
        K = len(run.problem.tasks)
        self.check(K)
        taken, left = False, 0
        while group := list(islice(batches, self.micro_batches)):
            owners = None if self.accumulation == "exact" else [b * K // len(group) for b in range(len(group))]
            whole = len(group) == self.micro_batches
            left = len(group)
            if whole or (self.leftover == "average" and (owners is None or left >= K)):
                taken = True
                yield run.step(*group, owners=owners)
        if not taken:
            raise ValueError(
                f"`micro_batches` must be at most the batches of an epoch, {left}, "
                f"found micro_batches = {self.micro_batches}."
            )

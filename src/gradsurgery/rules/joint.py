"""The ordinary training loop."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gradsurgery.core.interfaces import Metrics, Network, TrainingRule


@dataclass(frozen=True)
class Joint(TrainingRule):
    """Trains all tasks together: one optimiser step for every `micro_batches` batches.

    Source: none; this is what all seven papers compare their rules with.

    J = (1/m) sum_b J_b over the m micro-batches of a step, aggregated once: for losses that are means over equally many
    examples this is the J of the joint batch.

    Args:
        micro_batches: m; the last step of an epoch takes what is left.

    Departures:
        1. A balancer is called once per micro-batch, so that its state (and its draws) advance m times a step.
    """

    micro_batches: int = 1

    def __post_init__(self) -> None:
        if self.micro_batches < 1:
            raise ValueError(f"`micro_batches` must be at least 1, found micro_batches = {self.micro_batches}.")

    def attach(self, network: Network) -> Network:
        """The network as it is: this rule owns no parameters."""
        return network

    def epoch(self, learner: Any, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One `Learner.step` per group of batches."""
        while group := list(islice(batches, self.micro_batches)):
            yield learner.step(*group)

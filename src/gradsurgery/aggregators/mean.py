"""The mean gradient: every task counts the same, conflicts are ignored."""

from dataclasses import dataclass

from gradsurgery.core.interfaces import Scalarization


@dataclass(frozen=True)
class Mean(Scalarization):
    """Averages the task gradients, which is ordinary training on the mean loss.

    Source: the baseline of every paper here (linear scalarisation with equal weights; "GD" on CAGrad's landscape).

        d = (1/K) sum_k g_k

    Departures: none known.
    """

    def scale(self, num_tasks: int) -> float:
        return 1.0 / num_tasks

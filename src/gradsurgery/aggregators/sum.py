"""The summed gradient: what a plain training loop that adds its losses does."""

from dataclasses import dataclass

from gradsurgery.core.interfaces import Scalarization


@dataclass(frozen=True)
class Sum(Scalarization):
    """Adds the task gradients, which is ordinary training on the summed loss.

    Source: the joint-training baseline of the PCGrad paper (arXiv 2001.06782, section 5).

        d = sum_k g_k

    Departures: none known.
    """

    def scale(self, num_tasks: int) -> float:
        return 1.0

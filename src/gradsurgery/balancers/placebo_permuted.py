"""Placebo: the tasks swap names from one micro-batch to the next."""

from dataclasses import dataclass

import numpy as np

from gradsurgery.core.interfaces import Balancer, Losses, Parameters, State


@dataclass(frozen=True)
class PlaceboPermuted(Balancer):
    """Hands loss k to task k + m on the m-th micro-batch, so that every row of J is a mixture of all tasks.

    Source: control of ours (protocol.md 1.3, "PCGrad on permuted task identities"). With the rule `split_batches` a
    batch is cut into K random parts, and row p of J is the gradient of

        L_p = (1/K) sum_m L_{(p - m) mod K}(part m)

    The sum of the rows, the heads' gradients and the number of passes are those of ordinary training. But all rows have
    the same expectation, so that what conflict is left between them is the noise of small batches: nothing that is
    between tasks. A method that trains as well on these rows as on its tasks does not live on conflicts of tasks. Their
    cosines are also a null for the diagnostics.

    Departures:
        1. The protocol names the placebo and does not define it. Permuting whole rows would change nothing, as the
           methods treat tasks alike; so identities are permuted within the step, between examples.
        2. A fixed Latin square instead of a random one: which examples are in part m is random already, and each row
           holds each task exactly once.
    """

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        shift = (state or {}).get("shift", 0)
        present = [k for k, loss in enumerate(losses) if loss is not None]
        permuted = list(losses)
        for p, k in enumerate(present):
            permuted[k] = losses[present[(p - shift) % len(present)]]
        return permuted, {"shift": shift + 1}

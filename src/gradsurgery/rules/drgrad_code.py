"""DRGrad as its released code computes it: two towers lend each other their first kernels' gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.capabilities import towers_of
from gradsurgery.core.interfaces import Metrics, Network
from gradsurgery.core.run import Run, TrainingRule

_EPSILON = 1e-12
_LEAST, _MOST = 0.1, 5.0  # bounds of the length ratio


@dataclass(frozen=True)
class DRGradCode(TrainingRule):
    """Adds to each of two towers' first-kernel gradients a multiple of the other's, in conflict an even larger one.

    Source: the code released with Liu, Miao and Xia, AAAI 2025, arXiv 2510.09643, by its description in our notes; it
    has neither the split task nor the updater, PPNet or gamma of the paper (rule `drgrad`). h_1, h_2 are the gradients
    of the towers' first weight matrices:

        h_1 += w_12 (1 - [s <= 0] s) h_2,   h_2 += w_21 (1 - [s <= 0] s) h_1     both from the gradients as they were
        cosine:          s = cos(h_1, h_2),  w_ij = min(max(|h_i| / |h_j|, 0.1), 5)
        sign_agreement:  s = mean of sign(h_1) sign(h_2),  w_12 = w_21 = 0.1 + 0.9 (share of equal signs)

    The network is `recommender` with one tower per task; that of the code is `variant: ple, levels: 2, experts: 3`.

    Args:
        similarity: "sign_agreement" is what the code computes, because its lengths are taken over an axis of length 1;
            "cosine" is what its names say.

    Departures:
        1. The code also has one small network per category column, a hidden layer in every gate, float64 throughout and
           inputs that are not scaled. Networks here are those of the other rows, so that only the rule differs.
        2. A coordinate that is zero on either side has the ratio 0.1, as in the code.
        3. Routing comes after the step's gradients are complete, so the problem's `clip` must be off.
    """

    needs_every_task = True
    divisible = True
    similarity: Literal["cosine", "sign_agreement"] = "sign_agreement"

    def __post_init__(self) -> None:
        if self.similarity not in ("cosine", "sign_agreement"):
            known = "'cosine' or 'sign_agreement'"
            raise ValueError(f"`similarity` must be {known}, found similarity = {self.similarity!r}.")

    def attach(self, network: Network) -> Network:
        """The network as it is, if it has exactly one tower for each of two tasks."""
        towered = towers_of(network, "drgrad_code")
        if towered.mu is not None or len(towered.towers) != 2:
            split = "" if towered.mu is None else ", two of them the first task's"
            raise ValueError(
                f"rule `drgrad_code` must be given one tower for each of two tasks, found {len(towered.towers)} "
                f"towers{split}."
            )
        return network

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """`Run.step` on every batch, with the routing just before the optimiser's step."""
        if run.problem.clip is not None:
            raise ValueError(
                f"rule `drgrad_code` must run without clipping, as it routes what would be clipped, found clip = "
                f"{run.problem.clip}."
            )
        hook = run.optimizer.register_step_pre_hook(partial(self._before_step, run, run.network))
        try:
            for batch in batches:
                yield run.step(batch)
        finally:
            hook.remove()

    @torch.no_grad()
    def _before_step(self, run: Run, network: Any, *step: Any) -> None:
        first, second = (next(tower.parameters()).grad for tower in network.towers)
        s, w_12, w_21 = stakes(first.flatten(), second.flatten(), self.similarity)
        run.report({"routed": (w_12 + w_21) / 2 * (1.0 - min(s, 0.0))})
        before = first.clone()
        first += w_12 * (1.0 - min(s, 0.0)) * second
        second += w_21 * (1.0 - min(s, 0.0)) * before


def stakes(
    first: Float[Tensor, " P"], second: Float[Tensor, " P"], similarity: Literal["cosine", "sign_agreement"]
) -> tuple[float, float, float]:
    """The similarity s and the two weights w_12, w_21."""
    a, b = first.double(), second.double()
    if similarity == "sign_agreement":
        product = a.sign() * b.sign()
        agreement, share = torch.stack([product.mean(), (product > 0).double().mean()]).tolist()
        weight = _LEAST + (1.0 - _LEAST) * share
        return agreement, weight, weight
    norms = (torch.linalg.vector_norm(g) for g in (a, b))
    inner, *found = torch.stack([a @ b, *norms]).tolist()
    lengths = [max(length, _EPSILON) for length in found]
    ratio = lengths[0] / lengths[1]
    return inner / lengths[0] / lengths[1], _bounded(ratio), _bounded(1.0 / ratio)


def _bounded(ratio: float) -> float:
    return min(max(ratio, _LEAST), _MOST)

"""A method of your own: a function from J (K, P) to d (P,) is enough; a dataclass has settings and a memory."""

from dataclasses import dataclass

import numpy as np
import torch

from gradsurgery import GradientSurgery, aggregate, build, diagnose
from gradsurgery.core.interfaces import Weighting


def unit_sum(J):
    """Every task pulls with the same force."""
    return (J / J.norm(dim=1, keepdim=True).clamp_min(1e-12)).sum(dim=0)


@dataclass(frozen=True)
class Fading(Weighting):
    """Weighs tasks by their gradients' lengths of the past: only the Gram matrix G = J J^T is asked for."""

    beta: float = 0.9

    def __call__(self, G, state, generator):
        lengths = np.sqrt(G.diagonal())
        mean = lengths if state is None else self.beta * state["mean"] + (1 - self.beta) * lengths
        return mean.sum() / np.maximum(mean, 1e-12) / len(G), {"mean": mean}


J = torch.tensor([[3.0, 0.0], [-0.1, 0.2]])
print("conflict", diagnose(J).conflict_share, "cosine", round(diagnose(J).mean_cosine, 3))
for name, method in (("pcgrad", "pcgrad"), ("unit_sum", unit_sum), ("Fading", Fading(beta=0.5))):
    d = aggregate(J, method)
    print(f"{name:9s} d = {[round(v, 3) for v in d.tolist()]}, gains {[round(v, 3) for v in (J @ d).tolist()]}")

network = torch.nn.Linear(2, 2)
surgery = GradientSurgery(network.parameters(), build(Fading, beta=0.5))
surgery.backward(network(torch.eye(2)).square().mean(dim=0))
print("weights in the engine", surgery.weights.round(3))

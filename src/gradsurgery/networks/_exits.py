"""Classifiers inside a network, as Shallow-Deep Networks have them: what one is, and where they sit."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

_LAST = 0.9  # share of the whole work after which the last inner classifier sits


class MixedExit(nn.Module):
    """A learned mixture of max and average pooling to about 4 x 4, then a linear classifier."""

    def __init__(self, channels: int, size: int, num_classes: int):
        super().__init__()
        self.window = max(1, size // 4)
        self.mix = nn.Parameter(torch.zeros(1))  # through a sigmoid: half and half at first
        self.linear = nn.Linear(channels * (size // self.window) ** 2, num_classes)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Tensor:
        share = torch.sigmoid(self.mix)
        pooled = share * max_pool2d(inputs, self.window) + (1.0 - share) * avg_pool2d(inputs, self.window)
        return self.linear(pooled.flatten(1))


def places(works: Sequence[int], inner: int, before: int = 0) -> list[int]:
    """Layers after which `inner` classifiers sit, each where the share of the work is nearest to 0.9 j / `inner`.

    Args:
        works: multiplications of every layer, in order.
        inner: their number, less than that of the layers; no two sit after the same layer.
        before: multiplications of what lies in front of the first layer, where no classifier can sit.
    """
    done = list(itertools.accumulate(works, initial=before))[1:]
    found: list[int] = []
    for j in range(1, inner + 1):
        first = found[-1] + 1 if found else 0
        last = len(works) - 2 - (inner - j)  # leaves a layer for every classifier still to come
        found.append(min(range(first, last + 1), key=lambda i: abs(done[i] / done[-1] - _LAST * j / inner)))
    return found

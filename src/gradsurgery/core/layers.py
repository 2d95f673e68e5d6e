"""The layers of a network, and how often the task gradients conflict in each of them.

A layer is a module without children that holds parameters: a convolution, a normalisation, a linear map. Its weight and
bias are one vector; a convolution and the normalisation after it are two layers. Only layers whose parameters are all
shared count. Scores are whole numbers that add up over steps, epochs and seeds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.jacobian import grams

_SHORT = 2**14  # columns up to which all layers in one pass beat a product for each: most layers have a few hundred
_SHORTEST = 1e-12  # norms below count as this one, so that a task without a gradient has cosine 0


def shared_layers(network: Network) -> dict[str, list[nn.Parameter]]:
    """The parameters of every shared layer by the layer's name, in the order in which the layers are registered."""
    shared = {id(p) for p in network.shared_parameters()}
    layers = {}
    for name, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        if name and own and not any(module.children()) and all(id(p) in shared for p in own):
            layers[name] = own
    return layers


def layer_grams(
    J: Float[Tensor, "K P"], parameters: Sequence[nn.Parameter], layers: Mapping[str, Sequence[nn.Parameter]]
) -> Float64[np.ndarray, "L K K"]:
    """The Gram matrix of each layer's columns of J, in float64.

    Args:
        J: Jacobian of one step (`GradientSurgery.jacobian`).
        parameters: what its columns stand for, in their order (`GradientSurgery.parameters`).
        layers: `shared_layers` of the network. A frozen parameter has no columns and adds nothing.
    """
    owner = {id(p): i for i, own in enumerate(layers.values()) for p in own}
    runs: list[tuple[int, int, int]] = []  # layer, first column, column after the last; neighbours of one layer as one
    start = 0
    for p in parameters:
        end = start + p.numel()
        if id(p) in owner:
            joins = bool(runs) and runs[-1][0] == owner[id(p)] and runs[-1][2] == start
            runs.append((owner[id(p)], runs.pop()[1] if joins else start, end))
        start = end
    if start != J.shape[1]:
        raise ValueError(f"`parameters` must hold J's {J.shape[1]} columns, found {start}.")
    long = [run for run in runs if run[2] - run[1] > _SHORT]
    short = [run for run in runs if 0 < run[2] - run[1] <= _SHORT]
    joined = [torch.cat([J[:, first:after] for _, first, after in short], dim=1)] if short else []
    whole, columns = grams([J[:, first:after] for _, first, after in long], *joined)
    G = np.zeros((len(layers), len(J), len(J)))
    for (i, _, _), own_gram in zip(long, whole, strict=True):
        G[i] += own_gram
    if short:
        (parts,) = columns
        starts = np.cumsum([0, *(after - first for _, first, after in short[:-1])])
        own = [i for i, _, _ in short]
        for k in range(len(J)):
            for j in range(k + 1):
                sums = np.add.reduceat(parts[k] * parts[j], starts)
                np.add.at(G[:, k, j], own, sums)
                if j < k:
                    np.add.at(G[:, j, k], own, sums)
    return G


def pair_cosines(G: Float64[np.ndarray, "L K K"]) -> Float64[np.ndarray, "L pairs"]:
    """cos(g_i, g_j) for i < j, of every layer; 0 where a gradient is zero."""
    norms = np.maximum(np.sqrt(np.diagonal(G, axis1=1, axis2=2)), _SHORTEST)
    i, j = np.triu_indices(G.shape[1], k=1)
    return np.asarray(G[:, i, j] / (norms[:, i] * norms[:, j]))


def conflict_counts(
    cosines: Float64[np.ndarray, "L pairs"], thresholds: Sequence[float]
) -> Int64[np.ndarray, "L thresholds"]:
    """S-conflict scores of one step: the number of pairs with a cosine below S, strictly, for each layer and each S.

    Differences of neighbouring columns are a histogram of the cosines.
    """
    check_thresholds(thresholds)
    return (cosines[:, :, None] < np.asarray(thresholds)).sum(axis=1, dtype=np.int64)


def as_evidence(
    names: Sequence[str], thresholds: Sequence[float], counts: Sequence[Int64[np.ndarray, "L thresholds"]]
) -> dict[str, Any]:
    """The summed scores in plain, JSON-safe form, as the Recon transform reads them.

    Args:
        names: of the layers, `tuple(shared_layers(network))`.
        thresholds: the grid of S.
        counts: scores of steps, epochs or seeds, which are added.

    Returns:
        {"thresholds": [S, ..], "scores": {layer: [score for each S]}}
    """
    check_thresholds(thresholds)
    total = np.sum(np.asarray(counts, dtype=np.int64).reshape(-1, len(names), len(thresholds)), axis=0)
    return {"thresholds": list(thresholds), "scores": dict(zip(names, total.tolist(), strict=True))}


def ranked(scores: Mapping[str, int], order: Sequence[str]) -> list[str]:
    """Layers by descending score; of equal ones that comes first which is first in `order`."""
    return sorted(order, key=lambda name: -scores[name])


def check_thresholds(thresholds: Sequence[float], name: str = "thresholds") -> None:
    """Refuses an S outside (-1, 0]; `name` is what they are called in the sentence."""
    for S in thresholds:
        if not -1.0 < S <= 0.0:
            raise ValueError(f"`{name}` must lie above -1 and not above 0, found {S}.")

"""How the loss bends along a step, and which layers the bend comes from."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.jacobian import read


def curvature_shares(
    loss: Float[Tensor, ""],
    parameters: Sequence[nn.Parameter],
    direction: Float[Tensor, " P"],
    layers: Mapping[str, Sequence[nn.Parameter]],
) -> tuple[float, list[float]]:
    """d^T H d / |d|^2, the Rayleigh quotient of the loss's Hessian along d, and each layer's share of it.

    The share of layer l is d_l^T (H d)_l / |d|^2, so that the shares of all layers add up to the whole, cross terms
    between layers included. Exact: H d by differentiating <gradient, d>, one more backward pass through the graph.

    Source: the bounding curvature of Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, arXiv 2001.06782,
    definition 3, over |d|^2.

    Departures:
        1. The paper averages H over the segment between theta and its update; this is H at theta, the limit of small
           steps.

    Args:
        loss: with its graph, which is freed.
        parameters: what d is the direction of, in its order.
        direction: d; its length does not matter. Zero gives 0.
        layers: parameters by layer. What is not among `parameters` adds nothing.

    Returns:
        The whole, and one share per layer.
    """
    length = torch.linalg.vector_norm(direction.double())
    unit = []
    start = 0
    for p in parameters:
        own_part = direction[start : start + p.numel()] / length  # new memory, so that its offset is 0
        unit.append(own_part.as_strided(p.shape, _strides(p)))
        start += p.numel()
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
    slope = sum((g * u).sum() for g, u in zip(gradients, unit, strict=True) if g is not None)
    if not isinstance(slope, Tensor) or not slope.requires_grad:
        return 0.0, [0.0] * len(layers)  # a loss that is linear in all of them
    bends = torch.autograd.grad(slope, parameters, allow_unused=True)
    bent = [(p, bend, u) for p, bend, u in zip(parameters, bends, unit, strict=True) if bend is not None]
    # One wait for the device, not one for each parameter; the length is looked at here for the same reason.
    (found,) = read(torch.stack([length, *((bend.double() * u.double()).sum() for _, bend, u in bent)]))
    if found[0] == 0.0:
        return 0.0, [0.0] * len(layers)
    own = dict.fromkeys(map(id, parameters), 0.0) | {
        id(p): own_part for (p, _, _), own_part in zip(bent, found[1:].tolist(), strict=True)
    }
    return sum(own.values()), [sum(own.get(id(p), 0.0) for p in layer) for layer in layers.values()]


def _strides(parameter: nn.Parameter) -> tuple[int, ...]:
    """The order in which the engine lays this parameter out in a row of J."""
    return tuple(torch.empty_like(parameter, device="meta").stride())

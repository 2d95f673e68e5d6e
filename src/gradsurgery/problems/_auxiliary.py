"""What training with losses that need no label asks for beside the losses."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.networks.wide_resnet import WideResNet


@contextlib.contextmanager
def statistics_kept(trunk: nn.Module) -> Iterator[None]:
    """Normalisation by the batch that leaves the running statistics alone."""
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def reweigh(network: WideResNet, main: Float[Tensor, ""], free: Sequence[Float[Tensor, ""]], rate: float) -> None:
    """One of ARML's own steps, on the weights."""
    shared = network.shared_parameters()
    rows = [torch.cat([own.flatten() for own in torch.autograd.grad(loss, shared, retain_graph=True)])
            for loss in (main, *free)]  # fmt: skip
    J = torch.stack(rows[1:])
    weights = network.weights
    weights += 2.0 * rate * (J @ (rows[0] - weights @ J))
    weights += 1.0 - weights.mean()
    weights.clamp_(min=0.0)

"""What several processes of one training must agree on. Without `torch.distributed` all of it is free."""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradsurgery.core.handed import leaves_of
from gradsurgery.core.witness import Witness


def several() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def averaged(own: Tensor) -> Tensor:
    """The mean over all processes, in the memory of `own`; `own` as it is where there is one."""
    if several():
        dist.all_reduce(own)
        own /= dist.get_world_size()
    return own


def agree(
    gradients: Tensor, heads: Sequence[Tensor], flags: Sequence[bool], strange: int, witness: Witness
) -> tuple[list[bool], float]:
    """Averages `gradients` and the heads' over all processes. All then know the same.

    Raises ValueError, in all of them, where one has `strange` parameters.

    Returns:
        Which flags are set anywhere, and the sum of what the witnesses took down.
    """
    numbers = torch.tensor(
        [*(p.grad is not None for p in heads), *flags, strange, witness.total],
        dtype=torch.float64,
        device=gradients.device,
    )
    beside = witness.beside(gradients.device)
    if beside is not None:
        numbers[-1] += beside
    dist.all_reduce(numbers)
    *anywhere, left_out, total = numbers.tolist()
    if left_out:
        raise ValueError(
            "`heads` must hold every parameter besides `shared` that the losses train, or processes drift apart, found "
            f"{int(left_out)} left out over all processes."
        )
    # A head without a gradient here may have one elsewhere; without one anywhere it stays None, and Adam skips it.
    tensors = [gradients]
    for parameter, there in zip(heads, anywhere, strict=False):
        if there:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            tensors.append(parameter.grad)
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor.div_(dist.get_world_size())
    return [number > 0.0 for number in anywhere[len(heads) :]], total


def strays(losses: Iterable[Tensor], known: Iterable[Tensor]) -> int:
    """How many parameters the losses' graph holds besides the known ones."""
    ours = {id(p) for p in known}
    return sum(isinstance(leaf, nn.Parameter) and id(leaf) not in ours for leaf in leaves_of(losses))

"""What several processes of one training must agree on. Without `torch.distributed` all of it is free."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def several() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed(numbers: Sequence[float], device: torch.device, last: Tensor | None = None) -> list[float]:
    """Each number's sum over all processes; what lies in `last`, on the device, is added to the last one first."""
    told = torch.tensor(numbers, dtype=torch.float64, device=device)
    if last is not None:
        told[-1] += last
    dist.all_reduce(told)
    return told.tolist()


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces each tensor by its mean over all processes."""
    for tensor in tensors:
        dist.all_reduce(tensor)
        tensor.div_(dist.get_world_size())


def strays(losses: Iterable[Tensor], known: Iterable[nn.Parameter]) -> int:
    """How many parameters the losses' graph holds besides the known ones."""
    ours = {id(p) for p in known}
    seen: set[Any] = set()
    found: set[int] = set()
    todo: list[Any] = [loss.grad_fn for loss in losses]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        todo.extend(following for following, _ in node.next_functions)
        if node.name() == "torch::autograd::AccumulateGrad":
            leaf = node.variable
            if isinstance(leaf, nn.Parameter) and id(leaf) not in ours:
                found.add(id(leaf))
    return len(found)

"""What goes into a step and what comes out of it: batches, the gradients' length, the tasks' mean losses."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from gradsurgery.core.interfaces import Metrics


def move(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor in it on `device`, in the same tuples, lists and dictionaries."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple | list):
        return type(batch)(move(part, device) for part in batch)
    if isinstance(batch, dict):
        return {name: move(part, device) for name, part in batch.items()}
    return batch


def part(batch: Any, m: int, K: int) -> Any:
    """The m-th of K parts of a batch: of every tensor in it, along its first axis."""
    if isinstance(batch, Tensor):
        if len(batch) < K:
            raise ValueError(f"`batch_size` must be at least the number of parts, {K}, found {len(batch)}.")
        return batch.tensor_split(K)[m]
    if isinstance(batch, tuple | list):
        return type(batch)(part(entry, m, K) for entry in batch)
    if isinstance(batch, dict):
        return {name: part(entry, m, K) for name, entry in batch.items()}
    return batch


def gradient_norm(parameters: Iterable[nn.Parameter | Tensor]) -> Float[Tensor, ""]:
    """Length of all gradients together, of those that have one; on their device."""
    return get_total_norm([p.grad for p in parameters if p.grad is not None])


def check_every_task(rule: str, tasks: Sequence[str], losses: Sequence[Tensor | None]) -> None:
    """Refuses a batch that some task has no loss on, for a rule that would have to make up its gradient."""
    found = sum(loss is not None for loss in losses)
    if found < len(tasks):
        raise ValueError(
            f"rule `{rule}` must have a loss of each of the tasks {', '.join(tasks)} in every batch, found {found} of "
            f"{len(tasks)}."
        )


def mean_losses(
    tasks: Sequence[str], seen: Sequence[Sequence[Float[Tensor, ""] | None]], beside: Float[Tensor, ""] | None = None
) -> tuple[Metrics, float]:
    """`train.<task>.loss`: each task's loss, averaged over the micro-batches that have it. One wait for the device.

    Args:
        tasks: names of the K tasks.
        seen: for each micro-batch the K losses, None for a task that has no example in it.
        beside: a number that is wanted at the same time.

    Returns:
        The tasks that have a loss in at least one of them; and `beside`, 0 without one.
    """
    rows = [[loss for loss in losses if loss is not None] for losses in seen]
    if all(len(row) == len(tasks) for row in rows):
        held = list(tasks)
        means = torch.stack([torch.stack(row) for row in rows]).detach().double().mean(0)
    else:
        columns = [[loss.detach() for loss in column if loss is not None] for column in zip(*seen, strict=True)]
        held = [task for task, own in zip(tasks, columns, strict=True) if own]
        means = torch.stack([torch.stack(own).double().mean() for own in columns if own]) if held else torch.empty(0)
    found = (means if beside is None else torch.cat([means, beside.to(means).reshape(1)])).tolist()
    return {f"train.{task}.loss": mean for task, mean in zip(held, found, strict=False)}, sum(found[len(held) :], 0.0)

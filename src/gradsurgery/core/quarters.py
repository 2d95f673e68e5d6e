"""The weights of a learner's step from the first quarter of its batch."""

import copy
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from gradsurgery.core.learner import Learner


def weigh_quarter(learner: "Learner", batch: Any) -> None:
    """Hands the engine the losses of a quarter, where it asks for them; buffers and balancer stay as they were.

    Call it when the buffers were just kept.
    """
    mode = learner.surgery.mode
    if mode is None or mode.gradients != "sub_batch" or not mode.due:
        return
    draws = copy.deepcopy(learner.generators.method)
    given = (learner.losses(quarter(batch)), learner.balancer_parameters, learner.balancer_state, draws)
    losses = learner.balancer(*given)[0]
    if any(loss is not None for loss in losses):  # else the whole batch gives the weights
        scaler = learner.scaler
        learner.surgery.weigh([loss if loss is None or scaler is None else scaler.scale(loss) for loss in losses])
    learner.buffers.put_back()


def quarter(batch: Any) -> Any:
    """The first quarter of the rows of every tensor in it, rounded up, in the same tuples, lists and dictionaries."""
    if isinstance(batch, Tensor):
        return batch[: -(-len(batch) // 4)]
    if isinstance(batch, tuple | list):
        return type(batch)(quarter(part) for part in batch)
    if isinstance(batch, dict):
        return {name: quarter(part) for name, part in batch.items()}
    return batch

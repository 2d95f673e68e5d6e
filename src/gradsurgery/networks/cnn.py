"""A small convolutional network in which every task has pictures of its own."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes

_POOLINGS = 3


class CNN(Network):
    """Three 3 x 3 convolutions and two fully connected layers, shared, then one linear head per task.

    Source: Yu et al. 2020 (arXiv 2001.06782), section J.1: 160 filters in each convolution, 320 units in each fully
    connected layer.

    Row k of the input are the pictures of task k, and the shared layers read every row by itself. Task k's gradient is
    then one backward pass through row k alone, and the K of them cost what a single one through all rows costs. As the
    layers treat every picture by itself, all numbers are those of one pass over the rows together.

    Args:
        num_tasks: K, number of rows and of heads.
        num_classes: outputs of each head.
        width: filters of each convolution.
        hidden: units of each fully connected layer.
        trunk: "shared" by the tasks, or "separate": one for each, which makes K networks that have nothing to do with
            one another. They are then listed as shared all the same, which for the summed gradient is independent
            training with any optimiser that treats parameters one by one, as long as nothing is clipped.
        size: height and width of the pictures.

    Departures:
        1. The paper says neither where it pools nor how it starts: 2 x 2 pooling after each convolution, torch's start.
        2. No routing networks, which stand behind the paper's best row.
        3. Pooling comes before the ReLU; both are monotone, so the function is the same.
    """

    def __init__(
        self,
        num_tasks: int = 20,
        num_classes: int = 5,
        width: int = 160,
        hidden: int = 320,
        trunk: Literal["shared", "separate"] = "shared",
        size: int = 32,
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "width": (width, 1), "hidden": (hidden, 1),
            "size": (size, 2**_POOLINGS),
        })  # fmt: skip
        if trunk not in ("shared", "separate"):
            raise ValueError(f"`trunk` must be 'shared' or 'separate', found trunk = {trunk!r}.")
        self.trunks = nn.ModuleList(
            _trunk(width, hidden, size // 2**_POOLINGS) for _ in range(num_tasks if trunk == "separate" else 1)
        )
        self.heads = nn.ModuleList(nn.Linear(hidden, num_classes) for _ in range(num_tasks))
        # Twice as fast on channels-last weights, and the function is the same.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "tasks batch 3 size size"]) -> tuple[Tensor, ...]:
        if len(inputs) != len(self.heads):
            raise ValueError(f"`inputs` must hold one row for each of {len(self.heads)} tasks, found {len(inputs)}.")
        return tuple(head(self.trunks[k % len(self.trunks)](inputs[k])) for k, head in enumerate(self.heads))

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunks.parameters())


def _trunk(width: int, hidden: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(side**2 * width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
    )  # fmt: skip

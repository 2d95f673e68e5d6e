"""A multi-layer perceptron with one linear head per task, for tests and for measuring steps."""

import itertools

from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class MLP(Network):
    """Fully connected shared layers with ReLU, then one linear head per task.

    Args:
        num_tasks: number of heads.
        num_classes: outputs of each head.
        in_features: numbers per example; pictures are flattened.
        hidden: widths of the shared layers.
    """

    def __init__(
        self,
        num_tasks: int = 2,
        num_classes: int = 10,
        in_features: int = 1296,
        hidden: tuple[int, ...] = (256, 256),
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "in_features": (in_features, 1),
            **{f"hidden[{i}]": (width, 1) for i, width in enumerate(hidden)},
        })  # fmt: skip
        if not hidden:
            raise ValueError("`hidden` must name at least one shared layer, found hidden = ().")
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise((in_features, *hidden)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(hidden[-1], num_classes) for _ in range(num_tasks))

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        return tuple(head(shared) for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

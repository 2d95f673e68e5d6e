"""What is measured: a network of ours, K classification losses on random pictures, SGD; every variant starts alike."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gradsurgery.core import discovery

TASKS = (2, 3, 10, 40)


@dataclass(frozen=True)
class Case:
    """A network and the size of its batches; `quick_tasks` are the K that a quick run takes."""

    network: str
    batch: int
    fields: dict[str, Any] = field(default_factory=dict)
    quick_tasks: tuple[int, ...] = TASKS


CASES = {
    "mlp-small": Case("mlp", 256, {"hidden": [256, 256]}),
    "lenet": Case("lenet", 256, quick_tasks=(2, 3, 10)),
    "mlp-large": Case("mlp", 256, {"hidden": [768, 768]}, quick_tasks=(2, 10)),
    "resnet18": Case("resnet", 64, {"width": 20}, quick_tasks=(2,)),
}


class Training:
    """One network in training; every variant gets its own."""

    def __init__(self, case: Case, tasks: int) -> None:
        draws = torch.Generator().manual_seed(0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network: Any = discovery.build("networks", case.network, num_tasks=tasks, **case.fields)
        # Our networks are channels_last, which LibMTL cannot flatten: everyone runs the contiguous network.
        self.network.to(memory_format=torch.contiguous_format)
        self.shared: list[nn.Parameter] = self.network.shared_parameters()
        # A small step: the gradients stay those of the first steps, whatever the number of rounds.
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-4)
        self.inputs = torch.randn(case.batch, 1, 36, 36, generator=draws)
        self.targets = torch.randint(10, (tasks, case.batch), generator=draws)

    def forward(self, rows: int | None = None) -> tuple[Tensor, list[Tensor]]:
        """The representation (TorchJD asks for it) and the K losses, of the first `rows` of the batch or of all."""
        features = self.network.trunk(self.inputs[:rows])
        heads = zip(self.network.heads, self.targets[:, :rows], strict=True)
        return features, [nn.functional.cross_entropy(head(features), targets) for head, targets in heads]

    @property
    def size(self) -> int:
        return sum(p.numel() for p in self.shared)

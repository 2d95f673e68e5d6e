"""A network of its own for every task, in one run."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks.celeba_cnn import CelebACNN
from gradsurgery.networks.celeba_resnet import CelebAResNet
from gradsurgery.networks.mtan import MTAN


class Separate(Network):
    """K networks that have nothing to do with one another: what training every task by itself gives.

    Source: the rows of single tasks in the tables of SAM-GS (arXiv 2506.06130) and Recon (arXiv 2302.11289) on CelebA,
    and STAN, an MTAN for every task, in those of Liu et al. 2019 (arXiv 1803.10704).

    All parameters are listed as shared, though none is, as the rule of training wants some: for the summed gradient
    this is independent training with any optimiser that treats parameters one by one, as long as nothing is clipped.

    Args:
        of: the network of each task: "mtan" of its maps, "celeba_cnn" or "celeba_resnet" of its attribute.
        outputs: channels of each task's map, for "mtan".
        num_tasks: number of attributes, for the others.
        width: as in the networks themselves.

    Departures:
        1. One epoch is chosen for all tasks, where a rule chooses.
    """

    def __init__(
        self,
        of: Literal["mtan", "celeba_cnn", "celeba_resnet"],
        outputs: tuple[int, ...] = (),
        num_tasks: int = 0,
        width: int = 64,
    ):
        super().__init__()
        if of not in ("mtan", "celeba_cnn", "celeba_resnet"):
            raise ValueError(f"`of` must be 'mtan', 'celeba_cnn' or 'celeba_resnet', found of = {of!r}.")
        check_sizes({"num_tasks": (num_tasks, 0)})
        if of == "mtan":
            check_sizes({"outputs": (len(outputs), 1)}, " for of = 'mtan'")
            self.networks = nn.ModuleList(MTAN((channels,), width) for channels in outputs)
        else:
            check_sizes({"num_tasks": (num_tasks, 1)}, f" for of = {of!r}")
            kind = CelebACNN if of == "celeba_cnn" else CelebAResNet
            self.networks = nn.ModuleList(kind(1, width=width) for _ in range(num_tasks))

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        return tuple(network(inputs)[0] for network in self.networks)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.networks.parameters())

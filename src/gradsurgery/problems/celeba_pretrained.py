"""CelebA on a ResNet-18 that has learned ImageNet before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32

from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_seed, network_of
from gradsurgery.networks.celeba_resnet import CelebAResNet
from gradsurgery.problems import celeba
from gradsurgery.problems.celeba import NUM_TASKS, CelebA, _Training

DATA_CARD = (
    celeba.DATA_CARD
    + """
The network starts from weights that were trained on ImageNet-1K: those of torchvision, BSD 3-Clause, its first ones."""
)

_NORM = ("weight", "bias", "running_mean", "running_var")


class CelebAPretrained(CelebA):
    """`celeba` on a `celeba_resnet`, or on one for every task, whose trunks start from given weights.

    Source: Recon (arXiv 2302.11289), appendix B: ResNet-18 pre-trained on ImageNet, Adam at 5e-5, halved after 3 of 5
    epochs, mean error.

    Args: those of `celeba`; `arrays` hold `trunk`, too.

    Departures:
        1. Which weights, what pictures are normalised by and how large a batch is, is not printed: torchvision's first,
           by 255 as elsewhere here, and what params.yaml says.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training,
        judged: Literal["f1", "error"] = "f1",
    ):  # fmt: skip
        super().__init__(arrays, network, training, judged)
        trunks = _trunks(network_of(network, {"num_tasks": NUM_TASKS}, None))
        if not trunks:
            raise ValueError(
                f"`network` must be celeba_resnet, or separate of it, to be pre-trained, found {network['name']!r}."
            )
        self._weights = arrays["trunk"] if arrays else None
        size = sum(values.numel() for values in _state(trunks[0]))
        if self._weights is not None and self._weights.shape != (size,):
            raise ValueError(f"`trunk` must hold the {size} numbers of the network, found {self._weights.shape}.")

    def network(self, generator: torch.Generator) -> Network:
        drawn = super().network(generator)
        if self._weights is not None:
            weights = torch.from_numpy(np.array(self._weights))
            for trunk in _trunks(drawn):
                own = _state(trunk)
                for values, given in zip(own, weights.split([each.numel() for each in own]), strict=True):
                    values.copy_(given.view(values.shape))
        return drawn


@dataclass(frozen=True)
class _Preparation:
    """What `prepare` reads: the faces, the weights, and the seed of the order."""

    left: str
    right: str
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What `celeba` makes of the faces, and `trunk`."""
    own: _Preparation = make(_Preparation, "prepare", settings)
    return {**celeba.prepare(raw, {"left": own.left, "seed": own.seed}), "trunk": raw[own.right]["trunk"]}


def imagenet(url: str) -> dict[str, Float32[np.ndarray, " n"]]:
    """The numbers of torchvision's ResNet-18 without its last layer, in the order of `celeba_resnet`'s trunk.

    Args:
        url: of the file, whose name ends in the beginning of its sha256, which is checked.
    """
    return {"trunk": packed(torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True))}


def packed(state: Mapping[str, torch.Tensor]) -> Float32[np.ndarray, " n"]:
    """The numbers by torchvision's names one after the other, each convolution before its normalisation."""
    layers = [("conv1", "bn1")]
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            layers += [(f"{name}.conv{n}", f"{name}.bn{n}") for n in (1, 2)]
            layers += [(f"{name}.downsample.0", f"{name}.downsample.1")] if stage > 1 and block == 0 else []
    names = [
        f"{layer}.{part}"
        for conv, norm in layers
        for layer, parts in ((conv, _NORM[:1]), (norm, _NORM))
        for part in parts
    ]
    return np.concatenate([state[name].float().numpy().ravel() for name in names])


def _trunks(network: torch.nn.Module) -> list[torch.nn.Module]:
    return [module.trunk for module in network.modules() if isinstance(module, CelebAResNet)]


def _state(trunk: torch.nn.Module) -> list[torch.Tensor]:
    """All its numbers but the counters of batches, in the order of registration."""
    return [values for name, values in trunk.state_dict().items() if not name.endswith("num_batches_tracked")]

"""PASCAL-Context: what is seen in every pixel, parts of people, what stands out, and which way surfaces face."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32

from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import permutation
from gradsurgery.core.settings import check_seed, network_of
from gradsurgery.dense.pascal import TASKS
from gradsurgery.dense.scenes import Scene
from gradsurgery.networks.mobilenet_raspp import MobileNetRASPP
from gradsurgery.problems.dense import Dense
from gradsurgery.problems.dense import _Training as _Dense

DATA_CARD = """\
PASCAL-Context (Mottaghi et al. 2014) with parts of people (Chen et al. 2014) as ASTMT (Maninis et al. 2019) hands it
out, the user's own copy: 4,998 pictures to train on and 5,105 to judge by, 21 classes of PASCAL VOC, 6 parts, and
saliency and surface normals *distilled* from other networks, which are no measurements. All is 512 x 512 here. Pictures
without people count nowhere for parts. There is no validation set: the `val` numbers are of training pictures, so that
no epoch may be chosen by them. No twin stands in for it, and it was never run on the real data here. The trunk starts
from weights that were trained on ImageNet-1K: torchvision's first ones, BSD 3-Clause."""

_SEEN = 50  # training pictures that stand in for a validation set


@dataclass(frozen=True, kw_only=True)
class _Training(_Dense):
    """Of Adam."""

    batch_size: int = 6
    lr: float = 1e-4
    gamma: float = 0.1


class PascalContext(Dense):
    """Tasks "segmentation", "parts", "saliency" and "normal" on one network.

    Source: Recon (Shi et al. 2023, arXiv 2302.11289), appendix B: MobileNetV2 with R-ASPP, pre-trained on ImageNet,
    Adam at 1e-4, a tenth after 70 and 100 of 130 epochs, batches of 6; Table 4 has these four of ASTMT's five tasks.
    Losses and metrics are ASTMT's (`dense/pascal.py`, `dense/labels.py`), as Recon names no others.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network, `mobilenet_raspp`, and its fields, but for `outputs`.
        training: data, rate and schedule, whose fields are settings beside the others.
        augment: "swap" left and right every second time, or "none".
        test_batch: pictures of a batch in evaluation, over which errors of normals are means.

    Departures:
        1. ASTMT also turns pictures by up to 20 degrees and makes them 0.75 to 1.25 times as large; Recon says nothing.
        2. The last, smaller batch of an epoch is left out for every method.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training,
        augment: Literal["none", "swap"] = "swap", test_batch: int = 1,
    ):  # fmt: skip
        self._show(Scene(TASKS), arrays, network, training, augment, test_batch, MobileNetRASPP)
        self._weights = arrays["trunk"] if arrays else None
        count = sum(values.numel() for values in _state(network_of(network, self._own, None)))
        if self._weights is not None and self._weights.shape != (count,):
            raise ValueError(f"`trunk` must hold the {count} numbers of the network, found {self._weights.shape}.")

    def network(self, generator: torch.Generator) -> Network:
        drawn = super().network(generator)
        if self._weights is not None:
            own = _state(drawn)
            given = torch.from_numpy(np.array(self._weights)).split([values.numel() for values in own])
            for values, numbers in zip(own, given, strict=True):
                values.copy_(numbers.view(values.shape))
        return drawn


@dataclass(frozen=True)
class _Preparation:
    """What `prepare` reads: the pictures, the weights, and the seed of the order."""

    left: str
    right: str
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The pictures of both splits in random order, so that any first n are a fair sample, with their maps.

    Args:
        raw: data set -> {train,test}_images (N, h, w, 3) and {train,test}_<task>; weights -> `trunk`.
        settings: `left`, the data set; `right`, the weights; `seed`, of the order.

    Returns:
        {train,val,test}_images and {train,val,test}_<task> of every task, and `trunk`.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    words, source = np.random.Philox(own.seed), raw[own.left]
    found = {"trunk": raw[own.right]["trunk"]}
    for split in ("train", "test"):
        order = permutation(words, len(source[f"{split}_images"]))
        for name in ("images", *TASKS):
            values = source[f"{split}_{name}"]
            if values.shape[:3] != source[f"{split}_images"].shape[:3]:
                raise ValueError(
                    f"`{split}_{name}` must be of as many pictures and of their size, "
                    f"{source[f'{split}_images'].shape[:3]}, found {values.shape}."
                )
            found[f"{split}_{name}"] = values[order]
    return found | {f"val_{name}": found[f"train_{name}"][:_SEEN].copy() for name in ("images", *TASKS)}


def imagenet(url: str) -> dict[str, Float32[np.ndarray, " n"]]:
    """The numbers of torchvision's MobileNetV2 but for its last convolution and its classifier, in their order, which
    is that of `networks/_mobile.py`.

    Args:
        url: of the file, whose name ends in the beginning of its sha256, which is checked.
    """
    state = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True)
    own = [
        values for name, values in state.items() if name.startswith("features.") and not name.startswith("features.18.")
    ]
    return {"trunk": np.concatenate([values.float().numpy().ravel() for values in own if values.ndim])}


def _state(network: torch.nn.Module) -> list[torch.Tensor]:
    """All numbers of the trunk but the counters of batches, in the order of registration."""
    assert isinstance(network, MobileNetRASPP)
    return [values for values in network.trunk.state_dict().values() if values.ndim]

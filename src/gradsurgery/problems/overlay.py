"""MultiMNIST, MultiFashion and Multi-Fashion+MNIST: two pictures laid over each other, one task for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from gradsurgery.core.classification import Answers, Labelled
from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import device_of, greys, permutation
from gradsurgery.core.settings import check_seed
from gradsurgery.core.training import Stepped

DATA_CARD = """\
Two 28 x 28 pictures on a 36 x 36 canvas, one in the top left corner and one in the bottom right; where they overlap the
brighter pixel shows. This is the papers' construction (Sabour et al. 2017; Sener and Koltun 2018; Lin et al. 2019),
rebuilt from the original pictures. It is not the papers' bytes: the pairs they drew are not published with a checksum.
From the 60,000 training pictures of each set, every one used twice in its corner, 120,000 are built; from the 10,000
test pictures, 20,000. The validation split is 12,000 of the 120,000, built from 6,000 pictures of each set that no
training picture shows, so that it measures what the test set measures."""

_COPIES = 2  # every source picture appears twice on each side: 60,000 -> 120,000
_VAL_SHARE = 10  # one source picture in ten is kept for validation: 12,000 of 120,000


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """As for `Stepped`.

    Args:
        hold_out: whether the validation pictures are kept from training. The papers hold none out: without it all
            120,000 are trained on, validation says how well some of those are learned, and no epoch is chosen by it.
    """

    batch_size: int = 256
    lr: float = 1e-3
    hold_out: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hold_out and self.train_size:
            raise ValueError(f"`train_size` must be 0, all, where hold_out = False, found {self.train_size}.")


class Overlay(Labelled):
    """Classify the picture in the top left corner (`left`) and the one in the bottom right corner (`right`).

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: data, rate and schedule, whose fields are settings beside the others.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training):
        if arrays and not training.hold_out:
            whole = {
                f"train_{of}": [arrays[f"{split}_{of}"] for split in ("train", "val")] for of in ("images", "labels")
            }
            arrays = {**arrays, **{name: np.concatenate(parts) for name, parts in whole.items()}}
        super().__init__(arrays, ("left", "right"), network, {"num_tasks": 2, "num_classes": 10}, training)

    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        device = device_of(network)
        return network(greys(images, device)), labels.to(device).unbind(dim=1)


@dataclass(frozen=True)
class _Preparation:
    """What `prepare` reads of params.yaml: the data set of each corner, and the seed of every draw."""

    left: str
    right: str
    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Builds the splits of one problem from the decoded data sets; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_{images,labels}.
        settings: `left` and `right`, the data set of each corner, and `seed`.

    Returns:
        {train,val,test}_{images (N, 36, 36), labels (N, 2)}, uint8, and `val_index`, the places of the validation
        pictures in the construction of all 120,000. All in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    left, right = own.left, own.right
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    words = np.random.Philox(own.seed)
    pairs = {}
    for split in ("train", "test"):
        sizes = {name: len(raw[name][f"{split}_labels"]) for name in (left, right)}
        if sizes[left] != sizes[right]:
            raise ValueError(f"`right` must have as many {split} pictures as `left`, found {sizes}.")
        n = sizes[left]
        held_out = n // _VAL_SHARE if split == "train" else 0
        # One order per data set, not per corner: with the same set in both, a picture is held out on both sides.
        orders = {name: permutation(words, n) for name in (left, right)}
        groups = [slice(0, held_out), slice(held_out, n)]
        parts = [_pair(words, orders[left][group], orders[right][group]) for group in groups]
        is_val = np.repeat([True, False], [len(part) for part in parts])
        shuffle = permutation(words, len(is_val))
        pairs[split] = np.concatenate(parts)[shuffle], is_val[shuffle]

    train, is_val = pairs["train"]
    chosen = {"train": ("train", train[~is_val]), "val": ("train", train[is_val]), "test": ("test", pairs["test"][0])}
    arrays = {"val_index": np.flatnonzero(is_val)}
    for split, (source, pair) in chosen.items():
        images, labels = f"{source}_images", f"{source}_labels"
        arrays[f"{split}_images"] = _overlay(raw[left][images], raw[right][images], pair)
        arrays[f"{split}_labels"] = np.stack([raw[left][labels][pair[:, 0]], raw[right][labels][pair[:, 1]]], axis=1)
    return arrays


def _pair(
    words: np.random.Philox, left: Int64[np.ndarray, " n"], right: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, "N 2"]:
    """Random pairs in which every member of `left` and of `right` appears `_COPIES` times."""
    columns = [np.concatenate([side[permutation(words, len(side))] for _ in range(_COPIES)]) for side in (left, right)]
    return np.stack(columns, axis=1)


def _overlay(
    left: UInt8[np.ndarray, "A 28 28"], right: UInt8[np.ndarray, "B 28 28"], pair: Int64[np.ndarray, "N 2"]
) -> UInt8[np.ndarray, "N 36 36"]:
    canvas = np.zeros((len(pair), 36, 36), np.uint8)
    canvas[:, :28, :28] = left[pair[:, 0]]
    corner = canvas[:, 8:, 8:]
    np.maximum(corner, right[pair[:, 1]], out=corner)
    return canvas

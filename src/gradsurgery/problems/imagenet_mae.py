"""ImageNet with three patches in four hidden: fill them in, and where asked for say what is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradsurgery.core.discovery import make
from gradsurgery.core.settings import OneSet, check_sizes
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, albums_of, divided
from gradsurgery.problems._holes import MaskedTraining
from gradsurgery.problems._masked import MaskedPictures, drawn_patches

DATA_CARD = """\
ImageNet-1K (Russakovsky et al. 2015), for non-commercial research and not to be passed on: the user's own copy, 1,000
folders of train/ (1,281,167 pictures) and of val/ (50,000), which the paper judges on and which is the test set here;
50 training pictures of every class are kept for validation. A picture is the middle square of the file, 256 x 256,
as 64 patches, of which 48 are hidden: always the same in what is judged, drawn anew whenever a picture trains. The twin
is another thing in the same form: noisy stripes of ten directions. Never run on the real data here."""


class ImageNetMAE(MaskedPictures):
    """Tasks "l1", the mean absolute error of hidden pixels, "ssim", 1 - SSIM of the same, and perhaps "classification".

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2): pictures of 256 x 256, patches of 32, L1
    between normalised pictures and 1 - SSIM between pictures in [0, 1], weighted 0.85 and 0.15 (balancer `static`);
    AdamW at 2e-4 with decay 0.05, betas (0.9, 0.95), or (0.0, 0.95) where the method smooths gradients itself, 15
    epochs of which 2 warm up, cosine to 1e-6, 24 batches of 256 a step (rule `joint`), bfloat16 (ours to say).

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network, `masked_autoencoder`, and its fields, but for tasks, classes and size.
        training: data, rate and schedule, whose fields are settings beside the others.
        folder: where the files are that the arrays name; nothing is read of it where the arrays hold pictures.
        size: height and width of the pictures, a multiple of 32.
        hidden: share of the patches that are hidden.
        classify: whether there is a third task, the class of the picture with its holes.
        num_classes: number of classes.
        twin: whether the pictures are drawn, which tables then say.

    Departures:
        1. What is not stated is as in `reconstruction`: hidden patches are 0 (the mean colour), SSIM's window is a
           Gaussian of 1.5 pixels over 11 x 11, visible pixels of the output are replaced by the true ones before SSIM,
           and rates change per epoch. Nor are the patches, drawn evenly here, or whether pictures are mirrored: no.
        2. BatchNorm is in training mode for every method; the official code has it in evaluation mode throughout.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: MaskedTraining,
        folder: str = "data/own/imagenet", size: int = 256, hidden: float = 0.75, classify: bool = False,
        num_classes: int = 1000, twin: bool = False,
    ):  # fmt: skip
        check_sizes({"num_classes": (num_classes, 2)})
        albums = albums_of(arrays, training, folder, twin)
        super().__init__(arrays, network, training, albums, size, hidden, num_classes if classify else None)

    @property
    def scale(self) -> tuple[Sequence[float], Sequence[float]]:
        return IMAGENET_MEAN, IMAGENET_SD


@dataclass(frozen=True, kw_only=True)
class _Preparation(OneSet):
    """What `prepare` reads.

    Args:
        held: training pictures of every class that validate.
        patches: of a picture.
    """

    held: int = 50
    patches: int = 64


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """As for `imagenet_exits`, and draws the order in which patches are hidden; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_labels (N,), and {train,test}_files (N, bytes) or {train,test}_images.
        settings: `left`, the data set; `seed`; `held`; `patches`.

    Returns:
        {train,val,test}_{files or images, labels} in random order, and {val,test}_patches (N, patches), uint16: for
        each picture a permutation of its patches (row by row), of which the first are hidden.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    arrays = divided(raw[own.left], own.held, own.seed)
    rows = {split: len(arrays[f"{split}_labels"]) for split in ("val", "test")}
    return arrays | drawn_patches(rows, own.patches, own.seed)

"""Dense problems as MTAN judged them until November 2020, for the tables that were made then."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from gradsurgery.dense.pictures import SegmentationByPicture
from gradsurgery.dense.scenes import SCENES, Scene
from gradsurgery.problems.dense import DATA_CARD, Dense, _Preparation, _Training, prepare

__all__ = ["DATA_CARD", "DenseByPicture", "_Preparation", "prepare"]


class DenseByPicture(Dense):
    """`dense`, with segmentation judged picture by picture instead of by one confusion matrix over the set.

    Source: the code of Liu et al. 2019 (arXiv 1803.10704) before November 2020, with which the tables of that paper and
    of PCGrad (arXiv 2001.06782), which copies them, were made; its authors say that the change of the formula adds
    about 8 %. See `dense/pictures.py`.

    Args: those of `dense`.

    Departures:
        1. Those of `dense`.
        2. Theirs are means over batches of means over the pictures of each; for batches of one size it is the same.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        scene: Literal["nyuv2", "cityscapes"],
        network: dict,
        training: _Training,
        augment: Literal["none", "swap", "zoom"] = "none",
        test_batch: int = 8,
        twin: bool = False,
    ):
        super().__init__(arrays, scene, network, training, augment, test_batch, twin)
        tasks = dict(SCENES[scene].tasks)
        self._scene = Scene({**tasks, "segmentation": SegmentationByPicture(tasks["segmentation"].channels)})

"""Slices of head-and-neck CT with three patches in four hidden: fill them in."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Integer

from gradsurgery.core.discovery import make
from gradsurgery.core.pictures import permutation
from gradsurgery.core.settings import OneSet, check
from gradsurgery.problems._album import albums_of
from gradsurgery.problems._holes import MaskedTraining
from gradsurgery.problems._masked import MaskedPictures, drawn_patches
from gradsurgery.problems._slices import picture

DATA_CARD = """\
Head-and-neck CT: RSNA's sets of intracranial hemorrhage (2019) and of fractures of the cervical spine (2022), and
RADCURE (Welch et al. 2024), the user's own copies, each under its own licence; 2,199,444 slices in the paper. Patients
are drawn into the splits, so that nobody's slices are in two of them: those of about a sixth of all slices are the test
set, on which the paper judges, those of a fiftieth validate. A slice is the middle square of the file, 256 x 256, as 64
patches, of which 48 are hidden: always the same in what is judged, drawn anew whenever a slice trains. There is no
twin. Never run on the real data here."""

MEAN, SD = 0.107961, 0.173622  # of slices in [0, 1], as the paper prints them


class CTMAE(MaskedPictures):
    """Tasks "l1", the mean absolute error of hidden pixels, and "ssim", 1 - SSIM of the same.

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2), on CT: all as in `imagenet_mae`, but for
    the data, their mean 0.107961 and s.d. 0.173622, and a split by patient.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network, `masked_autoencoder`, and its fields, but for tasks, classes and size.
        training: data, rate and schedule, whose fields are settings beside the others.
        folder: where the files are that the arrays name.
        size: height and width of the slices, a multiple of 32.
        hidden: share of the patches that are hidden.
        window: Hounsfield units that become 0 and 1; what lies beyond is cut off.

    Raises:
        ValueError: a setting that cannot be, or arrays with a patient in two splits.

    Departures:
        1. As in `imagenet_mae`.
        2. The paper prints no window. Were a slice air at 0 and one other value, that would be 0.39 on 28 % of it to
           have the printed mean and s.d.: so -1000 to 2000, from air to dense bone, where soft tissue is 0.35 and bone
           is more. The network sees bytes, in steps of 12 Hounsfield units.
        3. Nor does it say how many channels the network has: one (`channels` of the network), as by its Table 3 the
           same batch takes far less memory on CT than on ImageNet. Losses are those of the one channel.
        4. The split is not published. Its size is that of Table 3, whose samples a second times seconds an epoch are
           1.84 million; what validates here is taken from those.
        5. A slice is taken at its header's word: none is repaired, and none left out.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: MaskedTraining, folder: str = "data/own/ct",
        size: int = 256, hidden: float = 0.75, window: tuple[float, ...] = (-1000.0, 2000.0),
    ):  # fmt: skip
        if len(window) != 2 or not -1e6 < window[0] < window[1] < 1e6:
            raise ValueError(f"`window` must be two Hounsfield units that rise, found window = {[*window]}.")
        if any(name.endswith("_files") for name in arrays):  # random numbers in their place have no patients
            check_apart({split: arrays[f"{split}_labels"] for split in ("train", "val", "test")})
        albums = albums_of(arrays, training, folder, False, partial(picture, window=window))
        super().__init__(arrays, network, training, albums, size, hidden)

    @property
    def scale(self) -> tuple[Sequence[float], Sequence[float]]:
        return (MEAN,) * 3, (SD,) * 3


@dataclass(frozen=True, kw_only=True)
class _Preparation(OneSet):
    """What `prepare` reads.

    Args:
        test_share: share of the slices in the test set, to within a patient.
        val_share: share of the slices that validate, likewise.
        patches: of a slice.
    """

    test_share: float = 0.1634
    val_share: float = 0.02
    patches: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check({"patches": (self.patches, 1)}, {"test_share": self.test_share, "val_share": self.val_share})


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Draws patients into the splits; see `DATA_CARD`.

    Args:
        raw: data set -> `files` (N, bytes), names of slices, and `patients` (N,), the numbers of their patients from 0.
        settings: `left`, the data set; `seed`; `test_share`; `val_share`; `patches`.

    Returns:
        {train,val,test}_files and, as labels, the patients' numbers in random order; {val,test}_patches (N, patches),
        uint16: for each slice a permutation of its patches (row by row), of which the first are hidden.

    Raises:
        ValueError: too few patients for a split.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    files, patients = raw[own.left]["files"], raw[own.left]["patients"]
    words, slices = np.random.Philox(own.seed), np.bincount(patients)
    order = permutation(words, len(slices))
    before = np.empty(len(slices), np.int64)  # slices of the patients that were drawn earlier
    before[order] = np.cumsum(slices[order]) - slices[order]
    ends = len(files) * own.test_share, len(files) * (own.test_share + own.val_share)
    sides = np.searchsorted(ends, before, side="right")[patients]
    arrays = dict[str, np.ndarray]()
    for side, split in enumerate(("test", "val", "train")):
        rows = np.flatnonzero(sides == side)
        if not len(rows):
            raise ValueError(f"`patients` must be enough for every split, found none of {len(slices)} for {split}.")
        rows = rows[permutation(words, len(rows))]
        arrays |= {f"{split}_files": files[rows], f"{split}_labels": patients[rows]}
    check_apart({split: arrays[f"{split}_labels"] for split in ("train", "val", "test")})
    counts = {split: len(arrays[f"{split}_labels"]) for split in ("val", "test")}
    return arrays | drawn_patches(counts, own.patches, own.seed)


def check_apart(patients: Mapping[str, Integer[np.ndarray, " n"]]) -> None:
    """Refuses splits, given by the patients of their slices, that share one."""
    for one, other in itertools.combinations(patients, 2):
        if len(both := np.intersect1d(patients[one], patients[other])):
            raise ValueError(f"`{other}_labels` must name no patient of {one}, found patient {both[0]} in both.")

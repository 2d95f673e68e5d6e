"""QM9: eleven properties of a small molecule from the distances between its atoms. Eleven regressions on one row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Real
from torch import Tensor
from torch.nn.functional import mse_loss

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import first, permutation, whole_batches
from gradsurgery.core.settings import OneSet, check_rows
from gradsurgery.core.training import Declared, Stepped
from gradsurgery.problems._molecules import FEATURES, molecules

DATA_CARD = """\
QM9 (Ramakrishnan, Dral, Rupp and von Lilienfeld 2014): 130,831 molecules of up to 9 atoms of C, N, O and F and their
hydrogens, without the 3,054 whose geometry its authors found inconsistent. Tasks are the 11 properties of the
multi-task literature (Navon et al. 2022, arXiv 2202.01017): dipole moment, polarisability, HOMO, LUMO, electronic
extent, zero-point energy, four energies (U0, U, H, G) and heat capacity, each in s.d. of the training molecules: an
error of 1 is about that of the mean. The four energies correlate at 0.999 or more, so that a plain sum counts what is
one task four times. As there, 10,000 molecules each validate and test, drawn here by our seed, and the rest trains.
That literature trains a message-passing network on coordinates and reports Delta-m against single tasks; here a
perceptron reads histograms of the distances between every two elements (HD of Faber et al. 2017, arXiv 1702.05532),
which see no angles: errors are larger than theirs, and only differences between methods are meant."""

TASKS = ("mu", "alpha", "homo", "lumo", "r2", "zpve", "u0", "u", "h", "g", "cv")
_HELD_OUT, _CLIP = 10_000, 5.0


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """Of Adam."""

    batch_size: int = 128
    lr: float = 1e-3


class QM9(Declared):
    """Eleven properties of a molecule, each scaled to s.d. 1; loss: squared error; metric: mean absolute error.

    Source: Navon et al. 2022 for tasks, sizes of the splits, scaling and loss; the network is not theirs: see
    `DATA_CARD`.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the numbers of tasks, outputs and inputs.
        training: data, rate and schedule, whose fields are settings beside the others.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training):
        self.tasks, self.metrics = TASKS, {f"{task}.mae": False for task in TASKS}
        super().__init__(network, {"num_tasks": len(TASKS), "num_classes": 1, "in_features": FEATURES}, training)
        self._splits = {split: _rows(arrays, split, size) for split, size in training.sizes.items() if arrays}
        if arrays:
            check_rows({split: len(y) for split, (_, y) in self._splits.items()}, training.batch_size)
        self.test_rows = len(self._splits["test"][1]) if arrays else None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in a fresh order; the last, smaller batch is left out. Nothing is augmented."""
        x, y = self._splits["train"]
        for places in whole_batches(order, len(x), self._training.batch_size):
            yield x[places], y[places]

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        x, y = batch
        return [mse_loss(output[:, 0], y[:, k]) for k, output in enumerate(network(x))]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Mean absolute and mean squared errors, in s.d. of the training molecules and their squares."""
        x, y = self._splits[split]
        device = next(network.parameters()).device
        was_training = network.training
        network.eval()
        with torch.no_grad():
            found = torch.cat([torch.cat(network(part.to(device)), dim=1).cpu() for part in x.split(4096)])
        network.train(was_training)
        errors = (found - y).double().abs().numpy()
        metrics = {f"{task}.mae": float(errors[:, k].mean()) for k, task in enumerate(TASKS)}
        metrics |= {f"{task}.loss": float((errors[:, k] ** 2).mean()) for k, task in enumerate(TASKS)}
        return Evaluation(metrics, {f"{task}.mae": errors[:, k] for k, task in enumerate(TASKS)})


def _rows(arrays: Mapping[str, np.ndarray], split: str, size: int) -> tuple[Tensor, Tensor]:
    x, y = (torch.from_numpy(first(arrays, f"{split}_{part}", size).copy()) for part in ("features", "targets"))
    if x.shape[1:] != (FEATURES,) or y.shape[1:] != (len(TASKS),):
        found = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"`{split}_features` must be (n, {FEATURES}) with (n, {len(TASKS)}) targets, found {found}.")
    return x, y


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Reads the three CSV files, makes the histograms and cuts the splits; see `DATA_CARD`.

    Args:
        raw: data set -> `part1` to `part3`, the bytes of the files as they are.
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{features (N, 305), targets (N, 11)}, float32 and in random order, so that any first n are a
        fair sample; features are scaled to mean 0 and s.d. 1 on the training molecules and cut at 5 s.d., as a distance
        that few molecules have would be hundreds of them; `target_moments` (2, 11) float64: mean and s.d. of the
        training molecules in the units of the file. Takes 14 seconds of one core and 1.5 GB of memory.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    files = raw[own.left]
    parts = [molecules(files[name]) for name in ("part1", "part2", "part3")]
    index, features, targets = (np.concatenate([part[k] for part in parts]) for k in range(3))
    del parts
    n = len(index)
    held_out = min(_HELD_OUT, n // 10)
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    order = np.argsort(index, kind="stable")[permutation(np.random.Philox(own.seed), n)]
    cut = {"test": order[:held_out], "val": order[held_out : 2 * held_out], "train": order[2 * held_out :]}
    moments = [_moments(values[cut["train"]]) for values in (features, targets)]
    arrays: dict[str, np.ndarray] = {"target_moments": np.stack(moments[1])}
    for split, rows in cut.items():
        for name, values, (mean, sd) in zip(("features", "targets"), (features, targets), moments, strict=True):
            most = _CLIP if name == "features" else np.inf
            arrays[f"{split}_{name}"] = ((values[rows] - mean) / sd).clip(-most, most).astype(np.float32)
    return arrays


def _moments(values: Real[np.ndarray, "n k"]) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Mean and s.d. of each column; rows are added one after another, as pairwise sums differ between processors."""
    parts = np.array_split(values, 1 + len(values) // 8192)
    mean = sum(np.add.reduce(part.astype(np.float64), axis=0) for part in parts) / len(values)
    squares = sum(np.add.reduce((part - mean) ** 2, axis=0) for part in parts)
    sd = np.sqrt(squares / len(values))
    return mean, np.where(sd > 0, sd, 1.0)

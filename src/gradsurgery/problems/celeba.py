"""CelebA: forty attributes of a face, each a binary task on one picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import permutation, splits_of, whole_batches
from gradsurgery.core.settings import OneSet
from gradsurgery.core.training import Declared, Stepped

DATA_CARD = """\
CelebA (Liu et al. 2015), for non-commercial research and not to be passed on: 162,770 training, 19,867 validation and
19,962 test faces by the file of its authors, aligned and cropped, resized whole to 64 x 64 as PCGrad and SAM-GS have
it, with 40 attributes of one bit each. The twin is another thing in the same form: noise in which every attribute
that holds lights up a patch of its own, on a background that some attributes share; its numbers are not CelebA's."""

NUM_TASKS, SIZE = 40, 64
TASKS = tuple(f"attribute_{k}" for k in range(1, NUM_TASKS + 1))  # in the order of list_attr_celeba.txt
_CHUNK = 512  # pictures of an evaluation at a time


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """Of Adam."""

    batch_size: int = 256
    lr: float = 3e-4


class CelebA(Declared):
    """Forty binary tasks on one picture; metric: F1 at probability one half, or the error.

    Source: SAM-GS (arXiv 2506.06130), B.2: 64 x 64, Adam at 3e-4, batches of 256, 15 epochs, F1 in the best epoch on
    validation; PCGrad (after Sener and Koltun) prints the mean error.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: data, rate and schedule, whose fields are settings beside the others.
        judged: the metric by which lines are compared; both are computed. An F1 without a positive, in truth or in the
            answers, is 0; it is no mean over examples, so that only errors have a noise of the test set.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training,
        judged: Literal["f1", "error"] = "f1",
    ):  # fmt: skip
        self.tasks, self.metrics = TASKS, {f"{task}.{judged}": judged == "f1" for task in TASKS}
        super().__init__(network, {"num_tasks": NUM_TASKS}, training)
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in a fresh order; the last, smaller batch is left out. Nothing is augmented."""
        images, labels = self._splits["train"]
        for places in whole_batches(order, len(images), self._training.batch_size):
            chosen = np.sort(places)  # ascending: rows come from the disk
            yield torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        logits, truths = _forward(network, *batch)
        return [binary_cross_entropy_with_logits(logits[k], truths[:, k]) for k in range(NUM_TASKS)]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """F1, error and mean loss of every attribute; all NaN where an output is."""
        images, labels = self._splits[split]
        was_training = network.training
        network.eval()
        with torch.no_grad():
            parts = [
                torch.stack(_forward(network, *(torch.from_numpy(own[start : start + _CHUNK].copy())
                                                for own in (images, labels)))[0]).double().cpu()
                for start in range(0, len(images), _CHUNK)
            ]  # fmt: skip
        network.train(was_training)
        scores, truths = torch.cat(parts, dim=1), torch.from_numpy(labels.T.copy()).double()
        lost = binary_cross_entropy_with_logits(scores, truths, reduction="none").mean(dim=1).numpy()
        said, true = (scores > 0).numpy(), (truths > 0).numpy()
        metrics, examples = dict[str, float](), dict[str, np.ndarray]()
        for k, task in enumerate(TASKS):
            bad = bool(np.isnan(lost[k]))
            metrics[f"{task}.f1"] = np.nan if bad else f1(true[k], said[k])
            examples[f"{task}.error"] = true[k] != said[k]
            metrics[f"{task}.error"] = np.nan if bad else float(examples[f"{task}.error"].mean())
            metrics[f"{task}.loss"] = float(lost[k])
        return Evaluation(metrics, examples)


def f1(true: Bool[np.ndarray, " n"], said: Bool[np.ndarray, " n"]) -> float:
    """Twice the positives found, over the positives that there are and those that are said; 0 without any."""
    both = int(true.sum()) + int(said.sum())
    return 2 * int((true & said).sum()) / both if both else 0.0


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Shuffles every split, whose rows are those of the authors; see `DATA_CARD`.

    Args:
        raw: data set -> {train,val,test}_images (N, 64, 64, 3) and {train,val,test}_labels (N, 40), uint8.
        settings: `left`, the data set, and `seed`.

    Returns:
        The same arrays, each split in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    words, source = np.random.Philox(own.seed), raw[own.left]
    arrays: dict[str, np.ndarray] = {}
    for split in ("train", "val", "test"):
        images, labels = source[f"{split}_images"], source[f"{split}_labels"]
        if images.shape[1:] != (SIZE, SIZE, 3) or labels.shape != (len(images), NUM_TASKS):
            raise ValueError(
                f"`{split}_images` must be (N, {SIZE}, {SIZE}, 3) with (N, {NUM_TASKS}) labels, found "
                f"{images.shape} and {labels.shape}."
            )
        order = permutation(words, len(images))
        arrays |= {f"{split}_images": images[order], f"{split}_labels": labels[order]}
    return arrays


def twin(train: int, val: int, test: int, seed: int) -> dict[str, UInt8[np.ndarray, "n ..."]]:
    """Pictures with planted attributes, in the form of CelebA's arrays: a twin, whose numbers are not CelebA's.

    Attribute k holds in a share of pictures that runs from 0.05 to 0.7; where it holds, a patch of 8 x 8 of its own is
    brighter in one channel. Under each patch lies noise, and three in ten attributes are copies of their neighbour with
    a tenth of the bits turned, as attributes of faces go together.
    """
    words, arrays = np.random.Philox(seed), dict[str, np.ndarray]()
    shares = np.linspace(0.05, 0.7, NUM_TASKS)
    for split, n in (("train", train), ("val", val), ("test", test)):
        draws = (words.random_raw(2 * n * NUM_TASKS) >> np.uint64(40)).reshape(2, n, NUM_TASKS) / 2.0**24
        labels = draws[0] < shares
        for k in range(1, NUM_TASKS, 3):
            labels[:, k] = labels[:, k - 1] ^ (draws[1, :, k] < 0.1)
        noise = (words.random_raw(n * SIZE * SIZE * 3) >> np.uint64(57)).astype(np.uint8)  # 0 to 127
        images = noise.reshape(n, SIZE, SIZE, 3)
        for k in range(NUM_TASKS):
            row, column = divmod(k, 8)
            images[labels[:, k], 8 * row : 8 * row + 8, 8 * column : 8 * column + 8, k % 3] += 64
        arrays |= {f"{split}_images": images, f"{split}_labels": labels.astype(np.uint8)}
    return arrays


def _forward(
    network: Network, images: UInt8[Tensor, "n 64 64 3"], labels: UInt8[Tensor, "n 40"]
) -> tuple[tuple[Tensor, ...], Float[Tensor, "n 40"]]:
    device = next(network.parameters()).device
    pictures = images.to(device).permute(0, 3, 1, 2).float().div_(255.0)
    return network(pictures), labels.to(device).float()

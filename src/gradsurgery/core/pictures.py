"""What problems on pictures do alike: draw splits, standardise, count what a classifier gets right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_rows

# Channel means and s.d. of CIFAR-100's training pictures, as published with the data set's usual loaders.
CIFAR_MEAN, CIFAR_SD = (0.50708, 0.48655, 0.44092), (0.26733, 0.25644, 0.27615)
# Mean and s.d. that loaders of MNIST commonly use. One pair for all pictures like it: it only sets the inputs' scale.
_MNIST_MEAN, _MNIST_SD = 0.1307, 0.3081
_VAL_SHARE = 10  # one training picture in ten of every class


def permutation(words: np.random.Philox, n: int) -> Int64[np.ndarray, " n"]:
    """A random order, from words of the bit generator: numpy's own `permutation` is not promised never to change."""
    return np.argsort(words.random_raw(n), kind="stable")


def tenth_of_each(labels: UInt8[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The first tenth of every class, in the order given."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        chosen[places[: len(places) // _VAL_SHARE]] = True
    return chosen


def rows_of_splits(
    source: Mapping[str, np.ndarray], words: np.random.Philox
) -> dict[str, tuple[str, Int64[np.ndarray, " n"]]]:
    """Split -> the part of `source` ("train" or "test") that it is cut from, and its rows there in random order.

    Args:
        source: {train,test}_labels (N,); the first tenth of every class in the random order of "train" validates.
        words: draws that order, then the order of "test".
    """
    order = permutation(words, len(source["train_labels"]))
    is_val = tenth_of_each(source["train_labels"][order])
    test = permutation(words, len(source["test_labels"]))
    return {"train": ("train", order[~is_val]), "val": ("train", order[is_val]), "test": ("test", test)}


def cut(source: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """{train,val,test}_{images, labels} of {train,test}_{images, labels}, a tenth of every class for validation.

    All in random order, so that any first n are a fair sample. `val_index` are the places of the validation pictures in
    the data set's training pictures.
    """
    chosen = rows_of_splits(source, np.random.Philox(seed))
    arrays = {"val_index": chosen["val"][1]}
    for split, (part, rows) in chosen.items():
        arrays |= {f"{split}_{what}": source[f"{part}_{what}"][rows] for what in ("images", "labels")}
    return arrays


def check_cifar(source: Mapping[str, np.ndarray]) -> None:
    """Refuses raw arrays that are not colour pictures of 32 x 32 with a label each."""
    for part in ("train", "test"):
        images, labels = source[f"{part}_images"], source[f"{part}_labels"]
        if images.shape[1:] != (32, 32, 3) or labels.shape != images.shape[:1]:
            raise ValueError(
                f"`{part}_images` must be (N, 32, 32, 3) with N labels, found {images.shape} and {labels.shape}."
            )


def first(arrays: Mapping[str, np.ndarray], name: str, size: int) -> Shaped[np.ndarray, "n ..."]:
    """The first `size` rows of `<split>_<what>`; 0 means all."""
    if size > len(arrays[name]):
        raise ValueError(f"`{name.split('_')[0]}_size` must be at most {len(arrays[name])}, found {size}.")
    return np.asarray(arrays[name])[: size or None]


def splits_of(
    arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int], batch_size: int
) -> dict[str, tuple[Shaped[np.ndarray, "n ..."], Shaped[np.ndarray, "n ..."]]]:
    """The first pictures and labels of every split, as many as `sizes` says (0: all); none without arrays."""
    splits = {
        split: (first(arrays, f"{split}_images", size), first(arrays, f"{split}_labels", size))
        for split, size in sizes.items()
        if arrays
    }
    if arrays:
        check_rows({split: len(images) for split, (images, _) in splits.items()}, batch_size)
    return splits


def whole_batches(order: np.random.Generator, rows: int, size: int) -> Iterator[Int64[np.ndarray, " size"]]:
    """Places of an epoch's batches in a fresh order, drawn at the first; the last, smaller batch is left out."""
    places = order.permutation(rows)
    for start in range(0, rows - size + 1, size):
        yield places[start : start + size]


def greys(images: UInt8[Tensor, "n height width"], device: torch.device) -> Float[Tensor, "n 1 height width"]:
    """Pictures like MNIST's as a network takes them."""
    return images.to(device).float().div_(255.0).sub_(_MNIST_MEAN).div_(_MNIST_SD)[:, None]


def standardised(
    images: UInt8[Tensor, "... channels"], mean: Sequence[float], sd: Sequence[float]
) -> Float[Tensor, "... channels"]:
    """Pictures of bytes, channels last, as numbers of mean 0 and s.d. 1."""
    means, sds = (torch.tensor(values, device=images.device) for values in (mean, sd))
    return images.float().div_(255.0).sub_(means).div_(sds)


def coloured(
    images: UInt8[Tensor, "... height width 3"], device: torch.device, mean: Sequence[float], sd: Sequence[float]
) -> Float[Tensor, "... 3 height width"]:
    """The same as a network takes them."""
    return standardised(images.to(device), mean, sd).movedim(-1, -3)


def device_of(network: Network) -> torch.device:
    """Where its parameters live."""
    return next(network.parameters()).device


def judge(
    network: Network,
    tasks: Sequence[str],
    answers: Iterable[tuple[Sequence[Float[Tensor, "batch classes"]], Sequence[Int64[Tensor, " batch"]]]],
) -> Evaluation:
    """Accuracies in [0, 1] and mean losses of every task; both NaN where an output is, as NaN ranks no class first.

    Counted here rather than by torchmetrics: one comparison per batch is the whole metric.

    Args:
        network: in evaluation mode while `answers` runs, which takes no gradients; put back afterwards.
        tasks: names.
        answers: for every batch the outputs and the true classes, one of each per task.
    """
    hits, total = list[np.ndarray](), np.zeros(len(tasks))
    was_training = network.training
    network.eval()
    with torch.no_grad():
        for outputs, truths in answers:
            pairs = list(zip(outputs, truths, strict=True))
            right = torch.stack([output.argmax(dim=1) == truth for output, truth in pairs])
            lost = torch.stack([cross_entropy(output, truth, reduction="sum") for output, truth in pairs])
            # Of the batch all at once, as every look makes the host wait for the device.
            numbers = torch.cat([right.double(), lost.double()[:, None]], dim=1).cpu().numpy()
            hits.append(numbers[:, :-1] == 1.0)
            total += numbers[:, -1]
    network.train(was_training)
    bits = np.concatenate(hits, axis=1)
    n, correct = bits.shape[1], bits.sum(axis=1, dtype=float)
    correct[np.isnan(total)] = np.nan  # an output that is NaN makes the loss so, and argmax takes it for the largest
    metrics = {f"{task}.accuracy": float(correct[k] / n) for k, task in enumerate(tasks)}
    metrics |= {f"{task}.loss": float(total[k] / n) for k, task in enumerate(tasks)}
    return Evaluation(metrics, {f"{task}.accuracy": bits[k] for k, task in enumerate(tasks)})

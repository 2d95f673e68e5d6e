"""Few pictures with a label among many without: which, in what order, and how they are changed."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from gradsurgery.core.pictures import check_cifar, permutation, tenth_of_each

_SHIFT, _HOLE = 2, 16  # pixels that a picture is moved by at most; side of the hole in the other view of it


def divided(source: Mapping[str, np.ndarray], seed: int) -> dict[str, UInt8[np.ndarray, "n ..."]]:
    """{train,val,test}_{images, labels} in random order; a tenth of the training pictures of every class validates."""
    check_cifar(source)
    words = np.random.Philox(seed)
    order = permutation(words, len(source["train_labels"]))
    is_val = tenth_of_each(source["train_labels"][order])
    # Drawn anew: behind the first tenth of every class come at first more of those that were there early.
    shuffled = {
        split: own[permutation(words, len(own))] for split, own in (("train", order[~is_val]), ("val", order[is_val]))
    }
    rows = {
        "train": ("train", shuffled["train"]),
        "val": ("train", shuffled["val"]),
        "test": ("test", permutation(words, len(source["test_labels"]))),
    }
    return {
        f"{split}_{kind}": source[f"{part}_{kind}"][places]
        for split, (part, places) in rows.items()
        for kind in ("images", "labels")
    }


def labelled_places(
    labels: UInt8[np.ndarray, " n"], each: int, num_classes: int
) -> tuple[Int64[np.ndarray, " m"], ...]:
    """Places of the first `each` pictures of every class, and of all others. Raises ValueError where either lacks."""
    found = [np.flatnonzero(labels == label) for label in range(num_classes)]
    if (least := min(map(len, found))) < each or labels.max() >= num_classes:
        raise ValueError(f"`labelled` must leave {each} training pictures to each of the {num_classes} classes, found "
                         f"{least} of one, and labels up to {labels.max()}.")  # fmt: skip
    keep = np.concatenate([places[:each] for places in found])
    rest = np.setdiff1d(np.arange(len(labels)), keep)
    if not len(rest):
        raise ValueError(f"`labelled` must leave pictures without a label, found {len(keep)} of {len(labels)}.")
    return keep, rest


def endless(
    order: np.random.Generator, places: Int64[np.ndarray, " n"], size: int
) -> Iterator[Int64[np.ndarray, " size"]]:
    """Every place once before any comes again, in a fresh order each time round."""
    left = places[:0]
    while True:
        while len(left) < size:
            left = np.concatenate([left, order.permutation(places)])
        yield left[:size]
        left = left[size:]


def moved(images: UInt8[np.ndarray, "n 32 32 3"], generator: np.random.Generator) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Pictures moved by up to 2 pixels, their margins mirrored, and every second one's left and right swapped."""
    n, places = len(images), np.arange(32)
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="reflect")
    rows, columns = (generator.integers(0, 2 * _SHIFT + 1, (2, n, 1)) + places)[:]
    swapped = generator.integers(0, 2, n).astype(bool)
    columns[swapped] = columns[swapped, ::-1]
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def pierce(images: UInt8[np.ndarray, "n 32 32 3"], generator: np.random.Generator) -> None:
    """Cuts a black hole of half a picture's height and width into each, anywhere; what lies outside is not cut."""
    reach = _HOLE // 2
    for picture, (row, column) in zip(images, generator.integers(0, 32, (len(images), 2)), strict=True):
        picture[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = 0

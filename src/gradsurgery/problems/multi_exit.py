"""CIFAR-100 with classifiers along the depth of one network: the tasks are the exits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Metrics, Network, Problem

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test colour pictures of 32 x 32 in 100 classes, 500 and 100 of
each. As in the papers on multi-exit networks 5,000 training pictures are kept for validation, 50 of each class here;
which ones the papers kept is not published. Training pictures are shifted by up to 4 pixels and mirrored."""

# Channel means and s.d. of the training pictures, as published with the data set's usual loaders.
_MEAN, _SD = (0.50708, 0.48655, 0.44092), (0.26733, 0.25644, 0.27615)
_VAL_SHARE = 10  # one training picture in ten of every class
_SHIFT = 4


class MultiExit(Problem):
    """Classify the same picture at every exit; the exit that is task k + 1 sees all that the one of task k has seen.

    The constructor takes plain settings, and the methods `network` and `optimizer` make the objects they describe.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the number of exits and classes.
        network_fields: more fields of the network, for those that belong to a scale rather than to a line of the table.
        exits: number of exits.
        num_classes: number of classes.
        train_size: number of training pictures used, the first ones (they lie in random order); 0 means all.
        val_size: likewise for validation.
        test_size: likewise for the test set.
        batch_size: pictures per step; the last, smaller batch of an epoch is left out.
        augment: whether training pictures are shifted and mirrored.
        epochs: number of epochs.
        passes: factor on `epochs` and `milestones`: an epoch of DR-MGF passes over the pictures once for every exit and
            once more, and this gives another method as many passes.
        optimizer: "adam" or "sgd".
        lr: learning rate.
        momentum: of SGD.
        weight_decay: L2 penalty.
        milestones: epochs after which the learning rate is multiplied by `gamma`.
        gamma: see `milestones`.
        clip: largest norm of the whole gradient, or None.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        network: dict,
        epochs: int,
        exits: int = 7,
        num_classes: int = 100,
        train_size: int = 0,
        val_size: int = 0,
        test_size: int = 0,
        batch_size: int = 64,
        augment: bool = True,
        optimizer: Literal["adam", "sgd"] = "sgd",
        lr: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        milestones: tuple[int, ...] = (),
        gamma: float = 0.1,
        clip: float | None = None,
        passes: int = 1,
        network_fields: dict | None = None,
    ):
        for name, value, least in (
            ("epochs", epochs, 1), ("passes", passes, 1), ("exits", exits, 2), ("num_classes", num_classes, 2),
            ("train_size", train_size, 0), ("val_size", val_size, 0), ("test_size", test_size, 0),
            ("batch_size", batch_size, 1), ("momentum", momentum, 0), ("weight_decay", weight_decay, 0),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}, found {name} = {value}.")
        for name, rate in (("lr", lr), ("gamma", gamma)) + ((("clip", clip),) if clip is not None else ()):
            if not rate > 0:
                raise ValueError(f"`{name}` must be positive, found {name} = {rate}.")
        if 0 < train_size < batch_size:
            raise ValueError(
                f"`batch_size` must be at most train_size = {train_size}, found batch_size = {batch_size}."
            )
        if momentum and optimizer != "sgd":
            raise ValueError(f"`momentum` must be 0 unless optimizer = 'sgd', found momentum = {momentum}.")
        if "name" not in network:
            raise ValueError(f"`network` must have a `name`, found network = {network!r}.")
        network = {**(network_fields or {}), **network}
        for name in ("num_tasks", "num_classes"):
            if name in network:
                raise ValueError(f"`network.{name}` must be left to the problem, found {name} = {network[name]}.")
        self.tasks = tuple(f"exit{k + 1}" for k in range(exits))
        self.metrics = {f"{task}.accuracy": True for task in self.tasks}
        self.epochs, self.clip = passes * epochs, clip
        self._network, self._num_classes = network, num_classes
        self._batch_size, self._augment = batch_size, augment
        self._optimizer, self._lr, self._momentum, self._weight_decay = optimizer, lr, momentum, weight_decay
        self._milestones, self._gamma = tuple(passes * epoch for epoch in milestones), gamma
        with torch.device("meta"):  # wrong fields of the network are found here, before any work, and at no cost
            self._build()
        sizes = {"train": train_size, "val": val_size, "test": test_size}
        self._splits = {
            split: tuple(_first(arrays, f"{split}_{kind}", sizes[split]) for kind in ("images", "labels"))
            for split in sizes
            if arrays
        }
        self.test_rows = len(self._splits["test"][0]) if arrays else None
        for split, (_, labels) in self._splits.items():
            if len(labels) and labels.max() >= num_classes:
                raise ValueError(f"`{split}_labels` must be less than {num_classes}, found {labels.max()}.")

    def network(self, generator: torch.Generator) -> Network:
        # Torch initialises layers from its global generator: borrow that, seeded from ours, and give it back untouched.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            return self._build()

    def _build(self) -> Network:
        settings = {name: value for name, value in self._network.items() if name != "name"}
        sizes = {"num_tasks": len(self.tasks), "num_classes": self._num_classes}
        return build("networks", self._network["name"], **sizes, **settings)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        if self._optimizer == "adam":
            return torch.optim.Adam(parameters, lr=self._lr, weight_decay=self._weight_decay)
        return torch.optim.SGD(parameters, lr=self._lr, momentum=self._momentum, weight_decay=self._weight_decay)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        if not self._milestones:
            return None
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, self._milestones, self._gamma)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 32 32 3"], Int64[Tensor, " batch"]]]:
        """One epoch in a fresh order; pictures stay bytes until the device has them."""
        images, labels = self._splits["train"]
        permutation = order.permutation(len(images))
        for start in range(0, len(images) - self._batch_size + 1, self._batch_size):
            chosen = permutation[start : start + self._batch_size]
            batch = images[chosen]
            if self._augment:
                n = len(chosen)
                shifts = augmentation.integers(0, 2 * _SHIFT + 1, (n, 2))
                batch = shifted(batch, shifts, augmentation.integers(0, 2, n).astype(bool))
            yield torch.from_numpy(batch), torch.from_numpy(labels[chosen].astype(np.int64))

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, labels = batch
        outputs, labels = _forward(network, images, labels)
        return [cross_entropy(output, labels) for output in outputs]

    def evaluate(self, network: Network, split: str) -> Metrics:
        """Accuracies in [0, 1] and mean losses of every exit."""
        images, labels = self._splits[split]
        correct, total = np.zeros(len(self.tasks)), np.zeros(len(self.tasks))
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for start in range(0, len(images), 500):
                part = slice(start, start + 500)
                truth = torch.from_numpy(labels[part].astype(np.int64))
                outputs, truth = _forward(network, torch.from_numpy(images[part].copy()), truth)
                for k, output in enumerate(outputs):
                    correct[k] += int((output.argmax(dim=1) == truth).sum())
                    total[k] += float(cross_entropy(output, truth, reduction="sum"))
        network.train(was_training)
        n = len(images)
        accuracies = {f"{task}.accuracy": float(correct[k] / n) for k, task in enumerate(self.tasks)}
        return accuracies | {f"{task}.loss": float(total[k] / n) for k, task in enumerate(self.tasks)}


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps a tenth of every class for validation; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_images (N, 32, 32, 3) and {train,test}_labels (N,).
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{images, labels}, uint8, and `val_index`, the places of the validation pictures in the data
        set's training pictures. All in random order, so that any first n are a fair sample.
    """
    source = raw[settings["left"]]
    for split in ("train", "test"):
        images, labels = source[f"{split}_images"], source[f"{split}_labels"]
        if images.shape[1:] != (32, 32, 3) or labels.shape != images.shape[:1]:
            raise ValueError(
                f"`{split}_images` must be (N, 32, 32, 3) with N labels, found {images.shape} and {labels.shape}."
            )
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    words = np.random.Philox(settings["seed"])
    order = _permutation(words, len(source["train_labels"]))
    is_val = _tenth_of_each(source["train_labels"][order])
    chosen = {
        "train": ("train", order[~is_val]),
        "val": ("train", order[is_val]),
        "test": ("test", _permutation(words, len(source["test_labels"]))),
    }
    arrays = {"val_index": chosen["val"][1]}
    for split, (part, index) in chosen.items():
        for kind in ("images", "labels"):
            arrays[f"{split}_{kind}"] = source[f"{part}_{kind}"][index]
    return arrays


def shifted(
    images: UInt8[np.ndarray, "n 32 32 3"], shifts: Int64[np.ndarray, "n 2"], mirrored: Bool[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Cuts of 32 x 32 out of pictures with a black margin of 4, (4, 4) being the picture itself; some mirrored."""
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)))
    places = np.arange(images.shape[1])
    rows, columns = shifts[:, :1] + places, shifts[:, 1:] + places
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _tenth_of_each(labels: UInt8[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The first tenth of every class, in the order given."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        chosen[places[: len(places) // _VAL_SHARE]] = True
    return chosen


def _permutation(words: np.random.Philox, n: int) -> Int64[np.ndarray, " n"]:
    return np.argsort(words.random_raw(n), kind="stable")


def _first(arrays: Mapping[str, np.ndarray], name: str, size: int) -> Shaped[np.ndarray, "n ..."]:
    if size > len(arrays[name]):
        raise ValueError(f"`{name.split('_')[0]}_size` must be at most {len(arrays[name])}, found {size}.")
    return np.asarray(arrays[name])[: size or None]


def _forward(network: Network, images: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    device = next(network.parameters()).device
    mean, sd = (torch.tensor(values, device=device) for values in (_MEAN, _SD))
    scaled = images.to(device).float().div_(255.0).sub_(mean).div_(sd)
    return network(scaled.permute(0, 3, 1, 2)), labels.to(device)

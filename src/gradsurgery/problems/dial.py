"""One set of pictures for several tasks that stay equally hard, while a dial sets how much they conflict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.pictures import judge, permutation, splits_of, tenth_of_each
from gradsurgery.core.settings import OneSet, check, check_sizes, network_of
from gradsurgery.core.training import Stepped

DATA_CARD = """\
The pictures of one set for every task. Ours, not a paper's: a dial sets how much the tasks' gradients conflict, and
each task alone stays as hard. Either all tasks have the pictures' own labels and differ in their heads alone, which are
drawn with the network and never train (`networks/fixed_heads.py`): the dial is the angle between the heads. Or all have
one output layer (`networks/tied_head.py`) and tasks after the first another order of the labels of some classes: the
dial is how many. A tenth of the training pictures of every class is kept for validation."""

# Mean and s.d. that loaders of MNIST commonly use; it only sets the inputs' scale.
_MEAN, _SD = 0.1307, 0.3081
_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """As for `Stepped`."""

    batch_size: int = 128
    lr: float = 1e-3


class Dial(Problem):
    """Tell the ten classes apart, as each of several tasks that share the trunk.

    The objective is L_1 + .. + L_{K-1} + `ratio` L_K: what one task weighs more than the others is the problem's to
    say, so that weights of the losses can take it back. Losses of `evaluate` are the plain cross entropies.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the tasks, the classes and the angle.
        training: data, rate and schedule, whose fields are settings beside the others.
        num_tasks: K.
        cosine: between the same rows of any two heads, of a network whose heads are fixed.
        permuted: how many classes have other labels in tasks after the first; the first ones, moved on by one a task.
        ratio: weight of the last task's loss; the others' is 1.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        network: dict,
        training: _Training,
        num_tasks: int = 2,
        cosine: float | None = None,
        permuted: int = 0,
        ratio: float = 1.0,
    ):
        check_sizes({"num_tasks": (num_tasks, 2)})
        check({}, {"ratio": ratio})
        if permuted not in (0, *range(2, _CLASSES + 1)):  # one class has no other order
            raise ValueError(f"`permuted` must be 0 or from 2 to {_CLASSES}, found permuted = {permuted}.")
        if cosine is not None and not -1.0 <= cosine <= 1.0:
            raise ValueError(f"`cosine` must be from -1 to 1, found cosine = {cosine}.")
        self.tasks = tuple(f"head_{k + 1}" for k in range(num_tasks))
        self.metrics = {f"{task}.accuracy": True for task in self.tasks}
        self.epochs, self.clip = training.all_epochs, training.clip
        self._network, self._training, self._ratio = network, training, ratio
        self._permuted = permuted
        angle = {} if cosine is None else {"cosine": cosine}
        self._own = {"num_tasks": num_tasks, "num_classes": _CLASSES, **angle}
        network_of(network, self._own, None)  # wrong fields of the network are found here, before any work
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return self._training.optimizer_of(parameters)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return self._training.schedule_of(optimizer)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 28 28"], Int64[Tensor, " batch"]]]:
        """One epoch in a fresh order. Nothing is augmented."""
        images, labels = self._splits["train"]
        chosen = order.permutation(len(images))
        size = self._training.batch_size
        for start in range(0, len(images) - size + 1, size):
            part = chosen[start : start + size]
            yield torch.from_numpy(images[part]), torch.from_numpy(labels[part].astype(np.int64))

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        outputs, labels = self._forward(network, *batch)
        plain = [cross_entropy(output, own) for output, own in zip(outputs, labels, strict=True)]
        return [*plain[:-1], self._ratio * plain[-1]]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracies in [0, 1] and mean losses."""
        return judge(network, self.tasks, self._answers(network, *self._splits[split]))

    def _answers(self, network: Network, images: Any, labels: Any) -> Iterator[Any]:
        for start in range(0, len(images), 1000):
            part = slice(start, start + 1000)
            truth = torch.from_numpy(labels[part].astype(np.int64))
            yield self._forward(network, torch.from_numpy(images[part].copy()), truth)

    def _forward(self, network: Network, images: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Outputs and true classes, one of each per task."""
        device = next(network.parameters()).device
        scaled = images.to(device).float().div_(255.0).sub_(_MEAN).div_(_SD)
        own, n = labels.to(device), max(self._permuted, 1)
        return network(scaled[:, None]), [torch.where(own < n, (own + k) % n, own) for k in range(len(self.tasks))]


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps a tenth of every class for validation; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_{images,labels}.
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{images (N, 28, 28), labels (N,)}, uint8, and `val_index`, the places of the validation
        pictures among the data set's training pictures. All in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    source = raw[own.left]
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    words = np.random.Philox(own.seed)
    orders = {part: permutation(words, len(source[f"{part}_labels"])) for part in ("train", "test")}
    is_val = tenth_of_each(source["train_labels"][orders["train"]])
    chosen = {
        "train": ("train", orders["train"][~is_val]),
        "val": ("train", orders["train"][is_val]),
        "test": ("test", orders["test"]),
    }
    arrays = {"val_index": chosen["val"][1]}
    for split, (part, index) in chosen.items():
        arrays |= {f"{split}_{what}": source[f"{part}_{what}"][index] for what in ("images", "labels")}
    return arrays

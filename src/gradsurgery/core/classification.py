"""Problems in which every task tells classes apart on pictures: what they do alike once their answers are known."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import judge, splits_of, whole_batches
from gradsurgery.core.training import Declared, Training

Answers = tuple[Sequence[Float[Tensor, "n classes"]], Sequence[Int64[Tensor, " n"]]]


class Classification(Declared):
    """Loss: cross entropy; metric: `<task>.accuracy`, in [0, 1].

    A subclass says how a batch is answered, and whence pictures come.
    """

    def __init__(
        self, tasks: Sequence[str], network: Mapping[str, Any], own: Mapping[str, Any], training: Training
    ) -> None:
        self.tasks = tuple(tasks)
        self.metrics = {f"{task}.accuracy": True for task in self.tasks}
        super().__init__(network, own, training)

    @abstractmethod
    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        """Outputs and true classes of a batch, one of each per task, on the network's device."""

    @abstractmethod
    def parts(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures and labels of a whole split, in order, some at a time."""

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        outputs, truths = self.answers(network, *batch)
        return [cross_entropy(output, truth) for output, truth in zip(outputs, truths, strict=True)]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracies in [0, 1] and mean losses."""
        return judge(network, self.tasks, (self.answers(network, *part) for part in self.parts(split)))


class Labelled(Classification):
    """The same on pictures that are held in memory; an epoch has them in a fresh order, and nothing is augmented.

    Attributes:
        chunk: pictures that are judged at a time.
    """

    chunk: ClassVar[int] = 1000

    def __init__(
        self, arrays: Mapping[str, np.ndarray], tasks: Sequence[str], network: Mapping[str, Any],
        own: Mapping[str, Any], training: Training,
    ) -> None:  # fmt: skip
        super().__init__(tasks, network, own, training)
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch ..."], Int64[Tensor, "batch ..."]]]:
        """One epoch in a fresh order; pictures stay bytes until the device has them."""
        images, labels = self._splits["train"]
        for chosen in whole_batches(order, len(images), self._training.batch_size):
            shown = self.augmented(images[chosen], augmentation)
            yield torch.from_numpy(shown), torch.from_numpy(labels[chosen].astype(np.int64))

    def augmented(
        self, images: Shaped[np.ndarray, "batch ..."], generator: np.random.Generator
    ) -> Shaped[np.ndarray, "batch ..."]:
        """Training pictures as they are shown: as they are."""
        return images

    def parts(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self._splits[split]
        for start in range(0, len(images), self.chunk):
            part = slice(start, start + self.chunk)
            yield torch.from_numpy(images[part].copy()), torch.from_numpy(labels[part].astype(np.int64))

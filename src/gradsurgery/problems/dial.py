"""One set of pictures for several tasks that stay equally hard, while a dial sets how much they conflict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.classification import Answers, Labelled
from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import cut, device_of, greys
from gradsurgery.core.settings import OneSet, check, check_sizes
from gradsurgery.core.training import Stepped

DATA_CARD = """\
The pictures of one set for every task. Ours, not a paper's: a dial sets how much the tasks' gradients conflict, and
each task alone stays as hard. Either all tasks have the pictures' own labels and differ in their heads alone, which are
drawn with the network and never train (`networks/fixed_heads.py`): the dial is the angle between the heads. Or all have
one output layer (`networks/tied_head.py`) and tasks after the first another order of the labels of some classes: the
dial is how many. A tenth of the training pictures of every class is kept for validation."""

_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """As for `Stepped`."""

    batch_size: int = 128
    lr: float = 1e-3


class Dial(Labelled):
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
        tasks = [f"head_{k + 1}" for k in range(num_tasks)]
        angle = {} if cosine is None else {"cosine": cosine}
        own = {"num_tasks": num_tasks, "num_classes": _CLASSES, **angle}
        super().__init__(arrays, tasks, network, own, training)
        self._permuted, self._ratio = permuted, ratio

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        plain = super().losses(network, batch)
        return [*plain[:-1], self._ratio * plain[-1]]

    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        device = device_of(network)
        own, n = labels.to(device), max(self._permuted, 1)
        truths = [torch.where(own < n, (own + k) % n, own) for k in range(len(self.tasks))]
        return network(greys(images, device)), truths


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
    return cut(raw[own.left], own.seed)

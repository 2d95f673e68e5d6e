"""Classifiers along the depth of one network as tasks: what both problems that have them do alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Int64, Integer
from numpy import ndarray
from torch import Tensor

from gradsurgery.core.classification import Answers
from gradsurgery.core.training import Stepped


@dataclass(frozen=True, kw_only=True)
class ExitTraining(Stepped):
    """SGD, as in the papers."""

    optimizer: Literal["adam", "sgd"] = "sgd"
    lr: float = 0.1
    gamma: float = 0.1


def exit_names(exits: int) -> tuple[str, ...]:
    """Tasks in order of depth."""
    return tuple(f"exit{k + 1}" for k in range(exits))


def check_classes(labels: Mapping[str, Integer[ndarray, " n"]], num_classes: int) -> None:
    """Refuses labels of a split from `num_classes` on."""
    for split, own in labels.items():
        if len(own) and own.max() >= num_classes:
            raise ValueError(f"`{split}_labels` must be less than {num_classes}, found {own.max()}.")


def at_every_exit(outputs: tuple[Tensor, ...], labels: Int64[Tensor, " n"]) -> Answers:
    """The same classes are asked of every exit."""
    return outputs, [labels.to(outputs[0].device)] * len(outputs)

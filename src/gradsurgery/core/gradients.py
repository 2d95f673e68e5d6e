"""The memory behind `.grad` of the shared parameters: rows of J while tasks are differentiated, then the direction."""

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.handed import trainable

# Read for every parameter in every step; as maps these cost half of what comprehensions do.
_trained, _grad, _version = attrgetter("requires_grad"), attrgetter("grad"), attrgetter("_version")


class SharedGradients:
    """J, d and the bookkeeping of `.grad`, for one engine.

    Args:
        given: the parameters, each once. Raises TypeError or ValueError for those that have no place in one dense J.

    Attributes:
        parameters: those of `given` that were trainable when the step began, in the order of J's columns.
        J: the task gradients (K, P), or None before the first pass that filled a row.
        d: the direction (P,). Each parameter's `.grad` is a view of it, unless the user's own gradient was there.
        missing: indices of parameters that no loss of this step has reached.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        self.given = given
        self.parameters = _of_one_kind(given)
        self.missing: list[int] = []
        self.J: Float[Tensor, "K P"] | None
        self.d: Float[Tensor, " P"]
        self._void = False  # whether d is NaN, that of a step that was left out
        self._lay_out()

    def changed(self) -> bool:
        """Whether the buffers fit no longer: a parameter was frozen, unfrozen, or all were moved."""
        first = self.parameters[0]
        return (
            list(map(_trained, self.given)) != self._frozen_or_not
            or first.dtype != self.d.dtype
            or first.device != self.d.device
        )

    def renew(self, remembered: bool) -> None:
        """Makes buffers for what is trainable now; refused where a method has `remembered` the old layout."""
        if remembered:
            raise ValueError(
                "`shared` must stay as it was while the method remembers its gradients, found parameters frozen, "
                "unfrozen or moved: set `state` to None for a new start."
            )
        self.parameters = _of_one_kind(self.given)
        self._lay_out()

    def lend(self, first: bool) -> list[Tensor | None]:
        """`.grad` as the user knows it, to be given back after the backward passes; `first` starts a step.

        A `.grad` that still shows the last d is the user's from then on, and d gets new memory.
        """
        gradients: list[Tensor | None] = list(map(_grad, self.parameters))
        if first:
            self.missing = list(range(len(gradients)))
            if any(map(is_, gradients, self._direction)):
                if self._void:  # NaN was for that step's `GradScaler` alone
                    return [None if g is view else g for g, view in zip(gradients, self._direction, strict=True)]
                self._new_direction()
        return gradients

    def give_back(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def row(self, k: int, num_tasks: int, clear: bool) -> list[Tensor]:
        """Row k of J, cut into the parameters' shapes."""
        if self.J is None:
            self.J = self._buffer(num_tasks)
            self._rows = [self._views(row) for row in self.J]
        if clear:
            self.J[k].zero_()  # just before it is written, while it is in cache
        return self._rows[k]

    def sum(self, clear: bool) -> list[Tensor]:
        """d in the place of a row, for the gradient of the summed losses."""
        if clear:
            self.d.zero_()
        return self._direction

    def differentiate(self, loss: Tensor, views: list[Tensor], retain: bool, leaves: Sequence[Tensor] | None) -> None:
        """Lets autograd add the gradient of one loss to `views`."""
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.grad = view
        before = list(map(_version, views)) if self.missing else []
        loss.backward(retain_graph=retain, inputs=leaves)
        if before:
            # Autograd adds in place, and every view counts what is done to it.
            after = list(map(_version, views))
            self.missing = [i for i in self.missing if before[i] == after[i]]

    def refuse_unreached(self) -> None:
        """One parameter may be out of reach; all are so only where they are not the network's."""
        if len(self.missing) == len(self.parameters):
            raise ValueError(
                f"`shared` must be in the graph of `losses`, found none of {len(self.parameters)} parameters there: "
                "after load_state_dict(assign=True), or for another network, make the engine anew."
            )

    def write(self, finite: bool) -> None:
        """Adds d to `.grad` of the parameters that some loss reached. A d that is not finite takes its place."""
        self._void = not finite
        reached = list(zip(self.parameters, self._direction, strict=True))
        for i in reversed(self.missing):
            del reached[i]
        for parameter, view in reached:
            earlier = parameter.grad
            if earlier is None or not finite:
                parameter.grad = view
            elif earlier.layout == torch.strided:
                earlier.detach().add_(view)
            else:
                parameter.grad = view + earlier

    def _lay_out(self) -> None:
        self._frozen_or_not = list(map(_trained, self.given))
        self.J = None
        self._new_direction()

    def _new_direction(self) -> None:
        self.d = self._buffer()
        self._direction = self._views(self.d)

    def _buffer(self, *rows: int) -> Tensor:
        P = sum(p.numel() for p in self.parameters)
        return torch.empty(*rows, P, dtype=self.parameters[0].dtype, device=self.parameters[0].device)

    def _views(self, row: Tensor) -> list[Tensor]:
        views, offset = [], row.storage_offset()
        for p in self.parameters:
            # The strides of a dense tensor, dense strides for any other.
            strides = torch.empty_like(p, device="meta").stride()
            # `.data` has a version counter of its own, all other views share one.
            views.append(row.as_strided(p.shape, strides, offset).data)
            offset += p.numel()
        return views


def _of_one_kind(given: Sequence[Tensor]) -> list[Any]:
    parameters = trainable("shared", given)
    if not parameters:
        raise ValueError("`shared` must hold at least one trainable parameter, found none.")
    for what in ({p.dtype for p in parameters}, {p.device for p in parameters}):
        if len(what) > 1:
            raise ValueError(f"`shared` must be of one dtype on one device, found {sorted(map(str, what))}.")
    return parameters

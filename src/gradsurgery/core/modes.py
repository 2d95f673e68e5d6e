"""Weights by other ways than J of the whole batch in every step: to save memory, or passes at a measured error.

Source: two passes are arithmetic. The gradients of a representation are those of MGDA-UB (Sener and Koltun 2018, arXiv
1810.04650), here for every `Weighting`. The direction is J^T w in all of them, by one pass of sum_k w_k L_k, and what
is not shared gets the gradient of the plain sum. They differ in where w comes from:

    gradients         the Gram matrix that the method is handed                     passes through the trunk
    stored            G of J (K, P)                                                 K
    two_pass          the same, a stretch of layers at a time (`core/segments.py`)  K + 1
    representation    that of the gradients on what the tasks share                 1
    sub_batch         G of a part of the batch, whose losses `weigh` was handed     K of that part, and 1

With `keep_weights` = n, w serves n steps, and n - 1 of them take one pass; another set of tasks ends that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gradsurgery.core.conflict import cosine
from gradsurgery.core.direction import Conductor
from gradsurgery.core.gradients import SharedGradients
from gradsurgery.core.handed import leaves_of
from gradsurgery.core.interfaces import Method, Weighting
from gradsurgery.core.jacobian import gram
from gradsurgery.core.segments import gram_of

GRADIENTS = ("stored", "two_pass", "representation", "sub_batch")


def check_mode(gradients: object = "stored", keep_weights: object = 1, method: Method | None = None) -> None:
    """Refuses what is none of the module's table, and other than the defaults with a method without weights."""
    if gradients not in list(GRADIENTS):  # a list also takes what has no hash
        raise ValueError(f"`gradients` must be one of {', '.join(GRADIENTS)}, found {gradients!r}.")
    if type(keep_weights) is not int or keep_weights < 1:
        raise ValueError(f"`keep_weights` must be a whole number from 1, found {keep_weights!r}.")
    if method is not None and not isinstance(method, Weighting):
        refuse(str(gradients), keep_weights, f"with {type(method).__name__}, which is no Weighting")


def refuse(gradients: str, keep_weights: int, where: str) -> None:
    """Raises ValueError for other than the defaults, which `where` rules out."""
    if gradients != "stored":
        raise ValueError(f"`gradients` must be 'stored', not {gradients!r}, {where}.")
    if keep_weights != 1:
        raise ValueError(f"`keep_weights` must be 1, not {keep_weights}, {where}.")


def mode_of(gradients: str, keep_weights: int, shared: SharedGradients, conductor: Conductor) -> "Mode | None":
    """None for the defaults."""
    return Mode(gradients, keep_weights, shared, conductor) if gradients != "stored" or keep_weights != 1 else None


class Mode:
    """One engine's way to its weights, with those that it keeps.

    Attributes:
        gradients: see the module, as for the next.
        keep_weights: n.
        exact_cosine: of the last step, if it was diagnosed: cos(d, J^T w), w the method's weights for its G; else None.
    """

    def __init__(self, gradients: str, keep_weights: int, shared: SharedGradients, conductor: Conductor) -> None:
        self.gradients, self.keep_weights = gradients, keep_weights
        self.exact_cosine: float | None = None
        self._shared, self._conductor = shared, conductor
        self._sampled: tuple[list[int], np.ndarray] | None = None
        self.forget()

    @property
    def due(self) -> bool:
        """Whether the next step takes new weights, even if its tasks are those of the last one."""
        return self._left == 0

    def forget(self) -> None:
        """The next step takes new weights."""
        self._tasks, self._kept, self._left = list[int](), np.empty(0), 0

    def passes(self, num_tasks: int) -> float:
        """Backward passes through the trunk per step, on average; those of a quarter of the batch count a quarter."""
        fresh = {"representation": 0.0, "sub_batch": num_tasks / 4}.get(self.gradients, float(num_tasks))
        return 1.0 + fresh / self.keep_weights

    def weigh(self, rows: Mapping[int, Tensor], K: int) -> None:
        """Takes G of the losses of a part of the batch, by row of J and scaled as the step's; frees their graph."""
        if self.gradients != "sub_batch":
            raise ValueError(f"`gradients` must be 'sub_batch' for `weigh`, found {self.gradients!r}.")
        lent = self._shared.lend(True)
        try:
            self._sampled = sorted(rows), self._stored(rows, K, retain=False)
        finally:
            self._shared.give_back(lent)

    def prepare(self, rows: Mapping[int, Tensor], K: int, diagnose: bool, representation: Any) -> None:
        """Takes the Gram matrix that the step's weights are made from, and G if it is diagnosed. Keeps the graph."""
        self._rows, self._K, tasks = rows, K, sorted(rows)
        kept = self._left > 0 and self._tasks == tasks
        other = None
        if self.gradients == "representation" and not kept:
            other = _of_representation(list(rows.values()), representation)
        elif self._sampled is not None and self._sampled[0] == tasks and not kept:
            other = self._sampled[1]
        self._sampled, exact = None, None
        if diagnose or (not kept and other is None):
            two_pass = self.gradients == "two_pass"
            exact = gram_of(list(rows.values()), self._shared.parameters) if two_pass else self._stored(rows, K, True)
        self._diagnose, self._exact = diagnose, exact
        self._G = None if kept else exact if other is None else other

    def differentiate(self, scale: float, retain: bool, leaves: Sequence[Tensor] | None) -> None:
        """Chooses the weights; then a pass of the sum for what is not shared, and one of the weighted sum for what is.

        Args:
            scale: the factor that is in the losses.
            retain: keep the graph.
            leaves: what may grow; None for all that the losses reach.
        """
        rows, shared = self._rows, self._shared
        self._rows = {}
        self._weigh(sorted(rows), scale)
        losses = torch.stack(list(rows.values()))
        own = set(map(id, shared.parameters))
        others = [leaf for leaf in (leaves_of(rows.values()) if leaves is None else leaves) if id(leaf) not in own]
        if others:
            losses.sum().backward(retain_graph=True, inputs=others)
        total = (losses * torch.as_tensor(self._w, dtype=losses.dtype, device=losses.device)).sum()
        lent = shared.lend(False)
        try:
            shared.differentiate(total, shared.sum(True), retain, shared.parameters)
        finally:
            shared.give_back(lent)

    def finish(self, tasks: list[int], beside: Tensor | None) -> bool:
        """Takes over what the step has made. False, and all stays as it was, if not all of it is finite."""
        if not self._conductor.accept(self._shared.d, self._w, self._exact, self._after, tasks, self._K, beside):
            return False
        if self._G is None:
            self._left -= 1
        else:
            self._tasks, self._kept, self._left = tasks, self._w, self.keep_weights - 1
        return True

    def state_dict(self) -> dict[str, Any]:
        """The weights that are kept, of which tasks, and for how many more steps."""
        return {"tasks": self._tasks, "weights": self._kept, "left": self._left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._tasks, self._kept, self._left = list(state["tasks"]), state["weights"], state["left"]
        self._sampled = None

    def _weigh(self, tasks: list[int], scale: float) -> None:
        """w, and how far from the exact direction it leads, on Gram matrices without the scale of the losses."""
        same, self.exact_cosine, self._after = self._G is self._exact, None, None
        self._exact = None if self._exact is None else self._exact / scale**2
        G = self._exact if same or self._G is None else self._G / scale**2
        ask, exact = self._conductor.weigh, self._exact if self._diagnose else None
        # On copies, and before the method moves on.
        wanted = None if exact is None or not np.isfinite(exact).all() else ask(exact, tasks, self._K, rehearse=True)[0]
        if self._G is None:
            self._w = self._kept
        elif G is not None and np.isfinite(G).all():
            self._w, self._after = ask(G, tasks, self._K)
        else:
            self._w = np.full(len(tasks), np.nan)
        if exact is not None and wanted is not None:
            self.exact_cosine = cosine(exact, self._w, wanted)

    def _stored(self, rows: Mapping[int, Tensor], K: int, retain: bool) -> Float64[np.ndarray, "T T"]:
        """G of the tasks that are there, by their rows of J."""
        shared = self._shared
        for k in range(K):
            views = shared.row(k, K, True)
            if k in rows:
                shared.differentiate(rows[k], views, retain or k < max(rows), shared.parameters)
        assert shared.J is not None
        return gram(shared.J if len(rows) == K else shared.J[sorted(rows)])


def _of_representation(losses: Sequence[Tensor], given: Any) -> Float64[np.ndarray, "K K"]:
    """Gram matrix of the losses' gradients on one tensor, or several side by side."""
    tensors = [given] if isinstance(given, Tensor) else list(given or ())
    if not tensors or not all(isinstance(z, Tensor) and z.requires_grad for z in tensors):
        raise ValueError(
            "`representation` must be the tensor, or tensors, that all tasks are computed from, with gradients = "
            f"'representation', found {given!r}."
        )
    rows = [torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True) for loss in losses]
    if all(gradient is None for row in rows for gradient in row):
        raise ValueError("`representation` must be in the graph of `losses`, found no loss that depends on it.")
    flat = [
        torch.cat([(torch.zeros_like(z) if g is None else g).reshape(-1) for z, g in zip(tensors, row, strict=True)])
        for row in rows
    ]
    return gram(torch.stack(flat))

"""From task gradients to the direction: one method, what it remembers, and whether what comes out is finite."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gradsurgery.core.handed import FLOATS
from gradsurgery.core.interfaces import Aggregator, Method, Scalarization, State, Weighting
from gradsurgery.core.jacobian import combine, gains, gram
from gradsurgery.core.memory import PerTask, Tensorwise

_LARGEST = {dtype: torch.finfo(dtype).max for dtype in FLOATS}


class Conductor:
    """A method with its state and generator, asked once per step for the tasks that are there.

    Attributes:
        state: the method's state; kept where a step is left out.
        gram: G of the last step (K, K), zero where a task was absent, or None where it was not needed.
        gains: J d (K,), zero where a task was absent, and |d|, of an `Aggregator` in a diagnosed step; else None.
        weights: w of the last step (K,), likewise, or None for an `Aggregator` and where the step was left out.
    """

    def __init__(self, method: Method, generator: np.random.Generator) -> None:
        self.method = method
        self.generator = generator
        self.state: State | None = None
        self.gram: np.ndarray | None = None
        self.weights: np.ndarray | None = None
        self.gains: tuple[np.ndarray, float] | None = None
        self._largest = 0.0  # length of the longest J so far

    def scale_sum(self, d: Tensor, tasks: list[int], K: int, beside: Tensor | None) -> bool:
        """Makes of `d`, the summed gradient of `tasks`, a `Scalarization`'s direction. False if it is not finite."""
        assert isinstance(self.method, Scalarization)
        w = np.full(len(tasks), self.method.scale(len(tasks)))
        d.mul_(w[0])
        self.weights = _whole(w, tasks, K)
        return not math.isnan(_length(d, beside))

    def direct(
        self,
        J: Tensor,
        d: Tensor,
        tasks: list[int],
        K: int,
        scale: float,
        diagnose: bool,
        beside: Tensor | None,
        parameters: Sequence[Tensor],
    ) -> bool:
        """Writes into `d` the direction for `J`, the rows of `tasks`, times `scale`. False if not all is finite."""
        method = self.method
        if diagnose or isinstance(method, Weighting):
            G = gram(J, beside)
            self.gram = _whole(G, tasks, K)
            square = sum(G.diagonal().tolist())
            length = math.sqrt(square) if square < math.inf else math.nan
        else:
            length = _length(J, beside)
        if math.isnan(length):
            return False
        if isinstance(method, Aggregator):
            return self._aggregate(method, J, d, tasks, K, scale, length, diagnose, parameters)
        after: State | None = None
        if isinstance(method, Weighting):
            w, after = method(G, self._recalled(tasks, K), self.generator)
        else:
            w = np.full(len(tasks), method.scale(len(tasks)))
        combine(J, w * scale, d)
        # No partial sum of any entry of d is larger than this: mostly d need not be looked at.
        largest = scale * length * sum(map(abs, w.tolist()))
        if not largest < 0.5 * _LARGEST[J.dtype] and math.isnan(_length(d)):
            return False
        self.weights = _whole(w, tasks, K)
        if after is not None:
            self.state = self._remembered(after, tasks, K)
        return True

    def weigh(self, G: np.ndarray, tasks: list[int], K: int, rehearse: bool = False) -> tuple[np.ndarray, State | None]:
        """A `Weighting`'s weights for `G` of `tasks`, and the state after; to `rehearse` moves no generator."""
        assert isinstance(self.method, Weighting)
        state, generator = self._recalled(tasks, K), self.generator
        if rehearse:
            state, generator = copy.deepcopy(state), copy.deepcopy(generator)
        return self.method(G, state, generator)

    def accept(
        self,
        d: Tensor,
        w: np.ndarray,
        G: np.ndarray | None,
        after: State | None,
        tasks: list[int],
        K: int,
        beside: Tensor | None,
    ) -> bool:
        """Takes over `w` of `tasks`, which led to `d`, and where they are known `G` and the state `after`.

        False if the weights or `d` are not finite.
        """
        self.gram = None if G is None else _whole(G, tasks, K)
        if not np.isfinite(w).all() or math.isnan(_length(d, beside)):
            return False
        self.weights = _whole(w, tasks, K)
        if after is not None:
            self.state = self._remembered(after, tasks, K)
        return True

    def _aggregate(
        self,
        method: Aggregator,
        J: Tensor,
        d: Tensor,
        tasks: list[int],
        K: int,
        scale: float,
        length: float,
        diagnose: bool,
        parameters: Sequence[Tensor],
    ) -> bool:
        # A method may advance its memory in place. Where what it makes of J may overflow, that must be undone.
        self._largest = max(self._largest, length)
        risky = not self._largest < _LARGEST[J.dtype] ** 0.3
        kept = copy.deepcopy(self.state) if risky else self.state
        part = self._recalled(tasks, K)
        if isinstance(method, Tensorwise) and method.tensorwise:
            part = {**(part or {}), **_tensors(parameters)}
        with torch.no_grad():
            found, state = method(J, part, self.generator)
        # Copied, because it may be part of the state, and clipping `.grad` in place must not reach that.
        d.copy_(found)
        if scale != 1.0:
            d.mul_(scale)
        if diagnose:  # who looks at the step asks for J d and |d|: all with one wait for the device
            products, length = gains(J, d)
            self.gains = (_whole(products, tasks, K), length)
        if not (diagnose and math.isfinite(length)) and math.isnan(_length(d)):
            self.state = kept
            return False
        self.state = self._remembered(state, tasks, K)
        return True

    def _recalled(self, tasks: list[int], K: int) -> State | None:
        if self.state is None or len(tasks) == K or not isinstance(self.method, PerTask):
            return self.state
        return self.method.recall(self.state, tasks, K)

    def _remembered(self, state: State, tasks: list[int], K: int) -> State:
        if len(tasks) == K or not isinstance(self.method, PerTask):
            return state
        return self.method.remember(self.state, state, tasks, K)


def _whole(part: np.ndarray, tasks: list[int], K: int) -> np.ndarray:
    """Weights or G of all tasks from those of `tasks`."""
    if len(tasks) == K:
        return part
    whole = np.zeros((K,) * part.ndim)
    whole[np.ix_(*[tasks] * part.ndim)] = part
    return whole


def _tensors(parameters: Sequence[Tensor]) -> State:
    """What a `Tensorwise` method is told of the parameters: in J's order, as they are before the step."""
    norms = [torch.linalg.vector_norm(p.detach(), dtype=torch.float64) for p in parameters]
    return {"sizes": [p.numel() for p in parameters], "norms": torch.stack(norms)}


def _length(gradients: Tensor, beside: Tensor | None = None) -> float:
    """|gradients|, infinite where their squares overflow, and NaN where they or `beside` are not finite."""
    norm = torch.linalg.vector_norm(gradients)
    length = float(norm if beside is None else norm + 0.0 * beside)
    if math.isfinite(length):
        return length
    finite = bool(gradients.isfinite().all()) and (beside is None or bool(beside.isfinite()))
    return math.inf if finite else math.nan

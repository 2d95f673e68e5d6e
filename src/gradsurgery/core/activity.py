"""How much the parts of a run have acted, as means over its whole training: 0 where a part did nothing.

    share_changed     share of steps whose direction is another than that of the plain sum
    deviation         |s d - g0| / |g0|, as in `core/conflict.py`: how far it is from the mean gradient
    weight_spread     mean of |w_k / mean(w) - 1| over the weights that a balancer gives the losses; at diagnosed steps
    layers_split      share of the shared layers that a transform has made task-specific, and
    parameters_split  that of their parameters

A `Weighting` is looked at in every step, an `Aggregator`, whose direction takes a pass over J to look at, at diagnosed
ones, a landscape where its way is recorded. A method, and a rule, may report numbers of their own.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from gradsurgery.core.conflict import deviation
from gradsurgery.core.interfaces import (
    Aggregator,
    Balancer,
    Losses,
    Method,
    Metrics,
    Network,
    Parameters,
    Scalarization,
    State,
    Weighting,
)
from gradsurgery.core.layers import shared_layers
from gradsurgery.core.surgery import GradientSurgery

DEVIATION, WEIGHTS = "deviation", "weight_spread"
_EXACT, _ROUNDED = 1e-6, 1e-3  # deviations below are none: of weights, and of J d, which a float32 J leaves 3e-4 apart


class Reports(ABC):
    """Beside a method whose direction does not tell whether it acted: smoothing alone moves it too."""

    @abstractmethod
    def acted(self, state: State) -> Metrics:
        """What it did in the step that left this state, 0 for nothing."""


class Activity:
    """Running means of what was noted."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def note(self, numbers: Metrics) -> None:
        """One step's, or one epoch's; what is not finite is left out."""
        for name, value in numbers.items():
            if math.isfinite(value):
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> Metrics:
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])


def of_step(surgery: GradientSurgery, diagnosed: bool) -> Metrics:
    """What the method did in the step that the engine has just aggregated."""
    method, G = surgery.method, surgery.gram
    own = method.acted(surgery.state or {}) if isinstance(method, Reports) else None
    if isinstance(method, Weighting) and G is not None and surgery.weights is not None:
        found, nothing = turned(G, surgery.weights), _EXACT
    elif isinstance(method, Aggregator) and diagnosed and G is not None and surgery.gains is not None:
        found, nothing = deviation(G, *surgery.gains), _ROUNDED
    else:
        return own or {}
    return {DEVIATION: found} | ({"share_changed": float(found > nothing)} if own is None else own)


def turned(G: Float64[np.ndarray, "K K"], w: Float64[np.ndarray, " K"]) -> float:
    """`deviation` of d = J^T w, without the rounding of a difference of cosines: 0 for equal weights."""
    square, total = float(w @ G @ w), float(G.sum())
    if square <= 0.0 or total <= 0.0:
        return float(total > 0.0)
    u = w / math.sqrt(square) - 1.0 / math.sqrt(total)
    return math.sqrt(max(float(u @ G @ u), 0.0))


def of_points(
    method: Method, J: Float64[np.ndarray, "S K 2"], D: Float64[np.ndarray, "S 2"], states: Sequence[State | None]
) -> Metrics:
    """What the method did in one step at every start of a landscape, on average."""
    if isinstance(method, Scalarization):
        return {}
    sums = J.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = np.hypot(*(D / np.hypot(*D.T)[:, None] - sums / np.hypot(*sums.T)[:, None]).T)
    found = turns[np.isfinite(turns)]
    rows = [method.acted(state or {}) for state in states] if isinstance(method, Reports) else []
    own = {name: float(np.mean([row[name] for row in rows])) for name in (rows[0] if rows else ())}
    if not len(found):
        return own
    return {DEVIATION: float(found.mean())} | (own or {"share_changed": float((found > _EXACT).mean())})


def of_weights(
    balancer: Balancer, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
) -> Metrics:
    """How far a balancer's weights are from equal, on a copy of what it is about to be given.

    The weight of a loss is the slope of the balanced losses' sum, whatever the balancer makes of them.
    """
    leaves = [None if loss is None else loss.detach().clone().requires_grad_() for loss in losses]
    there = [leaf for leaf in leaves if leaf is not None]
    with torch.enable_grad():
        balanced = balancer(leaves, parameters, state, copy.deepcopy(generator))[0]
        terms = [loss for loss in balanced if loss is not None and loss.requires_grad]
        slopes = torch.autograd.grad(terms, there, allow_unused=True) if terms and there else ()
    if not slopes:
        return {}
    found = [torch.zeros_like(leaf) if slope is None else slope for slope, leaf in zip(slopes, there, strict=True)]
    weights = torch.stack(found).double().cpu().numpy()
    mean = float(weights.mean())
    return {WEIGHTS: float(np.abs(weights / mean - 1.0).mean()) if mean else math.nan}


def of_split(before: Network, after: Network) -> Metrics:
    """What a transform took out of the shared part of a network; nothing is said of one that left it as it was."""
    if before is after:
        return {}
    layers, parameters = (
        [count(network) for network in (before, after)]
        for count in (lambda n: len(shared_layers(n)), lambda n: sum(p.numel() for p in n.shared_parameters()))
    )
    return {
        f"{name}_split": 1.0 - left / whole
        for name, (whole, left) in (("layers", layers), ("parameters", parameters)) if whole
    }  # fmt: skip

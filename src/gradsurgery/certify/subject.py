"""What is certified: a method as it is, whatever it hands back, with the memory and the draws of one run."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.certify.identity import Identity
from gradsurgery.core.interfaces import Method, Scalarization, State, Weighting
from gradsurgery.core.jacobian import combine, gram
from gradsurgery.core.memory import Tensorwise
from gradsurgery.foreign import Fault, Foreign, told

Claims = Mapping[str, float | None]  # names of properties, with a tolerance of the claim's own or None


@dataclass(frozen=True)
class Subject:
    """A method under examination.

    Attributes:
        name: as the table calls it.
        method: one of ours, or somebody's function behind `Foreign`.
        claims: properties that it is declared to have; what holds without being claimed is shown all the same.
        identity: the published method that it is declared to compute, up to a positive factor.
        tasks: fewest and most tasks that it is made for.
        dtype: what it computes in; every tolerance goes by it.
    """

    name: str
    method: Method
    claims: Claims = field(default_factory=dict)
    identity: Identity | None = None
    tasks: tuple[int, int] = (1, 12)
    dtype: torch.dtype = torch.float64

    def fresh(self, seed: int = 0) -> "Session":
        """A run that has not taken a step, with draws of its own."""
        return Session(self, np.random.default_rng(seed), None, None)

    def direction(self, J: Float[Tensor, "K P"], seed: int = 0) -> Float[Tensor, " P"]:
        """d (P,) of the first step of a run."""
        return self.fresh(seed)(J)


class Session:
    """One run of a method. A call takes J (K, P) and returns what the method returned, dtype and graph included.

    Raises Fault where the method raises, or returns no direction.
    """

    def __init__(
        self, subject: Subject, generator: np.random.Generator, state: State | None, kept: Mapping[str, Any] | None
    ) -> None:
        self._subject, self._generator, self._state = subject, generator, state
        self._function: Any = None
        if isinstance(subject.method, Foreign):
            self._function = copy.deepcopy(subject.method.function)
            if kept is not None:
                try:
                    self._function.load_state_dict(kept)
                except Exception as error:
                    raise Fault(f"`{subject.name}` must take its `state_dict` back, found {told(error)}.") from error
        self.weights: np.ndarray | None = None
        weighting = getattr(self._function, "weighting", None)  # torchjd's name for what gives the weights
        if isinstance(weighting, nn.Module):
            weighting.register_forward_hook(self._see)

    def __call__(self, J: Float[Tensor, "K P"]) -> Tensor:
        method = self._subject.method
        if isinstance(method, Foreign):
            return self._foreign(method, J)
        if isinstance(method, Scalarization):
            self.weights = np.full(len(J), method.scale(len(J)))
            return method.scale(len(J)) * J.sum(dim=0)
        if isinstance(method, Weighting):
            self.weights, self._state = method(gram(J), self._state, self._generator)
            return combine(J, np.asarray(self.weights), torch.empty_like(J[0]))
        state = self._state
        if isinstance(method, Tensorwise) and method.tensorwise:  # one tensor, of length 1
            state = {**(state or {}), "sizes": [J.shape[1]], "norms": torch.ones(1, dtype=J.dtype)}
        d, self._state = method(J, state, self._generator)
        return d

    def resumed(self) -> "Session":
        """A new run from what a checkpoint of this one holds: state given out, or the `state_dict` of a module."""
        kept = copy.deepcopy(self._function.state_dict()) if isinstance(self._function, nn.Module) else None
        return Session(self._subject, copy.deepcopy(self._generator), copy.deepcopy(self._state), kept)

    def _foreign(self, method: Foreign, J: Float[Tensor, "K P"]) -> Tensor:
        seen: list[Any] = []

        def spy(*arguments: Any) -> Any:
            seen.append(self._function(*arguments))
            return seen[0]

        converted, state = Foreign(spy, method.name, method.stateful)(J, self._state, self._generator)
        self._state = state if method.stateful else None
        raw = seen[0][0] if method.stateful else seen[0]
        return raw if isinstance(raw, Tensor) else converted

    def _see(self, weighting: nn.Module, arguments: tuple[Any, ...], weights: Tensor) -> None:
        self.weights = weights.detach().double().cpu().numpy()


def told_by(fault: Fault) -> str:
    """What a method did, without the sentence around it."""
    return str(fault).partition("found ")[2].rstrip(".") or str(fault)

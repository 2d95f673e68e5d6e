"""A method's steps on given task gradients: one, whatever its kind; and two made-up ones that show its faults."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradsurgery.core.interfaces import Method, Scalarization, State, Weighting
from gradsurgery.core.jacobian import combine, gram
from gradsurgery.core.plain import to_plain
from gradsurgery.foreign import Fault, direction, kind, shape, told

_COLUMNS = 64  # of the task gradients that a method is tried on


def step(method: Method, J: Tensor, state: State | None, generator: np.random.Generator) -> tuple[Tensor, State]:
    """Direction (P,) and state for J (K, P), whichever kind the method is of."""
    if isinstance(method, Scalarization):
        return method.scale(len(J)) * J.sum(dim=0), {}
    if isinstance(method, Weighting):
        w, after = method(gram(J), state, generator)
        return combine(J, w, torch.empty_like(J[0])), after
    return method(J, state, generator)


def try_out(method: Method, name: str, num_tasks: int) -> None:
    """Two steps on made-up gradients, before any work. Raises Fault for the first thing that is not as it must be."""
    generator, state = np.random.default_rng(0), None
    for _ in range(2):
        J = torch.from_numpy(generator.standard_normal((num_tasks, _COLUMNS), dtype=np.float32))
        before = J.clone()
        try:
            with torch.no_grad():
                if isinstance(method, Weighting):
                    _check_weights(method(gram(J), state, np.random.default_rng(0))[0], num_tasks, name)
                d, state = step(method, J, state, generator)
            to_plain(state)
        except Fault:
            raise
        except Exception as error:
            raise Fault(f"`{name}` must return a direction for J {shape(J)}, found {told(error)}.") from error
        direction(d, J, name)
        if odd := int((~d.isfinite()).sum()):
            raise Fault(f"`{name}` must return finite numbers, found {odd} of {d.numel()} that are not.")
        if not torch.equal(J, before):
            raise Fault(f"`{name}` must leave J as it is, found it changed: work on `J.clone()`.")


def _check_weights(w: Any, num_tasks: int, name: str) -> None:
    if not isinstance(w, np.ndarray) or w.shape != (num_tasks,):
        found = str(w.shape) if isinstance(w, np.ndarray) else kind(w)
        raise Fault(f"`{name}` must return an array of weights ({num_tasks},), found {found}.")

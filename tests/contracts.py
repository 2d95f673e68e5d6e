"""What every method of the house promises, whatever it does. A new file in `aggregators/` is tested here unasked.

A method is run the way the engine runs it: `direction(method, J)` takes it from gradients to direction, whichever of
the three kinds it is. `METHODS` holds one instance per file, with its defaults, or with the fields of `REQUIRED` where
a field has none; further instances test further options.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradsurgery.core.discovery import available, build
from gradsurgery.core.interfaces import Method, Scalarization, State, Weighting
from gradsurgery.core.jacobian import combine, gram

REQUIRED: dict[str, dict[str, Any]] = {"torchjd": {"method": "imtl_g"}}
MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "pcgrad-fixed": ("pcgrad", {"order": "fixed", "reduction": "mean", "include_self": True}),
    "cagrad-wide": ("cagrad", {"c": 2.0, "rescale": 0, "scale_by_num_tasks": False}),
    "cagrad-keep": ("cagrad", {"c": 0.4, "zero_task": "keep"}),
    "cagrad-official": ("cagrad", {"c": 0.4, "solver": "official"}),
    "sam_gs-bare": ("sam_gs", {"max_norm": None, "scale_by_num_tasks": False}),
    "sam_gs-equalise": ("sam_gs", {"gamma": 1.1, "similarity": "min"}),
}


def instances() -> dict[str, Method]:
    found = {name: build("aggregators", name, **REQUIRED.get(name, {})) for name in available("aggregators")}
    return found | {label: build("aggregators", name, **fields) for label, (name, fields) in MORE.items()}


METHODS = instances()


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def step(
    method: Method, J: Tensor, state: State | None = None, rng: np.random.Generator | None = None
) -> tuple[Tensor, State]:
    rng = generator() if rng is None else rng
    if isinstance(method, Scalarization):
        return method.scale(len(J)) * J.sum(dim=0), {}
    if isinstance(method, Weighting):
        w, after = method(gram(J), state, rng)
        return combine(J, w, torch.empty_like(J[0])), after
    return method(J, state, rng)


def direction(method: Method, J: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    return step(method, J, None, rng)[0]


def gradients(K: int, P: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((K, P))).to(dtype)


def check_shape_and_type(method: Method, J: Tensor) -> None:
    """d is finite, (P,), in J's dtype and on its device, carries no graph, and J is as it was."""
    before = J.clone()
    d = direction(method, J)
    assert d.shape == J.shape[1:]
    assert d.dtype == J.dtype
    assert d.device == J.device
    assert not d.requires_grad
    assert torch.isfinite(d).all()
    assert torch.equal(J, before)


def check_repeatable(method: Method, J: Tensor) -> None:
    """The same seed gives the same bits, and neither global generator is touched."""
    numpy_state, torch_state = np.random.get_state(legacy=False)["state"]["key"].copy(), torch.get_rng_state()  # noqa: NPY002
    assert torch.equal(direction(method, J, generator(3)), direction(method, J, generator(3)))
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def check_resumable(method: Method, matrices: list[Tensor]) -> None:
    """A state that was copied aside continues to the same bits, and the hyper-parameters do not change on the way."""
    described = repr(method)
    rng, state = generator(), None
    for J in matrices[:-1]:
        _, state = step(method, J, state, rng)
    kept, rng_kept = copy.deepcopy(state), copy.deepcopy(rng)
    straight, _ = step(method, matrices[-1], state, rng)
    resumed, _ = step(method, matrices[-1], kept, rng_kept)
    assert torch.equal(straight, resumed)
    assert repr(method) == described


def check_one_task(method: Method, g: Tensor) -> None:
    """With one task there is nothing to reconcile: d points along the gradient."""
    d = direction(method, g[None])
    assert torch.allclose(d / d.norm(), g / g.norm(), rtol=1e-6, atol=1e-9)

"""Everything else the field compares with, from the package `torchjd`; and our methods as torchjd aggregators."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.extras import need
from gradsurgery.core.interfaces import Aggregator, Method, Scalarization, State, Weighting
from gradsurgery.core.jacobian import combine, gram
from gradsurgery.core.memory import PerTask
from gradsurgery.core.plain import from_plain, to_plain

_CLASSES = {
    "aligned_mtl": "AlignedMTL", "cagrad": "CAGrad", "config": "ConFIG", "dualproj": "DualProj", "fairgrad": "FairGrad",
    "graddrop": "GradDrop", "gradvac": "GradVac", "imtl_g": "IMTLG", "krum": "Krum", "mean": "Mean", "mgda": "MGDA",
    "nash_mtl": "NashMTL", "pcgrad": "PCGrad", "random": "Random", "sum": "Sum", "trimmed_mean": "TrimmedMean",
    "upgrad": "UPGrad",
}  # fmt: skip
_DRAWS = ("graddrop", "gradvac", "pcgrad", "random")  # from torch's global generator


@dataclass(frozen=True)
class TorchJD(Aggregator, PerTask):
    """Hands the task gradients to one of torchjd's aggregators.

    Source: the package `torchjd` 0.18 (Quinton and Rey, 2024, arXiv 2406.16232), whose documentation names each
    method's paper. It has no FAMO.

        d = A(J), with A the class of torchjd that `method` names

    State: what the stateful ones (Nash-MTL, GradVac) remember, as plain arrays and numbers, written into torchjd's
    object before each call and read back after it; the object itself is only a cache.

    Args:
        method: "upgrad", "nash_mtl", "imtl_g", "aligned_mtl", "config", "fairgrad", "dualproj", "gradvac", "graddrop",
            "random", "mgda", "cagrad", "pcgrad", "krum", "trimmed_mean", "mean" or "sum".
        options: arguments of torchjd's class, such as {"c": 0.5} for "cagrad"; Nash-MTL's number of tasks is filled in.

    Departures:
        1. torchjd draws from torch's global generator; here that one is seeded from ours for the call and put back.
        2. float16 and bfloat16 gradients are aggregated in float32.
        3. PCD and ExcessMTL (whose state is as large as J) are left out.
    """

    method: str
    options: Mapping[str, int | float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in _CLASSES:
            raise ValueError(f"`method` must be one of {', '.join(_CLASSES)}, found method = {self.method!r}.")
        package = _package()
        options = {"n_tasks": 2, **self.options} if self.method == "nash_mtl" else self.options
        try:
            getattr(package, _CLASSES[self.method])(**options)
        except TypeError as error:
            raise ValueError(
                f"`options` must fit {_CLASSES[self.method]}, found {dict(self.options)}: {error}."
            ) from None

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        matrix = J.float() if J.dtype in (torch.float16, torch.bfloat16) else J
        aggregator = _build(self.method, tuple(sorted(self.options.items())), len(J))
        _restore(self.method, aggregator, state)
        if self.method in _DRAWS:
            with torch.random.fork_rng(devices=[J.device] if J.is_cuda else []):
                seed = int(generator.integers(2**63))
                torch.default_generator.manual_seed(seed)
                if J.is_cuda:
                    torch.cuda.manual_seed(seed)
                d = aggregator(matrix)
        else:
            d = aggregator(matrix)
        return d.to(J.dtype), _remember(self.method, aggregator)

    def recall(self, state: State, tasks: Sequence[int], num_tasks: int) -> State:
        """Nash-MTL's last weights of `tasks`, GradVac's targets between them."""
        part = dict(state)
        if "alpha" in state:
            part["alpha"] = state["alpha"][tasks]
        if "targets" in state:
            part["targets"] = state["targets"][np.ix_(tasks, tasks)]
        return part

    def remember(self, state: State | None, part: State, tasks: Sequence[int], num_tasks: int) -> State:
        """Puts them back; a task that was never there has torchjd's first values, 1 and 0."""
        whole = dict(part)
        if "alpha" in part:
            alpha = state["alpha"].copy() if state else np.ones(num_tasks, dtype=part["alpha"].dtype)
            alpha[tasks] = part["alpha"]
            whole["alpha"] = alpha
        if "targets" in part:
            targets = state["targets"].clone() if state else part["targets"].new_zeros(num_tasks, num_tasks)
            targets[np.ix_(tasks, tasks)] = part["targets"]
            whole["targets"] = targets
        return whole


def as_torchjd(method: Method, seed: int = 0) -> Any:
    """One of our methods as a torchjd `Aggregator`, for `torchjd.autojac.jac_to_grad` and the like.

    The method's state and its generator live in the object: `state_dict` holds both, `reset` forgets them.
    """

    class Adapted(_package().Aggregator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.reset()

        def reset(self) -> None:
            self.state: State | None = None
            self.generator = np.random.default_rng(seed)

        def forward(self, matrix: Tensor, /) -> Tensor:
            with torch.no_grad():
                if isinstance(method, Scalarization):
                    return method.scale(len(matrix)) * matrix.sum(dim=0)
                if isinstance(method, Weighting):
                    weights, self.state = method(gram(matrix), self.state, self.generator)
                    return combine(matrix, weights, torch.empty_like(matrix[0]))
                d, self.state = method(matrix, self.state, self.generator)
                return d

        def get_extra_state(self) -> dict[str, Any]:
            return to_plain({"state": self.state, "generator": self.generator.bit_generator.state})

        def set_extra_state(self, extra: dict[str, Any]) -> None:
            self.state = from_plain(extra["state"])
            self.generator.bit_generator.state = from_plain(extra["generator"])

        def __repr__(self) -> str:
            return f"as_torchjd({method!r}, seed={seed})"

    return Adapted()


def _package() -> Any:
    need("peers", "torchjd")
    return importlib.import_module("torchjd.aggregation")


@functools.lru_cache(maxsize=8)
def _build(method: str, options: tuple[tuple[str, int | float | str], ...], num_tasks: int) -> Any:
    """torchjd's object, kept because Nash-MTL compiles a convex program when it is made."""
    arguments = dict(options)
    if method == "nash_mtl":
        arguments = {"n_tasks": num_tasks, **arguments}
    return getattr(_package(), _CLASSES[method])(**arguments)


def _restore(method: str, aggregator: Any, state: State | None) -> None:
    if method == "nash_mtl":
        weighting = aggregator.weighting
        if state is None:
            weighting.reset()
        else:
            weighting.step, weighting.prvs_alpha = state["step"], state["alpha"].copy()
            weighting.normalization_factor = state["normalization"].copy()
            if weighting.prvs_alpha_param is None:  # an object that has not seen the first step has no program yet
                weighting._init_optim_problem()
    elif method == "gradvac":
        aggregator.reset()
        if state is not None:
            targets = state["targets"].clone()
            aggregator.gramian_weighting._phi_t = targets
            aggregator.gramian_weighting._state_key = (len(targets), targets.dtype)


def _remember(method: str, aggregator: Any) -> State:
    if method == "nash_mtl":
        w = aggregator.weighting
        return {"step": int(w.step), "alpha": w.prvs_alpha.copy(), "normalization": w.normalization_factor.copy()}
    if method == "gradvac":
        return {"targets": aggregator.gramian_weighting._phi_t.clone()}
    return {}

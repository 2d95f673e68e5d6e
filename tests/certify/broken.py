"""Methods that are right, and methods that are wrong in one way each."""

import os

import numpy as np
import torch
from torch import Tensor

from gradsurgery import build


def min_norm(J: Tensor) -> Tensor:
    """Right: the shortest vector of the hull."""
    rows = J.double()
    w, _ = build("mgda")((rows @ rows.T).numpy(), None, np.random.default_rng(0))  # type: ignore[operator,misc]
    return (torch.from_numpy(np.asarray(w)) @ rows).to(J.dtype)


min_norm.claims = {"non_conflict": 1e-6, "permutation": None, "stationary": None}  # type: ignore[attr-defined]
min_norm.implements = "mgda"  # type: ignore[attr-defined]


def surgery(J: Tensor) -> Tensor:
    """Right: PCGrad in a random order, drawn from torch's global generator."""
    found = []
    for i in range(len(J)):
        v = J[i].clone()
        for j in torch.randperm(len(J)).tolist():
            if j != i and (inner := v @ J[j]) < 0:
                v = v - inner / (J[j] @ J[j]) * J[j]
        found.append(v)
    return torch.stack(found).sum(dim=0)


def favours_the_first(J: Tensor) -> Tensor:
    """Draws as PCGrad does, and depends on the order beyond that."""
    return surgery(J) + J[0]


def no_number(J: Tensor) -> Tensor:
    """NaN wherever it is asked."""
    return J.sum(dim=0) * torch.nan


def wrong_sign(J: Tensor) -> Tensor:
    """PCGrad that adds what it should take away."""
    return 2.0 * J.sum(dim=0) - surgery(J)


def forgets_the_last(J: Tensor) -> Tensor:
    return J[: max(1, len(J) - 1)].mean(dim=0)


def normalises_in_place(J: Tensor) -> Tensor:
    J /= J.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return J.sum(dim=0)


def draws_on_its_own(J: Tensor) -> Tensor:
    """Weights from a generator that nobody can seed."""
    return torch.from_numpy(np.random.default_rng().dirichlet(np.ones(len(J)))).to(J) @ J


def hangs(J: Tensor) -> Tensor:
    """Goes on for ever, whatever is thrown at it, but for one task and for J that are nothing special."""
    while len(J) > 1 and J.shape[1] < 6:
        try:
            J = J * 1.0
        except BaseException:
            continue
    return J.mean(dim=0)


hangs.claims = ("permutation", "one_task")  # type: ignore[attr-defined]


def hangs_at_once(J: Tensor) -> Tensor:
    return hangs(J[:, :1].repeat(2, 1))


def hangs_when_smaller(J: Tensor) -> Tensor:
    """Opposes its task, and hangs at what a smaller counter-example could be."""
    return hangs(J.repeat(2, 1)) if float(J.abs().sum()) <= 12.0 and J.shape[1] < 6 else -J.mean(dim=0)


def dies(J: Tensor) -> Tensor:
    """Ends its process, as what is wrong in compiled code does."""
    if len(J) > 1 and J.shape[1] < 6:
        os._exit(7)
    return J.mean(dim=0)


def overflows(J: Tensor) -> Tensor:
    """Divides by squares that leave float32 long before the gradients do."""
    return (J / (J * J).sum(dim=1, keepdim=True).clamp(min=1e-300 if J.dtype == torch.float64 else 1e-30)).sum(dim=0)


def in_double(J: Tensor) -> Tensor:
    return J.double().mean(dim=0)


def keeps_the_graph(J: Tensor) -> Tensor:
    return J.mean(dim=0).requires_grad_()


def divides_by_zero(J: Tensor) -> Tensor:
    return (J / J.norm(dim=1, keepdim=True)).sum(dim=0)


def elementwise(J: Tensor) -> Tensor:
    """Not in the span of the gradients."""
    return J.abs().sum(dim=0)


def normalised(J: Tensor) -> Tensor:
    """A direction of length 1, whatever the gradients' lengths."""
    g = J.sum(dim=0)
    return g / g.norm().clamp(min=1e-30)


def tilted(J: Tensor) -> Tensor:
    """The min-norm vector, one part in ten thousand off."""
    return min_norm(J) + 1e-4 * J[0]


class Smooth:
    """An average of what it saw, in an attribute that no checkpoint holds."""

    def __init__(self) -> None:
        self.before: Tensor | None = None

    def __call__(self, J: Tensor) -> Tensor:
        g = J.mean(dim=0)
        kept = self.before is not None and self.before.shape == g.shape
        self.before = 0.5 * self.before + 0.5 * g if kept else g  # type: ignore[operator]
        return self.before


class Unloadable(torch.nn.Module):
    """Smooth, with a buffer that is there only once it has been called: nothing new takes its `state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("before", None)

    def forward(self, J: Tensor) -> Tensor:
        self.before = J.mean(dim=0)
        return self.before


def stateful(J: Tensor, state: dict[str, Tensor] | None, generator: np.random.Generator) -> object:
    """Right: the same average, as state that goes in and comes out."""
    g = J.mean(dim=0)
    kept = 0.5 * state["m"] + 0.5 * g if state else g
    return kept, {"m": kept}


def weights_only(J: Tensor) -> Tensor:
    """No direction at all."""
    return torch.ones(len(J))

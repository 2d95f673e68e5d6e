"""Task gradients to search through: small whole numbers, so that a counter-example shrinks to one that fits in a line.

A third of them are roughened to numbers that no float holds exactly. Shrinking leaves that out first.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

Draw = Callable[..., Any]  # hypothesis's own type is no class that a check at runtime could use
Tasks = tuple[int, int]  # fewest and most
Matrices = Callable[[Tasks], SearchStrategy[Tensor]]

MOST = 4  # tasks, where a method takes as many, and parameters
_ENTRIES = st.lists(st.integers(-30, 30), min_size=MOST, max_size=MOST)


@st.composite
def _drawn(draw: Draw, tasks: Tasks, zero: bool = True) -> Tensor:
    J = torch.tensor(draw(st.lists(_ENTRIES, min_size=tasks[0], max_size=tasks[1])), dtype=torch.float64)
    if draw(st.sampled_from([False, False, True])):
        J = J * (1.0 + 0.1 * torch.sin(torch.arange(1.0, J.numel() + 1.0, dtype=J.dtype)).reshape(J.shape))
    if not zero:
        assume(bool((J != 0.0).any(dim=1).all()))
    used = (J != 0.0).any(dim=0)  # what shrank to nothing is no parameter any more
    used[0] |= not used.any()
    return J[:, used]


def any_rows(tasks: Tasks) -> SearchStrategy[Tensor]:
    """Whatever there is: parallel, opposed, equal and zero gradients among them. At least two tasks."""
    return _drawn(_within(tasks, 2))


def moving_rows(tasks: Tasks) -> SearchStrategy[Tensor]:
    """No gradient is zero."""
    return _drawn(_within(tasks, 2), zero=False)


def two_rows(tasks: Tasks) -> SearchStrategy[Tensor]:
    """Two gradients, neither zero nor nearly parallel."""
    return _drawn(_within(tasks, 2, 2), zero=False).filter(lambda J: _least(J) > 0.05)


def one_row(tasks: Tasks) -> SearchStrategy[Tensor]:
    return _drawn(_within(tasks, 1, 1), zero=False)


def half_of_the_rows(tasks: Tasks) -> SearchStrategy[Tensor]:
    """So few tasks that each can be there twice."""
    return _drawn(_within((tasks[0], tasks[1] // 2), 2), zero=False)


def all_but_one(tasks: Tasks) -> SearchStrategy[Tensor]:
    """So few tasks that one more can join them."""
    return _drawn(_within((tasks[0], tasks[1] - 1), 2), zero=False)


@st.composite
def stationary_rows(draw: Draw, tasks: Tasks) -> Tensor:
    """Zero is a combination of all the gradients with positive weights: no step helps all of them."""
    low, high = _within(tasks, 2)
    J = draw(_drawn((low - 1, high - 1), zero=False))
    shares = draw(st.lists(st.integers(1, 4), min_size=len(J), max_size=len(J)))
    last = -torch.tensor(shares, dtype=J.dtype) @ J
    assume(float(last.norm()) > 1e-3)
    return torch.cat([J, last[None]])


@st.composite
def spread_rows(draw: Draw, tasks: Tasks) -> Tensor:
    """Gradients in general position whose lengths spread over up to twelve decades."""
    J = draw(_drawn(_within(tasks, 2), zero=False).filter(lambda J: _least(J) > 0.05))
    powers = draw(st.lists(st.integers(-6, 6), min_size=len(J), max_size=len(J)))
    return J * torch.tensor([10.0**power for power in powers], dtype=J.dtype)[:, None]


def pasted(J: Tensor) -> str:
    """J as Python that makes it again, dtype included."""
    rows = ", ".join("[" + ", ".join(re.sub(r"\.0$", ".", repr(x)) for x in row) + "]" for row in J.tolist())
    return f"torch.tensor([{rows}], dtype={J.dtype})"


def _within(tasks: Tasks, fewest: int, most: int = MOST) -> Tasks:
    """What a property and a method both take. Raises ValueError, which the search reads as `does not apply`."""
    low, high = max(tasks[0], fewest), min(tasks[1], max(most, tasks[0]) if most == MOST else most)
    if low > high:
        raise NoTasks
    return low, high


class NoTasks(ValueError):
    """A method takes no such number of tasks."""


def _least(J: Tensor) -> float:
    """Smallest singular value of the unit gradients: 0 where they are linearly dependent."""
    if len(J) > J.shape[1]:
        return 0.0
    return float(torch.linalg.svdvals(J / J.norm(dim=1, keepdim=True)).min())

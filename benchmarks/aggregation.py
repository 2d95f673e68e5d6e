"""Time from given task gradients to the direction alone: what is left when the K backward passes are taken away.

Ours is G = J J^T, the method's weights, d = J^T w. Peers run their own way on the same J. `restated` is CAGrad in the
form of the official vision code (gradients as columns, SLSQP with a numeric Jacobian on every step), written again
from its description, because the code itself has its own licence; `EARLIER` holds what that code itself took.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from benchmarks import peers
from benchmarks.measure import interleave, table
from benchmarks.step_time import OURS
from gradsurgery import build
from gradsurgery.core.interfaces import Aggregator, Weighting
from gradsurgery.core.jacobian import combine, gram

EARLIER = {  # CPU ms at P = 1e6, one thread of an AMD EPYC, measured with the peers' own code before this project began
    "libmtl PCGrad": {2: 12.6, 3: 9.5, 10: 91.7, 40: 1052.0},
    "official PCGrad (CAGrad's repository)": {2: 20.3, 3: 51.2, 10: 990.0, 40: 19225.0},
    "official CAGrad": {2: 12.8, 3: 15.3, 10: 48.3, 40: 228.0},
}


@dataclass(frozen=True)
class Row:
    """One variant on K given gradients; milliseconds are medians over the rounds."""

    tasks: int
    shared_parameters: int
    variant: str
    cpu_ms: float
    wall_ms: float
    rounds: int


def conflicting(tasks: int, size: int) -> Tensor:
    """Task gradients (K, P) in float32, at least half of whose pairs clearly point against each other."""
    draws = torch.Generator().manual_seed(tasks)
    common = torch.randn(8, size, generator=draws)
    mix = torch.randn(tasks, 8, generator=draws)
    mix -= mix.mean(0)
    return torch.addmm(torch.randn(tasks, size, generator=draws), mix, common).mul_(1e-2)


def ours(name: str, J: Tensor) -> Callable[[], Tensor]:
    """Our way from J to d, with the buffer for d that the engine keeps, and a state that has seen a step."""
    method, d, generator = build(name, **OURS[name]), torch.empty(J.shape[1]), np.random.default_rng(0)
    if isinstance(method, Weighting):
        return lambda: combine(J, method(gram(J), None, generator)[0], d)
    if isinstance(method, Aggregator):
        memory = [method(J, None, generator)[1]]

        def aggregate() -> Tensor:
            direction, memory[0] = method(J, memory[0], generator)
            return d.copy_(direction)

        return aggregate
    return lambda: torch.mul(J.sum(0), method.scale(len(J)), out=d)


def restated_cagrad(columns: Tensor, c: float = 0.5) -> Tensor:
    """CAGrad by SLSQP on the weights, gradients as columns (P, K), rescaled by 1 + c^2."""
    K = columns.shape[1]
    G = (columns.T @ columns).numpy().astype(np.float64)
    radius = c * np.sqrt(G.mean() + 1e-8) + 1e-8
    start = np.full(K, 1 / K)
    solved = minimize(
        lambda w: w @ G @ start + radius * np.sqrt(w @ G @ w + 1e-8),
        start,
        bounds=[(0.0, 1.0)] * K,
        constraints={"type": "eq", "fun": lambda w: 1.0 - w.sum()},
    )
    mixed = (columns * torch.as_tensor(solved.x, dtype=columns.dtype)).sum(1)
    return (columns.mean(1) + radius / (mixed.norm() + 1e-8) * mixed) / (1 + c**2)


def run(numbers: Sequence[int], seconds: float, libmtl: Path | None, size: int = 10**6) -> list[Row]:
    """Measures every variant for each number of tasks; `seconds` is the time of one table."""
    rows: list[Row] = []
    for tasks in numbers:
        J = conflicting(tasks, size)
        columns = J.T.contiguous()
        steps: dict[str, Callable[[], object]] = {f"ours {name}": ours(name, J) for name in OURS}
        steps["restated CAGrad"] = partial(restated_cagrad, columns)
        if peers.torchjd_missing() is None:
            for name in peers.TORCHJD_ARGUMENTS:
                steps[f"torchjd {name}"] = partial(peers.torchjd_aggregator(name), J)
        for name in peers.LIBMTL_ARGUMENTS:
            if peers.libmtl_missing(libmtl) is None and peers.libmtl_limit(name, tasks) is None:
                steps[f"libmtl {name}"] = peers.libmtl_aggregator(libmtl, name, J)
        samples = interleave(steps, seconds)
        fresh = [
            Row(tasks, size, name, round(median(s.cpu), 3), round(median(s.wall), 3), len(s.cpu))
            for name, s in samples.items()
        ]
        print(f"\naggregation alone, K = {tasks}, P = {size:,}, {fresh[0].rounds} rounds")
        print(
            table(["variant", "cpu ms", "wall ms"], [[r.variant, f"{r.cpu_ms:.2f}", f"{r.wall_ms:.2f}"] for r in fresh])
        )
        rows += fresh
    return rows

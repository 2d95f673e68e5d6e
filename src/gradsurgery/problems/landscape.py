"""The papers' analytic landscapes: two losses over the plane, descended from several starts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from gradsurgery.core.capabilities import ClosedForm
from gradsurgery.core.discovery import build, make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.settings import check_seed, check_sizes

Name = Literal["cagrad_toy", "sam_gs_toy1", "sam_gs_toy2", "pcgrad_toy"]

STARTS = {
    "cagrad_toy": ((-8.5, 7.5), (-8.5, -5.0), (0.0, 0.0), (9.0, 9.0), (10.0, -8.0)),
    "sam_gs_toy1": ((-8.0, 5.0), (-3.0, 7.5), (0.0, 10.0), (3.0, 7.5), (8.0, 5.0), (-10.0, -2.5), (10.0, -2.5)),
    "sam_gs_toy2": ((-3.5, 5.5), (3.5, 5.5), (-6.5, 2.5), (6.5, 2.5), (0.0, 10.0), (0.0, -8.0)),
    "pcgrad_toy": ((0.5, -3.0),),
}

# Where the sum of the losses is smallest, and its value there; `sam_gs_toy2` has a mirror image of its point.
OPTIMA = {
    "cagrad_toy": ((0.0, -8.35511), -30.1832769),
    "sam_gs_toy1": ((0.0, -8.35511), -30.1832769),
    "sam_gs_toy2": ((-5.45457, -10.84261), -74.1339882),
    "pcgrad_toy": ((-2.0, math.inf), -549.2732690),  # both logarithms at their floor: approached, never reached
}

_FLOOR = 5e-6  # the smallest argument of a logarithm
_SIGN = np.array([[1.0], [-1.0]])
_GATED_OFFSET = np.array([[-3.5], [3.5]])
_PCGRAD_OFFSET = np.array([[0.0], [2.0]])
_PCGRAD_SCALE = np.array([[20.0], [25.0]])


class Landscape(Problem, ClosedForm):
    """Two losses `L1` and `L2` of a point in the plane; metrics: their mean over all starts, and the share solved.

    Source: CAGrad's toy (Liu et al. 2021, arXiv 2110.14048, section 5.1 and the official code), SAM-GS's toys with one
    and two optima (arXiv 2506.06130, appendix A), PCGrad's toy (Yu et al. 2020, arXiv 2001.06782, appendix D).

    Gates c1 = tanh(y/2) for y >= 0, else 0, and c2 = tanh(-y/2) for y <= 0, else 0; L_k = c1 f_k + c2 q_k with
    f_k = log max(|u_k|, 5e-6) + 6, u1 = (-x - 7)/2 - tanh(-y), u2 = (-x + 3)/2 + tanh(-y) + 2, and q_k a bowl around
    (+-7, -8) (`cagrad_toy`, `sam_gs_toy1`) or a pair of wells (`sam_gs_toy2`).
    `pcgrad_toy`: L1 = 20 log max(|x/2 + tanh y|, 5e-6), L2 = 25 log max(|x/2 - tanh y + 2|, 5e-6).

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        landscape: which of them.
        steps: steps of the whole run.
        epochs: equal parts into which the steps are cut; a run can be resumed between them.
        network: `{"name": "point"}`.
        lr: learning rate of Adam.
        clip: largest norm of each start's gradient, or None.

    Departures:
        1. CAGrad's paper prints the start (-8.5, 5) and -tanh(-y) in u2. Its code has (-8.5, -5) and +tanh(-y). Only
           the code's start gives the paper's claim that descent is stuck from 2 of 5 starts, only its sign makes the
           two valleys symmetric; we follow the code, and take the paper's other four starts.
        2. SAM-GS's paper prints -tanh(-y) as well, and lists starts that differ in the third digit from its settings
           file. The function is the code's, the starts are the paper's.
        3. The gates are written with `where`: the sub-gradient of `clamp` and `max` at y = 0 changed in torch 2.14,
           and with it whether the start (0, 0) ever moves. Both gates are open there, as in earlier versions.
        4. PCGrad's end point is chaotic (1e-7 in the start moves it by tens), so `prepare` makes a cloud of starts.
        5. Solved is our word. `cagrad_toy`: within 0.01 of the optimum. `sam_gs_toy1`, `sam_gs_toy2`: the sum of the
           losses below -30.17 and -73.13. `pcgrad_toy`: y > 0 and x within 0.1 of -2, where the two valleys have
           joined; the losses there jump with every step, so they decide nothing.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        landscape: Name,
        steps: int,
        epochs: int,
        network: dict | None = None,
        lr: float = 1e-3,
        clip: float | None = None,
    ):
        if epochs < 1:
            raise ValueError(f"`epochs` must be at least 1, found epochs = {epochs}.")
        if steps < epochs or steps % epochs:
            raise ValueError(f"`steps` must be a multiple of epochs = {epochs}, found steps = {steps}.")
        for name, rate in (("lr", lr), ("clip", clip)):
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError(f"`{name}` must be positive, found {name} = {rate}.")
        if network not in (None, {"name": "point"}):
            raise ValueError(f"`network` must be {{'name': 'point'}} for a landscape, found {network!r}.")
        self.tasks = ("L1", "L2")
        self.metrics = {"all.loss": False, "all.solved": True}
        self.landscape, self.steps, self.epochs, self.clip = landscape, steps, epochs, clip
        self._arrays, self._lr = arrays, lr

    def network(self, generator: torch.Generator) -> Network:
        return build("networks", "point", starts=np.asarray(self._arrays["starts"]), num_tasks=2)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self._lr)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Any]:
        """As many empty batches as an epoch has steps."""
        for _ in range(self.steps // self.epochs):
            yield torch.empty(0)

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        """Each task's loss, summed over the starts: each start's gradient is that of its own loss.

        An ordinary training rule mixes the starts when it combines these gradients; give it one start, or use the
        rule `descent`, which treats every start on its own.
        """
        first, second = network(batch)
        return [evaluate(self.landscape, first)[0].sum(), evaluate(self.landscape, second)[1].sum()]

    def jacobian(
        self, theta: Float64[np.ndarray, "S 2"]
    ) -> tuple[Float64[np.ndarray, "2 S"], Float64[np.ndarray, "S 2 2"]]:
        """Losses (K, S) and every start's own task gradients (S, K, 2), in closed form."""
        return jacobian(self.landscape, theta)

    def solved(self, theta: Float64[np.ndarray, "S 2"], losses: Float64[np.ndarray, "2 S"]) -> Bool[np.ndarray, " S"]:
        """Which starts have arrived; see Departures."""
        x, y = theta[:, 0], theta[:, 1]
        if self.landscape == "pcgrad_toy":
            return (abs(x + 2.0) < 0.1) & (y > 0.0)
        if self.landscape == "cagrad_toy":
            (x0, y0), _ = OPTIMA["cagrad_toy"]
            return np.hypot(x - x0, y - y0) < 0.01
        return losses[0] + losses[1] < (-30.17 if self.landscape == "sam_gs_toy1" else -73.13)

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """The same on "val" and "test": a landscape has nothing to hold out.

        `all.solved` is NaN where a start has left the finite numbers.
        """
        theta = network(torch.empty(0))[0].detach().cpu().numpy()
        losses, _ = self.jacobian(theta)
        solved = float(self.solved(theta, losses).mean())
        return Evaluation({
            "all.loss": float(losses.mean()),
            "all.solved": solved if np.isfinite(theta).all() else math.nan,
            "L1.loss": float(losses[0].mean()),
            "L2.loss": float(losses[1].mean()),
        })  # fmt: skip


@dataclass(frozen=True)
class _Preparation:
    """Which landscape, and where it has a single start how many copies of it to make, moved as `seed` decides."""

    landscape: Name
    seed: int = 0
    perturbed_starts: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.perturbed_starts > 1 and len(STARTS[self.landscape]) > 1:
            raise ValueError(
                f"`perturbed_starts` must be 1 where there are several starts, found {self.perturbed_starts}."
            )
        check_sizes({"perturbed_starts": (self.perturbed_starts, 1)})


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The starts (S, 2) of one landscape.

    Args:
        raw: not looked at.
        settings: fields of `_Preparation`; the first copy is not moved, the others by up to 1e-7 in each coordinate.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    starts = np.array(STARTS[own.landscape])
    if own.perturbed_starts > 1:
        # Words of the bit generator, because numpy promises only these never to change.
        noise = 1e-7 * (np.random.Philox(own.seed).random_raw((own.perturbed_starts, 2)) * 2.0**-63 - 1.0)
        noise[0] = 0.0
        starts = starts + noise
    return {"starts": starts}


def evaluate(landscape: str, theta: Float64[Tensor, "S 2"]) -> tuple[Float64[Tensor, " S"], Float64[Tensor, " S"]]:
    """Both losses by the papers' formulas, for autograd. `jacobian` is the same, differentiated by hand."""
    x, y = theta[:, 0], theta[:, 1]
    if landscape == "pcgrad_toy":
        return 20.0 * _log(0.5 * x + torch.tanh(y)), 25.0 * _log(0.5 * x - torch.tanh(y) + 2.0)
    zero = torch.zeros_like(y)
    c1 = torch.where(y >= 0.0, torch.tanh(0.5 * y), zero)
    c2 = torch.where(y <= 0.0, torch.tanh(-0.5 * y), zero)
    f1 = _log(0.5 * (-x - 7.0) - torch.tanh(-y)) + 6.0
    f2 = _log(0.5 * (-x + 3.0) + torch.tanh(-y) + 2.0) + 6.0
    well = _wells if landscape == "sam_gs_toy2" else _bowl
    return c1 * f1 + c2 * well(x, y), c1 * f2 + c2 * well(-x, y)


def jacobian(
    landscape: str, theta: Float64[np.ndarray, "S 2"]
) -> tuple[Float64[np.ndarray, "2 S"], Float64[np.ndarray, "S 2 2"]]:
    """Losses (K, S) and task gradients (S, K, 2): autograd costs ten times as much, and a run takes 500,000 steps."""
    x, y = theta[:, 0], theta[:, 1]
    t = np.tanh(y)
    slope = _SIGN * (1.0 - t * t)
    J = np.empty((len(theta), 2, 2))
    by_x, by_y = J[:, :, 0].T, J[:, :, 1].T
    if landscape == "pcgrad_toy":
        logs, inverse = _logs(0.5 * x + _SIGN * t + _PCGRAD_OFFSET)
        inverse *= _PCGRAD_SCALE
        np.multiply(0.5, inverse, out=by_x)
        np.multiply(inverse, slope, out=by_y)
        return _PCGRAD_SCALE * logs, J
    logs, inverse = _logs(_SIGN * t - 0.5 * x + _GATED_OFFSET)
    logs += 6.0
    h = np.tanh(0.5 * y)
    dh = 0.5 - 0.5 * h * h
    up, down = y >= 0.0, y <= 0.0
    c1, dc1, c2, dc2 = np.maximum(h, 0.0), up * dh, np.maximum(-h, 0.0), down * -dh
    if landscape == "sam_gs_toy2":
        a, b, v = 0.25 * x - 1.3625 * _SIGN, 0.25 * x - 1.375 * _SIGN, 0.25 * y
        a2, b2, v2 = a * a, b * b, v * v
        q = 0.1 * (a2 * a2 * a2 + v2 * v2 * v2) - (b2 * b2 + v2 * v2) - 1.5 * (b2 + v2) + 1.5
        qx = 0.25 * (0.6 * a2 * a2 * a - (4.0 * b2 + 3.0) * b)
        qy = 0.25 * v * (0.6 * v2 * v2 - 4.0 * v2 - 3.0)
    else:
        e, w = x - 7.0 * _SIGN, y + 8.0
        q, qx, qy = 0.1 * e * e + (0.01 * w * w - 20.0), 0.2 * e, 0.02 * w
    np.add(-0.5 * c1 * inverse, c2 * qx, out=by_x)
    np.add(dc1 * logs + c1 * inverse * slope, dc2 * q + c2 * qy, out=by_y)
    return c1 * logs + c2 * q, J


def _log(u: Float64[Tensor, " S"]) -> Float64[Tensor, " S"]:
    size = u.abs()
    return torch.where(size > _FLOOR, size, torch.full_like(size, _FLOOR)).log()


def _bowl(x: Float64[Tensor, " S"], y: Float64[Tensor, " S"]) -> Float64[Tensor, " S"]:
    return ((-x + 7.0) ** 2 + 0.1 * (-y - 8.0) ** 2) / 10.0 - 20.0


def _wells(x: Float64[Tensor, " S"], y: Float64[Tensor, " S"]) -> Float64[Tensor, " S"]:
    a, b, v = (x - 5.45) / 4.0, (x - 5.5) / 4.0, y / 4.0
    return 0.1 * (a**6 + v**6) - (b**4 + v**4) - 1.5 * (b**2 + v**2) + 1.5


def _logs(u: Float64[np.ndarray, "2 S"]) -> tuple[Float64[np.ndarray, "2 S"], Float64[np.ndarray, "2 S"]]:
    """log max(|u|, floor), and its derivative by u."""
    size = np.abs(u)
    if size.min() > _FLOOR:
        return np.log(size), 1.0 / u
    inside = size > _FLOOR
    inverse = np.divide(1.0, u, out=np.zeros_like(u), where=inside)
    return np.log(np.where(inside, size, _FLOOR)), inverse

"""GCond: gradients that remember their past, and let the steadier of two opposed tasks keep its way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gradsurgery.core.activity import Reports
from gradsurgery.core.interfaces import Aggregator, Metrics, State
from gradsurgery.core.jacobian import combine
from gradsurgery.core.memory import PerTask, Tensorwise
from gradsurgery.core.past import Past, with_past

_BLOCK = 1 << 20  # numbers of J in one block on a CPU, so that its rows are copied, resolved and summed in cache
_HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class GCond(Aggregator, PerTask, Reports, Tensorwise):
    """Resolves opposed pairs of gradients, the worst first and in favour of the steadier task, and smooths their sum.

    Source: equations 3-10 and tables 1 and 7 of the Gradient Conductor, 2025, arXiv 2509.07252 (v2), and the official
    code at 1b0518a.

        for the pair of smallest cosine c < theta_weak, at most max_iters times, with winner v and loser u:
            alpha = pi                                                              c <= theta_crit
                    pi/2 + pi/2 ((c - theta_main) / (theta_crit - theta_main))^p    theta_crit < c < theta_main
                    pi/2 (1 - (c - theta_main) / (theta_weak - theta_main))         theta_main <= c < theta_weak
            v, u <- v - sin(alpha) <v,u>/|u|^2 u,   u - sin(min(alpha, pi/2)) <v,u>/|v|^2 v      both from the old v, u
        the winner has the larger  tie_s max(0, cos(g_k, previous g_k)) + tie_n r_k / (r_i + r_j),  r_k = |g_k| / ema_k
        g = sum_k g_k,   m <- beta m + (1 - beta) g,   d = m / (1 - beta^t)

    The rows stay combinations of J's rows, so that all but `previous`, g and m is K x K algebra. J must be the
    gradients of a large batch: the authors average 24 micro-batches and say nothing of small ones. Their optimiser is
    AdamW with beta1 = 0 for "momentum", AdamW with beta1 = 0.9 for "raw".

    The class defaults of the official code are `beta=0.85, dominance_window=3, max_iters=None, trust_coef=1e-4,
    trust_clip=100, buffers="bfloat16"`, all else as here.

    State: `previous` (K, P), `m` (P,), `ema` (K,), `history` (at most W winners), `t`, `decisions` (R, 2: winner and
    loser of each resolution of the last step), and for the log `resolutions` (R). `previous` and `m` are overwritten
    inside their own tensors, because new ones of J's size would cost more than the arithmetic: the state that comes out
    holds the tensors of the state that went in, which must not be used again (clone it to keep it). "lion" needs
    `sizes` and `norms` in the state that goes in (`Tensorwise`).

    Args:
        thresholds: theta_crit, theta_main, theta_weak: where a conflict of cosine c is critical, moderate, mild.
        remap_power: p, the curvature of the moderate zone.
        mode: "smooth" as above; "zones": critical loser set to zero, moderate loser projected, mild both projected.
        tie_weights: what steadiness and strength count in arbitration.
        ema_beta: decay of the average length of each task's gradient, which starts at 1.
        dominance_window: W: a task that won W times running loses its next conflict; 0 for never.
        max_iters: resolutions per step; null for 2 K, 0 for none (the summed gradient, smoothed: the control arm).
        norm_cap: length to which each task's gradient is cut first; null for no cut.
        previous: the last step's gradient in arbitration: "resolved" (the code), or "raw" (the paper's equation 8).
        beta: decay of the momentum.
        output: "momentum": d as above; "raw": g; "lion": per parameter tensor sign(d) min(|theta| / |d|, clip) coef.
        trust_coef: coef of "lion"; 1 leaves the step length to the optimiser's schedule.
        trust_clip: clip of "lion".
        conflict_tol: cosines above theta_weak - conflict_tol are left alone.
        buffers: "full" keeps J's precision (float32 for half precision); "bfloat16" rounds J, its rows,
            m and d (but for "raw"), as the official code does.
        eps: added to denominators; rows with a smaller squared length are in no conflict.

    Departures:
        1. Defaults are those of the paper's experiments, and where paper and code compute differently, of the code:
           `previous="resolved"`. Appendix A and figure 9 of the paper still describe "zones"; table 1 and the
           equations are "smooth".
        2. Accumulation of micro-batches, exact or stochastic, is the training rule's; heads are never ours to touch
           (the official J holds all parameters), and an evaluation-mode network is the problem's choice.
        3. `max_iters=0` means none; in the official code 2 K.
        4. After a full projection eps leaves a cosine of about -1e-9, which the official loop resolves again until
           max_iters, filling the dominance window. So does ours; `conflict_tol=1e-6` prevents it.
        5. "bfloat16" rounds each resolved row once, the official code after every resolution.
        6. J is averaged over processes before the resolution (the engine's rule); the official code averages d.
        7. The README of the official code has a dominating task win; code and paper have it lose, as do we.
    """

    thresholds: tuple[float, ...] = (-0.8, -0.5, 0.0)
    remap_power: float = 2.0
    mode: Literal["smooth", "zones"] = "smooth"
    tie_weights: tuple[float, ...] = (0.8, 0.2)
    ema_beta: float = 0.95
    dominance_window: int = 0
    max_iters: int | None = 3
    norm_cap: float | None = None
    previous: Literal["resolved", "raw"] = "resolved"
    beta: float = 0.9
    output: Literal["momentum", "raw", "lion"] = "momentum"
    trust_coef: float = 1.0
    trust_clip: float = 50.0
    conflict_tol: float = 0.0
    buffers: Literal["full", "bfloat16"] = "full"
    eps: float = 1e-8

    def __post_init__(self) -> None:
        bounds = (-1.0, *self.thresholds, 1.0)
        if len(bounds) != 5 or not all(a <= b for a, b in pairwise(bounds)):
            known = "three numbers from -1 to 1 that do not fall"
            raise ValueError(f"`thresholds` must be {known}, found thresholds = {self.thresholds}.")
        if len(self.tie_weights) != 2 or not all(0.0 <= w < math.inf for w in self.tie_weights):
            raise ValueError(f"`tie_weights` must be two non-negative numbers, found tie_weights = {self.tie_weights}.")
        cap = 1.0 if self.norm_cap is None else self.norm_cap
        iterations = 0 if self.max_iters is None else self.max_iters
        for name, met, known in (
            ("ema_beta", 0.0 <= self.ema_beta < 1.0, "at least 0 and less than 1"),
            ("beta", 0.0 <= self.beta < 1.0, "at least 0 and less than 1"),
            ("remap_power", 0.0 < self.remap_power < math.inf, "positive"),
            ("trust_coef", 0.0 < self.trust_coef < math.inf, "positive"),
            ("trust_clip", 0.0 < self.trust_clip < math.inf, "positive"),
            ("eps", 0.0 < self.eps < math.inf, "positive"),
            ("norm_cap", 0.0 < cap < math.inf, "positive or null"),
            ("dominance_window", self.dominance_window >= 0, "non-negative"),
            ("max_iters", iterations >= 0, "non-negative or null"),
            ("conflict_tol", 0.0 <= self.conflict_tol < math.inf, "non-negative"),
            ("mode", self.mode in ("smooth", "zones"), "'smooth' or 'zones'"),
            ("previous", self.previous in ("resolved", "raw"), "'resolved' or 'raw'"),
            ("output", self.output in ("momentum", "raw", "lion"), "'momentum', 'raw' or 'lion'"),
            ("buffers", self.buffers in ("full", "bfloat16"), "'full' or 'bfloat16'"),
        ):
            if not met:
                raise ValueError(f"`{name}` must be {known}, found {name} = {getattr(self, name)!r}.")

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        K, P = J.shape
        before = {} if state is None else state
        if "m" in before and len(before["m"]) != P:
            raise ValueError(f"`J` must keep the {len(before['m'])} columns the state was made for, found {P}.")
        rows = J.bfloat16() if self.buffers == "bfloat16" else J
        g = torch.empty(P, dtype=torch.float32 if rows.dtype in _HALF else rows.dtype, device=J.device)
        after: State = {"t": before.get("t", 0) + 1}
        if K == 1 or self.max_iters == 0:
            combine(rows, np.ones(K), g)
        else:
            after |= self._resolve(rows, before, g)

        kept = rows.dtype if self.buffers == "bfloat16" else g.dtype
        m = before["m"] if "m" in before else torch.zeros_like(g, dtype=kept)
        after["m"] = m.copy_(m.mul_(self.beta).to(g.dtype).add_(g, alpha=1.0 - self.beta))
        d = g if self.output == "raw" else torch.div(after["m"], 1.0 - self.beta ** after["t"], out=g)
        if self.output == "lion":
            d = self._trust(d, before)
        return (d if self.output == "raw" else d.to(rows.dtype)).to(J.dtype), after

    def acted(self, state: State) -> Metrics:
        """Whether a conflict was resolved in the step."""
        return {"share_resolved": float(state.get("resolutions", 0.0) > 0.0)}

    @property
    def tensorwise(self) -> bool:
        """Trust ratios are per parameter tensor."""
        return self.output == "lion"

    def recall(self, state: State, tasks: Sequence[int], num_tasks: int) -> State:
        """`previous`, `ema` and the winners; m and t are those of the sum, whoever it was made of."""
        if "previous" not in state:
            return state
        # Tasks are numbered anew, absent ones last: as winners they end a run of victories.
        order = np.argsort(~np.isin(np.arange(num_tasks), tasks), kind="stable")
        history = np.argsort(order)[state["history"]]
        return {**state, "previous": state["previous"][tasks], "ema": state["ema"][tasks], "history": history}

    def remember(self, state: State | None, part: State, tasks: Sequence[int], num_tasks: int) -> State:
        """Puts the rows back; a task that was never there has no previous gradient and the average length 1."""
        before, whole = state or {}, {**(state or {}), **part}
        if "previous" in part:
            whole["previous"] = before.get("previous", part["previous"].new_zeros(num_tasks, part["previous"].shape[1]))
            whole["ema"] = before.get("ema", np.ones(num_tasks)).copy()
            whole["previous"][tasks], whole["ema"][tasks] = part["previous"], part["ema"]
            order = np.argsort(~np.isin(np.arange(num_tasks), tasks), kind="stable")
            whole |= {name: order[part[name]] for name in ("history", "decisions")}
        return whole

    def _resolve(self, J: Float[Tensor, "K P"], before: State, g: Float[Tensor, " P"]) -> State:
        """Writes the sum of the resolved rows into `g` and returns the state that belongs to them."""
        K, P = J.shape
        if "previous" in before and len(before["previous"]) != K:
            raise ValueError(f"`J` must keep the {len(before['previous'])} rows the state was made for, found {K}.")

        G, past = with_past(J, before.get("previous"))
        ema = self.ema_beta * before.get("ema", np.ones(K)) + (1.0 - self.ema_beta) * np.sqrt(G.diagonal())
        ema = np.maximum(ema, self.eps)
        C, history, decisions = self._coefficients(G, ema, before.get("history", ()), past)
        # From here on nobody asks for the previous rows again: the new ones take their place.
        kept = before.get("previous")
        kept = torch.empty_like(J, memory_format=torch.contiguous_format) if kept is None else kept
        changed: list[int] = []
        if self.previous == "resolved":
            changed = np.flatnonzero((np.eye(K) != C).any(axis=1)).tolist()
        weights = np.ones(K) if self.previous == "resolved" else C.sum(axis=0)
        block = P if J.is_cuda else max(_BLOCK // K, 1)
        for start in range(0, P, block):
            columns = slice(start, start + block)
            old, new = J[:, columns], kept[:, columns]
            new.copy_(old)
            for k in changed:
                combine(old, C[k], new[k])
            combine(new, weights, g[columns])
        return {
            "previous": kept,
            "ema": ema,
            "history": np.array(history, dtype=np.int64),
            "decisions": np.array(decisions, dtype=np.int64).reshape(-1, 2),
            "resolutions": float(len(decisions)),
        }

    def _coefficients(
        self, G: Float64[np.ndarray, "K K"], ema: Float64[np.ndarray, " K"], history: np.ndarray | tuple, past: Past
    ) -> tuple[Float64[np.ndarray, "K K"], list[int], list[tuple[int, int]]]:
        """C, such that the resolved rows are C J; the last W winners; winner and loser of each resolution."""
        K = len(G)
        C, winners, decisions = np.eye(K), list(map(int, history)), []
        if self.norm_cap is not None:
            norms = np.sqrt(G.diagonal())
            np.fill_diagonal(C, np.where(norms > self.norm_cap, self.norm_cap / (norms + self.eps), 1.0))
        upper = np.triu(np.ones((K, K), dtype=bool), 1)
        for _ in range(2 * K if self.max_iters is None else self.max_iters):
            A = C @ G @ C.T
            squares = np.maximum(A.diagonal(), 0.0)
            large = squares >= self.eps
            cosines = A / (np.sqrt(np.outer(squares, squares)) + self.eps)
            cosines = np.where(upper & np.outer(large, large), cosines, np.inf)
            i, j = map(int, np.unravel_index(cosines.argmin(), (K, K)))
            c = max(float(cosines[i, j]), -1.0)
            if not c < self.thresholds[2] - self.conflict_tol:
                break
            winner, loser = i, j
            if self.mode == "smooth" or c < self.thresholds[1]:
                winner, loser = self._arbitrate(i, j, C, np.sqrt(squares), ema, winners, past)
                winners = [*winners, winner][-self.dominance_window :] if self.dominance_window else []
            decisions.append((winner, loser))
            s_winner, s_loser = self._shares(c)
            v, u = C[winner].copy(), C[loser].copy()
            C[winner] = v - s_winner * A[i, j] / (squares[loser] + self.eps) * u
            C[loser] = u - s_loser * A[i, j] / (squares[winner] + self.eps) * v
            if self.mode == "zones" and c < self.thresholds[0]:
                C[loser] = 0.0
        return C, winners, decisions

    def _arbitrate(
        self,
        i: int,
        j: int,
        C: Float64[np.ndarray, "K K"],
        norms: Float64[np.ndarray, " K"],
        ema: Float64[np.ndarray, " K"],
        winners: list[int],
        past: Past,
    ) -> tuple[int, int]:
        """Winner and loser of the conflict between tasks i < j."""
        if self.dominance_window and len(winners) == self.dominance_window and set(winners) in ({i}, {j}):
            return (j, i) if winners[0] == i else (i, j)
        strength = norms / (ema + self.eps)
        scores = self.tie_weights[1] * strength[[i, j]] / (strength[i] + strength[j] + self.eps)
        for n, k in enumerate((i, j)):
            inner = sum(C[k, row] * past(row, k)[0] for row in np.flatnonzero(C[k]).tolist())
            scores[n] += self.tie_weights[0] * max(0.0, inner / (norms[k] * past(k, k)[1] + self.eps))
        return (j, i) if scores[1] > scores[0] else (i, j)

    def _shares(self, c: float) -> tuple[float, float]:
        """How much of the other's direction winner and loser give up at the cosine c < theta_weak."""
        critical, main, weak = self.thresholds
        if self.mode == "zones":
            return (0.0 if c < main else 1.0), 1.0
        if c <= critical:
            return math.sin(math.pi), 1.0
        if c < main:
            angle = math.pi / 2 * (1.0 + ((c - main) / (critical - main)) ** self.remap_power)
        else:
            angle = math.pi / 2 * (1.0 - (c - main) / (weak - main))
        return math.sin(angle), math.sin(min(angle, math.pi / 2))

    def _trust(self, d: Float[Tensor, " P"], before: State) -> Float[Tensor, " P"]:
        """The sign of d, tensor by tensor as long as the trust ratio says (equation 10)."""
        if "sizes" not in before or "norms" not in before:
            raise ValueError("`state` must hold `sizes` and `norms` for output = 'lion', found one of them missing.")
        sizes = [int(n) for n in before["sizes"]]
        if sum(sizes) != len(d) or len(sizes) != len(before["norms"]):
            raise ValueError(f"`sizes` must add up to the {len(d)} columns of `J`, found {sum(sizes)}.")
        parts = d.split(sizes)
        own = torch.stack([torch.linalg.vector_norm(part, dtype=torch.float64) for part in parts])
        lengths = torch.as_tensor(before["norms"], dtype=torch.float64, device=d.device)
        ratios = torch.where(torch.minimum(lengths, own) < self.eps, 1.0, lengths / own)
        steps = ratios.clamp(max=self.trust_clip) * self.trust_coef
        return torch.cat([part.sign() * step for part, step in zip(parts, steps, strict=True)])

"""DRGrad: direct routing gradient, on a Split-MMoE."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.capabilities import towers_of
from gradsurgery.core.interfaces import Metrics, Network
from gradsurgery.core.jacobian import read
from gradsurgery.core.run import Run, TrainingRule

_EPSILON = 1e-12  # least length a denominator takes, so that the cosine with a zero gradient is 0
_EARLY = {1, 2, 3, 5, 7, 10, 15, 20, 30, 40}  # steps recorded besides the diagnosed ones: mu settles within these


@dataclass(frozen=True)
class DRGrad(TrainingRule):
    """Adds part of the other towers' gradients to those of the primary task's two towers, and weighs the two.

    Source: Algorithm 1 and Eqs. 1 to 8 of Liu, Miao and Xia, "Direct Routing Gradient", AAAI 2025, arXiv 2510.09643;
    the released code computes something else (rule `drgrad_code`). g', g'' and g_k are the gradients of the towers
    T'_1, T''_1 and T_k of the network `recommender` with `variant: split`, task 1 primary, the others auxiliary.

        xi_a = cos(g', g''),  xi_b = cos(g', g_2),  lambda = min(|g'| / |other|, 1)^gamma
        printed:  g'  += (1 - [xi_b < 0] xi_b) lambda_b g'' + [xi_a >= 0] lambda_a g_2
        matched:  g'  += (1 - [xi_a < 0] xi_a) lambda_a g'' + [xi_b >= 0] lambda_b g_2
        both:     g'' += -[xi_a xi_b < 0] xi_a xi_b g''
        sigma' += |new g'|,  sigma'' += |new g''|,  mu = softmax(sigma', sigma'')   from the next step on

    All other parameters get what the aggregator and the balancer give them, `sum` and `equal` being the paper's. One
    optimiser step sees the routed gradients. State: `sigma`, `updates` and the sizes of the last step, which are also
    yielded as `train.router.*` (a mean per epoch; of `conflict_a` and `conflict_b` the share of steps with xi < 0) and
    recorded with the diagnostics, and at a few early steps, as `rule.*`.

    Args:
        pairing: which cosine and length ratio belongs to which gradient; "printed" as in Eq. 2, "matched" as in the
            words around it.
        updater: sigma is the "sum" of the lengths so far, as printed, or their "mean"; "frozen": mu stays (1/2, 1/2).
        gamma: exponent of the length ratio.
        scope: over what cosines and lengths are taken: the whole "tower", or each tensor by itself ("per_tensor"), or
            the first weight matrix, which alone is then routed ("first_kernel").

    Departures:
        1. The printed denominators of mu repeat sigma'; the text says softmax.
        2. Algorithm 1 steps the towers first and then all parameters. One optimiser step is taken, as in the code.
        3. gamma is not given; 1. The loss weights alpha_i are not given either; 1, or what the balancer makes of them.
        4. Several auxiliary tasks (no formula in the paper), `matched` only: g' gets a term from each, and g'' the
           mean of its terms.
        5. A zero gradient has cosine 0 to all others and contributes nothing.
        6. Routing comes after the step's gradients are complete, so the problem's `clip` must be off.
    """

    needs_every_task = True
    divisible = True
    pairing: Literal["printed", "matched"] = "printed"
    updater: Literal["sum", "mean", "frozen"] = "sum"
    gamma: float = 1.0
    scope: Literal["tower", "per_tensor", "first_kernel"] = "tower"

    def __post_init__(self) -> None:
        if not (self.gamma > 0.0 and math.isfinite(self.gamma)):
            raise ValueError(f"`gamma` must be positive and finite, found gamma = {self.gamma}.")
        for name, value, known in (
            ("pairing", self.pairing, ("printed", "matched")),
            ("updater", self.updater, ("sum", "mean", "frozen")),
            ("scope", self.scope, ("tower", "per_tensor", "first_kernel")),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(map(repr, known))}, found {name} = {value!r}.")

    def attach(self, network: Network) -> Network:
        """The network as it is, if it is a Split-MMoE whose towers can be added to one another."""
        towered = towers_of(network, "drgrad")
        if towered.mu is None:
            raise ValueError(
                "rule `drgrad` must be given two towers for the first task (`variant: split` of `recommender`), found "
                f"one for each of {len(towered.towers)} tasks."
            )
        shapes = [[tuple(p.shape) for p in tower.parameters()] for tower in towered.towers]
        for found in shapes[1:]:
            if found != shapes[0]:
                raise ValueError(f"rule `drgrad` must be given towers of one shape, found {shapes[0]} and {found}.")
        if self.pairing == "printed" and len(shapes) > 3:
            raise ValueError(
                f"`pairing` must be 'matched' with several auxiliary tasks, found 'printed' with {len(shapes) - 2}."
            )
        return network

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """`Run.step` on every batch, with the routing just before the optimiser's step."""
        if run.problem.clip is not None:
            raise ValueError(
                f"rule `drgrad` must run without clipping, as it routes what would be clipped, found clip = "
                f"{run.problem.clip}."
            )
        state = run.rule_state
        if not state:
            state |= {"sigma": [0.0, 0.0], "updates": 0, "router": {}}
        hook = run.optimizer.register_step_pre_hook(partial(self._before_step, run.network, state))
        try:
            for batch in batches:
                updates = state["updates"]
                metrics = run.step(batch)
                routed = state["router"] if state["updates"] > updates else {}  # nothing where the step was skipped
                _record(run, routed)
                yield metrics | {f"train.router.{name}": value for name, value in routed.items()}
        finally:
            hook.remove()

    @torch.no_grad()
    def _before_step(self, network: Any, state: dict[str, Any], *step: Any) -> None:
        """Routes the towers' `.grad` and moves mu; `step` is what torch tells its hooks."""
        own, lent, *others = ([p.grad for p in tower.parameters()] for tower in network.towers)
        groups: dict[str, list[Sequence[int]]] = {
            "tower": [range(len(own))],
            "first_kernel": [[0]],
            "per_tensor": [[i] for i in range(len(own))],
        }
        chosen = groups[self.scope]
        rows = [[torch.cat([grads[i].flatten() for i in group]) for grads in (own, lent, *others)] for group in chosen]
        seen = []
        for group, (_, g_lent, *g_others), stakes in zip(chosen, rows, stakes_of(rows, self.gamma), strict=True):
            to_own, to_lent, facts = route(g_lent, g_others, stakes, self.pairing)
            for grads, addition in ((own, to_own), (lent, to_lent)):
                sizes = [grads[i].numel() for i in group]
                for i, part in zip(group, addition.split(sizes), strict=True):
                    grads[i] += part.view_as(grads[i])
            seen.append(facts)
        *lengths, mu = read(*(nn.utils.get_total_norm(grads) for grads in (own, lent)), network.mu[0])
        # mu is that of the forward pass these gradients come from: `update` comes after.
        means = {name: sum(facts[name] for facts in seen) / len(seen) for name in seen[0]}
        state["router"] = {"mu": float(mu), **means}
        state["updates"] += 1
        state["sigma"] = [s + float(length) for s, length in zip(state["sigma"], lengths, strict=True)]
        if self.updater != "frozen":
            divisor = state["updates"] if self.updater == "mean" else 1
            network.mu.copy_(torch.tensor(weights([s / divisor for s in state["sigma"]])))


def route(
    lent: Float[Tensor, " P"],
    others: Sequence[Float[Tensor, " P"]],
    stakes: Sequence[tuple[float, float]],
    pairing: Literal["printed", "matched"],
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"], Metrics]:
    """What is added to g' and to g'' (`lent`), and the cosines and ratios behind it (of `others`, the mean).

    `stakes` are xi and lambda of `lent` and of each of the others.
    """
    (xi_a, lambda_a), *pairs = stakes
    # "printed" crosses over: what was measured on g_2 goes with g'', and the other way round.
    (xi, scale), admitting = ((xi_a, lambda_a), pairs) if pairing == "matched" else (pairs[0], [(xi_a, lambda_a)])
    to_own = (1.0 - min(xi, 0.0)) * scale * lent
    for other, (xi_k, scale_k) in zip(others, admitting, strict=True):
        if xi_k >= 0.0:
            to_own += scale_k * other
    amplified = sum(-min(xi_a * xi_k, 0.0) for xi_k, _ in pairs) / len(pairs)
    xi_b, lambda_b = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    facts = {
        "xi_a": xi_a, "xi_b": xi_b, "lambda_a": lambda_a, "lambda_b": lambda_b,
        "conflict_a": float(xi_a < 0.0), "conflict_b": sum(xi_k < 0.0 for xi_k, _ in pairs) / len(pairs),
    }  # fmt: skip
    return to_own, amplified * lent, facts


def weights(sigma: Sequence[float]) -> list[float]:
    """softmax(sigma), in float64."""
    shares = [math.exp(s - max(sigma)) for s in sigma]
    return [share / sum(shares) for share in shares]


def stakes_of(groups: Sequence[Sequence[Float[Tensor, " _"]]], gamma: float) -> list[list[tuple[float, float]]]:
    """Of every group the cosine of its first gradient with each of the others, and the first one's length over the
    other's, at most 1, to the power of gamma. All of them with one wait for the device.
    """
    asked = []
    for own, *donors in ([g.double() for g in group] for group in groups):
        asked.append(torch.stack([torch.linalg.vector_norm(g) for g in (own, *donors)] + [own @ g for g in donors]))
    found = []
    for length, *numbers in (part.tolist() for part in read(*asked)):
        pairs = zip(numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :], strict=True)
        known = [(max(other, _EPSILON), product) for other, product in pairs]
        found.append([(ab / max(length, _EPSILON) / b, min(length / b, 1.0) ** gamma) for b, ab in known])
    return found


def _record(run: Run, routed: Metrics) -> None:
    """Puts the router's numbers beside the diagnostics of the same step, or into a row of their own."""
    if not routed:
        return
    run.report({"gate_spread": abs(2.0 * routed["mu"] - 1.0), "routed": (routed["lambda_a"] + routed["lambda_b"]) / 2})
    step = run.step_count - 1
    if step in _EARLY or (run.diagnostics and run.diagnostics[-1]["step"] == step):
        run.note(step, {f"rule.{name}": value for name, value in routed.items()})

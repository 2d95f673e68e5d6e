"""Descent of an analytic landscape from all its starts at once."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float64

from gradsurgery.core.activity import of_points
from gradsurgery.core.capabilities import ClosedForm, Points
from gradsurgery.core.conflict import diagnose
from gradsurgery.core.finite import NotFinite
from gradsurgery.core.interfaces import Method, Metrics, Scalarization, State, Weighting
from gradsurgery.core.run import Run, TrainingRule

_YIELD_EVERY = 1000  # steps between two reports of progress
_DIGITS = 6  # decimals of recorded positions and losses: finer than any figure, and the histories stay small

_Combine = Callable[[Float64[np.ndarray, "S K 2"]], Float64[np.ndarray, "S 2"]]


@dataclass(frozen=True)
class Descent(TrainingRule):
    """Moves all starts in lock-step, each with its own method state and generator, by Adam on its own direction.

    The same as running the ordinary loop once per start, to rounding: Adam works coordinate by coordinate. Losses and
    gradients are the landscape's closed forms, and Adam is restated in numpy on the optimiser's own state tensors, as
    100,000 steps through autograd would take minutes. The state's `trajectory` gets up to 150 positions and losses,
    close together at first, and for each start the first step at which it was solved.

    Departures: none known.
    """

    cpu_only = True

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """A part `1 / problem.epochs` of the steps. `batches` is not looked at: a landscape has no data."""
        problem, parameter = _checked(run)
        theta = parameter.detach().numpy()
        adam = _Adam(run.optimizer, parameter)
        state = run.rule_state
        if not state:
            seeds = run.generators.method.integers(2**63, size=len(theta)).tolist()
            generators = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
            state |= {"step": 0, "method": [None] * len(theta), "trajectory": {"steps": [], "theta": [], "losses": []}}
            state["trajectory"]["first_solved"] = [None] * len(theta)
        else:
            generators = [np.random.Generator(np.random.Philox()) for _ in theta]
            for generator, position in zip(generators, state["generators"], strict=True):
                generator.bit_generator.state = position
        combine = _combiner(run.method, state["method"], generators)
        trajectory, first_solved = state["trajectory"], state["trajectory"]["first_solved"]
        marks = _marks(problem.steps)
        begin, end = state["step"], state["step"] + problem.steps // problem.epochs
        unsolved = None in first_solved
        passes = 1 if isinstance(run.method, Scalarization) else len(problem.tasks)
        seen, last, started = np.zeros((2, len(theta))), begin, time.perf_counter()
        for step in range(begin, end):
            losses, J = problem.jacobian(theta)
            seen += losses
            if unsolved and (solved := problem.solved(theta, losses)).any():
                unsolved = _note_solved(first_solved, solved, step)
            D = combine(J)
            if step in marks:
                _record(trajectory, step, theta, losses)
                run.note(step, _diagnose(J, D, state["method"]))
                run.report(of_points(run.method, J, D, state["method"]))
            if problem.clip is not None:
                D = D * np.minimum(1.0, problem.clip / (np.sqrt((D * D).sum(axis=1, keepdims=True)) + 1e-6))
            adam.step(theta, D)
            if (step + 1) % _YIELD_EVERY == 0 or step + 1 == end:
                now = time.perf_counter()
                run.count(now - started, steps=step + 1 - last, passes=passes)
                yield _means(problem.tasks, seen / (step + 1 - last))
                seen, last, started = np.zeros_like(seen), step + 1, time.perf_counter()
        if end == problem.steps:
            losses, _ = problem.jacobian(theta)
            _note_solved(first_solved, problem.solved(theta, losses), end)
            _record(trajectory, end, theta, losses)
        adam.save()
        state["step"] = end
        state["generators"] = [generator.bit_generator.state for generator in generators]


class _Adam:
    """`torch.optim.Adam` without weight decay, step by step the same arithmetic, on that optimiser's own moments."""

    def __init__(self, optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter):
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        group = optimizer.param_groups[0]
        self.lr, self.eps, (self.beta1, self.beta2) = group["lr"], group["eps"], group["betas"]
        self.count, self.steps = state["step"], int(state["step"])
        self.m, self.v = state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()

    def step(self, theta: Float64[np.ndarray, "S 2"], D: Float64[np.ndarray, "S 2"]) -> None:
        self.steps += 1
        self.m += (1.0 - self.beta1) * (D - self.m)
        self.v *= self.beta2
        self.v += (1.0 - self.beta2) * D * D
        rate = self.lr / (1.0 - self.beta1**self.steps)
        theta -= rate * self.m / (np.sqrt(self.v) / math.sqrt(1.0 - self.beta2**self.steps) + self.eps)

    def save(self) -> None:
        self.count.fill_(self.steps)


def _checked(run: Run) -> tuple[Any, torch.nn.Parameter]:
    """The problem and the points. Raises ValueError for a run that cannot be descended in lock-step."""
    for wanted, fits, used in (
        ("problem in closed form", isinstance(run.problem, ClosedForm), run.problem),
        ("network of points", isinstance(run.network, Points), run.network),
        ("balancer that leaves losses as they are", run.balancer.neutral, run.balancer),
    ):
        if not fits:
            raise ValueError(f"rule `descent` must be given a {wanted}, found {type(used).__name__}.")
    if run.device.type != "cpu":
        raise ValueError(f"rule `descent` must run on the device `cpu`, found {run.device}.")
    return run.problem, cast(Points, run.network).theta


def _combiner(method: Method, states: list[State | None], generators: list[np.random.Generator]) -> _Combine:
    """A function from all starts' task gradients (S, K, 2) to their directions (S, 2); it advances `states`."""
    if isinstance(method, Scalarization):
        scale = method.scale(2)
        return lambda J: scale * (J[:, 0] + J[:, 1])
    if isinstance(method, Weighting):
        return lambda J: _weigh(method, J, states, generators)

    def aggregate(J: Float64[np.ndarray, "S K 2"]) -> Float64[np.ndarray, "S 2"]:
        D = np.empty((len(J), 2))
        for s, generator in enumerate(generators):
            d, states[s] = method(torch.from_numpy(J[s]), states[s], generator)
            D[s] = d.numpy()
        return D

    return aggregate


def _weigh(
    method: Weighting,
    J: Float64[np.ndarray, "S K 2"],
    states: list[State | None],
    generators: list[np.random.Generator],
) -> Float64[np.ndarray, "S 2"]:
    G = J @ J.transpose(0, 2, 1)
    W = np.empty((len(J), 2))
    for s, generator in enumerate(generators):
        try:
            W[s], states[s] = method(G[s], states[s], generator)
        except NotFinite:
            W[s] = np.nan  # this start has left the finite numbers; the others go on
    return W[:, :1] * J[:, 0] + W[:, 1:] * J[:, 1]


def _marks(steps: int) -> set[int]:
    """Up to 149 steps to record, geometric at first and then even; the end is recorded apart."""
    early = np.geomspace(1, steps, 50)
    even = np.linspace(0, steps, 100)
    return set(np.concatenate([early, even]).astype(int).tolist()) - {steps}


def _record(
    trajectory: dict[str, Any], step: int, theta: Float64[np.ndarray, "S 2"], losses: Float64[np.ndarray, "K S"]
) -> None:
    trajectory["steps"].append(step)
    trajectory["theta"].append(theta.round(_DIGITS).tolist())
    trajectory["losses"].append(losses.T.round(_DIGITS).tolist())


def _note_solved(first_solved: list[int | None], solved: Bool[np.ndarray, " S"], step: int) -> bool:
    """Notes the step for those solved for the first time; True while some are not."""
    for s in np.flatnonzero(solved):
        if first_solved[s] is None:
            first_solved[s] = step
    return None in first_solved


def _diagnose(J: Float64[np.ndarray, "S K 2"], D: Float64[np.ndarray, "S 2"], states: list[State | None]) -> Metrics:
    """Diagnostics of every start, averaged over the starts."""
    rows = []
    for j, d, state in zip(J, D, states, strict=True):
        numbers = diagnose(j @ j.T, j @ d, math.hypot(*d))
        logged = {f"method.{name}": value for name, value in (state or {}).items() if type(value) is float}
        rows.append(numbers | logged)
    # A method that was never called for a start, as its gradients were not finite, has logged nothing for it.
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _means(tasks: tuple[str, ...], losses: Float64[np.ndarray, "K S"]) -> Metrics:
    return {f"train.{task}.loss": float(mean) for task, mean in zip(tasks, losses.mean(axis=1), strict=True)}

"""Equal budgets: what may be tuned, over which range, and the trials that every method gets.

One registry says, for the problem and for every method, the parameters that a search may move, and from where to where;
defaults are the methods' own (the fields of their classes). A trial is a declaration with those parameters replaced.

- Trial 0 is the declaration as it is: the default is always among the candidates.
- Every parameter of every trial has a generator of its own, seeded by the trial's number and the parameter's name. So
  a new method, or one more parameter, moves nobody's draws; and what all methods share (rate, weight decay) is drawn
  alike for all, which pairs the trials.
- Methods without parameters of their own spend their trials on the shared ones. Nobody gets more trials than another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradsurgery.core.seeding import philox


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, uniformly, or uniformly in the logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`high` must be above `low`, both finite, found {self.low} and {self.high}.")
        if self.log and self.low <= 0.0:
            raise ValueError(f"`low` must be positive on a logarithmic scale, found low = {self.low}.")


@dataclass(frozen=True)
class Simplex:
    """Weights of K tasks, uniformly among those that sum to 1."""


@dataclass(frozen=True)
class Choice:
    """One of a few values, each as likely."""

    values: tuple[Any, ...]


Search = Range | Simplex | Choice

# Problem settings, the same for every method. `lr` is a factor on the problem's rate.
SHARED: Mapping[str, Search] = {"lr": Range(0.1, 10.0, log=True), "weight_decay": Range(1e-6, 1e-2, log=True)}

# Slot -> name -> field -> range. A filler that is not here has nothing to tune.
OWN: Mapping[str, Mapping[str, Mapping[str, Search]]] = {
    "aggregator": {
        "cagrad": {"c": Range(0.05, 1.0)},
        "sam_gs": {"gamma": Range(0.01, 0.9), "beta1": Range(0.5, 0.99), "beta2": Range(0.9, 0.999)},
        "gcond": {"ema_beta": Range(0.5, 0.999), "remap_power": Range(0.5, 4.0)},
    },
    "balancer": {
        "static": {"weights": Simplex()},
        "dwa": {"temperature": Range(0.5, 8.0, log=True)},
        "random_weights": {"distribution": Choice(("softmax", "dirichlet"))},
    },
    "transform": {"recon": {"k": Choice((5, 10, 15, 20, 25)), "threshold": Choice((0.0, -0.02, -0.1))}},
    "rule": {
        "dr_mgf": {"importance_lr": Range(1e-4, 1e-1, log=True), "auxiliary": Range(0.05, 1.0)},
        "drgrad": {"gamma": Range(0.25, 4.0, log=True)},
    },
}


def trials(declaration: Mapping[str, Any], count: int, num_tasks: int) -> list[dict[str, Any]]:
    """`count` declarations to try for one method on one problem, the given one first.

    Args:
        declaration: what `gradsurgery.experiment.build_learner` takes.
        count: the budget, the same for every method.
        num_tasks: K, for weights.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1, found count = {count}.")
    return [_trial(declaration, number, num_tasks) for number in range(count)]


def check_equal(budgets: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Refuses a search that gave one method more or fewer trials than another.

    Raises:
        ValueError: with both methods and both numbers.
    """
    counts = {method: len(tried) for method, tried in budgets.items()}
    for method, count in counts.items():
        first, usual = next(iter(counts.items()))
        if count != usual:
            raise ValueError(
                f"`trials` must be as many for every method, found {usual} of {first} and {count} of {method}."
            )


def _trial(declaration: Mapping[str, Any], number: int, num_tasks: int) -> dict[str, Any]:
    trial = {key: dict(value) if isinstance(value, Mapping) else value for key, value in declaration.items()}
    if number == 0:
        return trial
    problem = declaration["problem"]
    settings = trial["settings"]
    for name, search in SHARED.items():
        drawn = _draw(search, number, f"{problem}/settings.{name}", num_tasks)
        settings[name] = settings[name] * drawn if name == "lr" else drawn
    for slot, fillers in OWN.items():
        for field, search in fillers.get(declaration[slot]["name"], {}).items():
            name = f"{problem}/{slot}.{declaration[slot]['name']}.{field}"
            trial[slot][field] = _draw(search, number, name, num_tasks)
    return trial


def _draw(search: Search, number: int, name: str, num_tasks: int) -> Any:
    generator = philox(number, f"budget/{name}")
    if isinstance(search, Choice):
        return search.values[int(generator.integers(len(search.values)))]
    if isinstance(search, Simplex):
        return generator.dirichlet([1.0] * num_tasks).tolist()
    if search.log:
        return math.exp(generator.uniform(math.log(search.low), math.log(search.high)))
    return float(generator.uniform(search.low, search.high))

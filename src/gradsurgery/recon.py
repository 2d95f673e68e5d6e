"""Recon on a network of your own: which layers the tasks conflict in, and the network with copies of those.

    ranking = recon.score(model, losses, loader, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    print(ranking)
    network = recon.split(model, ranking, k=3)
    surgery = GradientSurgery(network.shared_parameters(), build("pcgrad"))     # and train `network` from here

`model` is any `nn.Module` whose `forward(inputs)` returns one output per task, a tuple or a list, and which `torch.fx`
can trace: values must not steer it. Method, source and departures are those of `transforms/recon.py`, whose code this
calls; a layer is a module without children whose parameters are all shared (`core/layers.py`).
"""

import copy
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from gradsurgery.core.handed import parameters_of
from gradsurgery.core.interfaces import Network
from gradsurgery.core.layers import as_evidence, check_thresholds, ranked
from gradsurgery.core.seeding import Generators
from gradsurgery.epochs import LossesFn, learner, shared_by_losses
from gradsurgery.transforms.recon import Recon


@dataclass(frozen=True)
class Ranking:
    """Shared layers by the number of their conflicts: pairs of tasks, over all steps, whose cosine is below S.

    Attributes:
        layers: names, most conflicts at the first threshold first; of equal ones that registered first is first.
        scores: the conflicts of each layer, in the order of `thresholds`.
        thresholds: S, each above -1 and at most 0.
        shared: names of the shared parameters.
        steps: how many steps were counted.
    """

    layers: tuple[str, ...]
    scores: Mapping[str, tuple[int, ...]]
    thresholds: tuple[float, ...]
    shared: tuple[str, ...]
    steps: int

    def __str__(self) -> str:
        width = max(map(len, self.layers))
        lines = [f"{name:{width}}  {'  '.join(f'{n:6d}' for n in self.scores[name])}" for name in self.layers]
        return "\n".join([f"{'S =':>{width}}  {'  '.join(f'{S:6.2f}' for S in self.thresholds)}", *lines])


def score(
    model: nn.Module,
    losses: LossesFn,
    loader: Iterable[Any],
    *,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
    epochs: int = 1,
    shared: Any = None,
    thresholds: Sequence[float] = (0.0,),
    method: Any = "sum",
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> Ranking:
    """Counts the conflicts of every shared layer while a copy of `model` is trained; `model` itself stays as it is.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first, self.second = nn.Linear(2, 4), nn.Linear(4, 4)
    ...         self.heads = nn.ModuleList(nn.Linear(4, 1) for _ in range(2))
    ...     def forward(self, x):
    ...         h = self.second(self.first(x).relu()).relu()
    ...         return tuple(head(h) for head in self.heads)
    >>> def losses(model, x):
    ...     a, b = model(x)
    ...     return [(a - 1).square().mean(), (b + 1).square().mean()]
    >>> ranking = score(Net(), losses, [torch.ones(8, 2)] * 5)
    >>> sorted(ranking.layers), ranking.steps
    (['first', 'second'], 5)

    Args:
        model: the freshly initialised network that will be split.
        losses: `losses(model, batch)`, the K task losses of a batch.
        loader: of batches; iterated anew for every epoch.
        optimizer: makes the optimiser of the search, which the paper says is that of the final training; None leaves
            the copy's weights where they are, which scores the conflicts of one point and not those of a training.
        epochs: how long the search is; the paper's takes a quarter of the training.
        shared: the shared parameters; by default those that two losses or more depend on.
        thresholds: every S that is counted. The paper's lie between 0 and -0.1.
        method: of the search; the paper's joint training is the "sum".
        device: where the copy is trained.
        seed: of what `method` draws.

    Raises:
        ValueError: no layer is shared, an empty loader, a threshold that is none, or no step with finite gradients.
    """
    check_thresholds(thresholds)
    if not len(thresholds):
        raise ValueError("`thresholds` must hold at least one S, found none.")
    names = _names(model, losses, loader, shared)
    searched = _as_network(model, names)
    make = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    training = learner(
        "joint", searched, losses, loader, make, epochs=epochs, method=method, seed=seed, device=device,
        score_layers=tuple(thresholds),
    )  # fmt: skip
    layers = list(training.instruments.layers)
    if not layers:
        raise ValueError(f"`model` must have a layer whose parameters are all shared, found none in {names or 'it'}.")
    for _ in range(epochs):
        training.epoch()
    if training.skipped_steps == training.step_count:
        raise ValueError(
            f"`losses` must be finite with their gradients in some step, found {training.step_count} without."
        )
    counts = [np.array(epoch[:-1]) for epoch in training.instruments.scores]
    found = as_evidence(layers, thresholds, counts)["scores"]
    order = ranked({name: found[name][0] for name in layers}, layers)
    scores = {name: tuple(found[name]) for name in order}
    return Ranking(tuple(order), scores, tuple(thresholds), names, training.step_count)


def split(
    model: nn.Module,
    ranking: Ranking,
    k: int,
    *,
    threshold: float | None = None,
    branch_init: Literal["independent", "copy"] = "independent",
    seed: int = 0,
) -> Network:
    """A copy of `model` in which each task has its own copy of the k layers with most conflicts.

    Its `forward` returns a tuple with one output per task; `shared_parameters()` are what is still shared, in the
    model's order. Names of parameters stay; those of task t's copy of a layer are `<layer>.<t>.<name>`.

    Args:
        model: as it was scored, freshly initialised: the paper throws the search's weights away.
        ranking: what `score` returned for a model with the same layers.
        k: how many layers; less than there are, so that something stays shared.
        threshold: the S that decides, one of the ranking's; None for its first.
        branch_init: "independent" gives each copy of a convolution weights of its own, as the official code does;
            "copy" makes all copies equal, as the paper says.
        seed: of the independent weights.

    Raises:
        ValueError: a k or threshold that is none, another model's ranking, or a model that cannot be traced.
    """
    S = ranking.thresholds[0] if threshold is None else threshold
    transform = Recon(k, threshold=S, branch_init=branch_init)
    network = _as_network(model, ranking.shared)
    transform.check(lambda: network)
    evidence = {"thresholds": list(ranking.thresholds), "scores": {n: list(s) for n, s in ranking.scores.items()}}
    return transform(network, evidence, Generators(seed).transform)


def _names(model: nn.Module, losses: LossesFn, loader: Iterable[Any], shared: Any) -> tuple[str, ...]:
    if shared is not None:
        found = parameters_of("shared", shared)
    elif isinstance(model, Network):
        found = model.shared_parameters()
    else:
        _, found = shared_by_losses(model, losses, loader)
    own = {id(p): name for name, p in model.named_parameters()}
    if odd := [p for p in found if id(p) not in own]:
        raise ValueError(f"`shared` must hold parameters of `model`, found another of shape {tuple(odd[0].shape)}.")
    return tuple(own[id(p)] for p in found)


def _as_network(model: nn.Module, shared: Sequence[str]) -> Network:
    """A copy of `model` that also is a `Network`: of a class made for it, so that names and attributes are its own."""
    kind = type(model)

    def shared_parameters(self: nn.Module) -> list[nn.Parameter]:
        return [self.get_parameter(name) for name in shared]

    made = copy.deepcopy(model)
    members = {"shared_parameters": shared_parameters, "__module__": kind.__module__}
    bases = (kind,) if issubclass(kind, Network) else (kind, Network)
    made.__class__ = types.new_class(kind.__name__, bases, {}, lambda namespace: namespace.update(members))
    return cast(Network, made)

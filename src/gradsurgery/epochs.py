"""A training rule of this library, such as DR-MGF or DRGrad, on a network, losses and data of your own.

Rules of the loop cannot be written as a direction for one step: DR-MGF trains each task for an epoch of its own, DRGrad
routes gradients just before the optimiser's step. So `learner` makes one epoch of theirs a call, and all else is yours:

    training = learner("dr_mgf", model, losses, loader, optimizer, epochs=20)
    for _ in range(20):
        row = training.epoch()     # K + 1 passes over the loader; the mean loss of every task
        scheduler.step()
        ...                        # evaluate `model`, which is trained in place, as you do

DRGrad asks more of a network than that its layers are shared. It adds gradients of towers to one another, so the
network says what its towers are: it is a `Network` and a `Towers`, with two towers of one shape for the first task, one
for each other task, and a buffer `mu` (2,), the weights of the first two, which the rule moves, as in
`examples/drgrad_on_your_towers.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gradsurgery.core import discovery
from gradsurgery.core.batch import move
from gradsurgery.core.buffers import kept_buffers
from gradsurgery.core.capabilities import Towers
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.handed import losses_of, parameters_of
from gradsurgery.core.interfaces import Balancer, Losses, Network, Problem
from gradsurgery.core.learner import Learner
from gradsurgery.core.ownership import owners
from gradsurgery.core.run import TrainingRule
from gradsurgery.core.seeding import Generators
from gradsurgery.methods import build

__all__ = ["Network", "Towers", "learner", "shared_by_losses"]

LossesFn = Callable[[Any, Any], Any]  # (model, batch) -> the K losses: a list, a dictionary or a tensor (K,)
Optimizer = torch.optim.Optimizer | Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def learner(
    rule: Any,
    model: nn.Module,
    losses: LossesFn,
    loader: Iterable[Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    shared: Any = None,
    method: Any = "sum",
    balancer: Any = "equal",
    clip: float | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    score_layers: Sequence[float] = (),
    **fields: Any,
) -> Learner:
    """A run of yours under one of our rules: every call of its `epoch()` trains `model` for one and returns a row.

    >>> model = nn.Linear(3, 2)
    >>> def losses(model, x):
    ...     y = model(x)
    ...     return {"sum": y.sum(dim=1).square().mean(), "difference": (y[:, 0] - y[:, 1] - 1).square().mean()}
    >>> training = learner("dr_mgf", model, losses, [torch.randn(8, 3)], torch.optim.SGD(model.parameters(), 0.1),
    ...                    epochs=2, auxiliary=0.4)
    >>> sorted(training.epoch())[:2]
    ['epoch', 'train.difference.loss']

    Args:
        rule: a name (`gradsurgery.core.discovery.available("rules")`), or the object.
        model: any module, trained in place; for DRGrad a `Network` that is a `Towers`. On the CPU its strided 1 x 1
            convolutions are rerouted as `core/pointwise.py` says.
        losses: `losses(model, batch)`, the K task losses of a batch; the keys of a dictionary name the tasks. A loss
            may be None for a task that a batch has no example of, but not in the first batch.
        loader: of batches (tensors, or tuples, lists and dictionaries of them); iterated anew for every pass.
        optimizer: of `model`'s parameters, or a function that makes one for a list of them. Step its schedule after
            `epoch()`. Parameters of a balancer join it as a group.
        epochs: how many the run will last; DR-MGF's gate closes after half of them.
        shared: the parameters whose gradients conflict; by default those that two losses or more depend on. A
            `Network` says so itself.
        method: what `gradsurgery.build` takes.
        balancer: the name of one, or the object.
        clip: largest norm of the whole gradient, or None.
        seed: of what rule, balancer and method draw; the loader's order is your own.
        device: where `model` is moved.
        precision: as for `Learner`, as the next one.
        score_layers: thresholds of Recon's layer scores.
        fields: of a rule that is given by name.

    Raises:
        ValueError: an unknown rule, balancer or field, an empty loader or one that ends with its first pass, another
            model's optimiser, `epochs` or `clip` that are none, or what the rule cannot train.
    """
    if isinstance(rule, str):
        rule = discovery.build("rules", rule, **fields)
    elif fields:
        raise ValueError(f"`{next(iter(fields))}` must be left out unless `rule` is a name, found it.")
    if not isinstance(rule, TrainingRule):
        raise ValueError(f"`rule` must be a name or a TrainingRule, found {rule!r}.")
    _check(model, loader, optimizer, epochs, clip)
    balancer = discovery.build("balancers", balancer) if isinstance(balancer, str) else balancer
    if not isinstance(balancer, Balancer):
        raise ValueError(f"`balancer` must be a name or a Balancer, found {balancer!r}.")
    if shared is not None and isinstance(model, Network):
        raise ValueError("`shared` must be left out for a `Network`, which says so itself, found it.")
    model.to(device)
    tasks, found = shared_by_losses(model, losses, loader)
    if shared is None and not isinstance(model, Network) and len(tasks) < 2:
        raise ValueError("`losses` must return two losses or more where `shared` is not given, found one.")
    network = model if isinstance(model, Network) else _Whole(model, found if shared is None else shared)
    problem = _Own(model, losses, loader, optimizer, tasks, epochs, clip)
    rule.check(len(tasks))
    return Learner(
        problem, network, rule, balancer, build(method), Generators(seed), device=device, precision=precision,
        score_layers=score_layers,
    )  # fmt: skip


def _check(model: nn.Module, loader: Any, optimizer: Any, epochs: Any, clip: Any) -> None:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"`epochs` must be at least 1, found epochs = {epochs!r}.")
    if clip is not None and not (isinstance(clip, int | float) and 0.0 < clip < float("inf")):
        raise ValueError(f"`clip` must be None or a number above 0, found {clip!r}.")
    if isinstance(loader, Iterator):
        raise ValueError("`loader` must begin anew for every pass, as a list or a DataLoader does, found a generator.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        if not callable(optimizer):
            raise ValueError(f"`optimizer` must be one, or a function that makes one, found {optimizer!r}.")
    elif not {id(p) for group in optimizer.param_groups for p in group["params"]} & set(map(id, model.parameters())):
        raise ValueError("`optimizer` must hold parameters of `model`, found none of them.")


def shared_by_losses(model: nn.Module, losses: LossesFn, loader: Iterable[Any]) -> tuple[list[str], list[nn.Parameter]]:
    """The tasks' names, and the trainable parameters that two losses or more depend on; from the first batch.

    The model's buffers stay as they are. Raises ValueError for a loader without a batch or a batch without a loss.
    """
    batch = next(iter(loader), None)
    if batch is None:
        raise ValueError("`loader` must hold at least one batch, found none.")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with kept_buffers(model), torch.enable_grad():
        names, rows = losses_of(losses(model, move(batch, next(model.parameters()).device)))
        tasks = [str(name) for name in (names or map("task{}".format, range(len(rows))))]
        if absent := [task for task, loss in zip(tasks, rows, strict=True) if loss is None]:
            raise ValueError(f"`losses` must give every task's loss for the first batch, found none of {absent[0]}.")
        found = owners([loss for loss in rows if loss is not None], parameters)
    return tasks, [parameters[name] for name, tasks_of in found.items() if len(tasks_of) > 1]


class _Whole(Network):
    """Somebody's module with the parameters that its tasks share."""

    def __init__(self, model: nn.Module, shared: Any):
        super().__init__()
        self.model = model
        self._shared = parameters_of("shared", shared)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(inputs))

    def shared_parameters(self) -> list[nn.Parameter]:
        return self._shared


class _Own(Problem):
    """Somebody's losses, data and optimiser as a problem; it judges nothing, as that is done outside."""

    def __init__(
        self, model: nn.Module, losses: LossesFn, loader: Iterable[Any], optimizer: Optimizer, tasks: list[str],
        epochs: int, clip: float | None,
    ):  # fmt: skip
        self.tasks, self.metrics, self.epochs, self.clip = tuple(tasks), {}, epochs, clip
        self._model, self._losses, self._loader, self._optimizer = model, losses, loader, optimizer

    def network(self, generator: torch.Generator) -> Network:
        raise NotImplementedError("`network` must not be asked of a problem that is made around a network.")

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        given = self._optimizer
        return given if isinstance(given, torch.optim.Optimizer) else given(list(parameters))

    def scheduler(self, optimizer: torch.optim.Optimizer) -> None:
        """None: the schedule is the user's."""

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Any]:
        return iter(self._loader)

    def losses(self, network: Network, batch: Any) -> Losses:
        found = self._losses(self._model, batch)  # unchecked: a rule may only want to know them, without gradients
        return list(found.values() if isinstance(found, Mapping) else found)

    def evaluate(self, network: Network, split: str) -> Evaluation:
        return Evaluation({})

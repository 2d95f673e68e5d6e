"""A problem of three tasks on a network with BatchNorm, small enough to step by hand; a label may be missing."""

import numpy as np
import torch
from torch import nn

from gradsurgery.core.discovery import available, build
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators

TASKS = ("a", "b", "c")


class Heads(Network):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in TASKS)

    def forward(self, inputs):
        features = self.trunk(inputs)
        return tuple(head(features)[:, 0] for head in self.heads)

    def shared_parameters(self):
        return list(self.trunk.parameters())


class Rows(Problem):
    """Squared errors of the tasks numbered `own`; Adam with weight decay, so that what is stepped at all moves.

    `batches` are in order, four of six rows, with NaN for the labels of (batch, task) in `missing`.
    """

    metrics = {"a.loss": False}  # noqa: RUF012
    epochs = 4

    def __init__(self, own=(0, 1, 2), missing=(), clip=None):
        self.own, self.clip = own, clip
        self.tasks = tuple(TASKS[k] for k in own)
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.standard_normal((4, 6, 4))).float()
        self.y = torch.from_numpy(rng.standard_normal((4, 6, 3)) + np.array([2.0, 0.5, -1.0])).float()
        for batch, k in missing:
            self.y[batch, :, k] = torch.nan

    def network(self, generator):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Heads()

    def optimizer(self, parameters):
        return torch.optim.Adam(parameters, lr=1e-2, weight_decay=0.1)

    def scheduler(self, optimizer):
        return None

    def batches(self, order, augmentation):
        yield from zip(self.x, self.y, strict=True)

    def losses(self, network, batch):
        x, y = batch
        outputs = network(x)
        there = {k: ~y[:, k].isnan() for k in self.own}
        return [(outputs[k] - y[:, k])[rows].square().mean() if rows.any() else None for k, rows in there.items()]

    def evaluate(self, network, split):
        return Evaluation({})


FIELDS = {
    "static": {"weights": [1.0, 2.0, 3.0]},
    "single_task": {"task": 1},
    "growing_weights": {"limits": [0.4, 0.8, 1.0], "epochs": 4},
}
BALANCERS = available("balancers")


def learner(method="pcgrad", balancer="equal", problem=None, rule="joint", fields=None, **options):
    """`method` and `rule` by name, or built."""
    problem, generators = problem or Rows(), Generators(0)
    fields = FIELDS.get(balancer, {}) if fields is None else fields
    return Learner(
        problem,
        problem.network(generators.init),
        build("rules", rule) if isinstance(rule, str) else rule,
        build("balancers", balancer, **fields),
        build("aggregators", method) if isinstance(method, str) else method,
        generators,
        **({"diagnose_every": 1000} | options),
    )


def equal(a, b):
    """Whether two states are the same to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b)


def trained(run):
    """All that a step may move."""
    return {"network": run.network.state_dict(), "balancer": dict(run.balancer_parameters)}


def finite(state):
    if isinstance(state, dict):
        return all(finite(value) for value in state.values())
    if isinstance(state, list | tuple):
        return all(map(finite, state))
    return not isinstance(state, torch.Tensor | np.ndarray | float) or bool(torch.as_tensor(state).isfinite().all())

"""The ordinary loop, with the null for conflict beside its diagnostics."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.batch import move
from gradsurgery.core.buffers import kept_buffers
from gradsurgery.core.conflict import mean_cosine
from gradsurgery.core.interfaces import Metrics, Network, TrainingRule
from gradsurgery.core.jacobian import gram
from gradsurgery.core.layers import layer_grams


@dataclass(frozen=True)
class HalfBatches(TrainingRule):
    """Trains as `joint` does and measures, at every diagnosed step, how far two halves of a batch agree on one task.

    Source: the split-batch null of protocol.md 1.3 (after Elich et al., "Examining Common Paradigms in Multi-Task
    Learning"): gradients of one and the same task on two sets of examples conflict too. Recorded with the diagnostics:

        null.same_task    cos(g_k on one half, g_k on the other), mean over tasks
        null.cross_task   cos(g_i on one half, g_j on the other), mean over ordered pairs i != j
        null.random_sd    1 / sqrt(P), the standard deviation of the cosine of two random directions

    Halves carry twice the noise of a batch, so `mean_cosine` must not be held against `null.same_task`: `cross_task`
    is there for that, with the same noise. Where the two agree, tasks conflict no more than examples do. With
    `observe_layers` the first two are recorded for each layer too.

    The gradients are taken before the step and with the buffers (BatchNorm's statistics) put back afterwards, so the
    run is that of `joint` to the bit. It costs 2K backward passes on half batches per diagnosed step.

    Departures:
        1. A balancer's weights are left out: a cosine does not feel them.
        2. A task that has no example in one of the halves is left out of the null.
    """

    def attach(self, network: Network) -> Network:
        """The network as it is: this rule owns no parameters."""
        return network

    def epoch(self, learner: Any, batches: Iterator[Any]) -> Iterator[Metrics]:
        """`Learner.step` on every batch; on those it diagnoses, the null first."""
        for batch in batches:
            diagnosed = learner.step_count % learner.diagnose_every == 0
            J, tasks = self._halves_of(learner, batch) if diagnosed else (None, [])
            metrics = learner.step(batch)
            # A step that was skipped for a non-finite gradient leaves no row.
            if (
                J is not None
                and tasks
                and learner.diagnostics
                and learner.diagnostics[-1]["step"] == learner.step_count - 1
            ):
                learner.diagnostics[-1] |= {**_nulls(gram(J), tasks), "null.random_sd": float(J.shape[1]) ** -0.5}
                if learner.observe_layers:
                    layers = [_nulls(G, tasks) for G in layer_grams(J, learner.surgery.parameters, learner.layers)]
                    learner.observed[-1] |= {name: [null[name] for null in layers] for name in layers[0]}
            yield metrics

    def _halves_of(self, learner: Any, batch: Any) -> tuple[Float[Tensor, "rows P"], list[int]]:
        """Gradients on both halves, rows k and k + K being task k's, and the tasks that are on both."""
        with kept_buffers(learner.network):
            first, second = (_gradients(learner, half, learner.surgery.parameters) for half in _halves(batch))
        K = len(first)
        rows = [torch.zeros_like(learner.surgery.direction) if row is None else row for row in first + second]
        return torch.stack(rows), [k for k in range(K) if first[k] is not None and second[k] is not None]


def _nulls(G: Float64[np.ndarray, "rows rows"], tasks: list[int]) -> Metrics:
    K = len(G) // 2
    same = [mean_cosine(G[[k, k + K]][:, [k, k + K]]) for k in tasks]
    cross = [mean_cosine(G[[i, j + K]][:, [i, j + K]]) for i in tasks for j in tasks if i != j]
    return {"null.same_task": sum(same) / len(same), "null.cross_task": sum(cross) / len(cross) if cross else 0.0}


def _halves(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Tensor):
        if len(batch) < 2:
            raise ValueError(f"`batch_size` must be at least 2 to be halved, found {len(batch)}.")
        first, second = batch.tensor_split(2)
        return first, second
    if isinstance(batch, tuple | list):
        pairs = [_halves(entry) for entry in batch]
        return type(batch)(a for a, _ in pairs), type(batch)(b for _, b in pairs)
    if isinstance(batch, dict):
        parts = {name: _halves(entry) for name, entry in batch.items()}
        return {name: a for name, (a, _) in parts.items()}, {name: b for name, (_, b) in parts.items()}
    return batch, batch


def _gradients(learner: Any, batch: Any, shared: list[nn.Parameter]) -> list[Float[Tensor, " P"] | None]:
    """Each task's gradient, None where the batch has no example of it."""
    with learner.autocast():
        losses = learner.problem.losses(learner.network, move(batch, learner.device))
    present = [k for k, loss in enumerate(losses) if loss is not None]
    rows: list[Tensor | None] = [None] * len(losses)
    for k in present:
        grads = torch.autograd.grad(losses[k], shared, retain_graph=k < present[-1], allow_unused=True)
        rows[k] = torch.cat(
            [(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in zip(shared, grads, strict=True)]
        )
    return rows

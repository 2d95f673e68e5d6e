"""One run: everything that changes while a network is trained, in one place that can be saved and loaded."""

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_

from gradsurgery.core.activity import of_weights
from gradsurgery.core.batch import check_every_task, gradient_norm, mean_losses, move
from gradsurgery.core.batch_statistics import of_processes
from gradsurgery.core.buffers import Buffers
from gradsurgery.core.capabilities import watched
from gradsurgery.core.divergence import has_diverged, mean_of_finite
from gradsurgery.core.examples import Examples
from gradsurgery.core.handed import check_bare
from gradsurgery.core.instruments import Instruments
from gradsurgery.core.interfaces import Balancer, Losses, Method, Metrics, Network, Problem, Scalarization, State
from gradsurgery.core.options import PRECISIONS, check_options
from gradsurgery.core.plain import to_plain
from gradsurgery.core.pointwise import reroute
from gradsurgery.core.processes import several
from gradsurgery.core.quarters import weigh_quarter
from gradsurgery.core.resuming import restore, state_of
from gradsurgery.core.run import TrainingRule
from gradsurgery.core.seeding import Generators
from gradsurgery.core.surgery import GradientSurgery

Row = dict[str, int | float]  # metrics beside a counter ("epoch", "step"), which stays whole


class Learner:
    """Network, optimiser, schedule, method state and generators of one run.

    Under `torch.distributed` give each process its own shard of every batch (equally many examples) and the same seed:
    the engine averages gradients over processes, and the problem of `build_learner` deals out whole batches itself.

    Args:
        problem: data, losses, metrics, optimiser, schedule, clipping.
        network: the network after the transform; the rule may still add to it. On the CPU its strided 1 x 1
            convolutions of few channels are kept from a fault of oneDNN, or refused (`core/pointwise.py`).
        rule: how an epoch is run.
        balancer: turns task losses into balanced losses. Its parameters form an optimiser group without weight decay.
        method: turns task gradients into the direction.
        generators: the run's random streams; balancer and method share "method".
        device: where the network lives; tensors of a batch are moved there.
        precision: float32, or autocast to bfloat16 or float16 (the latter with a `GradScaler`).
        diagnose_every: conflict diagnostics are taken at step 0 and then every so many steps.
        score_layers: see `Instruments`, as for the next two.
        observe_layers: a rule that takes no step of the learner, as `dr_mgf`, gives these nothing to see.
        half_batches: likewise.
        sync_batchnorm: BatchNorm takes the statistics of all processes' parts of a batch together.
        gradients: what the method's weights are made from (`core/modes.py`); "representation" is the output of the
            network's `trunk`, "sub_batch" the first quarter of each batch.
        keep_weights: how many steps they serve.

    Attributes:
        surgery: the engine; used by `step` only.
        instruments: what else the run is watched by.
        examples: what judges the network, and keeps what the test examples contributed to its metrics.
        epochs: one row of metrics per finished epoch.
        diagnostics: one row per diagnosed step.
        diverged: the first epoch that diverged (`divergence.has_diverged`), or None. No use in training on from there.
        rule_state: what a rule keeps between epochs; of a landscape also `trajectory`, the way that it went.
        step_count: optimiser steps taken or skipped.
        buffers: those of the network, as they were before the step.
        skipped_steps: steps not taken, because a loss or a gradient was not finite or no task had a loss. Such a step
            leaves no trace but its draws from the generators.
        backward_passes: backward passes of the last step, over all its micro-batches; what the diagnostics of a
            `Scalarization` cost is not counted. With other `gradients` or `keep_weights`, those of a step on average.
        representation: what the network's `trunk` gave in the last step's forward pass, where it is asked for.
        step_times: seconds of every step that took no diagnostics.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        rule: TrainingRule,
        balancer: Balancer,
        method: Method,
        generators: Generators,
        *,
        device: str | torch.device = "cpu",
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        diagnose_every: int = 50,
        score_layers: Sequence[float] = (),
        observe_layers: bool = False,
        half_batches: bool = False,
        sync_batchnorm: bool = False,
        gradients: str = "stored",
        keep_weights: int = 1,
    ) -> None:
        options = (precision, diagnose_every, score_layers, observe_layers, half_batches, sync_batchnorm)
        check_options(*options, gradients, keep_weights)
        check_bare(network)
        self.problem, self.rule, self.balancer, self.method = problem, rule, balancer, method
        self.generators = generators
        self.device = torch.device(device)
        self.precision, self.diagnose_every = precision, diagnose_every
        attached = rule.attach(network)
        if several():
            of_processes(attached, sync_batchnorm)
        self.network = (reroute(attached) if self.device.type == "cpu" else attached).to(self.device)
        balancer.check(len(problem.tasks))
        self.balancer_parameters = {
            name: nn.Parameter(parameter.detach().to(self.device))
            for name, parameter in balancer.parameters(len(problem.tasks)).items()
        }
        self.optimizer = problem.optimizer(list(self.network.parameters()))
        if self.balancer_parameters:
            self.optimizer.add_param_group({"params": list(self.balancer_parameters.values()), "weight_decay": 0.0})
        self.scheduler = problem.scheduler(self.optimizer)
        shared = self.network.shared_parameters()
        known = {id(p) for p in shared}
        heads = [p for p in self.network.parameters() if id(p) not in known] + [*self.balancer_parameters.values()]
        self.surgery = GradientSurgery(shared, method, heads=heads, gradients=gradients, keep_weights=keep_weights)
        self.representation = watched(self.network) if gradients == "representation" else []
        self.surgery.generator = generators.method
        self.instruments = Instruments(
            self.network, self.surgery, self.losses, score_layers, observe_layers, half_batches
        )
        trained = {problem.tasks[k] for k in balancer.trained(len(problem.tasks))}
        own = {name: higher for name, higher in problem.metrics.items() if name.split(".")[0] in trained}
        self.examples = Examples(problem, own)
        self.scaler = torch.amp.GradScaler(self.device.type) if precision == "float16" else None
        self.buffers = Buffers(self.network)
        self.balancer_state: State | None = None
        self.rule_state: State = {}
        self.epochs: list[Row] = []
        self.diagnostics: list[Row] = []
        self.diverged: int | None = None
        self.step_count = self.skipped_steps = 0
        self.backward_passes: float = 0
        self.step_times: list[float] = []

    def step(self, *batches: Any, owners: Sequence[int] | None = None) -> Metrics:
        """One optimiser step on one batch, or on several micro-batches whose gradients are averaged.

        Args:
            batches: the micro-batches.
            owners: for each micro-batch the one task whose loss is differentiated on it, every task having some; None
                for all tasks on every micro-batch. A task's gradient is the mean over the micro-batches it has, its
                loss counting as 0 on those of them where the problem gave None.

        Returns:
            `train.<task>.loss`, before balancing, averaged over the micro-batches that have it; absent with the task.
        """
        served = [range(len(self.problem.tasks)) if owners is None else (owners[b],) for b in range(len(batches))]
        counts = [sum(k in tasks for tasks in served) for k in range(len(self.problem.tasks))]
        if 0 in counts:
            raise ValueError(f"`owners` must give every task a micro-batch, found none for task {counts.index(0)}.")
        start = time.perf_counter()
        diagnosed, scoring = self.step_count % self.diagnose_every == 0, bool(self.instruments.score_layers)
        self.optimizer.zero_grad()
        self.buffers.keep()
        passes: float = 0
        seen, before, there = [], self.balancer_state, set[int]()
        for batch, tasks in zip(batches, served, strict=True):
            weigh_quarter(self, batch)
            self.representation.clear()
            losses = self.losses(batch)
            if diagnosed and not self.balancer.neutral:
                given = (losses, self.balancer_parameters, self.balancer_state, self.generators.method)
                self.report(of_weights(self.balancer, *given))
            balanced = self.balance(losses)
            if self.rule.needs_every_task:
                check_every_task(type(self.rule).__module__.rpartition(".")[2], self.problem.tasks, balanced)
            shares = [loss / counts[k] if loss is not None and k in tasks else None for k, loss in enumerate(balanced)]
            if self.scaler is not None:
                shares = [None if share is None else self.scaler.scale(share) for share in shares]
            present = [k for k, share in enumerate(shares) if share is not None]
            if present:
                self.surgery.accumulate(shares, diagnosed or scoring, representation=self.representation)
                one = isinstance(self.method, Scalarization) and not scoring
                mode = self.surgery.mode
                passes += mode.passes(len(present)) if mode is not None else 1 if one else len(present)
            there.update(present)
            seen.append([None if loss is None else loss.detach() for loss in losses])
        rows = sorted(there)
        if not rows and several():
            raise ValueError("`losses` must hold a loss of at least one task in every process, found None only.")
        finite = bool(rows) and self.surgery.aggregate(1.0 if self.scaler is None else self.scaler.get_scale())
        if finite:
            seen_beside = self.instruments.look(self.step_count, rows, batches, diagnosed)
            if diagnosed:
                self.diagnostics.append({"step": self.step_count, **self.instruments.diagnose(rows), **seen_beside})
        taken, metrics = self._update(finite, seen) if rows else (False, mean_losses(self.problem.tasks, seen)[0])
        if not taken:
            self.skipped_steps += 1
            self.buffers.put_back()  # a batch that is not finite would stay in BatchNorm's statistics for good
            self.balancer_state = before
        self.backward_passes = passes
        self.step_count += 1
        if not diagnosed:
            self.step_times.append(time.perf_counter() - start)
        return metrics

    def epoch(self, progress: Callable[[Metrics], None] | None = None) -> Row:
        """Trains for one epoch and evaluates on val and test.

        Every `train.` number that the rule yields is averaged over the yields that hold it and where it is finite.

        Args:
            progress: called with what the rule yields, after every step.

        Returns:
            The row that was appended to `epochs`.
        """
        values = defaultdict(list)
        steps, skipped = self.step_count, self.skipped_steps
        self.network.train()
        self.instruments.begin_epoch()
        batches = self.problem.batches(self.generators.order, self.generators.augmentation)
        for metrics in self.rule.epoch(self, batches):
            for name, value in metrics.items():
                if name.startswith("train."):
                    values[name].append(value)
            if progress is not None:
                progress(metrics)
        if self.scheduler is not None:
            with warnings.catch_warnings():
                # An epoch whose steps were all skipped, or taken by the rule itself, still moves the schedule.
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                self.scheduler.step()
        row: Row = {"epoch": len(self.epochs) + 1, **{name: mean_of_finite(v) for name, v in values.items()}}
        losses = np.array([row.get(f"train.{task}.loss", math.nan) for task in self.problem.tasks])
        self.balancer_state = self.balancer.end_epoch(losses, self.balancer_state)
        row |= self.examples.evaluate(self.network, len(self.epochs) + 1)
        self.epochs.append(row)
        if self.diverged is None and has_diverged(
            row, self.problem.metrics, self.step_count - steps, self.skipped_steps - skipped
        ):
            self.diverged = len(self.epochs)
        return row

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on, as it is now; `torch.load` reads it by default."""
        return to_plain(state_of(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` stood, to the bit. Raises ValueError, before any change, for a part of it."""
        restore(self, state)

    def autocast(self) -> AbstractContextManager[Any]:
        dtype = PRECISIONS[self.precision]
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def losses(self, batch: Any) -> Losses:
        """The task losses of one batch, on the device and under the run's precision."""
        with self.autocast():
            return self.problem.losses(self.network, move(batch, self.device))

    def balance(self, losses: Losses) -> Losses:
        """The balanced losses; the balancer's state moves on."""
        balanced, self.balancer_state = self.balancer(
            losses, self.balancer_parameters, self.balancer_state, self.generators.method
        )
        return balanced

    def count(self, seconds: float, *, steps: int = 1, skipped: int = 0, passes: int = 1) -> None:
        """Notes steps that the rule took, or skipped, by itself: their time in all, and backward passes of each."""
        self.step_count += steps
        self.skipped_steps += skipped
        self.backward_passes = passes
        self.step_times.append(seconds / max(steps, 1))

    def note(self, step: int, numbers: Metrics) -> None:
        """Diagnostics of a step: into that step's row, if it is the last one, or into a row of their own."""
        if not self.diagnostics or self.diagnostics[-1]["step"] != step:
            self.diagnostics.append({"step": step})
        self.diagnostics[-1] |= numbers

    def report(self, numbers: Metrics) -> None:
        """What a part of the run did in a step, 0 for nothing: into the means that are its activity."""
        self.instruments.activity.note(numbers)

    def _update(self, finite: bool, seen: Sequence[Sequence[Tensor | None]]) -> tuple[bool, Metrics]:
        """Clips and steps. False if the step was left out; and the mean losses, read together with the length."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        clip, parameters = self.problem.clip, list(self.network.parameters())
        norm = gradient_norm(parameters) if finite and clip is not None else None
        metrics, length = mean_losses(self.problem.tasks, seen, norm)
        # The engine has looked at every number, but the squares of finite ones may overflow.
        finite = finite and math.isfinite(length)
        if finite and clip is not None and norm is not None:
            clip_grads_with_norm_(parameters, clip, norm)
        if finite:
            self.optimizer.step() if self.scaler is None else self.scaler.step(self.optimizer)
        if self.scaler is not None:
            self.scaler.update()  # knows from `unscale_` whether the scale was too large
        return finite, metrics

"""Stage 1 of DR-MGF: every task trains the network for an epoch, from the same start."""

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils import clip_grads_with_norm_

from gradsurgery.core.batch import gradient_norm, move
from gradsurgery.core.interfaces import Losses, Metrics, Scalarization
from gradsurgery.core.jacobian import read
from gradsurgery.core.run import Run
from gradsurgery.rules._mgf_fusion import SCAN_POINTS, gate, resized, response, scan_points, scan_weight
from gradsurgery.rules._mgf_lent import LentLosses, RawAgain, Tensors, copied, put, trainable
from gradsurgery.rules._mgf_settings import Settings


class Stages:
    """The first stages of one epoch, and what the second has of them.

    Attributes:
        old: theta, the parameters that every stage starts from.
        changes: shared parameter -> task -> Delta_t.
        taken: parameter of one task -> its value in S_t.
        statistics: task -> buffers at the end of its stage.
    """

    def __init__(self, rule: Settings, run: Run):
        self.rule, self.run = rule, run
        state = run.rule_state
        self.K = len(run.problem.tasks)
        self.losses = LentLosses(run.problem, run.network)
        self.parameters = trainable(run.network)
        self.owners: dict[str, tuple[int, ...]] = state["owners"]
        gate_epochs = run.problem.epochs // 2 if rule.gate_epochs is None else rule.gate_epochs
        self.number = len(run.epochs)
        self.gated = rule.gate and self.number < gate_epochs
        self.averaged = self.number >= gate_epochs
        self.importance = {name: v.clone().requires_grad_() for name, v in state["importance"].items()}
        self.scale = {name: s.clone().requires_grad_() for name, s in state["scale"].items()}
        group = run.optimizer.param_groups[0]
        schedule = group["lr"] / group.get("initial_lr", group["lr"])
        lr = group["lr"] if rule.importance_lr is None else rule.importance_lr * schedule
        self.step_importance = _adam(self.importance, lr, state["importance_optimizer"], rule.importance_weight_decay)
        self.step_scale = _adam(self.scale, rule.meta_lr * schedule, state["scale_optimizer"])
        self.old = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.changes: dict[str, dict[int, Tensor]] = {name: {} for name in self.parameters}
        self.taken: Tensors = {}
        self.statistics: dict[int, Tensors] = {}
        self.factors = np.ones(self.K) if rule.auxiliary_factors is None else np.array(rule.auxiliary_factors)
        self.auxiliary = np.tile(rule.auxiliary * self.factors, (self.K, 1))
        np.fill_diagonal(self.auxiliary, 1.0)

    def scan(self, batch: Any) -> None:
        """Replaces the auxiliary weights by those of a line scan, from the second epoch on."""
        directions = self.run.rule_state["directions"]
        if directions is None:
            return
        reach, rows, absent = self.rule.auxiliary, [], torch.full((), math.nan, device=self.run.device)
        with torch.no_grad():
            for direction in directions:
                for r in scan_points(reach):
                    moved = {name: self.old[name] + r * change for name, change in direction.items()}
                    # Buffers are lent, so that the scan leaves BatchNorm's statistics alone.
                    found = self._losses(batch, moved, copied(self.run.network))
                    rows.append(torch.stack([absent if loss is None else loss for loss in found]))
        table = read(torch.stack(rows))[0].reshape(self.K, SCAN_POINTS, self.K)
        for t, s in itertools.permutations(range(self.K), 2):
            if np.isfinite(table[s, :, t]).any():  # else nothing was learned, and the constant weight stays
                self.auxiliary[t, s] = self.factors[s] * scan_weight(table[s, :, t], reach)

    def disentangle(self, t: int, batches: Iterator[Any]) -> Iterator[Metrics]:
        """Stage 1 of task t: an epoch, whose outcome is kept aside while the parameters return to where they were."""
        run, task = self.run, self.run.problem.tasks[t]
        buffers = copied(run.network)
        self._use_optimizer_of(t)
        constant = cast(Scalarization, run.method).scale(self.K)
        for batch in batches:
            started = time.perf_counter()
            run.optimizer.zero_grad()
            run.buffers.keep()
            losses = self._losses(batch, self._gated(t))
            pairs = zip(self.auxiliary[t], self._balanced(losses), strict=True)
            terms = [float(w) * loss for w, loss in pairs if loss is not None and w != 0.0]
            taken = self._step(constant * torch.stack(terms).sum() if terms else None)
            run.count(time.perf_counter() - started, skipped=not taken)
            own = losses[t]
            yield {} if own is None else {f"train.{task}.stage_loss": float(own.detach())}
        self._keep_optimizer_of(t)
        run.optimizer.zero_grad()
        with torch.no_grad():
            self._snapshot(t)
            for name, p in self.parameters.items():
                p.copy_(self.old[name])
            self.statistics[t] = copied(run.network)
            if "keep_buffers_between_tasks" not in self.rule.compat:
                put(run.network, buffers)

    def _gated(self, t: int) -> Tensors:
        if not self.gated:
            return {}
        return {name: self._gated_kernel(name, t) for name in self.importance}

    def _gated_kernel(self, name: str, t: int) -> Tensor:
        own = self.owners[name].index(t) if t in self.owners[name] else None
        return resized(self.parameters[name], gate(self.importance[name], own, self.rule.own_weight))

    def _losses(self, batch: Any, values: Tensors, buffers: Tensors | None = None) -> list[Tensor | None]:
        """The task losses of a batch, with `values` in place of the parameters of these names."""
        run = self.run
        swapped = {f"network.{name}": value for name, value in (values | (buffers or {})).items()}
        hooks = []
        if "gate_first_call_only" in self.rule.compat:
            for name in self.importance.keys() & values.keys():
                module = run.network.get_submodule(name.rpartition(".")[0])
                hooks.append(module.register_forward_hook(RawAgain(self.parameters[name])))
        try:
            with run.autocast():
                return list(functional_call(self.losses, swapped, (move(batch, run.device),)))
        finally:
            for hook in hooks:
                hook.remove()

    def _balanced(self, losses: list[Tensor | None]) -> Losses:
        balanced = self.run.balance(losses)
        if len(balanced) != self.K:
            raise ValueError(
                f"`balancer` must keep all {self.K} losses under rule `dr_mgf`, whose stages are one per task, found "
                f"{len(balanced)}."
            )
        return balanced

    def _step(self, total: Tensor | None) -> bool:
        """Clips and steps the network, and the importance with it. False if a number is not finite: then neither."""
        if total is not None:
            total.backward()
        run = self.run
        parameters = list(self.parameters.values())
        norm = gradient_norm(parameters)
        others = gradient_norm([*self.importance.values(), *run.balancer_parameters.values()])
        taken = total is not None and bool((norm + others + total.detach()).isfinite())
        if not taken:
            run.buffers.put_back()
        else:
            if run.problem.clip is not None:
                clip_grads_with_norm_(parameters, run.problem.clip, norm)
            run.optimizer.step()
            self.step_importance.step()  # leaves v alone where there was no gate, as it has no gradient then
        self.step_importance.zero_grad()
        return taken

    def _snapshot(self, t: int) -> None:
        private = self.run.rule_state["private"]
        for name, tasks in self.owners.items():
            if t not in tasks:
                continue
            p = self.parameters[name]
            if len(tasks) > 1:
                value = self._gated_kernel(name, t) if self.gated and name in self.importance else p
                self.changes[name][t] = value.detach() - self.old[name]
            elif self.gated and name in private:
                self.taken[name] = resized(p.detach(), response(private[name][None])[0])
            else:
                self.taken[name] = p.detach().clone()

    def _change(self, name: str, t: int) -> Tensor:
        return self.changes[name][t] if len(self.owners[name]) > 1 else self.taken[name] - self.old[name]

    def _use_optimizer_of(self, t: int) -> None:
        kept = self.run.rule_state["task_optimizers"]
        if kept is None:
            return
        groups = self.run.optimizer.state_dict()["param_groups"]
        self.run.optimizer.load_state_dict({"state": kept[t], "param_groups": groups})

    def _keep_optimizer_of(self, t: int) -> None:
        kept = self.run.rule_state["task_optimizers"]
        if kept is not None:
            kept[t] = self.run.optimizer.state_dict()["state"]


def _adam(values: Tensors, lr: float, state: Any, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Adam at the rate of now, going on from `state`; over one dummy number where there is nothing to learn."""
    optimizer = torch.optim.Adam(list(values.values()) or [torch.zeros(1)], lr=lr, weight_decay=weight_decay)
    if state is not None:
        optimizer.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = lr
    return optimizer

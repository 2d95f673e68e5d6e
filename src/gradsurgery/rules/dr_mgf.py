"""DR-MGF: every task trains the network for an epoch, then what they changed is fused kernel by kernel."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import clip_grads_with_norm_

from gradsurgery.core.batch import gradient_norm, mean_losses, move
from gradsurgery.core.conflict import diagnose
from gradsurgery.core.interfaces import Losses, Metrics, Network, Problem, Scalarization, State
from gradsurgery.core.jacobian import read
from gradsurgery.core.run import Run, TrainingRule

_LRN_ALPHA, _LRN_BETA = 1e-4, 0.75
_TINY_NORM, _TINY_ROW, _TINY_SUM = 1e-12, 1e-10, 1e-20
_SCALE_START = 1e-3
_SCAN_POINTS = 20
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)

_Quirk = Literal[
    "shared_adam_state",
    "unweighted_meta_loss",
    "gate_first_call_only",
    "renormalise_private",
    "keep_buffers_between_tasks",
]
_QUIRKS = get_args(_Quirk)
_Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class DRMGF(TrainingRule):
    """Lets each task train the network for a whole epoch, then fuses the changes, weighted by learned importance.

    Source: DR-MGF, arXiv 2305.19844 (v2, 2025), as the authors' multi-task code at 4fe4f2d has it: of the paper we
    could read the abstract and two figures only. Meta-GF (ECCV 2022) is its predecessor.

        A(p)   tasks whose loss depends on parameter p; p is shared where |A(p)| = n >= 2
        Stage 1, for each task t, from the same theta: one epoch on  L_t + a sum_{s != t} L_s
            gate (epochs < E0), per kernel W[o,i] of a shared convolution, with importance v_t[o,i], first |W[o,i]|:
            p_s = |v_s| / (1 + 1e-4 sum_i' |v_s[o,i']|)^0.75,  gamma_t = (rho p_t + sum_{s != t} p_s) / (rho + n - 1)
            the network runs with gamma_t W / |W|; the optimiser steps W, Adam steps every v_s
            S_t: the parameters at the end, gated;  Delta_t = S_t - theta
        Stage 2, one epoch: Adam steps the fusion scales s_t on sum_t L_t at theta', where for p shared
            alpha_t = |v_t| / sum_i' |v_t[o,i']| * |s_t|,  pi_t = alpha_t / sum_s alpha_s
            theta' = theta + sum_t pi_t Delta_t
            and from epoch E0 on, afterwards,  s <- (1 - ema) s + ema s_before

    A gated 1 x 1 kernel keeps its sign: only its length is learned. Norm affines and linear weights have one s_t per
    number and no v; shared biases move by the mean of Delta_t; a parameter of one task is taken over from S_t.
    BatchNorm's statistics are fused as those of the mixture of the tasks. An epoch costs K + 1 passes over the data.
    `train.<task>.loss` is that of the fused network in stage 2, `train.<task>.stage_loss` that of task t in its own
    stage. Diagnostics are taken once per epoch, of the accumulated gradients -Delta_t on the shared parameters.

    Variants of the papers: {fusion: average} is DR-avgF, of which the authors ran a form with gate_epochs: 0 as well;
    {fusion: sigmoid, gate: false, gate_epochs: 0, auxiliary: 0.1} is Meta-GF. With gate: false alone importance stays
    where it began.

    The balancer's weights are the lambda_t of stage 1. The aggregator must be one that needs a single backward pass
    (`sum`, as published, or `mean`); its constant multiplies the stage loss. Precision float16 and several processes
    are refused.

    Args:
        gate_epochs: E0, number of epochs with the gate; null for half of all.
        auxiliary: a, weight of the other tasks' losses in stage 1, and reach of the line scan.
        auxiliary_factors: one factor per task s, so that L_s is helped along with f_s a, not a (or f_s r* of a line
            scan); Meta-GF's seven exits have 1, 1, 0.6, 0.6, 0.75, 0.9, 1. null: all 1.
        aux_policy: "constant"; or "line_scan" (experimental): the weight of L_s in stage t is max(0, r*), where r*
            minimises L_t(theta + r Delta_s) over 20 points in [-a, a], on the epoch's first batch, with the Delta_s of
            the epoch before; a itself in the first epoch.
        own_weight: rho, weight of the own task in the gate.
        ema: share of the scales before the epoch that is kept.
        meta_lr: Adam's rate for s; it follows the problem's schedule.
        importance_lr: likewise for v; null for the problem's own, as in the code, where Adam steps the network as well:
            a rate that suits SGD is mostly too high for it.
        importance_weight_decay: of v.
        order: in which order the tasks have their stages.
        fusion: "meta" (above); "average": all pi_t equal, stage 2 only refreshes BatchNorm; "sigmoid":
            alpha_t = sigmoid(s_t), s_t = 0 at first.
        gate: whether the gate is used at all.
        compat: which quirks of the official code are kept. On by default: "shared_adam_state" (one optimiser state goes
            through all stages; else one per task) and "unweighted_meta_loss" (stage 2 ignores the balancer). Off:
            "gate_first_call_only" (a convolution called several times in a pass is gated and fused in its first call
            only), "renormalise_private" (kernels of one task fall back to their initial lengths in S_t),
            "keep_buffers_between_tasks" (a stage starts with the BatchNorm statistics that the one before left).

    Departures:
        1. A(p) is found from the losses of the first batch rather than from outputs on a picture of zeros.
        2. E0 is half of the epochs (official: 100 of 200) and the schedules of v and s are the problem's.
        3. The code normalises every convolution in S_t, shows each shared convolution's gate to one task only, and
           keeps BatchNorm's statistics between stages; by the paper's own words these are slips. See `compat`.
        4. Importance of BatchNorm weights and of linear layers is constant in the code and cancels: it is not kept.
        5. The multi-exit experiments were not released. There, a task t outside A(p) can still train p through its
           auxiliary losses: p is then gated by the plain mean of p_s, and t has no Delta on p. The weights tau of exits
           in Meta-GF's code are a balancer here (`growing_weights`).
        6. Meta-GF's image code has a scale per tensor or per output channel; here it is per kernel, as in its
           multi-task code.
        7. The direction of the authors' line scan is not public; ours is the simplest one that fits their logs.
    """

    gate_epochs: int | None = None
    auxiliary: float = 0.5
    auxiliary_factors: tuple[float, ...] | None = None
    aux_policy: Literal["constant", "line_scan"] = "constant"
    own_weight: float = 10.0
    ema: float = 0.9
    meta_lr: float = 0.1
    importance_lr: float | None = None
    importance_weight_decay: float = 0.0
    order: Literal["forward", "reversed"] = "forward"
    fusion: Literal["meta", "average", "sigmoid"] = "meta"
    gate: bool = True
    compat: tuple[_Quirk, ...] = ("shared_adam_state", "unweighted_meta_loss")

    def __post_init__(self) -> None:
        if self.gate_epochs is not None and self.gate_epochs < 0:
            raise ValueError(f"`gate_epochs` must be non-negative or null, found gate_epochs = {self.gate_epochs}.")
        for name in ("auxiliary", "importance_weight_decay"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"`{name}` must be non-negative, found {name} = {value}.")
        if not all(0.0 <= factor < math.inf for factor in self.auxiliary_factors or ()):
            raise ValueError(
                f"`auxiliary_factors` must be non-negative, found auxiliary_factors = {self.auxiliary_factors}."
            )
        for name in ("own_weight", "meta_lr", "importance_lr"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive, found {name} = {value}.")
        if not 0.0 <= self.ema <= 1.0:
            raise ValueError(f"`ema` must lie between 0 and 1, found ema = {self.ema}.")
        for name, known in (
            ("aux_policy", ("constant", "line_scan")), ("order", ("forward", "reversed")),
            ("fusion", ("meta", "average", "sigmoid")),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, found {name} = {getattr(self, name)!r}.")
        if unknown := [quirk for quirk in self.compat if quirk not in _QUIRKS]:
            raise ValueError(f"`compat` must hold some of {', '.join(_QUIRKS)}, found {unknown[0]!r}.")

    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """One stage per task, then the fusion; `batches` serves the first stage, fresh ones serve the others."""
        _check(self, run)
        first = next(batches, None)
        if first is None:
            raise ValueError("`batches` must hold at least one batch, found none.")
        batches = itertools.chain([first], batches)
        if not run.rule_state:
            run.rule_state.update(begin(self, run, first))
        work = _Epoch(self, run)
        if self.aux_policy == "line_scan":
            work.scan(first)
        tasks = range(work.K)
        for t in tasks if self.order == "forward" else reversed(tasks):
            yield from work.disentangle(t, batches)
            batches = run.problem.batches(run.generators.order, run.generators.augmentation)
        yield from work.fuse(batches)
        work.finish()


def response(importance: Float[Tensor, "n o i"]) -> Float[Tensor, "n o i"]:
    """p: importance damped by the sum over its row (local response normalisation over the in-channels)."""
    size = importance.abs()
    return size / (1.0 + _LRN_ALPHA * size.sum(dim=2, keepdim=True)) ** _LRN_BETA


def gate(importance: Float[Tensor, "n o i"], own: int | None, own_weight: float) -> Float[Tensor, "o i"]:
    """gamma: the length of each kernel in the stage of task number `own` of the n; None: of a task not among them."""
    weights = torch.ones(len(importance), dtype=importance.dtype, device=importance.device)
    if own is not None:
        weights[own] = own_weight
    return torch.tensordot(weights / weights.sum(), response(importance), dims=1)


def resized(weight: Float[Tensor, "o i *kernel"], length: Float[Tensor, "o i"]) -> Float[Tensor, "o i *kernel"]:
    """`weight` with every kernel of the given length."""
    norm = torch.linalg.vector_norm(weight, dim=tuple(range(2, weight.ndim))).clamp_min(_TINY_NORM)
    return weight * _spread(length / norm, weight.ndim)


def policy(
    scale: Float[Tensor, "n *unit"],
    importance: Float[Tensor, "n o i"] | None = None,
    fusion: Literal["meta", "average", "sigmoid"] = "meta",
) -> Float[Tensor, "n *unit"]:
    """pi: the share of each of the n tasks in every unit; shares sum to 1."""
    if fusion == "average":
        return torch.full_like(scale, 1.0 / len(scale))
    if fusion == "sigmoid":
        alpha = torch.sigmoid(scale)
    else:
        alpha = scale.abs()
        if importance is not None:
            size = importance.abs()
            alpha = size / (size.sum(dim=2, keepdim=True) + _TINY_ROW) * alpha
    return alpha / (alpha.sum(dim=0) + _TINY_SUM)


def fused(
    old: Float[Tensor, "*shape"], changes: Sequence[Float[Tensor, "*shape"]], shares: Float[Tensor, "n *unit"] | None
) -> Float[Tensor, "*shape"]:
    """theta' of one shared parameter; a unit may be a whole kernel. Without shares: the plain mean of the changes."""
    if shares is None:
        return old + sum(changes[1:], start=changes[0]) / len(changes)
    for share, change in zip(shares, changes, strict=True):
        old = old + _spread(share, change.ndim) * change
    return old


def mixture(
    means: Sequence[Float[Tensor, " c"]], variances: Sequence[Float[Tensor, " c"]]
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and variance of an equal mixture of distributions with these means and variances."""
    first, second = torch.stack(list(means)), torch.stack(list(variances))
    mean = first.mean(dim=0)
    return mean, (second + first.square()).mean(dim=0) - mean.square()


def scan_points(reach: float) -> list[float]:
    """Where a line scan looks: 20 points from -reach to reach, that is reach * (2 k / 19 - 1)."""
    return [reach * (2 * k / (_SCAN_POINTS - 1) - 1) for k in range(_SCAN_POINTS)]


def scan_weight(losses: Float64[np.ndarray, " points"], reach: float) -> float:
    """The auxiliary weight that a line scan gives: where the loss is least, but no less than 0."""
    finite = np.where(np.isfinite(losses), losses, np.inf)
    return max(0.0, scan_points(reach)[int(finite.argmin())])


def owners(losses: Sequence[Float[Tensor, ""]], parameters: Mapping[str, nn.Parameter]) -> dict[str, tuple[int, ...]]:
    """A(p): for every parameter the tasks whose loss depends on it, also where the derivative happens to be zero."""
    found: dict[str, list[int]] = {name: [] for name in parameters}
    for k, loss in enumerate(losses):
        gradients = torch.autograd.grad(
            loss, list(parameters.values()), retain_graph=k < len(losses) - 1, allow_unused=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                found[name].append(k)
    return {name: tuple(tasks) for name, tasks in found.items()}


class _Losses(nn.Module):
    """The problem's losses as a module, so that `functional_call` can put other tensors into the network inside it."""

    def __init__(self, problem: Problem, network: Network):
        super().__init__()
        self.problem = problem
        self.network = network

    def forward(self, batch: Any) -> Sequence[Tensor | None]:
        return self.problem.losses(self.network, batch)


class _RawAgain:
    """Forward hook: after a module's first call in a pass its weight is the raw parameter again."""

    def __init__(self, weight: nn.Parameter):
        self.weight = weight

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        module._parameters["weight"] = self.weight


class _Epoch:
    """One epoch at work. What outlives it goes into `run.rule_state` at `finish`.

    Attributes:
        old: theta, the parameters that every stage starts from.
        changes: shared parameter -> task -> Delta_t.
        taken: parameter of one task -> its value in S_t.
        statistics: task -> buffers at the end of its stage.
    """

    def __init__(self, rule: DRMGF, run: Run):
        self.rule, self.run = rule, run
        state = run.rule_state
        self.K = len(run.problem.tasks)
        self.losses = _Losses(run.problem, run.network)
        self.parameters = _trainable(run.network)
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
        self.taken: _Tensors = {}
        self.statistics: dict[int, _Tensors] = {}
        self.factors = np.ones(self.K) if rule.auxiliary_factors is None else np.array(rule.auxiliary_factors)
        self.auxiliary = np.tile(rule.auxiliary * self.factors, (self.K, 1))
        np.fill_diagonal(self.auxiliary, 1.0)

    @property
    def shared(self) -> list[str]:
        return [name for name, tasks in self.owners.items() if len(tasks) > 1]

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
                    found = self._losses(batch, moved, _copied(self.run.network))
                    rows.append(torch.stack([absent if loss is None else loss for loss in found]))
        table = read(torch.stack(rows))[0].reshape(self.K, _SCAN_POINTS, self.K)
        for t, s in itertools.permutations(range(self.K), 2):
            if np.isfinite(table[s, :, t]).any():  # else nothing was learned, and the constant weight stays
                self.auxiliary[t, s] = self.factors[s] * scan_weight(table[s, :, t], reach)

    def disentangle(self, t: int, batches: Iterator[Any]) -> Iterator[Metrics]:
        """Stage 1 of task t: an epoch, whose outcome is kept aside while the parameters return to where they were."""
        run, task = self.run, self.run.problem.tasks[t]
        buffers = _copied(run.network)
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
            self.statistics[t] = _copied(run.network)
            if "keep_buffers_between_tasks" not in self.rule.compat:
                _put(run.network, buffers)

    def fuse(self, batches: Iterator[Any]) -> Iterator[Metrics]:
        """Stage 2: learns the scales on an epoch, then moves the network to theta'."""
        run, tasks = self.run, self.run.problem.tasks
        self._fuse_statistics()
        learns = bool(self.scale) and self.rule.fusion != "average"
        for batch in batches:
            started = time.perf_counter()
            run.buffers.keep()
            with torch.set_grad_enabled(learns):
                losses = self._losses(batch, self.theta())
                metrics = mean_losses(tasks, [losses])[0]
                finite = bool(metrics) and all(map(math.isfinite, metrics.values()))
                if learns:
                    finite = finite and self._differentiate(losses)
                    if finite:
                        self.step_scale.step()
                    run.count(time.perf_counter() - started, skipped=not finite)
            if not finite:
                run.buffers.put_back()
            yield metrics
        with torch.no_grad():
            fused_parameters = self.theta()
            run.note(run.step_count, numbers := self._diagnose(fused_parameters))
            run.report({"importance_spread": numbers.get("method.importance_spread", math.nan)})
            for name, value in fused_parameters.items():
                self.parameters[name].copy_(value)

    def _differentiate(self, losses: list[Tensor | None]) -> bool:
        """The gradient of the scales. False if it is not finite."""
        plain = "unweighted_meta_loss" in self.rule.compat
        terms = [loss for loss in (losses if plain else self._balanced(losses)) if loss is not None]
        self.step_scale.zero_grad()
        torch.stack(terms).sum().backward(inputs=list(self.scale.values()))
        return bool(gradient_norm(self.scale.values()).isfinite())

    def finish(self) -> None:
        """Averages the scales and puts what the next epoch needs into the run's state."""
        rule, state = self.rule, self.run.rule_state
        with torch.no_grad():
            if self.averaged and rule.fusion != "average":
                for name, s in self.scale.items():
                    s.mul_(1.0 - rule.ema).add_(state["scale"][name], alpha=rule.ema)
        state["importance"] = {name: v.detach() for name, v in self.importance.items()}
        state["scale"] = {name: s.detach() for name, s in self.scale.items()}
        state["importance_optimizer"] = self.step_importance.state_dict()
        state["scale_optimizer"] = self.step_scale.state_dict()
        if rule.aux_policy == "line_scan":
            state["directions"] = [
                {name: self._change(name, s) for name, tasks in self.owners.items() if s in tasks}
                for s in range(self.K)
            ]

    def theta(self) -> _Tensors:
        """theta' with the scales of now, for every parameter that some task trains; differentiable in the scales."""
        values = dict(self.taken)
        for name in self.shared:
            shares = self._shares(name)
            values[name] = fused(self.old[name], [self.changes[name][t] for t in self.owners[name]], shares)
        return values

    def _shares(self, name: str) -> Tensor | None:
        if name not in self.scale:
            return None
        v = self.importance.get(name)
        return policy(self.scale[name], None if v is None else v.detach(), self.rule.fusion)

    def _gated(self, t: int) -> _Tensors:
        if not self.gated:
            return {}
        return {name: self._gated_kernel(name, t) for name in self.importance}

    def _gated_kernel(self, name: str, t: int) -> Tensor:
        own = self.owners[name].index(t) if t in self.owners[name] else None
        return resized(self.parameters[name], gate(self.importance[name], own, self.rule.own_weight))

    def _losses(self, batch: Any, values: _Tensors, buffers: _Tensors | None = None) -> list[Tensor | None]:
        """The task losses of a batch, with `values` in place of the parameters of these names."""
        run = self.run
        swapped = {f"network.{name}": value for name, value in (values | (buffers or {})).items()}
        hooks = []
        if "gate_first_call_only" in self.rule.compat:
            for name in self.importance.keys() & values.keys():
                module = run.network.get_submodule(name.rpartition(".")[0])
                hooks.append(module.register_forward_hook(_RawAgain(self.parameters[name])))
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

    def _fuse_statistics(self) -> None:
        """BatchNorm's statistics become those of the mixture of its tasks; other buffers are the last stage's."""
        network = self.run.network
        _put(network, self.statistics[next(reversed(self.statistics))])
        for prefix, module in network.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
                assert module.running_var is not None
                inside = f"{prefix}." if prefix else ""
                seen = [self.statistics[t] for t in self.owners.get(f"{inside}weight") or range(self.K)]
                means, variances = ([kept[f"{inside}running_{what}"] for kept in seen] for what in ("mean", "var"))
                mean, variance = mixture(means, variances)
                module.running_mean.copy_(mean)
                module.running_var.copy_(variance)

    def _diagnose(self, values: _Tensors) -> Metrics:
        """Diagnostics of the accumulated gradients -Delta_t on what is shared, and how the fusion mixes them."""
        asked: list[Tensor] = []
        for name in self.shared:
            rows = torch.stack([self.changes[name][t].reshape(-1) for t in self.owners[name]]).double()
            d = (values[name] - self.old[name]).reshape(-1).double()
            asked += [rows @ rows.T, rows @ d, d @ d]
        # Of importance how far it spreads, of the shares their entropy, and of each task the units that it dominates.
        spreads = [_spread_of(v.detach()).flatten() for v in self.importance.values()]
        kinds: list[list[Tensor]] = [spreads, [], *([] for _ in range(self.K))]
        for name in self.scale:
            pi = cast(Tensor, self._shares(name)).detach().double().flatten(1)
            kinds[1].append(-torch.xlogy(pi, pi).sum(dim=0) / math.log(len(pi)))
            for t, share in zip(self.owners[name], pi, strict=True):
                kinds[2 + t].append((share > 0.5).double())
        found = iter(read(*asked, *(torch.cat(kind) for kind in kinds if kind)))  # one wait for the device
        G, gains, square = np.zeros((self.K, self.K)), np.zeros(self.K), 0.0
        for tasks in (list(self.owners[name]) for name in self.shared):
            G[np.ix_(tasks, tasks)] += next(found)
            gains[tasks] += next(found)
            square += float(next(found))
        numbers = diagnose(G, gains, math.sqrt(square))
        spread, entropy, *dominations = [float(np.mean(next(found))) if kind else 0.0 for kind in kinds]
        numbers["method.gated"] = float(self.gated)
        if self.K > 1:
            numbers["method.auxiliary"] = float((self.auxiliary.sum() - self.K) / (self.K * (self.K - 1)))
        if self.importance:
            numbers["method.importance_spread"] = spread
        if self.scale:
            numbers["method.entropy"] = entropy
            names = (f"method.dominated.{task}" for task in self.run.problem.tasks)
            numbers |= zip(names, dominations, strict=True)
        return numbers


def begin(rule: DRMGF, run: Run, batch: Any) -> State:
    """The state before the first epoch: who owns which parameter, importance, scales and empty optimiser states."""
    network = run.network
    parameters = _trainable(network)
    losses = _Losses(run.problem, network)
    lent = {f"network.{name}": buffer for name, buffer in _copied(network).items()}
    with run.autocast():
        given = functional_call(losses, lent, (move(batch, run.device),))
        if absent := [task for task, loss in zip(run.problem.tasks, given, strict=True) if loss is None]:
            whole = "rule `dr_mgf` must see every task in the first batch, to find out which task trains what"
            raise ValueError(f"{whole}, found no loss of {', '.join(absent)}.")
        found = owners(given, parameters)
    importance, private, scale = _Tensors(), _Tensors(), _Tensors()
    for name, p in parameters.items():
        lengths = torch.linalg.vector_norm(p.detach(), dim=tuple(range(2, p.ndim))) if p.ndim > 2 else None
        n = len(found[name])
        if n == 1 and lengths is not None and "renormalise_private" in rule.compat:
            private[name] = lengths
        if n < 2:
            continue
        norm = isinstance(network.get_submodule(name.rpartition(".")[0]), _NORMS)
        if lengths is not None:
            importance[name] = lengths.expand(n, *lengths.shape).clone()
        if lengths is not None or p.ndim == 2 or norm:
            unit = p.shape if lengths is None else lengths.shape
            start = 0.0 if rule.fusion == "sigmoid" else _SCALE_START
            scale[name] = torch.full((n, *unit), start, dtype=p.dtype, device=p.device)
    separate = "shared_adam_state" not in rule.compat
    return {
        "owners": found, "importance": importance, "private": private, "scale": scale, "directions": None,
        "importance_optimizer": None, "scale_optimizer": None,
        "task_optimizers": [{} for _ in run.problem.tasks] if separate else None,
    }  # fmt: skip


def _check(rule: DRMGF, run: Run) -> None:
    K = len(run.problem.tasks)
    if rule.auxiliary_factors is not None and len(rule.auxiliary_factors) != K:
        raise ValueError(
            f"`auxiliary_factors` must hold one number for each of {K} tasks, found {len(rule.auxiliary_factors)}."
        )
    if not isinstance(run.method, Scalarization):
        raise ValueError(
            "`aggregator` must be `sum` or `mean` under rule `dr_mgf`, which fuses what whole epochs of the tasks did "
            f"and has no task gradients to combine at a step, found {type(run.method).__name__}."
        )
    if run.precision == "float16":
        raise ValueError("`precision` must be float32 or bfloat16 under rule `dr_mgf`, found float16.")
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise ValueError(f"rule `dr_mgf` must run in one process, found {dist.get_world_size()}.")


def _trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def _copied(network: nn.Module) -> _Tensors:
    return {name: buffer.detach().clone() for name, buffer in network.named_buffers()}


def _put(network: nn.Module, buffers: _Tensors) -> None:
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])


def _adam(values: _Tensors, lr: float, state: Any, weight_decay: float = 0.0) -> torch.optim.Adam:
    """Adam at the rate of now, going on from `state`; over one dummy number where there is nothing to learn."""
    optimizer = torch.optim.Adam(list(values.values()) or [torch.zeros(1)], lr=lr, weight_decay=weight_decay)
    if state is not None:
        optimizer.load_state_dict(state)
        optimizer.param_groups[0]["lr"] = lr
    return optimizer


def _spread(values: Tensor, ndim: int) -> Tensor:
    """`values` with dimensions of size 1 behind, so that a number per kernel meets the whole kernel."""
    return values.reshape(*values.shape, *(1,) * (ndim - values.ndim))


def _spread_of(importance: Float[Tensor, "n o i"]) -> Float[Tensor, "o i"]:
    """How far apart the tasks' importances of a kernel lie, in multiples of their mean."""
    size = importance.abs().double()
    middle = size.mean(dim=0)
    return torch.where(middle > 0.0, (size.amax(dim=0) - size.amin(dim=0)) / middle, 0.0)

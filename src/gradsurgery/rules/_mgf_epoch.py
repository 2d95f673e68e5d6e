"""One epoch of DR-MGF at work: after its stages, the fusion of what they changed, and what outlives the epoch."""

import math
import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.batch import gradient_norm, mean_losses
from gradsurgery.core.conflict import diagnose
from gradsurgery.core.interfaces import Metrics
from gradsurgery.core.jacobian import read
from gradsurgery.rules._mgf_fusion import fused, mixture, policy
from gradsurgery.rules._mgf_lent import Tensors, put
from gradsurgery.rules._mgf_stages import Stages


class Epoch(Stages):
    """One epoch at work. What outlives it goes into `run.rule_state` at `finish`."""

    @property
    def shared(self) -> list[str]:
        return [name for name, tasks in self.owners.items() if len(tasks) > 1]

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

    def theta(self) -> Tensors:
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

    def _fuse_statistics(self) -> None:
        """BatchNorm's statistics become those of the mixture of its tasks; other buffers are the last stage's."""
        network = self.run.network
        put(network, self.statistics[next(reversed(self.statistics))])
        for prefix, module in network.named_modules():
            if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
                assert module.running_var is not None
                inside = f"{prefix}." if prefix else ""
                seen = [self.statistics[t] for t in self.owners.get(f"{inside}weight") or range(self.K)]
                means, variances = ([kept[f"{inside}running_{what}"] for kept in seen] for what in ("mean", "var"))
                mean, variance = mixture(means, variances)
                module.running_mean.copy_(mean)
                module.running_var.copy_(variance)

    def _diagnose(self, values: Tensors) -> Metrics:
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


def _spread_of(importance: Float[Tensor, "n o i"]) -> Float[Tensor, "o i"]:
    """How far apart the tasks' importances of a kernel lie, in multiples of their mean."""
    size = importance.abs().double()
    middle = size.mean(dim=0)
    return torch.where(middle > 0.0, (size.amax(dim=0) - size.amin(dim=0)) / middle, 0.0)

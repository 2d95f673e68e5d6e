"""Where a run of DR-MGF begins: what it is refused for, and the state before the first epoch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.func import functional_call

from gradsurgery.core.batch import move
from gradsurgery.core.interfaces import Scalarization, State
from gradsurgery.core.ownership import owners
from gradsurgery.core.run import Run
from gradsurgery.rules._mgf_lent import LentLosses, Tensors, copied, trainable
from gradsurgery.rules._mgf_settings import Settings

_SCALE_START = 1e-3
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def check_run(rule: Settings, run: Run) -> None:
    """Refuses a run that the rule cannot train. Raises ValueError."""
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


def begin(rule: Settings, run: Run, batch: Any) -> State:
    """The state before the first epoch: who owns which parameter, importance, scales and empty optimiser states."""
    network = run.network
    parameters = trainable(network)
    losses = LentLosses(run.problem, network)
    lent = {f"network.{name}": buffer for name, buffer in copied(network).items()}
    with run.autocast():
        given = functional_call(losses, lent, (move(batch, run.device),))
        if absent := [task for task, loss in zip(run.problem.tasks, given, strict=True) if loss is None]:
            whole = "rule `dr_mgf` must see every task in the first batch, to find out which task trains what"
            raise ValueError(f"{whole}, found no loss of {', '.join(absent)}.")
        found = owners(given, parameters)
    importance, private, scale = Tensors(), Tensors(), Tensors()
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

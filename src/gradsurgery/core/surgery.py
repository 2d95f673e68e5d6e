"""The engine: per-task gradients of the shared parameters, one method, one direction in `.grad`."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch._functorch.config
import torch.distributed as dist
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Aggregator, Method, Scalarization, State, Tensorwise, Weighting
from gradsurgery.core.jacobian import combine, gram
from gradsurgery.core.seeding import philox


class GradientSurgery:
    """Puts a method's direction where `loss.backward()` would have put the gradient of the summed losses.

        surgery = GradientSurgery(network.shared_parameters(), build("pcgrad"))
        for batch in loader:
            optimizer.zero_grad()
            if surgery.backward(losses(network, batch)):
                optimizer.step()

    One forward pass, K backward passes, the graph freed on the last. Before the pass of task k the `.grad` of every
    shared parameter is a view of row k of one preallocated (K, P) buffer, so that autograd itself adds each gradient
    into its place. Parameters that are not shared are left alone: their `.grad` grows by the gradient of the summed
    losses, which for a head is the gradient of its own task. A `Scalarization` takes one backward pass of the sum.

    The columns of J follow the order of `shared`, each parameter in the order of its own memory (a channels_last weight
    stays channels_last). State and checkpoints of methods that keep a (P,) vector hold for that layout.

    - *Micro-batches*: `accumulate` several times, then `aggregate`. J sums over calls as `.grad` does: divide losses.
      A task may sit a micro-batch out: its loss is then None, and no backward pass is spent on it.
    - *GradScaler*: `backward(scaler.scale(losses), scale=scaler.get_scale())`. The method sees unscaled gradients,
      `.grad` is scaled again, so that `unscale_`, `step` and `update` work as they always do.
    - *Several processes* (`torch.distributed` initialised): J and the gradients of `heads` are averaged over processes,
      and each then computes the same direction, so give every process the same `seed`. Do not wrap the network in
      `DistributedDataParallel`, which allows one backward pass only and would average too late. Buffers such as
      BatchNorm's statistics stay local.
    - *torch.compile*: donated buffers are switched off for the process, because a donated graph cannot be kept for the
      next task. A network compiled and run before the engine was made must be compiled again.

    Args:
        shared: parameters whose task gradients are the rows of J. Frozen ones are dropped, repeated ones counted once.
        method: what turns J or G into the direction.
        seed: seeds the method's own generator; the global generators are never used.
        heads: parameters whose gradients are averaged over processes; needed only under `torch.distributed`.

    Attributes:
        generator: the method's source of randomness; may be replaced.
        gram: G of the last step, or None where it was not needed.
        weights: w of the last step, or None for an `Aggregator`.
        state: the method's state.
        skipped_steps: how often a task gradient was not finite.
    """

    def __init__(
        self, shared: Iterable[nn.Parameter], method: Method, *, seed: int = 0, heads: Iterable[nn.Parameter] = ()
    ) -> None:
        self.parameters = _trainable("shared", shared)
        self.heads = _trainable("heads", heads)
        if not self.parameters:
            raise ValueError("`shared` must hold at least one trainable parameter, found none.")
        if not isinstance(method, Scalarization | Weighting | Aggregator):
            raise TypeError(f"`method` must be a Scalarization, Weighting or Aggregator, found {method!r}.")
        for what in ({p.dtype for p in self.parameters}, {p.device for p in self.parameters}):
            if len(what) > 1:
                raise ValueError(f"`shared` must be of one dtype on one device, found {sorted(map(str, what))}.")
        torch._functorch.config.donated_buffer = False
        self.method = method
        self.generator = philox(seed, "method")
        self.gram: Float64[np.ndarray, "K K"] | None = None
        self.weights: Float64[np.ndarray, " K"] | None = None
        self.state: State | None = None
        self.skipped_steps = 0
        self._J: Tensor | None = None
        self._rows: list[list[Tensor]] = []
        self._d = self._buffer()
        self._direction = self._views(self._d)
        self._pending = 0  # tasks in the unfinished step; 0 when there is none
        self._per_task = True  # whether the unfinished step fills J, or the sum only
        self._diagnose = False

    @property
    def jacobian(self) -> Float[Tensor, "K P"]:
        """J of the last step. A view: the next step overwrites it."""
        if self._J is None:
            raise RuntimeError("`jacobian` needs a backward pass per task first, found none.")
        return self._J

    @property
    def direction(self) -> Float[Tensor, " P"]:
        """d of the last step. A view of the memory behind `.grad`: what clips or unscales `.grad` changes it too."""
        return self._d

    def backward(self, losses: Sequence[Float[Tensor, ""]], scale: float = 1.0, diagnose: bool = False) -> bool:
        """Differentiates the K losses and writes the direction into `.grad`.

        Args:
            losses: one scalar per task, always in the same order.
            scale: the factor already in the losses (`GradScaler.get_scale()`).
            diagnose: take the K passes and compute G even where the method does without.

        Returns:
            False if a task gradient was not finite: the method was not called and `.grad` of the shared parameters is
            NaN, which makes a `GradScaler` skip the step; without one, skip it yourself.
        """
        self.accumulate(losses, diagnose)
        return self.aggregate(scale)

    def accumulate(self, losses: Sequence[Float[Tensor, ""] | None], diagnose: bool = False) -> None:
        """Differentiates the K losses of one micro-batch and adds to J; `.grad` of the shared parameters stays None.

        Args:
            losses: as for `backward`, divided by the number of micro-batches where each loss is a mean. None for a task
                that sits this micro-batch out.
            diagnose: as for `backward`; the first micro-batch decides.
        """
        K = len(losses)
        present = [k for k, loss in enumerate(losses) if loss is not None]
        if K == 0 or (self._pending and self._pending != K) or (self._J is not None and len(self._J) != K):
            known = "at least one loss" if self._J is None else f"{len(self._J)} losses, as before"
            raise ValueError(f"`losses` must hold {known}, found {K}.")
        if not present:
            raise ValueError("`losses` must hold a loss of at least one task, found None only.")
        for k, loss in enumerate(losses):
            if loss is not None and not loss.requires_grad:
                raise ValueError(f"`losses[{k}]` must depend on a trainable parameter, found a constant.")
        first = self._pending == 0
        if first:
            self._diagnose = diagnose
            self._per_task = diagnose or not isinstance(self.method, Scalarization)
        try:
            if not self._per_task:
                if first:
                    self._d.zero_()
                total = torch.stack([loss for loss in losses if loss is not None]).sum()
                self._differentiate(total, self._direction, retain=False)
            else:
                if self._J is None:
                    self._J = self._buffer(K)
                    self._rows = [self._views(row) for row in self._J]
                for k, loss in enumerate(losses):
                    if first:
                        self._J[k].zero_()  # just before it is written, while it is in cache
                    if loss is not None:
                        self._differentiate(loss, self._rows[k], retain=k < present[-1])
        except BaseException:
            self._pending = 0  # a half-filled J must not be aggregated
            raise
        self._pending = K

    def aggregate(self, scale: float = 1.0) -> bool:
        """Turns the accumulated J into the direction and writes it into `.grad`; arguments and result as `backward`."""
        if not self._pending:
            raise RuntimeError("`aggregate` needs `accumulate` first, found no gradients.")
        K, self._pending = self._pending, 0
        self.gram = self.weights = None
        source = self._J if self._per_task and self._J is not None else self._d
        self._average(source)
        if self._per_task and scale != 1.0:
            source.mul_(1.0 / scale)
        if self._diagnose or isinstance(self.method, Weighting):
            self.gram = gram(source)
            finite = bool(np.isfinite(self.gram.diagonal()).all())
        else:
            finite = _finite(source)
        if not finite:
            self.skipped_steps += 1
            self._d.fill_(torch.nan)
        elif isinstance(self.method, Scalarization):
            self.weights = np.full(K, self.method.scale(K))
            if self._per_task:
                combine(source, self.weights * scale, self._d)
            else:
                self._d.mul_(self.weights[0])
        elif isinstance(self.method, Weighting):
            assert self.gram is not None
            self.weights, self.state = self.method(self.gram, self.state, self.generator)
            combine(source, self.weights * scale, self._d)
        else:
            if isinstance(self.method, Tensorwise) and self.method.tensorwise:
                self.state = {**(self.state or {}), **self._tensors()}
            with torch.no_grad():
                d, self.state = self.method(source, self.state, self.generator)
            # Copied, because d may be part of the state, and clipping `.grad` in place must not reach that.
            self._d.copy_(d)
            if scale != 1.0:
                self._d.mul_(scale)
        for parameter, view in zip(self.parameters, self._direction, strict=True):
            parameter.grad = view
        return finite

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, besides the network: method state, generator, count of skipped steps."""
        return {
            "method": self.state,
            "generator": self.generator.bit_generator.state,
            "skipped_steps": self.skipped_steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` stood. The state is copied: methods may write into theirs."""
        self.state = copy.deepcopy(state["method"])
        self.generator.bit_generator.state = state["generator"]
        self.skipped_steps = state["skipped_steps"]

    def _differentiate(self, loss: Tensor, views: list[Tensor], retain: bool) -> None:
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.grad = view
        try:
            loss.backward(retain_graph=retain)
        finally:
            # Or a `zero_grad(set_to_none=False)` between micro-batches would wipe the row.
            for parameter in self.parameters:
                parameter.grad = None

    def _tensors(self) -> State:
        """What a `Tensorwise` method is told of the parameters: in J's order, as they are before the step."""
        norms = [torch.linalg.vector_norm(p.detach(), dtype=torch.float64) for p in self.parameters]
        return {"sizes": [p.numel() for p in self.parameters], "norms": torch.stack(norms).tolist()}

    def _average(self, gradients: Tensor) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            return
        # A head without a gradient here may have one elsewhere; without one anywhere it stays None, and Adam skips it.
        reached = torch.tensor([p.grad is not None for p in self.heads], dtype=torch.int32, device=gradients.device)
        dist.all_reduce(reached)
        tensors = [gradients]
        for parameter, anywhere in zip(self.heads, reached.tolist(), strict=True):
            if anywhere:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                tensors.append(parameter.grad)
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor.div_(dist.get_world_size())

    def _buffer(self, *rows: int) -> Tensor:
        P = sum(p.numel() for p in self.parameters)
        return torch.empty(*rows, P, dtype=self.parameters[0].dtype, device=self.parameters[0].device)

    def _views(self, row: Tensor) -> list[Tensor]:
        views, offset = [], row.storage_offset()
        for p in self.parameters:
            # The strides of a dense tensor, dense strides for any other.
            strides = torch.empty_like(p, device="meta").stride()
            views.append(row.as_strided(p.shape, strides, offset))
            offset += p.numel()
        return views


def _trainable(name: str, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    if isinstance(parameters, nn.Module):
        raise TypeError(f"`{name}` must be parameters, found the module {type(parameters).__name__}.")
    unique = list(dict.fromkeys(parameters))
    for p in unique:
        if type(p) is not nn.Parameter or p.layout != torch.strided:
            # Lazy parameters have no shape yet; those of FSDP are shards, whose products are not G.
            raise TypeError(f"`{name}` must be plain dense parameters, found {type(p).__name__}.")
    return [p for p in unique if p.requires_grad]


def _finite(gradients: Tensor) -> bool:
    # The sum of finite numbers is finite unless it overflows: one pass without a mask settles nearly every step.
    return bool(gradients.sum().isfinite()) or bool(gradients.isfinite().all())

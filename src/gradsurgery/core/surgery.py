"""The engine: per-task gradients of the shared parameters, one method, one direction in `.grad`."""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch._functorch.config
from torch import Tensor

from gradsurgery.core.direction import Conductor
from gradsurgery.core.gradients import SharedGradients
from gradsurgery.core.handed import TaskOrder, check_state, losses_of, parameters_of, trainable
from gradsurgery.core.interfaces import Aggregator, Method, Scalarization, Weighting
from gradsurgery.core.last_step import LastStep
from gradsurgery.core.modes import check_mode, mode_of, refuse
from gradsurgery.core.plain import from_plain, to_plain
from gradsurgery.core.processes import agree, several, strays
from gradsurgery.core.seeding import philox
from gradsurgery.core.witness import Witness

Leaves = Iterable[Tensor] | None
_log = logging.getLogger(__name__)


class GradientSurgery(LastStep):
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

    - *`.grad`* of a shared parameter is added to, as autograd does, whenever what is there was put there: before,
      between or after the calls here. One that no loss reached is left as it was, so that an optimiser passes over it.
    - *Losses* may be a list, any other iterable, a dictionary (its first order is that of J's rows) or a 1-D tensor.
    - *Absent tasks*: a loss may be None. The method then sees the tasks that are there, and its memory of the others
      waits; `gram`, `weights` and `jacobian` keep K rows, those of absent tasks zero. Such a step copies J.
    - *Steps left out*: False is returned, and `.grad` is NaN, where a loss, a task gradient, a gradient of `heads` or
      the direction is not finite. State stays as it was. It is counted in `skipped_steps` and logged the first time.
    - *Frozen later, or unfrozen*: as it is when a step begins. A method that keeps vectors (P,) must then forget them.
    - *Micro-batches*: `accumulate` several times, then `aggregate`. J sums over calls as `.grad` does: divide losses.
      A task that sits a micro-batch out costs no backward pass; it is absent only if it sits out all of them.
    - *The graph once more*: `retain_graph=True` keeps it for an auxiliary loss or a second engine; `inputs` says which
      other parameters one engine's passes may reach, so that two engines do not both add to the heads.
    - *GradScaler*: `backward(scaler.scale(losses), scale=scaler.get_scale())`. The method sees unscaled gradients,
      `.grad` is scaled again, so that `unscale_`, `step` and `update` work as they always do.
    - *Several processes* (`torch.distributed` initialised): J and the gradients of `heads` are averaged over processes,
      and each then computes the same direction, so give every process the same `seed`. A task that some processes lack
      counts there with a zero gradient. Do not wrap the network in `DistributedDataParallel`, which allows one backward
      pass only and raises. Buffers such as BatchNorm's statistics stay local.
    - *torch.compile*: donated buffers are switched off for the process, because a donated graph cannot be kept for the
      next task. A network compiled and run before the engine was made must be compiled again.
    - *Less memory, fewer passes*: `gradients` and `keep_weights`, for every `Weighting` (`core/modes.py`). Such a step
      takes one call of `accumulate`, in one process, and has `gram` only where its weights come from it; `jacobian` is
      of diagnosed steps. `mode.exact_cosine` says in those how far the direction is from the exact one.
    - *oneDNN*: on x86 the weight gradients of strided 1 x 1 convolutions of few channels can be wrong, and the engine
      sees no modules: call `core.pointwise.reroute(network)` first. A `Learner` does.

    Args:
        shared: parameters whose task gradients are the rows of J, or optimiser groups of them. Frozen ones, of any
            type, are dropped, repeated ones counted once. The others must be dense, real and of one dtype and device.
        method: what turns J or G into the direction.
        seed: seeds the method's own generator; the global generators are never used.
        heads: the other parameters that the losses train. Their gradients must be finite for the step to be taken, and
            are averaged over processes: under `torch.distributed` none may be left out.
        gradients: what the weights are made from: "stored" J; "two_pass", the same without holding J; "representation",
            the gradients on what `backward` is handed; "sub_batch", those of a part of the batch that `weigh` was.
        keep_weights: how many steps the weights serve.

    Attributes:
        skipped_steps: how many steps were left out, as above.
    """

    def __init__(
        self,
        shared: Any,
        method: Method,
        *,
        seed: int = 0,
        heads: Any = (),
        gradients: str = "stored",
        keep_weights: int = 1,
    ) -> None:
        self._shared = SharedGradients(parameters_of("shared", shared))
        self.heads = trainable("heads", parameters_of("heads", heads))
        if not isinstance(method, Scalarization | Weighting | Aggregator):
            raise TypeError(f"`method` must be a Scalarization, Weighting or Aggregator, found {method!r}.")
        check_mode(gradients, keep_weights, method)
        torch._functorch.config.donated_buffer = False
        self._conductor = Conductor(method, philox(seed, "method"))
        self.mode = mode_of(gradients, keep_weights, self._shared, self._conductor)
        self.skipped_steps = self._strays = 0
        self._order = TaskOrder()
        self._checked = False  # whether the losses were looked through for parameters that are nobody's
        self._pending = False  # whether there is an unfinished step; what follows is about that one
        self._per_task, self._diagnose = True, False  # whether it fills J, or the sum only; whether G is asked for
        self._present: list[bool] = []
        self._witness = Witness()

    def backward(
        self,
        losses: Any,
        scale: float = 1.0,
        diagnose: bool = False,
        retain_graph: bool = False,
        inputs: Leaves = None,
        representation: Any = None,
    ) -> bool:
        """Differentiates the K losses and adds the direction to `.grad`.

        Args:
            losses: one scalar per task, or None for a task that is absent: an iterable in an order that stays the same,
                a dictionary with keys that stay the same, or a tensor (K,).
            scale: the factor already in the losses (`GradScaler.get_scale()`).
            diagnose: take the K passes and compute G even where the method does without.
            retain_graph: keep the graph, as for `Tensor.backward`.
            inputs: the leaves besides `shared` whose `.grad` grows; None for all that the losses reach.
            representation: for `gradients="representation"`, the tensor, or tensors, of this forward pass that every
                task is computed from.

        Returns:
            False if a loss or a gradient was not finite: `.grad` of the shared parameters is NaN, which makes a
            `GradScaler` skip the step; without one, skip it yourself. The next step forgets that NaN.
        """
        self.accumulate(losses, diagnose, retain_graph, inputs, representation)
        return self.aggregate(scale)

    def weigh(self, losses: Any) -> None:
        """With `gradients="sub_batch"`, before `backward`: the K losses of a part of the batch, with the same scale.

        Needed where `mode.due`. Where it was not called, or has other tasks, the whole batch gives the weights.
        """
        rows, K = self._order.rows(*losses_of(losses))
        if self.mode is None:
            raise ValueError("`gradients` must be 'sub_batch' for `weigh`, found 'stored'.")
        self._begin(K, False)
        self.mode.weigh(rows, K)

    def accumulate(
        self,
        losses: Any,
        diagnose: bool = False,
        retain_graph: bool = False,
        inputs: Leaves = None,
        representation: Any = None,
    ) -> None:
        """Differentiates the K losses of one micro-batch and adds to J; `.grad` of the shared parameters stays.

        Args:
            losses: as for `backward`, divided by the number of micro-batches where each loss is a mean. None for a task
                that sits this micro-batch out.
            diagnose: as for `backward`; the first micro-batch decides.
            retain_graph: as for `backward`.
            inputs: as for `backward`.
            representation: as for `backward`.
        """
        rows, K = self._order.rows(*losses_of(losses))
        shared, first = self._shared, not self._pending
        if self.mode is not None and (several() or not first):
            where = "where several processes train together" if several() else "in a step of several micro-batches"
            refuse(self.mode.gradients, self.mode.keep_weights, where)
        if first:
            self._begin(K, diagnose)
        if not self._checked and several():
            self._strays = max(self._strays, strays(rows.values(), (*shared.given, *self.heads)))
        leaves = None if inputs is None else [*shared.parameters, *inputs]
        self._pending = False  # a half-filled J must not be aggregated
        lent = shared.lend(first)  # between the calls `.grad` is the user's
        try:
            if self.mode is not None:
                self.mode.prepare(rows, K, diagnose, representation)
                self._rest = retain_graph, leaves
            elif not self._per_task:
                total = torch.stack(list(rows.values())).sum()
                shared.differentiate(total, shared.sum(first), retain_graph, leaves)
            else:
                last = max(rows)
                for k in range(K):
                    row = shared.row(k, K, first)
                    if k in rows:
                        shared.differentiate(rows[k], row, retain_graph or k < last, leaves)
        finally:
            shared.give_back(lent)
        for k, loss in rows.items():
            self._present[k] = True
            self._witness.note(loss)
        self._pending = True

    def aggregate(self, scale: float = 1.0) -> bool:
        """Turns the accumulated J into the direction and adds it to `.grad`; arguments and result as `backward`."""
        if not self._pending:
            raise RuntimeError("`aggregate` needs `accumulate` first, found no gradients.")
        self._pending = False
        shared, conductor = self._shared, self._conductor
        conductor.gram = conductor.weights = conductor.gains = None
        source = shared.J if self._per_task and shared.J is not None else shared.d
        if self.mode is not None:
            self.mode.differentiate(scale, *self._rest)
        if several():
            self._agree(source)
        self._checked = True
        shared.refuse_unreached()
        self._witness.note_gradients(self.heads)
        K, beside = len(self._present), self._witness.beside(source.device)
        tasks = [k for k, there in enumerate(self._present) if there]
        if not math.isfinite(self._witness.total):
            finite = False
        elif self.mode is not None:
            finite = self.mode.finish(tasks, beside)
        elif not self._per_task:
            finite = conductor.scale_sum(shared.d, tasks, K, beside)
        else:
            if scale != 1.0:
                source.mul_(1.0 / scale)
            J = source[tasks] if len(tasks) < K else source
            finite = conductor.direct(J, shared.d, tasks, K, scale, self._diagnose, beside, shared.parameters)
        if not finite:
            self._leave_out()
        shared.write(finite)
        return finite

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, besides the network: method state, generator, count of skipped steps.

        A snapshot, of what `torch.load` takes by default. Raises TypeError if the method's state holds something else.
        """
        own = {"of": type(self.method).__name__, "method": self.state, "generator": self.generator.bit_generator.state}
        kept = {} if self.mode is None else {"mode": self.mode.state_dict()}
        return to_plain({**own, "skipped_steps": self.skipped_steps, **kept})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` stood, to the bit, on a copy. ValueError for part of one or another method's."""
        check_state(state, type(self.method).__name__, [] if self.mode is None else ["mode"])
        self.state = from_plain(state["method"], self._shared.d.device)
        self.generator.bit_generator.state = from_plain(state["generator"])
        if self.mode is not None:
            self.mode.load_state_dict(from_plain(state["mode"]))
        self.skipped_steps, self._pending = state["skipped_steps"], False

    def _begin(self, num_tasks: int, diagnose: bool) -> None:
        if self._shared.changed():
            self._shared.renew(remembered=bool(self.state) and isinstance(self.method, Aggregator))
        self._diagnose = diagnose
        self._per_task = self.mode is None and (diagnose or not isinstance(self.method, Scalarization))
        self._present = [False] * num_tasks
        self._witness = Witness()

    def _agree(self, gradients: Tensor) -> None:
        """Averages the gradients over processes; tasks, parameters and numbers are then the same for all of them."""
        shared, K = self._shared, len(self._present)
        reached = [i not in set(shared.missing) for i in range(len(shared.parameters))]
        flags, total = agree(gradients, self.heads, [*self._present, *reached], self._strays, self._witness)
        self._witness, self._present = Witness(total), flags[:K]
        shared.missing = [i for i, there in enumerate(flags[K:]) if not there]

    def _leave_out(self) -> None:
        self._conductor.weights = None
        self._shared.d.fill_(torch.nan)
        if self.skipped_steps == 0:
            _log.warning("A loss, gradient or direction was not finite: step left out (said once; `skipped_steps`).")
        self.skipped_steps += 1

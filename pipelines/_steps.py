"""Two steps of one line at full size, on random arrays of the form of its data: what runs, and what a step takes.

A CPU takes less of a batch where the whole one would take it minutes; network and inputs stay whole.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from gradsurgery.core.declaration import problem_of
from gradsurgery.core.learner import Learner
from gradsurgery.environments import Acting
from gradsurgery.experiment import build_learner, evidence_of
from pipelines import _sizes
from pipelines._costs import cost_of, environment
from pipelines._device import device_for
from pipelines._params import Experiment
from pipelines._problems import Problem

_LONG_S = 2.0  # an epoch that takes longer is not taken once more to be timed beside the one that is counted
_NUMBERS = 700_000  # of a batch, as often as there are tasks: what a CPU takes of it
_HELD_OUT = 64  # rows of validation and of test, at most: enough to hold both classes, which an area asks for
_NEVER = 10**9  # diagnostics are taken in the first step only
_FREE = ("empty", "_local_scalar_dense", "set_data")  # operations that start nothing on a device


class Counter(TorchDispatchMode):
    """Counts what torch does meanwhile, as it would do it on a GPU.

    Attributes:
        launches: operations but for views and allocations; most of them are one kernel on a GPU, some are several.
        flops: of convolutions and products of matrices by torch's own formulas; multiplying and adding are two.
        bytes: of the tensors that go in and come out of all operations: what a device without a cache reads and writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.flops = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if not (func.is_view or packet.__name__.startswith(_FREE)):
            self.launches += 1
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            if packet in flop_registry:
                self.flops += _flops(packet, args, kwargs, out)
        return out


def _flops(packet: Any, args: Any, kwargs: Any, out: Any) -> int:
    """By torch's formulas, of which that of a convolution's gradient takes each group for the whole weight."""
    formula = flop_registry[packet]
    if packet is not torch.ops.aten.convolution_backward:
        return int(formula(*args, **kwargs, out_val=out))
    *front, groups, (of_inputs, of_weight, _) = args
    inputs = formula(*front, groups, [of_inputs, False, False], out_val=out)
    return int(inputs + formula(*front, groups, [False, of_weight, False], out_val=out) // groups)


@dataclasses.dataclass(frozen=True)
class Task:
    """One line, with the one that it takes its layer scores from."""

    experiment: Experiment
    problem: Problem
    datasets: Mapping[str, Any]
    evidence: Experiment | None = None

    @property
    def name(self) -> str:
        return self.experiment.name


def take(task: Task, device: str) -> dict[str, Any]:
    """What a line's steps and its evaluation take: numbers by name, seconds where nothing else is said.

    Seconds of a step, memory and what is judged are those of `rows` examples, and so is `taken`, the GFLOP of the step
    that was counted. What else a step takes is reckoned for all its micro-batches and the whole `batch`, by a line
    through what is counted with `rows` and with half, or through 0 if they are 1 or 2. Raises whatever goes wrong.
    """
    rows, batch = taken(task, device)
    scores = None
    if task.evidence is not None:
        source = _learner(task, task.evidence, device, rows, None)
        source.epoch()
        scores = evidence_of([source.instruments.history(source.step_count) | {"diverged": None}])
        del source
    learner = _learner(task, task.experiment, device, rows, scores)
    began = time.perf_counter()
    learner.epoch()
    if time.perf_counter() - began < _LONG_S:
        learner.epoch()
    before, timed = learner.step_count, len(learner.step_times)
    learner.instruments.begin_epoch()
    began = time.perf_counter()
    batches = list(learner.problem.batches(learner.generators.order, learner.generators.augmentation))
    loading = time.perf_counter() - began
    began = time.perf_counter()
    steps = _counted(learner, batches)
    spent, count = time.perf_counter() - began, learner.step_count - before
    flops, moved = float(steps.flops), float(steps.bytes)
    if rows < batch:
        half = rows // 2 if rows > 2 else 0
        parts = tree_map_only(torch.Tensor, lambda own: _first(own, rows, half), batches)
        less = _counted(learner, parts) if half else Counter()
        flops += (steps.flops - less.flops) * (batch - rows) / (rows - half)
        moved += (steps.bytes - less.bytes) * (batch - rows) / (rows - half)
        loading *= batch / rows
    whole, few = _micro(task.experiment)
    share = whole / few / max(count, 1)
    if isinstance(learner.problem, Acting):  # what is not learning is acting: of so many steps an update
        acting = (spent - sum(learner.step_times[timed:])) / learner.problem.environments.horizon
        loading = count * acting * _sizes.settled(task.experiment.declaration)["every"]
    with torch.no_grad(), (judged := Counter()):
        learner.problem.evaluate(learner.network, "test")
    step_times = learner.step_times[: timed or count]
    return {
        "rows": rows,
        "batch": batch,
        "parameters": sum(p.numel() for p in learner.network.parameters()),
        "shared": sum(p.numel() for p in learner.network.shared_parameters()),
        "tasks": len(learner.problem.tasks),
        "memory_mb": cost_of(learner, 0.0)["peak_memory_mb"],
        "seconds": round(whole / few * statistics.median(step_times), 4) if step_times else 0.0,
        "steps_a_batch": count / len(batches) * few / whole,
        "loading": round(loading * share, 5),
        "launches": round(steps.launches * share),
        "gflop": round(flops * share / 1e9, 4),
        "gigabytes": round(moved * share / 1e9, 4),
        "taken": round(steps.flops / max(count, 1) / 1e9, 4),
        "judged": {"rows": min(_HELD_OUT, rows), "gflop": judged.flops / 1e9, "gigabytes": judged.bytes / 1e9},
        "cpu": round(time.process_time(), 1),
        "finite": not learner.skipped_steps
        and all(math.isfinite(v) for k, v in learner.epochs[0].items() if k.startswith("train.")),
        "environment": environment(str(learner.device)),
    }


def taken(task: Task, device: str) -> tuple[int, int]:
    """How many examples of a batch a step takes here, and how many the paper's batch has."""
    batch = int(_sizes.settled(task.experiment.declaration).get("batch_size", 1))
    entry = _sizes.of(task.problem, task.datasets)
    if device_for(task.experiment.declaration, device) != "cpu" or entry is None:
        return batch, batch
    fit = _NUMBERS // (_sizes.numbers(entry) * len(problem_of(task.experiment.declaration).tasks))
    return min(batch, max(fit // 2 * 2, 4 if batch > 8 else 1 + (batch > 2))), batch


def _first(own: torch.Tensor, rows: int, half: int) -> torch.Tensor:
    """Half of its rows, which with some problems come after the tasks."""
    return own.narrow(own.shape.index(rows), 0, half) if rows in own.shape[:2] else own


def _counted(learner: Learner, batches: Iterable[Any]) -> Counter:
    """What the steps on these batches take."""
    learner.network.train()  # evaluating has left it otherwise
    with (counter := Counter()):
        for _ in learner.rule.epoch(learner, iter(batches)):
            pass
    return counter


def _learner(
    task: Task, experiment: Experiment, device: str, batch: int, evidence: Mapping[str, Any] | None
) -> Learner:
    """A learner one of whose epochs is one step, or what the rule does with one step's batches, of so many examples."""
    declaration, own = experiment.declaration, _sizes.settled(experiment.declaration)
    _, micro = _micro(experiment)
    rows, held_out = micro * batch, min(_HELD_OUT, batch)
    given = {"batch_size": batch, "train_size": rows, "val_size": held_out, "test_size": held_out}
    given |= {"hold_out": True, "passes": 1}
    if "episodes" in own:  # one is played in an epoch, with two updates, but in the first, with one
        given |= {"episodes": 1, "warmup": own["horizon"], "every": own["horizon"] // 2, "val_size": 1, "test_size": 1}
    elif "landscape" in own:
        given |= {"steps": 1000, "epochs": 4}
    elif "labelled" in own:  # of all classes equally, which a random draw of three times as many does not miss
        given |= {"steps": micro, "train_size": max(rows, 3 * own["labelled"])}
    settings = {**declaration["settings"], **{name: value for name, value in given.items() if name in own}}
    learner = {**declaration.get("learner", {}), "diagnose_every": _NEVER}
    arrays = _sizes.drawn(task.problem, task.datasets, settings.get("train_size", rows), held_out)
    rule = {**declaration["rule"], **({"micro_batches": micro} if "micro_batches" in declaration["rule"] else {})}
    whole = {**declaration, "settings": settings, "learner": learner, "rule": rule}
    return build_learner(whole, arrays, 0, device_for(declaration, device), evidence=evidence)


def _micro(experiment: Experiment) -> tuple[int, int]:
    """Batches of a step, and how many are taken here, as one more takes no more memory: as many as there are tasks."""
    whole = int(experiment.declaration["rule"].get("micro_batches", 1))
    return whole, min(whole, len(problem_of(experiment.declaration).tasks))

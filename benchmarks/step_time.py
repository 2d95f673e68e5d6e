"""Time of a whole training step: zero the gradients, forward, K backward passes, surgery, optimiser step.

`sum` is plain training on the summed losses, the unit of all ratios. `floor` is what no method on task gradients can go
below: one forward pass, K calls of `autograd.grad` on the shared parameters and the task's head with nothing done to
their results, and the optimiser step (which plain training pays as well). What a variant takes beyond `floor`, as a
share of its own step, is its overhead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import peers
from benchmarks.cases import CASES, Training
from benchmarks.measure import Samples, interleave, table
from gradsurgery import GradientSurgery, build

Step = Callable[[], object]
OURS: dict[str, dict[str, float]] = {"sum": {}, "pcgrad": {}, "cagrad": {"c": 0.5}, "sam_gs": {}}


MODES: dict[str, dict[str, Any]] = {  # of PCGrad, asked for by `benchmarks.modes`
    "stored": {}, "two_pass": {"gradients": "two_pass"}, "representation": {"gradients": "representation"},
    "sub_batch": {"gradients": "sub_batch"}, "kept8": {"keep_weights": 8},
    "two_pass-kept8": {"gradients": "two_pass", "keep_weights": 8},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One variant on one case; milliseconds are medians over the rounds."""

    case: str
    tasks: int
    shared_parameters: int
    variant: str
    cpu_ms: float
    wall_ms: float
    over_sum: float
    overhead: float
    rounds: int


def variants(libmtl: Path | None) -> list[str]:
    """Names of all variants that can run here, `sum` and `floor` first."""
    names = ["sum", "floor", *(f"ours {name}" for name in OURS)]
    if peers.torchjd_missing() is None:
        names += [f"{how} {name}" for how in ("torchjd", "torchjd-chunk1") for name in peers.TORCHJD_ARGUMENTS]
        names += [f"torchjd-chunk1-gram {name}" for name in ("PCGrad", "CAGrad")]
    if peers.libmtl_missing(libmtl) is None:
        names += ["libmtl PCGrad", "libmtl CAGrad"]
    return names


def step(variant: str, case: str, tasks: int, libmtl: Path | None) -> Step | None:
    """A training step of one variant on a network of its own, or None where the peer cannot run so many tasks."""
    training = Training(CASES[case], tasks)
    who, _, name = variant.partition(" ")
    if who == "libmtl" and peers.libmtl_limit(name, tasks):
        return None
    if who == "floor":
        return _floor(training)
    if who == "sum":
        return _around(training, lambda: torch.stack(training.forward()[1]).sum().backward())
    if who == "ours":
        surgery = GradientSurgery(training.shared, build(name, **OURS[name]), seed=0)
        return _around(training, lambda: surgery.backward(training.forward()[1]))
    if who == "mode":
        surgery = GradientSurgery(training.shared, build("pcgrad"), seed=0, **MODES[name])
        return _around(training, lambda: differentiate(training, surgery))
    if who == "libmtl":
        weigh = peers.libmtl_backward(libmtl, name, training.shared, tasks)
        return _around(training, lambda: weigh(training.forward()[1]))
    chunk = 1 if "chunk1" in who else None
    jd = peers.torchjd_backward(name, training.shared, chunk, gramian=who.endswith("gram"))
    return _around(training, lambda: jd(*training.forward()))


def differentiate(training: Training, surgery: GradientSurgery, diagnose: bool = False) -> None:
    """A step's backward passes, in the way that the engine's `mode` asks for."""
    if surgery.mode is not None and surgery.mode.gradients == "sub_batch" and surgery.mode.due:
        surgery.weigh(training.forward(len(training.inputs) // 4)[1])
    features, losses = training.forward()
    surgery.backward(losses, diagnose=diagnose, representation=features)


def _around(training: Training, differentiate: Step) -> Step:
    def one() -> None:
        training.optimizer.zero_grad()
        differentiate()
        training.optimizer.step()

    return one


def _floor(training: Training) -> Step:
    wanted = [[*training.shared, *head.parameters()] for head in training.network.heads]
    for p in training.network.parameters():
        p.grad = torch.zeros_like(p)  # so that the optimiser has the same work as elsewhere

    def one() -> None:
        losses = training.forward()[1]
        for k, loss in enumerate(losses):
            torch.autograd.grad(loss, wanted[k], retain_graph=k < len(losses) - 1)
        training.optimizer.step()

    return one


def run(plan: Mapping[str, Sequence[int]], seconds: float, libmtl: Path | None) -> list[Row]:
    """Measures each case of the plan for the numbers of tasks it names; `seconds` is the time of one table."""
    rows: list[Row] = []
    for case, numbers in plan.items():
        for tasks in numbers:
            found = {name: step(name, case, tasks, libmtl) for name in variants(libmtl)}
            samples = interleave({name: one for name, one in found.items() if one}, seconds)
            size = Training(CASES[case], tasks).size
            fresh = [_row(case, tasks, size, name, samples) for name in samples]
            print(f"\n{case}, K = {tasks}, P = {size:,}, batch {CASES[case].batch}, {fresh[0].rounds} rounds")
            print(_table(fresh))
            rows += fresh
    return rows


def _row(case: str, tasks: int, size: int, name: str, samples: dict[str, Samples]) -> Row:
    own = samples[name]
    return Row(
        case, tasks, size, name, round(median(own.cpu), 3), round(median(own.wall), 3),
        round(own.over(samples["sum"]), 3), round(1 - 1 / own.over(samples["floor"]), 4), len(own.cpu),
    )  # fmt: skip


def _table(rows: list[Row]) -> str:
    header = ["variant", "cpu ms", "wall ms", "x sum", "overhead %"]
    return table(
        header,
        [[r.variant, f"{r.cpu_ms:.2f}", f"{r.wall_ms:.2f}", f"{r.over_sum:.2f}", _percent(r)] for r in rows],
    )


def _percent(row: Row) -> str:
    one_pass = row.variant in ("sum", "ours sum")  # these take one backward pass, so the floor of K says nothing
    return "" if one_pass else f"{100 * row.overhead:.1f}"

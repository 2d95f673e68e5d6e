"""What other ways to the weights save, and how far from the exact direction they lead.

  python -m benchmarks.modes                        LeNet, an MLP and ResNet-18 with 2, 10 and 40 tasks
  python -m benchmarks.modes --case resnet18 --tasks 40

    x sum       CPU time of a step over that of plain training on the summed losses, as in `step_time.py`
    memory      rise of the peak over that of the plain step, as a share of what J stored adds, as in `memory.py`
    cosine      mean and least, over 24 steps, of cos(direction, exact direction of the same step)

Angles are taken while the network learns the classes that random linear maps give to new random pictures in every step,
at a rate at which it moves. Results go to benchmarks/results/modes.json with the machine they were taken on.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from benchmarks.__main__ import RESULTS, lines
from benchmarks.cases import CASES, Training
from benchmarks.measure import environment, interleave, table
from benchmarks.step_time import MODES, differentiate, step
from gradsurgery import GradientSurgery, build

STEPS = 24  # three times what weights are kept


@dataclass(frozen=True)
class Row:
    """One mode on one case."""

    case: str
    tasks: int
    mode: str
    over_sum: float
    memory: float
    cosine: float | None
    least_cosine: float | None


def run(case: str, tasks: int, seconds: float) -> list[Row]:
    """Measures every mode on one network."""
    repeats = {name: fields.get("keep_weights", 1) for name, fields in MODES.items()}
    steps = {"sum": step("sum", case, tasks, None)}
    steps |= {name: _times(step(f"mode {name}", case, tasks, None), repeats[name]) for name in MODES}
    samples = interleave({name: one for name, one in steps.items() if one}, seconds)
    plain, stored = (_peak(case, tasks, variant) for variant in ("sum", "mode stored"))
    rows = []
    for name in MODES:
        cosines = _cosines(case, tasks, name)
        memory = (_peak(case, tasks, f"mode {name}") - plain) / (stored - plain) if name != "stored" else 1.0
        rows.append(Row(
            case, tasks, name, round(samples[name].over(samples["sum"]) / repeats[name], 3), round(memory, 3),
            round(sum(cosines) / len(cosines), 4) if cosines else None, round(min(cosines), 4) if cosines else None,
        ))  # fmt: skip
    return rows


def _times(one: Callable[[], object] | None, repeats: int) -> Callable[[], object]:
    assert one is not None
    return lambda: [one() for _ in range(repeats)]


def _peak(case: str, tasks: int, variant: str) -> float:
    """MB that a fresh process needs more once it trains so."""
    command = [sys.executable, "-m", "benchmarks.memory", case, str(tasks), variant]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _cosines(case: str, tasks: int, name: str) -> list[float]:
    training = Training(CASES[case], tasks)
    surgery = GradientSurgery(training.shared, build("pcgrad"), seed=0, **MODES[name])
    optimizer = torch.optim.SGD(training.network.parameters(), lr=0.05)
    draws = torch.Generator().manual_seed(1)
    maps = torch.randn(tasks, training.inputs[0].numel(), 10, generator=draws)
    found = []
    for _ in range(STEPS):
        training.inputs = torch.randn(training.inputs.shape, generator=draws)
        training.targets = (training.inputs.flatten(1) @ maps).argmax(-1)
        optimizer.zero_grad()
        differentiate(training, surgery, diagnose=True)
        optimizer.step()
        if surgery.mode is not None and surgery.mode.exact_cosine is not None:
            found.append(surgery.mode.exact_cosine)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.modes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=["lenet", "mlp-large", "resnet18"])
    parser.add_argument("--tasks", nargs="+", type=int, metavar="K", default=[2, 10, 40])
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing for each case and number of tasks")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    machine = environment()
    print(", ".join(f"{k} {v}" for k, v in machine.items()))
    rows = []
    for case, tasks in [(case, tasks) for case in chosen.case for tasks in chosen.tasks]:
        fresh = run(case, tasks, chosen.seconds)
        print(f"\n{case}, K = {tasks}, PCGrad")
        shown = [
            [r.mode, *(f"{x:.3f}" for x in (r.over_sum, r.memory)), *map(_angle, (r.cosine, r.least_cosine))]
            for r in fresh
        ]
        print(table(["mode", "x sum", "memory", "cosine", "least"], shown), flush=True)
        rows += fresh
    record = {"environment": machine, "rows": [asdict(row) for row in rows]}
    (RESULTS / "modes.json").write_text(lines(record), encoding="utf-8")
    return 0


def _angle(cosine: float | None) -> str:
    return "exact" if cosine is None else f"{cosine:.4f}"


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory of training steps, each variant in a fresh process: what they add to a process that is ready to train.

Ready means: everything imported, network, data and optimiser made, and one plain step taken on a second network. The
row `sum` shows what ordinary training adds to that; what a variant takes beyond it are its task gradients and copies.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import step_time
from benchmarks.cases import CASES, Training
from benchmarks.measure import table

QUICK: dict[str, tuple[int, ...]] = {"mlp-large": (10,)}
FULL: dict[str, tuple[int, ...]] = {"lenet": (10,), "mlp-large": (2, 10, 40), "resnet18": (10,)}
STEPS = 3


@dataclass(frozen=True)
class Row:
    """One variant on one case."""

    case: str
    tasks: int
    shared_parameters: int
    variant: str
    peak_mb: float
    jacobians: float  # the same in units of one (K, P) matrix


def run(plan: Mapping[str, Sequence[int]], quick: bool, libmtl: Path | None) -> list[Row]:
    """Starts one process per variant, one after the other; a quick run takes one method of each peer."""
    rows: list[Row] = []
    for case, tasks in [(case, tasks) for case, numbers in plan.items() for tasks in numbers]:
        size = Training(CASES[case], tasks).size
        fresh: list[Row] = []
        for variant in step_time.variants(libmtl):
            if quick and variant.endswith((" CAGrad", " UPGrad")):
                continue
            command = [
                sys.executable,
                "-m",
                "benchmarks.memory",
                case,
                str(tasks),
                variant,
                *([str(libmtl)] if libmtl else []),
            ]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            if out != "skipped":
                peak = float(out)
                fresh.append(Row(case, tasks, size, variant, round(peak, 1), round(peak * 1e6 / (4 * tasks * size), 2)))
        print(f"\npeak memory, {case}, K = {tasks}, P = {size:,}: one (K, P) matrix is {4 * tasks * size / 1e6:.1f} MB")
        print(
            table(["variant", "MB", "x (K, P)"], [[r.variant, f"{r.peak_mb:.1f}", f"{r.jacobians:.2f}"] for r in fresh])
        )
        rows += fresh
    return rows


def peak_mb(case: str, tasks: int, variant: str, libmtl: Path | None) -> float | None:
    """Rise of this process's peak through the steps of one variant, in MB; None where the peer cannot run."""
    torch.set_num_threads(1)
    plain = step_time.step("sum", case, tasks, libmtl)
    one = step_time.step(variant, case, tasks, libmtl)
    if plain is None or one is None:
        return None
    plain()
    _forget_peak()
    before = _peak()
    for _ in range(STEPS):
        one()
    return _peak() - before


def _forget_peak() -> None:
    """Lowers the recorded peak to what is in use, or the imports' own peak would hide part of the rise (Linux only)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5", encoding="ascii")


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # follows `_forget_peak`, which ru_maxrss does not
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Prints the peak of one variant in MB, or `skipped`.")
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("tasks", type=int)
    parser.add_argument("variant")
    parser.add_argument("libmtl", type=Path, nargs="?")
    chosen = parser.parse_args()
    found = peak_mb(chosen.case, chosen.tasks, chosen.variant, chosen.libmtl)
    print("skipped" if found is None else found)

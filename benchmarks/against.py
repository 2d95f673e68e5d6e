"""The step of every method with the code of another revision and with today's, in turn, in one run.

  python -m benchmarks.against main            every method on LeNet with 2 tasks and a perceptron with 10
  python -m benchmarks.against HEAD~5 --only pcgrad cagrad --seconds 60

Each side is a process of its own that works while the other one waits; within a round the two measure the same method
one after the other, so that a busy machine blurs both alike. The ratio is today's CPU time over the other's, median
over the rounds, with the middle half of the rounds beside it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.measure import table

ROOT = Path(__file__).resolve().parents[1]
WHERE = (("lenet", 2), ("mlp-small", 10))
REQUIRED: dict[str, dict[str, Any]] = {"torchjd": {"method": "imtl_g"}}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", help="a commit, branch or tag")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="these methods (default: all)")
    parser.add_argument("--seconds", type=float, default=240.0, help="time of the whole comparison (default 240)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        _serve()
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        other = Path(scratch) / "other"
        add = ["git", "worktree", "add", "--quiet", "--detach", str(other), chosen.revision]
        if subprocess.run(add, cwd=ROOT, stderr=subprocess.DEVNULL).returncode:
            parser.error(f"`revision` must be a commit, found {chosen.revision!r}.")
        try:
            _compare(other, chosen.only, chosen.seconds)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(other)], cwd=ROOT, check=False)
    return 0


def _compare(other: Path, only: list[str] | None, seconds: float) -> None:
    from gradsurgery.core.discovery import available

    sides = {"other": _start(other), "today": _start(ROOT)}
    methods = only or available("aggregators")
    plan = [f"{case} {tasks} {method}" for case, tasks in WHERE for method in methods]
    times: dict[str, dict[str, list[float]]] = {one: {side: [] for side in sides} for one in plan}
    end, shuffle, rounds = time.monotonic() + seconds, random.Random(0), 0
    while time.monotonic() < end or rounds < 4:
        for one in plan:
            order = list(sides)
            shuffle.shuffle(order)
            for side in order:
                times[one][side].append(_ask(sides[side], one))
        rounds += 1
    rows = []
    for one in plan:
        pairs = zip(times[one]["today"][1:], times[one]["other"][1:], strict=True)  # the first round warms up
        ratios = [a / b for a, b in pairs]
        low, _, high = quantiles(ratios, n=4)
        rows.append([one, f"{median(times[one]['today']):.2f}", f"{median(ratios):.3f}", f"{low:.3f} to {high:.3f}"])
    print(table(["case, tasks, method", "cpu ms", "ratio", "middle half"], rows))
    print(f"{rounds} rounds, load {os.getloadavg()[0]:.2f}")


def _start(tree: Path) -> subprocess.Popen[str]:
    """This file, on the library of `tree`."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.against", "--serve", "-"], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _ask(side: subprocess.Popen[str], what: str) -> float:
    assert side.stdin is not None
    assert side.stdout is not None
    side.stdin.write(what + "\n")
    side.stdin.flush()
    return float(json.loads(side.stdout.readline()))


def _serve() -> None:
    """Answers `case tasks method` with the milliseconds of CPU time of a step, until standard input ends."""
    import torch

    from benchmarks.cases import CASES, Training
    from gradsurgery import GradientSurgery, build

    torch.set_num_threads(1)
    steps: dict[str, Any] = {}

    def made(case: str, tasks: str, method: str) -> Any:
        training = Training(CASES[case], int(tasks))
        surgery = GradientSurgery(training.shared, build(method, **REQUIRED.get(method, {})), seed=0)

        def step() -> None:
            training.optimizer.zero_grad()
            surgery.backward(training.forward()[1])
            training.optimizer.step()

        return step

    for line in sys.stdin:
        if line not in steps:
            steps[line] = made(*line.split())
        begin, count = time.process_time(), 0
        while time.process_time() - begin < 0.05 or count < 3:
            steps[line]()
            count += 1
        print(1000 * (time.process_time() - begin) / count, flush=True)


if __name__ == "__main__":
    sys.exit(main())

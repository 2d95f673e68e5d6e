"""Runs every configuration on the CPU and on the pretend device, and prints how often each step makes the host wait.

  python -m tests.device                     the table
  python -m tests.device gcond rules/ -s     of these alone, with the lines of the source that read

Columns: reads of the host in a step that is diagnosed, in one that is not, in what a rule does at the end of its epoch
and in the evaluation of one split; copies to the device in an ordinary step; the largest difference from the numbers of
the CPU, relative as `compare` says.
"""

import argparse
import copy
import json
import os
import sys
import traceback
import warnings
from typing import Any

import numpy as np
import torch

from gradsurgery.core.learner import Learner
from tests.arms import INSTALLED
from tests.device import pretend
from tests.device.configurations import CONFIGURATIONS, learner

# Numbers are compared relative to their size and this: a deviation of equal vectors is the square root of rounding.
_FLOOR = {"deviation": 1.0}
_USUAL_FLOOR = 1e-3


def outcome(run: Learner) -> dict[str, np.ndarray]:
    """All numbers that a run has left behind, by name."""
    found = {f"network.{name}": value for name, value in run.network.state_dict().items() if torch.is_tensor(value)}
    found |= {f"balancer.{name}": value.detach() for name, value in run.balancer_parameters.items()}
    numbers = {name: value.cpu().double().numpy() for name, value in found.items()}
    for kind, rows in (("epoch", run.epochs), ("diagnosed", run.diagnostics), ("observed", run.instruments.rows)):
        for i, row in enumerate(rows):
            numbers |= {f"{kind}{i}.{name}": np.array(value, float) for name, value in row.items()}
    numbers |= {f"scores{i}": np.array(scores, float) for i, scores in enumerate(run.instruments.scores)}
    return numbers | {"counters": np.array([run.step_count, run.skipped_steps, run.backward_passes], float)}


def watched_epoch(run: Learner) -> dict[str, Any]:
    """One epoch: for every step [whether it is the first, which is diagnosed; reads; uploads], then what came after."""
    found: dict[str, Any] = {"steps": [], "evaluations": []}
    evaluate, marks = run.problem.evaluate, [0, 0]

    def spent() -> list[int]:
        now = [pretend.reads.total(), pretend.uploads.total()]
        since = [new - old for new, old in zip(now, marks, strict=True)]
        marks[:] = now
        return since

    def step(metrics: Any) -> None:
        found["steps"].append([not found["steps"], *spent()])

    def judged(*arguments: Any) -> Any:
        found.setdefault("end", spent()[0])
        metrics = evaluate(*arguments)
        found["evaluations"].append(spent()[0])
        return metrics

    run.problem.evaluate = judged  # type: ignore[method-assign]
    spent()
    run.epoch(step)
    return found


def compare(name: str, device: torch.device) -> dict[str, Any]:
    """What became of one configuration; `error` and its `place` alone where it does not run."""
    on_cpu = learner(CONFIGURATIONS[name], "cpu")
    on_cpu.epoch()
    pretend.reads.clear()
    pretend.uploads.clear()
    try:
        run = learner(CONFIGURATIONS[name], device)
        found = watched_epoch(run)
        found["reads"] = dict(pretend.reads)
        again = learner(CONFIGURATIONS[name], device)
        again.load_state_dict(copy.deepcopy(run.state_dict()))
    except Exception as error:  # whatever went wrong is what the test is to say
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/gradsurgery/" in f.filename]
        place = [f"{f.filename.rpartition('/gradsurgery/')[2]}:{f.lineno}" for f in frames[-1:]]
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}", "place": place}
    theirs, ours, resumed = outcome(on_cpu), outcome(run), outcome(again)
    found["on_device"] = {p.device.type for p in run.network.parameters()} == {device.type}
    found["same_names"] = list(theirs) == list(ours) == list(resumed)
    found["resumes"] = all(np.array_equal(ours[key], resumed[key], equal_nan=True) for key in ours)
    found["differs"] = {}
    for key in theirs.keys() & ours.keys():
        if not np.array_equal(theirs[key], ours[key], equal_nan=True):
            size = np.abs(theirs[key]) + _FLOOR.get(key.rpartition(".")[2], _USUAL_FLOOR)
            found["differs"][key] = float(np.max(np.abs(theirs[key] - ours[key]) / size))
    return found


def row(name: str, found: dict[str, Any]) -> str:
    if "error" in found:
        return f"{name:40} {found['error'][:100]} {found['place']}"
    diagnosed = max(reads for first, reads, _ in found["steps"] if first)
    ordinary = [(reads, uploads) for first, reads, uploads in found["steps"] if not first] or [(0, 0)]
    reads, uploads = (max(column) for column in zip(*ordinary, strict=True))
    worst = max(found["differs"].values(), default=0.0)
    return f"{name:40} {diagnosed:9} {reads:8} {found['end']:3} {max(found['evaluations']):5} {uploads:7}   {worst:.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.device", description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="only configurations whose name holds one of these")
    parser.add_argument("-s", "--sites", action="store_true", help="print which lines of the source read")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of other people's solvers
    device = pretend.set_up()
    there = [name for name, run in CONFIGURATIONS.items() if INSTALLED or not run.problem.startswith("metaworld")]
    names = [name for name in there if not chosen.parts or any(part in name for part in chosen.parts)]
    outcomes = {name: compare(name, device) for name in names}
    if chosen.json:
        print(json.dumps(outcomes))
    else:
        print(f"{'configuration':40} diagnosed ordinary end split uploads   difference")
        for name, found in outcomes.items():
            print(row(name, found))
            if chosen.sites:
                print(
                    "".join(f"    {count:5} {site}\n" for site, count in sorted(found.get("reads", {}).items())), end=""
                )
    sys.stdout.flush()
    os._exit(0)  # torch does not end its thread for a device of Python's when the interpreter does, and aborts


if __name__ == "__main__":
    main()

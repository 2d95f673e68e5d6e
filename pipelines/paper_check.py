"""`make paper-check`: does every experiment of scale paper run at its full size? Two steps of each, and what they take.

Network, inputs, batch and method are those of the paper's run; the data are random numbers in the form of its data
(data/sizes.yaml), so that no licence and no download is needed. Lines that run the same code on the same sizes are one
kind, and one of each kind is run: where a step takes more than 20 seconds, one of each family of methods on a network.
Each has a process of its own, one at a time, with a time limit and what memory is free; the largest come last. On a
GPU where there is one. What was run is not run again: an interrupted check goes on. Results go to
reports/paper_check.jsonl, which `make plan SCALE=paper` reads, and as a table to reports/paper_check.md.

Examples:
    python -m pipelines.paper_check                     what is not there yet
    python -m pipelines.paper_check nyuv2-pcgrad        this line, whatever is there
    python -m pipelines.paper_check --again             all of them
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil

from pipelines import _paper
from pipelines._blocks import unknown
from pipelines._device import asked_device
from pipelines._params import Experiment, Params, complain, load_or_exit
from pipelines._pool import PRELOADED
from pipelines._steps import LONG_S, Task, take
from pipelines._watchdog import end_with_parent

LIMIT_S = 900  # of one line, by default
_LAST = ("segnet", "split_segnet", "dense_segnet", "cross_stitch", "separate", "mtan")  # the largest last


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when every line that was asked for runs, 1 when one does not, 2 for a wrong input."""
    arguments = _arguments(argv)
    params = load_or_exit(scale="paper")
    for name in arguments.names:
        if name not in params.experiments:
            return complain(unknown("line", name, params.experiments))
    try:
        device = asked_device(None, params.compute, "paper")
        found = {} if arguments.again else _paper.read()
    except ValueError as error:
        return complain(error)
    failed = 0
    for line in sorted(params.experiments.values(), key=_turn):
        if line.name not in arguments.names if arguments.names else _known(line, found):
            continue
        record = _paper.labelled(line, _measured(line, params, device, arguments.limit))
        found[record["kind"]] = record
        failed += record["state"] != "ok"
        _paper.write(found)
        print(f"{line.name}: {_paper.said(record)}", flush=True)
    print(f"paper-check: {len(found)} kinds of lines are there, {failed} of those that were run now do not run")
    return 1 if failed else 0


def _turn(line: Experiment) -> tuple[int, bool]:
    """The largest last; what papers are about before what it is compared with, as it stands for others."""
    name = line.declaration["settings"]["network"]["name"]
    return _LAST.index(name) + 1 if name in _LAST else 0, line.role.kind != "study"


def _known(line: Experiment, found: dict[str, Any]) -> bool:
    """Whether its kind is there, or one near it that takes long."""
    if _paper.kind(line) in found:
        return True
    near = _paper.near(line)
    return any(own["near"] == near and own.get("seconds", 0.0) > LONG_S for own in found.values())


def _measured(line: Experiment, params: Params, device: str, limit: float) -> dict[str, Any]:
    """What a process of its own found of a line, or why it found nothing."""
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        multiprocessing.set_forkserver_preload([*PRELOADED, "pipelines._steps"])
    source = line.declaration.get("evidence")
    task = Task(line, params.problems[line.problem], params.datasets, source and params.experiment(source))
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_begin, args=(task, device, theirs), daemon=True)
    began = time.perf_counter()
    process.start()
    theirs.close()
    try:
        ended = ours.poll(limit)
        found: dict[str, Any] = ours.recv() if ended else {"state": f"not done after {limit:.0f} seconds"}
    except EOFError:
        process.join()
        found = {"state": f"ended with exit code {process.exitcode}"}
    finally:
        process.kill()
        process.join()
    return found | {"whole": round(time.perf_counter() - began, 1)}


def _begin(task: Task, device: str, pipe: Any) -> None:
    """In the new process: no more memory than is free, so that others on this machine keep theirs."""
    end_with_parent()
    if device == "cpu" and sys.platform != "win32":
        import resource  # which Windows has not

        free = psutil.virtual_memory().available
        resource.setrlimit(resource.RLIMIT_DATA, (free, free))
    try:
        found = {"state": "ok", **take(task, device)}
        if not found.pop("finite"):
            found["state"] = "a loss is not finite"
    except Exception as error:  # whatever it is, it is what this is for
        found = {"state": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    pipe.send(found)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.paper_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="line", help="lines of params.yaml (default: one of every kind)")
    parser.add_argument("--again", action="store_true", help="run also what was run")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of one line (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

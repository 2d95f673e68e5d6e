"""`make paper-check`: does every experiment of scale paper run at its full size? Two steps of each, and what they take.

Network, inputs and method are those of the paper's run; the data are random numbers in the form of its data
(data/sizes.yaml), so that no licence and no download is needed. On a GPU where there is one, with the paper's batch; a
CPU takes less of a large one, and what a step takes is reckoned from it (`pipelines/_steps.py`). Lines that run the
same code on the same sizes are one kind, and one of each kind is run; on a CPU, where a step is very long, one of each
method on a network. Each has a process of its own, as many at once as there are cores (one on a GPU), with a time limit
and its part of the free memory; the largest come last, and what did not run beside others, or when it was asked last,
once more alone. What ran is not run again: an interrupted check goes on. Results go to reports/paper_check.jsonl, which
`make plan SCALE=paper` reads, and as a table to reports/paper_check.md.

Examples:
    python -m pipelines.paper_check                     what is not there yet
    python -m pipelines.paper_check nyuv2-pcgrad        this line, whatever is there
    python -m pipelines.paper_check --again             all of them
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from pipelines import _paper
from pipelines._blocks import unknown
from pipelines._device import asked_device
from pipelines._jobs import asked, jobs
from pipelines._params import Experiment, Params, complain, load_or_exit
from pipelines._pool import PRELOADED
from pipelines._steps import Task, take
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
        found = {} if arguments.again else _paper.current(_paper.read(), params.experiments.values())
        places = jobs(asked("JOBS", arguments.jobs)) if device == "cpu" else 1
    except ValueError as error:
        return complain(error)
    began = time.perf_counter()
    lines = [line for line in params.experiments.values() if not arguments.names or line.name in arguments.names]
    failed = dict[str, Experiment]()

    def wanted(line: Experiment) -> bool:
        return bool(arguments.names) or not _paper.known(line, found)

    def heard(line: Experiment, measured: dict[str, Any]) -> None:
        record = _paper.labelled(line, measured)
        found[record["kind"]] = record
        failed.pop(line.name, None)
        if record["state"] != "ok":
            failed[line.name] = line
        _paper.write(found, _paper.missing(params.experiments.values(), found))
        print(f"{line.name}: {_paper.said(record)}", flush=True)

    again = [] if arguments.names else _not_running(lines, found)
    queue = sorted(lines, key=_turn)
    _share_out(queue, wanted, heard, params, device, places, arguments.limit)
    if places > 1:  # what did not run beside others, for their memory or time, has the machine to itself
        again += [line for line in failed.values() if line not in again]
    _share_out(again, lambda line: True, heard, params, device, 1, arguments.limit)
    print(
        f"paper-check: {len(found)} kinds of lines are there, {len(failed)} of those that were run now do not run; "
        f"{(time.perf_counter() - began) / 60:.1f} minutes"
    )
    return 1 if failed else 0


def _not_running(lines: Iterable[Experiment], found: Mapping[str, Mapping[str, Any]]) -> list[Experiment]:
    """The first line of every kind that did not run when it was asked last, be it for want of memory or by a fault."""
    first = {_paper.kind(line): line for line in reversed(list(lines))}
    return [first[kind] for kind, own in found.items() if own["state"] != "ok" and kind in first]


def _turn(line: Experiment) -> tuple[int, bool]:
    """The largest last; what papers are about before what it is compared with, as it stands for others."""
    name = line.declaration["settings"]["network"]["name"]
    return _LAST.index(name) + 1 if name in _LAST else 0, line.role.kind != "study"


def _share_out(
    lines: Sequence[Experiment],
    wanted: Callable[[Experiment], bool],
    heard: Callable[[Experiment, dict[str, Any]], None],
    params: Params,
    device: str,
    places: int,
    limit: float,
) -> None:
    """Each line that is wanted in its turn, in a process of its own, so many at once: what it found, or why nothing."""
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        multiprocessing.set_forkserver_preload([*PRELOADED, "pipelines._steps"])
    waiting = list(reversed(lines))
    memory = psutil.virtual_memory().available // places
    running: dict[Connection, tuple[Any, Experiment, float]] = {}
    try:
        while waiting or running:
            later = list[Experiment]()  # a kind that runs now is known then
            while waiting and len(running) < places:
                if not wanted(line := waiting.pop()):
                    continue
                if _paper.kind(line) in {_paper.kind(own) for _, own, _ in running.values()}:
                    later.append(line)
                    continue
                source = line.declaration.get("evidence")
                task = Task(line, params.problems[line.problem], params.datasets, source and params.experiment(source))
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_begin, args=(task, device, memory, theirs), daemon=True)
                running[ours] = process, line, time.perf_counter()
                process.start()
                theirs.close()
            waiting += reversed(later)
            ended = wait(list(running), timeout=0.2)
            for pipe, (process, line, began) in list(running.items()):
                spent = time.perf_counter() - began
                if pipe in ended or spent > limit:
                    found = _told(pipe, process) if pipe in ended else {"state": f"not done after {limit:.0f} seconds"}
                    del running[pipe]
                    process.kill()
                    process.join()
                    heard(line, found | {"whole": round(spent, 1)})
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def _told(pipe: Connection, process: Any) -> dict[str, Any]:
    """What a process says it found, or how it ended without."""
    try:
        found: dict[str, Any] = pipe.recv()
    except EOFError:
        process.join()
        found = {"state": f"ended with exit code {process.exitcode}"}
    return found


def _begin(task: Task, device: str, memory: int, pipe: Any) -> None:
    """In the new process: no more memory than its part of what is free, so that others on this machine keep theirs."""
    end_with_parent()
    if device == "cpu" and sys.platform != "win32":
        import resource  # which Windows has not

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    try:
        found = {"state": "ok", **take(task, device)}
        if not found.pop("finite"):
            found["state"] = "a loss or gradient is not finite"
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
    parser.add_argument("--jobs", help="lines at once on a CPU (default: one a core)")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of one line (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

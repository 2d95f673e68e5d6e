"""Processes over the places of a machine: one for every task, so many at once, none outliving this one.

A process of its own costs a task milliseconds, as the standard library's fork server has imported torch before; and it
gives every task its own peak of memory.
"""

import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

import torch

from pipelines._jobs import jobs, whole
from pipelines._watchdog import end_with_parent

PRELOADED = ["pipelines._run", "torch._dynamo"]  # torch's optimisers import the latter when the first one is made


class Task(Protocol):
    """What a process is started for."""

    @property
    def name(self) -> str: ...


Tell = Callable[[str, Any], None]
Work = Callable[[Any, str, Tell], None]  # a task, its place, and whom it tells; picklable


class EndedError(RuntimeError):
    """A process ended before its task did."""


def share_out(tasks: Sequence[Task], places: Sequence[str], work: Work, heard: Callable[[Any, str, Any], None]) -> None:
    """Does all tasks in order, one at a time on each place; on a single place in this process.

    Args:
        tasks: in the order in which they begin.
        places: devices, each as often as tasks may run on it at once.
        work: what is done with one task.
        heard: gets, in this process, what tasks tell: the task, the name of the event, its contents; at last "done".

    Raises:
        ValueError, OSError: as one of the tasks did; the others are ended.
        EndedError: a process was killed, or failed after saying why.
    """
    if len(places) == 1:
        for task in tasks:
            work(task, places[0], functools.partial(heard, task))
            heard(task, "done", None)
        return
    os.environ["OMP_NUM_THREADS"] = "1"  # read as numpy and torch are imported, in the processes to come
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        multiprocessing.set_forkserver_preload(PRELOADED)
    waiting, free = list(reversed(tasks)), list(reversed(places))
    running: dict[Connection, tuple[Any, Task, str]] = {}
    try:
        while waiting or running:
            while waiting and free:
                task, place = waiting.pop(), free.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_begin, args=(work, task, place, theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = process, task, place
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                process, task, place = running[pipe]
                try:
                    name, content = pipe.recv()
                except EOFError:
                    process.join()
                    del running[pipe]
                    if process.exitcode:
                        raise EndedError(f"{task.name} ended with exit code {process.exitcode}.") from None
                    heard(task, "done", None)
                    free.append(place)
                    continue
                if name == "refused":
                    raise content
                heard(task, name, content)
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def places_on(device: str, asked: str | None, per_gpu: str | None) -> list[str]:
    """The places of a machine: so many times the CPU, or its GPUs by turns.

    Args:
        device: "cpu", "cuda" for all GPUs, or "cuda:1" for one of them.
        asked: `--jobs`; on GPUs at most as many as have a place there.
        per_gpu: `--per-gpu`, by default 1.

    Raises:
        ValueError: what is no number of processes, or more than there are places.
    """
    if not device.startswith("cuda"):
        if per_gpu is not None:
            raise ValueError(f"`--per-gpu` must stand with GRADSURGERY_DEVICE=cuda, found the device {device!r}.")
        return ["cpu"] * jobs(asked)
    chosen = [device] if ":" in device else [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    each = 1 if per_gpu is None else whole("--per-gpu", per_gpu)
    there = len(chosen) * each
    count = jobs(asked, there)
    if count > there:
        raise ValueError(f"`--jobs` must be at most {there} ({each} on each of {len(chosen)} GPUs), found {count}.")
    return [chosen[i % len(chosen)] for i in range(count)]


def _begin(work: Work, task: Task, place: str, pipe: Any) -> None:
    """In the new process, which ends when the one that started it does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for all: the one that started this says what it means
    end_with_parent()
    try:
        work(task, place, lambda name, content: pipe.send((name, content)))
    except (ValueError, OSError) as error:
        pipe.send(("refused", error))

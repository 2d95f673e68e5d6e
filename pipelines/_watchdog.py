"""No orphans: a stage ends when whoever started it has ended, however that happened.

A signal to `dvc` alone does not reach the stage below it, which would go on for hours and write its outputs.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import psutil

DRIVER = "GRADSURGERY_DRIVER"  # the environment variable by which `pipelines.repro` says who it is


def signature() -> str:
    """This process as `DRIVER` names it: its number, and when it began, as numbers come again."""
    own = psutil.Process()
    return f"{own.pid}@{own.create_time()}"


def drivers() -> list[psutil.Process]:
    """Whoever started this process: `dvc repro`, and `make repro` above it. Empty for a start by hand.

    Ends this process when `make repro` ended before it began: DVC, left alone, would go through all stages.
    """
    found = [parent for parent in psutil.Process().parents() if _is_dvc(parent)]
    if said := os.environ.get(DRIVER):
        number, began = said.split("@")
        try:
            driver = psutil.Process(int(number))
            same = abs(driver.create_time() - float(began)) < 1.0 and _alive(driver)
        except psutil.NoSuchProcess:
            same = False
        if not same:
            sys.exit(143)
        found.append(driver)
    return found


def end_with(processes: Sequence[psutil.Process]) -> None:
    """Ends this process soon after one of `processes` has ended, however it ended, so that nobody trains on unseen."""

    def watch() -> None:
        while all(_alive(process) for process in processes):
            time.sleep(1.0)
        os._exit(143)

    if processes:
        threading.Thread(target=watch, daemon=True, name="watchdog").start()


def end_with_parent() -> None:
    """In a process that was started: ends it when the one that started it has ended, however that did."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(143)

    threading.Thread(target=watch, daemon=True, name="watchdog").start()


@contextmanager
def workers(count: int, method: str) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that end when this one does, however it ended; at Ctrl-C without a word.

    Args:
        count: of processes.
        method: how they are started: "fork" or "spawn".

    Raises:
        ValueError: one of them ended before its task did.
    """
    try:
        with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context(method), initializer=_mortal) as pool:
            yield pool
    except BrokenProcessPool:
        raise ValueError(
            f"a process of {count} ended unexpectedly, as where memory runs out: GRADSURGERY_JOBS=1 does one thing at "
            "a time."
        ) from None


def _mortal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what there is to say, the process that started this one says
    end_with_parent()


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return "dvc" in {Path(word).name for word in process.cmdline()[:3]}
    except psutil.Error:
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

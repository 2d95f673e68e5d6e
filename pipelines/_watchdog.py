"""No orphans: a trainer ends when whoever started it has ended, however that happened.

A signal to `dvc` alone does not reach the training below it, which would go on for hours and write its outputs.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


def drivers(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Whoever started `process`, or this one: what `make repro` names, and `dvc repro`. Empty for a start by hand."""
    found = []
    if named := os.environ.get("GRADSURGERY_DRIVER_PID"):
        try:
            found.append(psutil.Process(int(named)))
        except psutil.NoSuchProcess:
            print(
                f"error: process {named}, which `GRADSURGERY_DRIVER_PID` names, has ended.", file=sys.stderr, flush=True
            )
            os._exit(143)
        except (ValueError, OverflowError):
            print(f"warning: `GRADSURGERY_DRIVER_PID` must be a process, found {named!r}: ignored.", file=sys.stderr)
    for parent in (process or psutil.Process()).parents():
        try:
            if any(Path(word).name == "dvc" for word in parent.cmdline()[:2]):
                found.append(parent)
        except psutil.Error:
            continue
    return found


def end_with(processes: Sequence[psutil.Process]) -> None:
    """Ends this process soon after one of `processes` has ended, however it ended, so that nobody trains on unseen."""

    def watch() -> None:
        while all(_alive(process) for process in processes):
            time.sleep(1.0)
        os._exit(143)

    if processes:
        threading.Thread(target=watch, daemon=True, name="watchdog").start()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

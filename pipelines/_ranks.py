"""One run on several devices: the processes that `torchrun` starts, each with its part of every batch.

The first one (rank 0) does all that a training does alone: it decides what is stale, reads checkpoints, shows progress,
writes. The others are told each run as it begins and train it alongside, so that all have the same runs in the same
order. After every epoch their states must be equal to the bit.
"""

import functools
import io
import os
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
import torch.distributed as dist

from gradsurgery.core.discovery import find
from gradsurgery.core.learner import Learner
from gradsurgery.core.processes import several
from gradsurgery.core.shards import check_divisible
from pipelines._arrays import hashes_of
from pipelines._checkpoints import resume
from pipelines._fingerprint import joined
from pipelines._params import Experiment
from pipelines._pool import EndedError, Tell
from pipelines._watchdog import end_with

if TYPE_CHECKING:
    from pipelines._run import Run

_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_WAIT_S = 5.0  # a process that failed gives the first one this long to say the same, which ends it


def started() -> bool:
    """Whether `torchrun` started this process as one of several."""
    return (os.environ.get("WORLD_SIZE") or "1") != "1" and all(os.environ.get(name) for name in _TOLD)


def leads() -> bool:
    """Whether this process decides, shows and writes: the only one, or the first of several."""
    return not several() or dist.get_rank() == 0


def refuse(arguments: Namespace) -> None:
    """Raises ValueError for options of `pipelines.train` that share out runs, or make none."""
    for name in ("cluster", "jobs", "per_gpu", "dry", "plan"):
        if told := getattr(arguments, name) or os.environ.get(f"GRADSURGERY_{name.upper()}"):
            raise ValueError(
                f"`--{name.replace('_', '-')}` must be left out under torchrun, whose processes train the runs "
                f"together, one after another, found {told}."
            )


def begin(device: str, lines: Iterable[Experiment]) -> list[str]:
    """In the first process: meets the others; its own place. Raises ValueError for what they cannot train together.

    Args:
        device: "cpu", or "cuda", of which every process takes the GPU of its local rank.
        lines: those that are wanted.
    """
    count = int(os.environ["WORLD_SIZE"])
    if ":" in device:
        raise ValueError(f"`--device` must be cpu or cuda under torchrun, found {device!r}.")
    for line in lines:
        rule, problem = find("rules", line.declaration["rule"]["name"]), find("problems", line.declaration["module"])
        try:
            check_divisible(problem, rule, count)
            if (size := line.declaration["settings"].get("batch_size", count)) < count:
                raise ValueError(f"`batch_size` must be at least the number of processes, {count}, found {size}.")
        except ValueError as error:
            raise ValueError(f"{line.name}: {error}") from None
    place = _place(device)
    _meet()
    return [place]


def share_out(
    tasks: Sequence["Run"], places: Sequence[str], work: Callable[..., None], heard: Callable[[Any, str, Any], None]
) -> None:
    """As `_pool.share_out`: the runs one after another, each by all processes together."""
    for task in tasks:
        try:
            _broadcast((task, places[0].partition(":")[0]))
            work(task, places[0], functools.partial(heard, task))
        except RuntimeError as error:
            if not _lost(error):
                raise
            raise EndedError(f"{task.name}: another of its processes ended.") from None
        heard(task, "done", None)


def end() -> None:
    """In the first process, if there are others: lets them go."""
    if several():
        _broadcast(None)
        dist.destroy_process_group()


def follow(work: Callable[["Run", str, Tell], None]) -> int:
    """In every other process: trains alongside the first one until that is done; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is to be said here
    try:
        _meet()
        while (told := _broadcast(None)) is not None:
            run, device = told
            folder = Path("data/processed") / run.experiment.problem
            if joined(hashes_of(folder, {})) != run.data_sha256:
                raise ValueError(f"{folder.resolve()} must hold the arrays of the first process, found others.")
            work(run, _place(device), lambda *_: None)
        dist.destroy_process_group()
    except (ValueError, OSError) as error:
        time.sleep(_WAIT_S)
        print(f"error: rank {os.environ['RANK']} on {socket.gethostname()}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not _lost(error):
            raise
        return 1
    return 0


def resumed(path: Path, fingerprint: str, make: Callable[[], Learner]) -> tuple[Learner, float]:
    """As `_checkpoints.resume`; of several processes the first one reads the checkpoint, and the others take its state.

    Returns:
        The learner, and the seconds spent on it.
    """
    learner, spent = resume(path, fingerprint, make) if leads() else (make(), 0.0)
    if several():
        body = io.BytesIO()
        if learner.epochs:
            torch.save(learner.state_dict(), body)
        state, spent = _broadcast((body.getvalue(), spent))
        if state and not leads():
            learner.load_state_dict(torch.load(io.BytesIO(state), weights_only=True, map_location=learner.device))
    return learner, spent


def _meet() -> None:
    """Joins the others; ends with whoever started this process, however that ended."""
    starter = psutil.Process().parent()
    end_with([] if starter is None else [starter])
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")


def _place(device: str) -> str:
    if device == "cpu":
        return device
    local, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= count:
        raise ValueError(
            f"`--nproc-per-node` must be at most the GPUs of a machine, {count}, found rank {local} there."
        )
    torch.cuda.set_device(local)
    return f"cuda:{local}"


def _broadcast(own: Any) -> Any:
    """What the first process has."""
    told = [own]
    dist.broadcast_object_list(told, 0, device=torch.device("cpu"))
    return told[0]


def _lost(error: RuntimeError) -> bool:
    """Whether it says that another process is gone, rather than that something is wrong here."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()

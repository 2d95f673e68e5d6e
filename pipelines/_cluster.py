"""Whole runs on the workers of a Dask cluster, which is started with Dask's own commands: see docs/paper_scale.md.

A worker is started in a folder with the same sources and prepared arrays as the driver's, or in that very folder, and
owns one GPU or one core. There each run has a process of its own, which ends with the worker; its result comes back
as bytes, and only the driver writes it. The run of a worker that was lost goes to another one, where it begins from
the checkpoint if the folder is the same; it comes back once, and is written once.
"""

import contextlib
import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # in a worker nothing is imported but the standard library: it is its processes that need torch
    from pipelines._device import Compute
    from pipelines._pool import Tell, Work
    from pipelines._run import Run

VARIABLE = "GRADSURGERY_CLUSTER"
_CONNECT_S = 30
_SAID_S = 5.0  # between two epochs that a run tells of while it goes on
Told = list[tuple[str, Any]]


class Cluster:
    """The workers behind the address of a Dask scheduler. Raises ValueError where there is none."""

    def __init__(self, address: str) -> None:
        from gradsurgery.core.extras import need

        try:
            need("cluster", "distributed")
        except ImportError as error:
            raise ValueError(f"`--cluster` needs a package: {error}") from None
        from distributed import Client

        try:
            self._client: Any = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            said = str(error).splitlines()[0].rstrip(".")
            raise ValueError(
                f"`--cluster` must be the address of a Dask scheduler, found {address} ({said})."
            ) from None
        if not self._client.scheduler_info()["workers"]:
            print(f"waiting for a worker at {address}", flush=True)
        self._client.wait_for_workers(1)

    def device(self, asked: str | None, compute: "Compute", scale: str) -> str:
        """What the results of its workers are known by: "cpu", or the model of a GPU, as the first one says.

        Raises ValueError where that one cannot run this code, or has no such device.
        """
        payload = pickle.dumps((_device, (asked, compute, scale)))
        try:
            name: str = self._client.submit(remote, payload, pure=False).result()[1]
        except (ValueError, OSError):
            raise
        except Exception as error:  # whatever a worker without our code says
            raise ValueError(
                "`--cluster` must have workers that `python -m dask worker` started in a folder of this checkout, "
                f"found {type(error).__name__} from one."
            ) from None
        return name

    def share_out(
        self, tasks: Sequence["Run"], places: Sequence[str], work: "Work", heard: Callable[[Any, str, Any], None]
    ) -> None:
        """As `_pool.share_out`, on the workers; `places` are theirs. What tasks told is heard when they are done.

        While they go on, only "seen" is heard: an epoch's row, now and then. After an interrupt workers end the runs
        that they have begun.
        """
        from pipelines._files import write
        from pipelines._pool import EndedError

        client, topic = self._client, f"gradsurgery-{uuid.uuid4().hex}"
        heap: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client.subscribe_topic(topic, lambda event: heap.put(event[1]))
        futures = {}
        for number, task in enumerate(tasks):
            payload = pickle.dumps((_trained, (work, task)))
            future = client.submit(
                remote, payload, topic, number, key=f"{topic}-{number}", priority=-number, pure=False
            )
            futures[future] = task
            future.add_done_callback(heap.put)
        left = len(futures)
        try:
            while left:
                event = heap.get()
                if isinstance(event, tuple):
                    heard(tasks[event[0]], "seen", event[1])
                    continue
                task, left = futures[event], left - 1
                try:
                    told, result = event.result()
                except (ValueError, OSError):
                    raise
                except Exception as error:  # its own process was killed, or one worker after another
                    raise EndedError(f"{task.name}: {error}.") from None
                write({Path("runs") / task.experiment.name / f"seed-{task.seed}.json": result})
                for name, content in [*told, ("done", None)]:
                    heard(task, name, content)
                event.release()
        finally:
            client.unsubscribe_topic(topic)
            client.cancel(list(futures))


def remote(payload: bytes, topic: str | None = None, number: int = 0) -> tuple[Told, Any]:
    """In a worker: calls what was pickled in a process of its own; what it told, and what it returned.

    Raises what it raised, and RuntimeError where it was ended.
    """
    from distributed import get_worker

    path = os.pathsep.join(filter(None, [str(Path("src").resolve()), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pipelines._cluster"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    told: Told = []
    said = 0.0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(payload)
        process.stdin.flush()  # and stays open: the process ends when it is closed, however this one ended
        with contextlib.suppress(EOFError):
            while True:
                name, content = pickle.load(process.stdout)
                if name == "refused":
                    raise content
                if name == "returned":
                    return told, content
                told.append((name, content))
                if name == "epoch" and topic is not None and time.monotonic() - said > _SAID_S:
                    said = time.monotonic()
                    get_worker().log_event(topic, (number, {"row": content["row"], "of": content["of"]}))
        process.wait()
    raise RuntimeError(f"its process ended with exit code {process.returncode}")


def _device(asked: str | None, compute: "Compute", scale: str, tell: "Tell") -> str:
    from pipelines._device import asked_device, name_of

    return name_of(asked_device(asked, compute, scale))


def _trained(work: "Work", run: "Run", tell: "Tell") -> bytes:
    """The result of one run in this folder. Raises ValueError where its arrays or its device are not the driver's."""
    from pipelines._arrays import hashes_of
    from pipelines._device import device_for, fingerprint_on
    from pipelines._fingerprint import joined

    bare, _, model = run.fingerprint.partition("@")
    place = "cuda" if model else "cpu"
    folder = Path("data/processed") / run.experiment.problem
    if joined(hashes_of(folder, {})) != run.data_sha256:
        raise ValueError(f"{folder.resolve()} on {socket.gethostname()} must hold the driver's arrays, found others.")
    if fingerprint_on(bare, device_for(run.experiment.declaration, place)) != run.fingerprint:
        raise ValueError(f"`--cluster` must have workers of one kind, {model or 'cpu'}, found {socket.gethostname()}.")
    work(run, place, tell)
    return (Path("runs") / run.experiment.name / f"seed-{run.seed}.json").read_bytes()


def _main() -> None:
    """The process of one call: what to do comes in on stdin, what it tells goes out on what was stdout."""
    with os.fdopen(os.dup(1), "wb") as channel:
        os.dup2(2, 1)  # what is printed is no part of it
        call, arguments = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_end_with_worker, daemon=True).start()

        def tell(name: str, content: Any) -> None:
            channel.write(pickle.dumps((name, content)))
            channel.flush()

        try:
            tell("returned", call(*arguments, tell))
        except (ValueError, OSError) as error:
            tell("refused", error)


def _end_with_worker() -> None:
    sys.stdin.buffer.read()
    os._exit(143)


if __name__ == "__main__":
    _main()

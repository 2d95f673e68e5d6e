"""Spares trainers their start: one process imports torch, and forks for every training that asks it to.

Importing torch, and what its optimisers pull in, takes about three seconds of each `python -m pipelines.train`. Under
`make repro`, on Linux, a process started once has done that; a training hands it its arguments, device, standard
output and standard error, and waits for the exit code. Whoever finds no such process, or one whose sources have
changed since, starts by itself, with the same result.

This file is read before torch is: it imports nothing slow.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

ADDRESS = "GRADSURGERY_WARM"  # environment: the name of the socket, in Linux's abstract namespace
_ACCEPTED, _REFUSED = b"y", b"n"
_OWN = ("GRADSURGERY_DEVICE", "CUDA_VISIBLE_DEVICES")  # environment: the driver gives each trainer its own
Sources = list[tuple[str, int, int]]


def handed_over(arguments: Sequence[str]) -> int | None:
    """The exit code of `pipelines.train` with these arguments, run by the warm process; None if nobody took it."""
    if not (name := os.environ.get(ADDRESS)):
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect("\0" + name)
            own = {name: os.environ[name] for name in _OWN if name in os.environ}
            order = json.dumps([os.getcwd(), list(arguments), own]).encode()
            socket.send_fds(connection, [order], [1, 2])
            if connection.recv(1) != _ACCEPTED:
                return None
        except OSError:
            return None
        code = connection.recv(1)
    if not code:
        print("error: the trainer was killed.", file=sys.stderr)
    return code[0] if code else 1


def main() -> None:
    """Serves until standard input ends. An interrupt ends it and its forks at once, also during an import that would
    swallow the exception: there is nothing to save, as checkpoints appear whole."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + sys.argv[1])
        listener.listen()  # who comes now waits
        loaded = _sources()
        import torch._dynamo  # noqa: F401 torch's optimisers import it when the first one is made

        import pipelines.train  # noqa: F401

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children tell the client themselves
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if _user(connection) != os.getuid() or _sources() != loaded:
                    connection.sendall(_REFUSED)
                elif os.fork() == 0:
                    listener.close()
                    _train(connection)


def _train(connection: socket.socket) -> None:
    """In the fork: the training, its exit code to the client, and the end of this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        order, streams, _, _ = socket.recv_fds(connection, 2**16, 2)
        connection.sendall(_ACCEPTED)
        folder, arguments, own = json.loads(order)
        os.chdir(folder)
        for name in _OWN:
            os.environ.pop(name, None)
        os.environ |= own
        for stream, number in zip(streams, (1, 2), strict=True):
            os.dup2(stream, number)
            os.close(stream)
        code = _run(arguments, _client(connection))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code]))
        os._exit(code)


def _run(arguments: list[str], client: int) -> int:
    import psutil

    from pipelines import train
    from pipelines._watchdog import drivers, end_with

    asking = psutil.Process(client)
    end_with([asking, *drivers(asking)])
    return train.main(arguments)


def _sources() -> Sources:
    """What this process has imported, or would have, as it lies in the working folder now."""
    files = [path for folder in ("pipelines", "src") for path in sorted(Path(folder).rglob("*.py"))]
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files]


def _client(connection: socket.socket) -> int:
    return _credentials(connection)[0]


def _user(connection: socket.socket) -> int:
    return _credentials(connection)[1]


def _credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of the other side, as the kernel knows them."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, group = struct.unpack("3i", found)
    return process, user, group


if __name__ == "__main__":
    main()

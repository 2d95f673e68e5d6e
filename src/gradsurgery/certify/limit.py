"""A time limit on what somebody else's method takes, on every platform and beside any other timer."""

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 20  # times the limit, on the clock: for what waits for something that never comes
_LOOK = 0.1  # seconds between two looks


class Late(BaseException):
    """The time is over. No Exception, or a method's own `except Exception` would swallow it and go on."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises Late in this thread when the process has computed for so long, at the next step of Python: a solver that
    hangs inside compiled code is waited for. By the clock, a loaded machine would give other answers than a quiet one;
    SIGALRM is missing on Windows, and is pytest-timeout's."""
    here, done = threading.get_ident(), threading.Event()

    def watch() -> None:
        computed, clock = time.process_time(), time.monotonic()
        while not done.wait(_LOOK):
            if time.process_time() - computed > seconds or time.monotonic() - clock > PATIENCE * seconds:
                _throw(here, ctypes.py_object(Late))
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        _throw(here, None)  # thrown but not yet raised: takes it back


def _throw(thread: int, what: object) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)

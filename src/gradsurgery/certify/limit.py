"""A time limit on what somebody else's method takes, on every platform and beside any other timer."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Late(BaseException):
    """The time is over. No Exception, or a method's own `except Exception` would swallow it and go on."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises Late in this thread when the time is over, at the next step of Python: a solver that hangs inside compiled
    code is waited for. SIGALRM would do no better, is missing on Windows, and is pytest-timeout's."""
    here = threading.get_ident()
    timer = threading.Timer(seconds, _throw, (here, ctypes.py_object(Late)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        _throw(here, None)  # thrown but not yet raised: takes it back


def _throw(thread: int, what: object) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)

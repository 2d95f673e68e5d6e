"""The other side of a certificate within a time limit: the process in which the method is called."""

import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from gradsurgery.certify.declared import first_direction
from gradsurgery.certify.matrices import pasted
from gradsurgery.certify.search import ALL, chosen, examine
from gradsurgery.certify.subject import Subject

_ORPHAN = 60.0  # seconds more, after which a process that hangs ends by itself


def serve(
    link: Connection, make: Callable[[], Subject], names: list[str], examples: int, seed: int, limit: float, trial: bool
) -> None:
    """Answers one property after the other, and says at which J it is before it calls the method."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        subject = make()
        wanted = [each.name for each in chosen(subject, names)]
        if trial:
            link.send(("trial", subject.name))
            with _mortal(limit):
                first_direction(subject)
    except (ValueError, ImportError, OSError) as error:
        link.send(("wrong", str(error)))
        return
    link.send(("names", wanted))
    known = {each.name: each for each in ALL}
    while True:
        try:
            name = link.recv()
        except EOFError:  # the parent has gone
            return
        with _mortal(limit):
            found = examine(subject, known[name], examples, seed, lambda so_far, J: link.send((so_far, pasted(J))))
        link.send((found, None))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _mortal(limit: float) -> Iterator[None]:
    """Ends this process where it hangs in compiled code and has no parent any more: that needs no step of Python."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        faulthandler.dump_traceback_later(limit + _ORPHAN, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

"""A certificate of a method that may hang: it is called in a process of its own, which is ended wherever it is."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gradsurgery.certify.search import Finding
from gradsurgery.certify.serving import serve
from gradsurgery.certify.subject import Subject

LIMIT = 30.0  # seconds for each property
_TRIAL = 10.0  # at least so many for the very first direction, for which a method may have to compile something


def certify_within(
    limit: float, make: Callable[[], Subject], names: Iterable[str] = (), examples: int = 60, seed: int = 0,
    told: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:  # fmt: skip
    """`certify` with a time limit: a property that takes longer has `no answer`, and the rest goes on.

    The method lives in another process, which is killed when the time is over, also where it hangs in compiled code; no
    signal is needed, so that this works on every system. A script that calls it does so below
    `if __name__ == "__main__":`, as always with processes.

    Args:
        limit: seconds on the clock for each property, from the method's first call on.
        make: makes the subject over there: anything that can be pickled, such as `partial(subject, "my_mod:fn",
            trial=False)`.
        names: of properties; none for all.
        examples: J that are tried for each.
        seed: of the search.
        told: called with each finding as it comes.

    Raises:
        ValueError: what `subject` and `certify` refuse; a method that gives no direction for the plainest J in time;
            a limit that is no positive number.
    """
    with Limited(limit, make, names, examples, seed) as limited:
        found = []
        for name in limited.names:
            found.append(limited.finding(name))
            told(found[-1])
    return found


class Limited:
    """A certificate within a time limit, one property at a time; as a context, it ends its process.

    Args and errors are those of `certify_within`, without `told`.

    Attributes:
        names: of the properties that it can be asked for.
    """

    def __init__(
        self, limit: float, make: Callable[[], Subject], names: Iterable[str] = (), examples: int = 60, seed: int = 0
    ) -> None:
        if not 0.0 < limit < float("inf"):
            raise ValueError(f"`limit` must be a positive number of seconds, found {limit}.")
        self._another = lambda names, trial: _Worker(make, names, examples, seed, limit, trial)
        self._worker = self._another(list(names), True)
        self.names: tuple[str, ...] = tuple(self._worker.names)

    def __enter__(self) -> "Limited":
        return self

    def __exit__(self, *of_what: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process in which the method lives, wherever it is; whoever asks again starts another."""
        self._worker.close()
        self._worker.over = "closed"

    def finding(self, name: str) -> Finding:
        """What the search says of this property; where the last one had no answer, in a new process."""
        if self._worker.over:
            self._worker.close()
            self._worker = self._another([name], False)
        return self._worker.finding(name)


class _Worker:
    """The process that calls the method, seen from here.

    Attributes:
        names: of the properties that it is to be asked for.
        over: why it says nothing any more; None as long as it does.
    """

    def __init__(
        self, make: Callable[[], Subject], names: list[str], examples: int, seed: int, limit: float, trial: bool
    ) -> None:
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":
            multiprocessing.set_forkserver_preload(["gradsurgery.certify"])
        self.over: str | None = None
        self._limit = limit
        self._link, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, make, names, examples, seed, limit, trial))
        self._process.start()
        theirs.close()
        try:
            self.names = self._ready()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._link.close()

    def finding(self, name: str) -> Finding:
        """The answer for one property, or that there is none in time."""
        try:
            return self._finding(name)
        except BaseException:  # what it says next is no answer to another question
            self.over = "interrupted"
            raise

    def _finding(self, name: str) -> Finding:
        with suppress(ConnectionError):  # it has ended since, which is heard below
            self._link.send(name)
        last, at, since = None, None, None
        while (heard := self._hear(self._limit, since)) is not None:
            last, at = heard
            if at is None:
                return last
            if since is None:  # here the method is called for the first time
                since = time.monotonic()
        if last is None:
            raise RuntimeError(f"{name}: {self.over}.")
        if last.verdict == "fails":  # it hangs at a J that might have been smaller still
            return last
        return replace(last, verdict="no answer", counterexample=at, note=f"{self.over}, after {last.tried} J")

    def _ready(self) -> list[str]:
        """Its imports may take as long as they take."""
        kind, said = self._hear() or ("over", "the method")
        if kind == "trial":
            kind, said = self._hear(max(self._limit, _TRIAL), time.monotonic()) or ("over", f"`{said}`")
        if kind == "names":
            return list(said)
        raise ValueError(said if kind == "wrong" else f"{said} must return a direction, found {self.over}.")

    def _hear(self, limit: float = 0.0, since: float | None = None) -> Any:
        """What it says next; None, and it is `over`, if it says nothing within the limit `since` then, or has ended."""
        try:
            if self._link.poll(None if since is None else max(0.0, since + limit - time.monotonic())):
                return self._link.recv()
            self.over = f"no answer within {limit:g} s"
        except (EOFError, ConnectionError):
            self._process.join()
            self.over = f"that its process ended with exit code {self._process.exitcode}"
        return None

"""What a training shows while it runs: one bar on a terminal, else a line now and then."""

import math
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from pipelines._run import Run

SECONDS = 2.0  # between two lines


class Progress:
    """Of several runs at once: which one, its seed, epoch and loss, how many are done, and the time left for all.

    Args:
        expected: seconds of each run, as far as known; what is not known counts as a usual one.
        later: seconds, as far as known, of the runs that come after these.
    """

    def __init__(self, expected: Mapping[Run, float], later: float = 0.0) -> None:
        self._later = later
        usual = statistics.median([s for s in expected.values() if math.isfinite(s)] or [1.0])
        self._weights = {run: seconds if math.isfinite(seconds) else usual for run, seconds in expected.items()}
        self._shares = dict.fromkeys(expected, 0.0)
        self._done = 0
        self._first: dict[Run, float] = {}  # what a run had done before this process
        self._started = self._said = time.monotonic()
        self._bar = tqdm(total=len(expected), unit="run", smoothing=0) if sys.stderr.isatty() else None

    def epoch(self, run: Run, row: Mapping[str, Any], epochs: int) -> None:
        """Takes the row of one epoch."""
        done = int(row["epoch"])
        self._first.setdefault(run, (done - 1) / epochs)
        self._shares[run] = done / epochs
        losses = [
            value for name, value in row.items()
            if name.startswith("train.") and name.endswith(".loss") and value is not None
        ]  # fmt: skip
        loss = f"{sum(losses) / len(losses):.3f}" if losses else "-"
        self._say(f"{run.name} epoch {done}/{epochs} loss {loss}")

    def done(self, run: Run) -> None:
        """Counts a run."""
        self._shares[run] = 1.0
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def left(self) -> float:
        """Seconds until all is done, what comes later too, as expected and as fast as runs have been here."""
        whole = sum(weight * (1.0 - self._first.get(run, 0.0)) for run, weight in self._weights.items())
        here = sum(weight * (self._shares[run] - self._first.get(run, 0.0)) for run, weight in self._weights.items())
        return (time.monotonic() - self._started) * (whole - here + self._later) / here if here > 0.0 else math.inf

    def _say(self, what: str) -> None:
        seconds = self.left()
        left = f"left {seconds:.0f} s" if math.isfinite(seconds) else "time left not known yet"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{what}, {left}")
        elif time.monotonic() - self._said >= SECONDS:
            self._said = time.monotonic()
            print(f"{what}, {self._done} of {len(self._shares)} runs done, {left}", flush=True)

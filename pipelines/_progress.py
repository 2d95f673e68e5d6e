"""What a training shows while it runs."""

import sys
import time

from tqdm import tqdm

from gradsurgery.core.interfaces import Metrics


class Progress:
    """A bar per seed on a terminal, else one line per epoch: experiment, seed, epoch, loss, time left."""

    def __init__(self, name: str, epochs: int, done: int, place: int) -> None:
        self._name, self._epochs, self._place = name, epochs, place
        self._done = done
        self._started, self._first = time.monotonic(), done
        self._bar = (
            tqdm(total=epochs, initial=done, desc=name, position=place, unit="epoch") if sys.stderr.isatty() else None
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, metrics: Metrics) -> None:
        """Shows the loss of the step just taken."""
        if self._bar is not None and (losses := [v for n, v in metrics.items() if n.endswith(".loss")]):
            self._bar.set_postfix(loss=f"{sum(losses) / len(losses):.3f}", refresh=False)
            self._bar.update(0)

    def epoch(self, row: Metrics) -> None:
        """Counts an epoch."""
        self._done += 1
        losses = [value for name, value in row.items() if name.startswith("train.") and name.endswith(".loss")]
        loss = sum(losses) / len(losses)
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self._bar.update()
            return
        left = (time.monotonic() - self._started) / (self._done - self._first) * (self._epochs - self._done)
        print(f"{self._name} epoch {self._done}/{self._epochs} loss {loss:.3f} left {left:.0f} s", flush=True)

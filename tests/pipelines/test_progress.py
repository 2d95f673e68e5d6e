"""The line of a training: what runs, how far it is, and the time left for all runs by what they usually take."""

from types import SimpleNamespace

import pytest

from pipelines import _progress
from pipelines._progress import Progress


class Named:
    """In the place of a run."""

    def __init__(self, name):
        self.name = name


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now.seconds)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    return now


def test_the_time_left_is_that_of_all_runs(clock, capsys):
    long, short, resumed = (Named(f"{name} seed 0") for name in ("long", "short", "resumed"))
    progress = Progress({long: 30.0, short: 10.0, resumed: 20.0})
    assert progress.left() == float("inf")
    clock.seconds += 15.0
    progress.epoch(long, {"epoch": 1, "train.a.loss": 2.0, "train.b.loss": 1.0, "val.a.loss": 9.0}, 2)
    assert capsys.readouterr().out == "long seed 0 epoch 1/2 loss 1.500, 0 of 3 runs done, left 45 s\n"
    clock.seconds += 1.0
    progress.done(short)
    progress.epoch(long, {"epoch": 2, "train.a.loss": None}, 2)
    assert capsys.readouterr().out == "", "a line now and then"
    clock.seconds += 4.0
    progress.epoch(resumed, {"epoch": 4, "train.a.loss": None}, 4)  # three were done before
    assert progress.left() == 0.0
    assert capsys.readouterr().out == "resumed seed 0 epoch 4/4 loss -, 1 of 3 runs done, left 0 s\n"

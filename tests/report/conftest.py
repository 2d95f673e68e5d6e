"""What parts of the report write into."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from matplotlib.figure import Figure

from gradsurgery.report.output import Output


class Undrawn(Executor):
    """Keeps the figures and draws none, which is what takes the time."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future:
        self.figures.append(given[0])
        return Future()


@pytest.fixture
def out() -> Output:
    return Output(Undrawn())

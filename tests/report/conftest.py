"""What parts of the report write into."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from gradsurgery.report.output import Output


class Undrawn(Executor):
    """Takes figures and draws none, which is what takes the time."""

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Future:
        return Future()


@pytest.fixture
def out() -> Output:
    return Output(Undrawn())

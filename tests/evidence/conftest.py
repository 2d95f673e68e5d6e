"""Lines of made-up histories."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.history import Role, parse
from gradsurgery.evidence.lines import Line

Make = Callable[..., Line]


@pytest.fixture
def line(made_up: Callable[..., dict]) -> Make:
    def build(method: str, shift: float = 0.0, epochs: int = 4, role: Role | None = None, **transform: object) -> Line:
        records = [made_up("p", method, seed, shift, epochs) for seed in range(4)]
        for record in records:
            record["declaration"]["transform"] = {"name": "identity"} | transform
        runs = parse([json.dumps(record) for record in records], method)
        return Line([dataclasses.replace(run, role=role or run.role) for run in runs], "last")

    return build

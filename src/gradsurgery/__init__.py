"""Gradient surgery for multi-task learning: methods of seven papers, a per-task gradient engine, and the evidence."""

from typing import Any

from gradsurgery.core import discovery
from gradsurgery.core.interfaces import Method
from gradsurgery.core.surgery import GradientSurgery

__all__ = ["GradientSurgery", "available", "build"]
__version__ = "0.1.0"  # the only place: pyproject.toml reads it


def build(name: str, **fields: Any) -> Method:
    """Constructs an aggregation method by name: `build("pcgrad", order="fixed")`.

    Raises:
        ValueError: unknown name (the known ones are listed), unknown field, or a value that the field does not admit.
    """
    method: Method = discovery.build("aggregators", name, **fields)
    return method


def available() -> list[str]:
    """Names of all aggregation methods."""
    return discovery.available("aggregators")

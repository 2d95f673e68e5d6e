"""Gradient surgery for multi-task learning: methods of seven papers, a per-task gradient engine, and the evidence."""

from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.integrations.torchjd import from_torchjd
from gradsurgery.matrix import aggregate, diagnose
from gradsurgery.methods import as_torchjd, available, build

__all__ = ["GradientSurgery", "aggregate", "as_torchjd", "available", "build", "diagnose", "from_torchjd"]
__version__ = "0.1.0"  # the only place: pyproject.toml reads it

"""torchjd's own aggregators, as methods of ours. The other way is `gradsurgery.as_torchjd`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.aggregators import torchjd as adapter
from gradsurgery.core.interfaces import State

_HALF = (torch.float16, torch.bfloat16)
_NAMES = {name: method for method, name in adapter._CLASSES.items()}


def from_torchjd(aggregator: Any) -> "FromTorchJD":
    """An aggregator of torchjd, one of its own or one of yours that subclasses it, as a method for `GradientSurgery`.

    Where torchjd has the method under a name of its own, `build("torchjd", method="upgrad")` does without the object.

    Raises:
        ImportError: torchjd is not installed.
        TypeError: no aggregator of torchjd.
        ValueError: one that remembers what cannot be saved: of torchjd's stateful ones Nash-MTL and GradVac can.
    """
    package = adapter._package()
    if not isinstance(aggregator, package.Aggregator):
        raise TypeError(f"`aggregator` must be an aggregator of torchjd, found {aggregator!r}.")
    method = _NAMES.get(type(aggregator).__name__, "")
    if any(hasattr(part, "reset") for part in aggregator.modules()) and method not in ("nash_mtl", "gradvac"):
        raise ValueError(
            "`aggregator` must remember nothing, or be NashMTL or GradVac, whose memory can be saved, found "
            f"{type(aggregator).__name__}."
        )
    return FromTorchJD(method, aggregator=aggregator)


@dataclass(frozen=True)
class FromTorchJD(adapter.TorchJD):
    """torchjd's object behind our interface; memory by task is kept as `TorchJD` keeps it.

    torchjd draws from torch's global generators: those are seeded from ours for the call and put back.

    Args:
        method: its name among `TorchJD`'s, or "".
        aggregator: the object; what it remembers is written into it before each call and read back after it.
    """

    aggregator: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Nothing to check: `from_torchjd` has."""

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        adapter._restore(self.method, self.aggregator, state)
        seed = int(generator.integers(2**63))
        with torch.random.fork_rng(devices=[J.device] if J.is_cuda else []), torch.no_grad():
            torch.default_generator.manual_seed(seed)
            if J.is_cuda:
                torch.cuda.manual_seed(seed)
            d = self.aggregator(J.float() if J.dtype in _HALF else J)
        return d.to(J.dtype), adapter._remember(self.method, self.aggregator)

"""What DR-MGF is told."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gradsurgery.core.run import TrainingRule

_Quirk = Literal[
    "shared_adam_state",
    "unweighted_meta_loss",
    "gate_first_call_only",
    "renormalise_private",
    "keep_buffers_between_tasks",
]
_QUIRKS = get_args(_Quirk)


@dataclass(frozen=True)
class Settings(TrainingRule):
    """The fields of `dr_mgf`, which says what they mean. Raises ValueError for values out of their range."""

    gate_epochs: int | None = None
    auxiliary: float = 0.5
    auxiliary_factors: tuple[float, ...] | None = None
    aux_policy: Literal["constant", "line_scan"] = "constant"
    own_weight: float = 10.0
    ema: float = 0.9
    meta_lr: float = 0.1
    importance_lr: float | None = None
    importance_weight_decay: float = 0.0
    order: Literal["forward", "reversed"] = "forward"
    fusion: Literal["meta", "average", "sigmoid"] = "meta"
    gate: bool = True
    compat: tuple[_Quirk, ...] = ("shared_adam_state", "unweighted_meta_loss")

    def __post_init__(self) -> None:
        if self.gate_epochs is not None and self.gate_epochs < 0:
            raise ValueError(f"`gate_epochs` must be non-negative or null, found gate_epochs = {self.gate_epochs}.")
        for name in ("auxiliary", "importance_weight_decay"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"`{name}` must be non-negative, found {name} = {value}.")
        if not all(0.0 <= factor < math.inf for factor in self.auxiliary_factors or ()):
            raise ValueError(
                f"`auxiliary_factors` must be non-negative, found auxiliary_factors = {self.auxiliary_factors}."
            )
        for name in ("own_weight", "meta_lr", "importance_lr"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive, found {name} = {value}.")
        if not 0.0 <= self.ema <= 1.0:
            raise ValueError(f"`ema` must lie between 0 and 1, found ema = {self.ema}.")
        for name, known in (
            ("aux_policy", ("constant", "line_scan")), ("order", ("forward", "reversed")),
            ("fusion", ("meta", "average", "sigmoid")),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, found {name} = {getattr(self, name)!r}.")
        if unknown := [quirk for quirk in self.compat if quirk not in _QUIRKS]:
            raise ValueError(f"`compat` must hold some of {', '.join(_QUIRKS)}, found {unknown[0]!r}.")

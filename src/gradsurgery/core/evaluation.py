"""What a problem says of a network: its metrics, and what each example contributes to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer


@dataclass(frozen=True)
class Evaluation:
    """What a problem says of a network on one split.

    Attributes:
        metrics: every metric of the problem and `<task>.loss`.
        examples: by metric what each example contributes, in the order of the split; empty where there are none.
        strata: by metric the stratum of each example, from 0, where there are several.
    """

    metrics: dict[str, float]
    examples: Mapping[str, Bool[np.ndarray, " n"] | Float[np.ndarray, " n"]] = field(default_factory=dict)
    strata: Mapping[str, Integer[np.ndarray, " n"]] = field(default_factory=dict)

"""What an engine tells of its last step, and what it carries from step to step."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from gradsurgery.core.direction import Conductor
from gradsurgery.core.gradients import SharedGradients
from gradsurgery.core.interfaces import Method, State
from gradsurgery.core.modes import Mode


class LastStep:
    """The readings of a `GradientSurgery`.

    Attributes:
        mode: how it comes by its weights, if not by J in every step, else None.
    """

    _shared: SharedGradients
    _conductor: Conductor
    mode: Mode | None

    @property
    def method(self) -> Method:
        return self._conductor.method

    @property
    def generator(self) -> np.random.Generator:
        """The method's source of randomness; may be replaced."""
        return self._conductor.generator

    @generator.setter
    def generator(self, generator: np.random.Generator) -> None:
        self._conductor.generator = generator

    @property
    def state(self) -> State | None:
        """The method's state; None makes it start anew."""
        return self._conductor.state

    @state.setter
    def state(self, state: State | None) -> None:
        self._conductor.state = state
        if self.mode is not None:
            self.mode.forget()

    @property
    def gram(self) -> Float64[np.ndarray, "K K"] | None:
        """G of the last step, or None where it was not needed, as in most steps of a `mode`."""
        return self._conductor.gram

    @property
    def weights(self) -> Float64[np.ndarray, " K"] | None:
        """w of the last step, or None for an `Aggregator` and where the step was left out."""
        return self._conductor.weights

    @property
    def gains(self) -> tuple[Float64[np.ndarray, " K"], float] | None:
        """J d and |d| of the last step, of an `Aggregator` that was diagnosed; else None."""
        return self._conductor.gains

    @property
    def parameters(self) -> list[Any]:
        """The trainable ones of `shared` as the last step found them, in the order of J's columns."""
        return self._shared.parameters

    @property
    def jacobian(self) -> Float[Tensor, "K P"]:
        """J of the last step. A view: the next step overwrites it."""
        if self._shared.J is None:
            raise RuntimeError("`jacobian` needs a backward pass per task first, found none.")
        return self._shared.J

    @property
    def direction(self) -> Float[Tensor, " P"]:
        """d of the last step. A view of the memory behind `.grad`: what clips or unscales `.grad` changes it too.

        Where `.grad` held an earlier gradient, the sum lies there and d here.
        """
        return self._shared.d

"""Numbers that must be finite for a step to be taken, asked for without making a GPU wait once more."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Witness:
    """The sum of such numbers: losses, and sums of gradients beside J.

    Attributes:
        total: of what lay on the host.
    """

    def __init__(self, total: float = 0.0) -> None:
        self.total = total
        self._elsewhere: list[Tensor] = []

    def note(self, number: Tensor) -> None:
        """Takes down one number."""
        if number.is_cpu:
            self.total += number.item()
        else:
            self._elsewhere.append(number.detach().reshape(()))

    def note_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Takes down the sums of the parameters' gradients."""
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is not None:
                numbers = gradient.coalesce().values() if gradient.is_sparse else gradient
                # The sum of half precision numbers leaves their range long before that of float32.
                self.note(numbers.sum(dtype=torch.float32 if numbers.dtype == torch.float16 else None))

    def beside(self, device: torch.device) -> Tensor | None:
        """The sum of what lay on a device, to be read together with another number there."""
        return torch.stack([number.to(device) for number in self._elsewhere]).sum() if self._elsewhere else None

"""What a method may be beside a `Weighting` or an `Aggregator`, where its state needs more than J or G."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gradsurgery.core.interfaces import State


class Tensorwise(ABC):
    """Beside `Aggregator`, for one that must know which columns of J are one parameter tensor, as trust ratios do.

    Where `tensorwise` is true the engine adds two entries to the state before every call, the first included: `sizes`,
    how many columns of J each tensor has, and `norms`, the tensors' lengths on their device. The state that comes
    out need not hold them.
    """

    @property
    @abstractmethod
    def tensorwise(self) -> bool:
        """Whether this instance, with its hyper-parameters, needs them."""


class PerTask(ABC):
    """Beside `Weighting` or `Aggregator`, for one whose state remembers tasks one by one.

    On a step without some of the tasks the engine hands in what `recall` makes of the state, as if the others did not
    exist, and keeps what `remember` makes of what comes out: the memory of an absent task waits. A method without it
    is handed its whole state, which must then hold nothing that depends on K.
    """

    @abstractmethod
    def recall(self, state: State, tasks: Sequence[int], num_tasks: int) -> State:
        """The state of `tasks` (ascending, of `num_tasks`) alone; what belongs to no task may be the same tensor."""

    @abstractmethod
    def remember(self, state: State | None, part: State, tasks: Sequence[int], num_tasks: int) -> State:
        """The state of all tasks: `part` for `tasks`, `state` (None before the first call) for the others.

        Tensors of `state` may be written into: it is not used again.
        """

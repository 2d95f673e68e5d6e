"""What a line of the table is there for. params.yaml declares it, every history carries it, no name is read for it.

study           a method under study
baseline        what methods are held against
control         one ingredient taken away or exchanged: held against the method that has it, `of`
placebo         treats gradients at random where `of` treats them with reason
null            trains as `of` does to the bit, and measures what chance gives
repeat          `of` once more on its seeds: the noise floor
equal_compute   `base` with as many passes over the data as `of` takes
search          a run that only scores layers, for the line `of`
floor           a model that shares nothing between the tasks: what `of` has to beat
"""

import dataclasses
from typing import Any

ALONE = ("study", "baseline")  # kinds that are there for themselves
COPIES = ("repeat", "null")  # train as another line does to the bit: neither to be compared nor counted by Holm
KINDS = (*ALONE, *COPIES, "control", "placebo", "equal_compute", "search", "floor")


@dataclasses.dataclass(frozen=True)
class Role:
    """The role of one line.

    Attributes:
        kind: one of `KINDS`.
        of: the method of the same problem that the line is there for; None where it is there for itself.
        base: the method that a line of equal compute lengthens; None for every other kind.
    """

    kind: str
    of: str | None = None
    base: str | None = None

    def record(self) -> dict[str, str]:
        """As a history holds it: what it says, and nothing of what it does not."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def read_role(where: str, value: Any) -> Role:
    """The role in `value`, a block with a `kind` and what that kind needs.

    Raises:
        ValueError: an unknown kind, or `of` or `base` where they are missing, out of place or no names.
    """
    kind = value.get("kind") if isinstance(value, dict) else value
    if not isinstance(value, dict) or kind not in KINDS:
        raise ValueError(f"`{where}.kind` must be one of {', '.join(KINDS)}, found {kind!r:.80}.")
    wanted = [] if kind in ALONE else ["of", "base"] if kind == "equal_compute" else ["of"]
    for name in wanted:
        if not isinstance(value.get(name), str):
            raise ValueError(f"`{where}.{name}` must name a line for kind {kind}, found {value.get(name)!r:.80}.")
    if unknown := sorted(set(value) - {"kind", *wanted}):
        fields = ", ".join(["kind", *wanted])
        raise ValueError(f"`{where}.{unknown[0]}` is no field of kind {kind}; its fields are: {fields}.")
    return Role(**value)

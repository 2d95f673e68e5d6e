"""Five random streams per seed, so that using one more number in one place never moves another place.

Each stream is seeded from the pair (seed, name) through numpy's `SeedSequence`, which is made to keep such streams
statistically apart; `crc32` turns the name into a number that is the same in every process and on every machine.
Data order, augmentation and a method's own draws are numpy Philox generators: their state is a small dictionary, and
the global generators of torch, numpy and Python are never touched. Only "init" is torch's: networks draw from it.
"""

import zlib
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch

from gradsurgery.core.plain import from_plain, to_plain


def philox(seed: int, name: str) -> np.random.Generator:
    """The generator of one named stream of one seed."""
    if not isinstance(seed, Integral):
        raise TypeError(f"`seed` must be a whole number, found seed = {seed!r}.")
    if seed < 0:
        raise ValueError(f"`seed` must be non-negative, found seed = {seed}.")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


class Generators:
    """The named generators of one run.

    Attributes:
        split: cuts the training set (validation split, subsets).
        init: initial weights; the only torch generator.
        order: order of the training examples.
        augmentation: random changes to training examples.
        transform: what a transform of the network draws (such as which layers, or the weights of copies).
        method: everything a balancer or an aggregation method draws (such as PCGrad's task order).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.split = philox(seed, "split")
        self.order = philox(seed, "order")
        self.augmentation = philox(seed, "augmentation")
        self.transform = philox(seed, "transform")  # over when training starts, hence in no checkpoint
        self.method = philox(seed, "method")
        # 63 bits: torch takes signed seeds only.
        self.init = torch.Generator().manual_seed(int(philox(seed, "init").integers(2**63)))

    def state_dict(self) -> dict[str, Any]:
        """Where each stream stands, as `torch.load` reads it by default."""
        numpy = {name: to_plain(generator.bit_generator.state) for name, generator in self._numpy().items()}
        return {"init": self.init.get_state(), **numpy}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts each stream back to where `state_dict` found it."""
        self.init.set_state(state["init"].cpu())  # a checkpoint read onto a GPU has it there
        for name, generator in self._numpy().items():
            generator.bit_generator.state = from_plain(state[name])

    def _numpy(self) -> dict[str, np.random.Generator]:
        return {"split": self.split, "order": self.order, "augmentation": self.augmentation, "method": self.method}

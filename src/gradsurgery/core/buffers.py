"""BatchNorm's statistics, and every other buffer of a network, as they were before a forward pass."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Buffers:
    """Keeps a copy of a network's buffers. Both ways cost one call for each dtype, however many buffers there are.

    Args:
        network: on the device where it stays; its buffers must be changed in place, as torch's own modules do.
    """

    def __init__(self, network: nn.Module) -> None:
        groups = defaultdict(list)
        for buffer in network.buffers():
            groups[buffer.dtype].append(buffer)
        self._groups: list[tuple[list[Tensor], list[Tensor]]] = [
            (own, [torch.empty_like(buffer) for buffer in own]) for own in groups.values()
        ]

    @torch.no_grad()
    def keep(self) -> None:
        for now, kept in self._groups:
            torch._foreach_copy_(kept, now)

    @torch.no_grad()
    def put_back(self) -> None:
        for now, kept in self._groups:
            torch._foreach_copy_(now, kept)


@contextlib.contextmanager
def kept_buffers(network: nn.Module) -> Iterator[None]:
    """For forward passes that only look."""
    buffers = Buffers(network)
    buffers.keep()
    yield
    buffers.put_back()

"""BatchNorm over several processes: with each one's own statistics, unless they are averaged."""

import logging
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_log = logging.getLogger(__name__)


class SharedBatchNorm(nn.SyncBatchNorm):
    """torch's own on a GPU; on the CPU, which that one refuses, the same by sums over all processes.

    Statistics are those of the whole batch, however it is divided, and so are the gradients through them: in every
    backward pass all processes must differentiate the same task.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        over = [0, *range(2, input.ndim)]
        ones = torch.full((1,), input.numel() / input.shape[1], dtype=input.dtype)
        *sums, count = _summed(torch.cat([input.sum(over), ones])).split([input.shape[1], 1])
        mean = sums[0] / count
        centred = input - _channels(mean, input.ndim)
        variance = _summed(centred.square().sum(over)) / count
        if self.track_running_stats:
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            rate = 1.0 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(variance * (count / (count - 1.0)), rate)
        found = centred * _channels((variance + self.eps).rsqrt(), input.ndim)
        if self.weight is None:
            return found
        return found * _channels(self.weight, input.ndim) + _channels(self.bias, input.ndim)


def of_processes(network: nn.Module, synchronised: bool) -> None:
    """For a network that several processes train: shares the statistics of every BatchNorm, or says that it does not.

    Modules keep their names, parameters and buffers. One that is no plain BatchNorm, such as a frozen one, is left.
    """
    found = [
        (module, name, own) for module in network.modules() for name, own in module.named_children()
        if type(own) in _KINDS
    ]  # fmt: skip
    if synchronised:
        for module, name, own in found:
            shared = SharedBatchNorm.convert_sync_batchnorm(own)
            shared.__class__ = SharedBatchNorm
            setattr(module, name, shared)
    elif found and dist.get_rank() == 0:
        _log.warning(
            "BatchNorm normalises with the statistics of each process's own part of a batch: %d modules; the setting "
            "`learner.sync_batchnorm` takes those of the whole batch.", len(found)
        )  # fmt: skip


class _Sum(torch.autograd.Function):
    """The sum over all processes, which differentiates as such."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return _summed(slope)


def _summed(own: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(own)
    return total


def _channels(values: Tensor, ndim: int) -> Tensor:
    return values.reshape(-1, *(1,) * (ndim - 2))

"""MSDNet: a densely connected network on several scales at once, with classifiers along its depth."""

import itertools

import torch
from torch import nn

from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._scales import MultiScale, unit


class MSDNet(MultiScale):
    """A multi-scale dense network for small pictures, whose tasks are its exits.

    Source: Huang et al. 2018 (ICLR, arXiv 1703.09844), CIFAR form; the defaults are those of Meta-GF's and DR-MGF's
    CIFAR-100 experiments (7 exits, base 4, step 2, growth 16, 16 channels, factors 1-2-4).

    Scale s halves the picture s times and has factor 2^s; layers and exits are those of `MultiScale`.

    Args:
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        base: layers before the first exit.
        step: layers between two exits.
        growth: channels a layer adds to the finest scale.
        width: channels of the finest scale at first.
        scales: number of scales.
        channels: of the pictures.
        stride: of the first convolution; 2 halves pictures at once, which makes the whole network four times as cheap.
        exit_width: channels of the convolutions of an exit.

    Departures:
        1. Convolutions whose outcome no exit reads are not built; at the default sizes there are none.
    """

    finer_first, nested = False, True

    def __init__(
        self,
        num_tasks: int = 7,
        num_classes: int = 100,
        base: int = 4,
        step: int = 2,
        growth: int = 16,
        width: int = 16,
        scales: int = 3,
        channels: int = 3,
        stride: int = 1,
        exit_width: int = 128,
    ):
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "base": (base, 1), "step": (step, 1),
            "growth": (growth, 2), "width": (width, 1), "scales": (scales, 1), "channels": (channels, 1),
            "stride": (stride, 1), "exit_width": (exit_width, 1),
        })  # fmt: skip
        factors = [2**s for s in range(scales)]
        counts = [width * factor for factor in factors]
        stem = [unit(channels, width, 3, stride), *(unit(*pair, 3, 2) for pair in itertools.pairwise(counts))]
        super().__init__(stem, counts, factors, growth, base, step, num_tasks, num_classes, exit_width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def kept(self, channels: int, factor: int) -> int:
        return channels // 2

"""MSDNet for large pictures: as `msdnet`, with four scales, another beginning and other exits."""

import itertools
import math

import torch
from torch import nn

from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._scales import MultiScale, unit


class MSDNetImageNet(MultiScale):
    """A multi-scale dense network for pictures of 224 x 224, whose tasks are its exits.

    Source: Huang et al. 2018 (ICLR, arXiv 1703.09844), ImageNet form in the sizes that papers on multi-exit training
    compare on: 5 exits, base 4, step 4, growth 16, 32 channels, factors 1-2-4-4. Up to exits 1 to 5 it has 4.24, 8.77,
    13.07, 16.75 and 23.96 million parameters, all exits before included.

    A 7 x 7 convolution of stride 2 and max pooling make the finest scale, convolutions of stride 2 the others; layers
    and exits, which keep the channels of what they read, are those of `MultiScale`.

    Args:
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        base, step: layers before the first exit, and between two.
        growth: channels a layer adds to a scale of factor 1; even.
        width: channels of a scale of factor 1 at first.
        factors: of channels and bottlenecks, one for each scale, finest first.

    Departures:
        1. Convolutions whose outcome no exit reads are not built; at the default sizes there are none.
    """

    finer_first, nested = True, False

    def __init__(
        self, num_tasks: int = 5, num_classes: int = 1000, base: int = 4, step: int = 4, growth: int = 16,
        width: int = 32, factors: tuple[int, ...] = (1, 2, 4, 4),
    ):  # fmt: skip
        if not factors or min(factors) < 1 or max(factors) > 100:
            raise ValueError(f"`factors` must be numbers from 1 to 100, one for each scale, found factors = {factors}.")
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "base": (base, 1), "step": (step, 1),
            "growth": (growth, 2), "width": (width, 2),
        })  # fmt: skip
        counts = [width * factor for factor in factors]
        first = nn.Sequential(*unit(3, counts[0], 7, 2), nn.MaxPool2d(3, 2, 1))
        stem = [first, *(unit(*pair, 3, 2) for pair in itertools.pairwise(counts))]
        super().__init__(stem, counts, factors, growth, base, step, num_tasks, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def kept(self, channels: int, factor: int) -> int:
        return channels // (2 * factor) * factor

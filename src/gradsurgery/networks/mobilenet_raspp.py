"""MobileNetV2 with a small pyramid of pooling, and one small dense head per task."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._mobile import mobilenet_v2

_MEAN, _SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # by which pictures of pre-trained trunks are standardised
_LOW, _LOW_CHANNELS, _HIGH_CHANNELS = 4, 24, 320  # layers up to a quarter of the size; channels there, and at the end


class MobileNetRASPP(Network):
    """Pictures in [0, 1] to one map a task.

    Source: Recon (arXiv 2302.11289) on PASCAL-Context, after ASTMT (Maninis et al. 2019, arXiv 1904.08918): MobileNetV2
    at output stride 16 and R-ASPP (Sandler et al. 2018, arXiv 1801.04381): a 1 x 1 convolution and the mean over the
    picture through another, put together by a third, all of `width` channels. These, all shared, have 1,927,168
    parameters at width 128: 7.35 MB, the third part of how much less one network takes than four in Recon's Table 4.

    Args:
        outputs: channels of each task's map.
        width: channels of R-ASPP.

    Departures:
        1. Recon's code for it was not released, and what a head is not said. Here it adds a 1 x 1 convolution of
           R-ASPP's outcome, made larger, to one of what the trunk has at a quarter of the size: Recon's heads have some
           180,000 parameters in all by the same table, these some 5,000.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, outputs: tuple[int, ...] = (21, 7, 1, 3), width: int = 128):
        super().__init__()
        if not outputs or min(outputs) < 1:
            raise ValueError(f"`outputs` must name at least one channel for each task, found outputs = {outputs}.")
        check_sizes({"width": (width, 1), "outputs": (max(outputs), 1)})
        self.trunk = mobilenet_v2(16)
        self.near = _unit(_HIGH_CHANNELS, width)
        self.mean_of_all = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_unit(_HIGH_CHANNELS, width))
        self.joined = _unit(2 * width, width)
        self.high_heads = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in outputs)
        self.low_heads = nn.ModuleList(nn.Conv2d(_LOW_CHANNELS, channels, 1) for channels in outputs)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1))
        self.register_buffer("sd", torch.tensor(_SD).view(3, 1, 1))

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        layers = list(self.trunk)  # one by one, as torch.fx takes no part of a Sequential for a module
        low = (inputs - self.mean) / self.sd
        for layer in layers[:_LOW]:
            low = layer(low)
        high = low
        for layer in layers[_LOW:]:
            high = layer(high)
        near = self.near(high)
        whole = self.mean_of_all(high).expand_as(near)
        joined = self.joined(torch.cat([near, whole], dim=1))
        found = []
        for high_head, low_head in zip(self.high_heads, self.low_heads, strict=True):
            at_low = interpolate(high_head(joined), size=low.shape[2:], mode="bilinear") + low_head(low)
            found.append(interpolate(at_low, size=inputs.shape[2:], mode="bilinear"))
        return tuple(found)

    def shared_parameters(self) -> list[nn.Parameter]:
        shared = [self.trunk, self.near, self.mean_of_all, self.joined]
        return [p for module in shared for p in module.parameters()]


def _unit(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())

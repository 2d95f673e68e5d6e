"""Trunks of MobileNetV2 and V3-Small, whose blocks are wide inside and narrow between each other."""

from collections.abc import Iterator
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

# Kernel, channels inside and after, whether squeezed and excited, whether with hard swish, and stride of every block.
_V3_SMALL = (
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1), (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1), (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip
# Factor of widening, channels after, number and first stride of the blocks of every stage.
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v3_small(channels: int = 3) -> nn.Sequential:
    """Pictures (n, channels, h, w) to features (n, 576, h / 32, w / 32); 927,008 parameters at three channels.

    Source: Howard et al. 2019 (arXiv 1905.02244), in torchvision's sizes.
    """
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1, bias=False), norm(16), nn.Hardswish())]
    before = 16
    for kernel, inner, after, squeezed, hard, stride in _V3_SMALL:
        act = nn.Hardswish if hard else nn.ReLU
        layers.append(_Block(before, inner, after, kernel, stride, 1, act, norm, squeezed))
        before = after
    layers.append(nn.Sequential(nn.Conv2d(before, 576, 1, bias=False), norm(576), nn.Hardswish()))
    return _drawn(nn.Sequential(*layers))


def mobilenet_v2(output_stride: int = 32) -> nn.Sequential:
    """Pictures (n, 3, h, w) to features (n, 320, h / stride, w / stride); 1,811,712 parameters.

    Source: Sandler et al. 2018 (arXiv 1801.04381), without its last 1 x 1 convolution, which serves classification. At
    `output_stride` 16 the last halving is left out and the convolutions behind it are dilated by 2 instead.
    """
    first = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
    return _drawn(nn.Sequential(first, *_v2_blocks(output_stride)))


def _drawn(trunk: nn.Sequential) -> nn.Sequential:
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return trunk


def _v2_blocks(output_stride: int) -> Iterator[nn.Module]:
    before, reached, dilation = 32, 2, 1
    for factor, after, number, first in _V2:
        for index in range(number):
            stride = first if index == 0 else 1
            now = dilation
            if stride == 2 and reached == output_stride:
                stride, dilation = 1, 2 * dilation
            reached *= stride
            yield _Block(before, factor * before, after, 3, stride, now if index == 0 else dilation, nn.ReLU6,
                         nn.BatchNorm2d, False)  # fmt: skip
            before = after


class _Block(nn.Module):
    """Wider by a 1 x 1 convolution, a depthwise one, perhaps squeeze and excitation, narrower by a 1 x 1 convolution;
    around it a shortcut where the shape stays."""

    def __init__(
        self, before: int, inner: int, after: int, kernel: int, stride: int, dilation: int, act: type[nn.Module],
        norm: "type[nn.BatchNorm2d] | partial[nn.BatchNorm2d]", squeezed: bool,
    ):  # fmt: skip
        super().__init__()
        wide = [nn.Conv2d(before, inner, 1, bias=False), norm(inner), act()] if inner != before else []
        padding = dilation * (kernel - 1) // 2
        self.branch = nn.Sequential(
            *wide,
            nn.Conv2d(inner, inner, kernel, stride, padding, dilation, groups=inner, bias=False), norm(inner), act(),
            *([_Squeeze(inner)] if squeezed else []),
            nn.Conv2d(inner, after, 1, bias=False), norm(after),
        )  # fmt: skip
        self.adds = stride == 1 and before == after

    def forward(self, inputs: Float[Tensor, "batch before height width"]) -> Tensor:
        out = self.branch(inputs)
        return out + inputs if self.adds else out


class _Squeeze(nn.Module):
    """Every channel times a share that depends on the means of all channels (squeeze and excitation)."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(8, (channels // 4 + 4) // 8 * 8)
        inner += 8 * (inner < 0.9 * (channels / 4))  # to a multiple of 8 that is no tenth less, as the source has it
        self.shares = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Tensor:
        return inputs * self.shares(inputs)

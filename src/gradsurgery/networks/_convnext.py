"""The trunk of ConvNeXt-tiny."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_WIDTHS, _DEPTHS = (96, 192, 384, 768), (3, 3, 9, 3)
_EPS, _SCALE = 1e-6, 1e-6  # of normalisation; what a branch weighs at first


def convnext_tiny(channels: int = 3) -> nn.Sequential:
    """Pictures (n, channels, h, w) to features (n, 768, h / 32, w / 32); 27,818,592 parameters at three channels.

    Source: Liu et al. 2022 (arXiv 2201.03545). Departure: no branch is dropped at random, as those draws would come
    from no generator of the run.
    """
    layers: list[nn.Module] = [nn.Conv2d(channels, _WIDTHS[0], 4, 4), _Norm(_WIDTHS[0])]
    before = _WIDTHS[0]
    for width, depth in zip(_WIDTHS, _DEPTHS, strict=True):
        if width != before:
            layers += [_Norm(before), nn.Conv2d(before, width, 2, 2)]
        layers += [_Block(width) for _ in range(depth)]
        before = width
    for layer in [module for part in layers for module in part.modules()]:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class _Norm(nn.LayerNorm):
    """Layer normalisation over channels, which come first."""

    def __init__(self, width: int):
        super().__init__(width, _EPS)

    def forward(self, input: Float[Tensor, "batch width height columns"]) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """A depthwise 7 x 7 convolution and two linear layers at every place, with a shortcut around them."""

    def __init__(self, width: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.places = nn.Sequential(
            nn.LayerNorm(width, _EPS), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.scale = nn.Parameter(torch.full((width,), _SCALE))

    def forward(self, inputs: Float[Tensor, "batch width height columns"]) -> Tensor:
        out = self.scale * self.places(self.depthwise(inputs).permute(0, 2, 3, 1))
        return inputs + out.permute(0, 3, 1, 2)

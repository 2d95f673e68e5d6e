"""SegNet made as large as MTAN: wider at its deepest, or with twice as many convolutions."""

from typing import Literal

from torch import nn

from gradsurgery.networks.segnet import SegNet


class SplitSegNet(SegNet):
    """A SegNet that all tasks share up to its heads, with more parameters: what MTAN is held against.

    Source: "Split, Wide" and "Split, Deep" of Liu et al. 2019, arXiv 1803.10704, section 5.1, in the form of its code:
    wide has 16 instead of 8 widths of channels at the deepest of the five stages; deep puts another convolution of as
    many channels, with normalisation and ReLU, behind each one.

    Args:
        outputs: channels of each task's map.
        width: channels of the first stage.
        variant: "wide" or "deep".

    Departures: those of SegNet.
    """

    def __init__(
        self, outputs: tuple[int, ...] = (13, 1, 3), width: int = 64, variant: Literal["wide", "deep"] = "wide"
    ):
        super().__init__(outputs, width)
        if variant not in ("wide", "deep"):
            raise ValueError(f"`variant` must be 'wide' or 'deep', found variant = {variant!r}.")
        w = width
        bottom, more = (16 * w, 1) if variant == "wide" else (8 * w, 2)
        above = (w, w, 2 * w, 4 * w, 8 * w)  # channels on the side of the picture, of each stage
        below = (w, 2 * w, 4 * w, 8 * w, bottom)
        convolutions = tuple(more * n for n in (2, 2, 3, 3, 3))
        down = zip((3, *above[1:]), below, convolutions, strict=True)
        up = zip(reversed(below), reversed(above), reversed(convolutions), strict=True)
        self.encoder = nn.ModuleList(_stage(*each) for each in down)
        self.decoder = nn.ModuleList(_stage(*each) for each in up)


def _stage(before: int, after: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, *(convolutions - 1) * (after,)):
        convolution = nn.Conv2d(channels, after, 3, padding=1)
        nn.init.xavier_normal_(convolution.weight)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)

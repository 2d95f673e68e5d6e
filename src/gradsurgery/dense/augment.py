"""Random changes of pictures and of their maps alike: left and right swapped, and a part of the picture enlarged.

As in MTAN's code since 2020, which the papers on NYUv2 and Cityscapes use: one of the zooms 1, 1.2 and 1.5, a part of
that size anywhere, and a swap every second time. What is seen enlarged is nearer, so that depths are divided by the
zoom; in a swapped picture what faced left faces right, so that the first component of a normal changes its sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

ZOOMS = (1.0, 1.2, 1.5)


@dataclass(frozen=True)
class Change:
    """What happens to one picture: `top` and `left` are shares of the room that the part leaves."""

    swap: bool
    zoom: float = 1.0
    top: float = 0.0
    left: float = 0.0


def draw(generator: np.random.Generator, count: int, zooms: Sequence[float]) -> list[Change]:
    """Changes of so many pictures; every picture takes the same number of draws, whatever comes out."""
    numbers = generator.random((count, 4))
    return [Change(s < 0.5, zooms[int(z * len(zooms))], t, left) for s, z, t, left in numbers.tolist()]


def changed(name: str, values: np.ndarray, change: Change) -> Tensor:
    """One picture or map, (height, width) or (height, width, channels), of the same kind, size and axes.

    Args:
        name: "image" and "normal" are interpolated between pixels, all others are taken from the nearest one.
        values: of one example.
        change: what to do.
    """
    kept = np.ascontiguousarray(values[:, ::-1]) if change.swap else np.array(values)
    found = torch.from_numpy(kept)
    if change.zoom != 1.0:
        found = _zoomed(found, change, smooth=name in ("image", "normal"))
        if name == "depth":
            found = found / change.zoom
    if change.swap and name == "normal":
        found = found * found.new_tensor([-1.0, 1.0, 1.0])
    return found


def _zoomed(values: Tensor, change: Change, smooth: bool) -> Tensor:
    size = values.shape[:2]
    height, width = (int(length / change.zoom) for length in size)
    top, left = int(change.top * (size[0] - height + 1)), int(change.left * (size[1] - width + 1))
    part = values[top : top + height, left : left + width].float()
    maps = (part[..., None] if part.ndim == 2 else part).permute(2, 0, 1)[None]
    larger = interpolate(maps, size=size, mode="bilinear", align_corners=True) if smooth else interpolate(maps, size)
    return larger[0].permute(1, 2, 0).reshape(values.shape).to(values.dtype)

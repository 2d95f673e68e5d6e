"""The structural similarity of two pictures, pixel by pixel."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

_SIGMA, _REACH = 1.5, 5  # the usual window: a Gaussian over 11 x 11 pixels
_C1, _C2 = 0.01**2, 0.03**2  # the usual constants, for pictures in [0, 1]


def similarity_map(
    a: Float[Tensor, "batch channels height width"], b: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """SSIM at every pixel of two pictures in [0, 1] (Wang et al. 2004), as torchmetrics computes it.

    The window is a product of two, so that blurring is a matrix product on either side: on a CPU faster by far than
    the convolution of 11 x 11 per channel.
    """
    rows, columns = (_blur(n).to(a) for n in a.shape[2:])
    blurred = rows @ torch.stack([a, b, a * a, b * b, a * b]) @ columns.T
    mean_a, mean_b = blurred[0], blurred[1]
    square_a, square_b, product = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    var_a, var_b, covariance = blurred[2] - square_a, blurred[3] - square_b, blurred[4] - product
    return ((2 * product + _C1) * (2 * covariance + _C2)) / ((square_a + square_b + _C1) * (var_a + var_b + _C2))


@cache
def _blur(n: int) -> Float[Tensor, "n n"]:
    """The matrix that blurs a line of n pixels, mirrored at its ends."""
    window = torch.exp(-0.5 * (torch.arange(-_REACH, _REACH + 1, dtype=torch.float64) / _SIGMA) ** 2)
    padded = pad(torch.eye(n, dtype=torch.float64), (_REACH, _REACH), mode="reflect")
    return (padded.unfold(1, 2 * _REACH + 1, 1) @ (window / window.sum())).T.contiguous()

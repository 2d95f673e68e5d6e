"""The block of which residual networks are stacked."""

from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.pointwise import Pointwise


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut around them, projected by a 1 x 1 one where the shape changes.

    Source: He et al. 2015 (arXiv 1512.03385), basic block, with batch normalisation behind every convolution.

    Args:
        before: channels of the input.
        after: channels of the output.
        stride: of the first convolution and of the projection.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(Pointwise(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, inputs: Float[Tensor, "batch before height width"]) -> Tensor:
        return (self.branch(inputs) + self.shortcut(inputs)).relu()

"""A small convolutional encoder and decoder that fills in pictures."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import batch_norm, pixel_shuffle

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class Autoencoder(Network):
    """From a picture with holes and the map of its holes to the whole picture: one output, which every task judges.

    Source: ours, a small stand-in for the masked autoencoders of the Gradient Conductor (MobileNetV3-Small or ConvNeXt
    and two transformer blocks, 2025, arXiv 2509.07252, section 3), whose masking of the encoder is not stated.

    A convolution of `patch` x `patch` with that stride, `depth` residual blocks on the grid of patches (convolution,
    normalisation, ReLU), and a linear map from every place of the grid back to the pixels of its patch. All parameters
    are shared by all tasks, as in the official code, which has no heads.

    Args:
        num_tasks: K; the output is handed out K times.
        channels: of the pictures; the input has one more, 1 on a hole and 0 elsewhere.
        patch: height and width of a patch, which divides those of the pictures.
        width: channels on the grid.
        depth: number of residual blocks.
        norm: "batch": batch statistics in training, running ones in evaluation; "frozen": running statistics always,
            which then stay as they start, 0 and 1: what the official `freeze_bn` does to a network from scratch.
    """

    def __init__(
        self,
        num_tasks: int = 2,
        channels: int = 3,
        patch: int = 4,
        width: int = 32,
        depth: int = 3,
        norm: Literal["batch", "frozen"] = "batch",
    ):
        check_sizes({
            "num_tasks": (num_tasks, 1), "channels": (channels, 1), "patch": (patch, 1), "width": (width, 1),
            "depth": (depth, 0),
        })  # fmt: skip
        super().__init__()
        self.num_tasks, self.patch = num_tasks, patch
        self.encoder = nn.Sequential(
            nn.Conv2d(channels + 1, width, patch, patch), *(_Block(width, norm == "frozen") for _ in range(depth))
        )
        self.decoder = nn.Conv2d(width, channels * patch**2, 1)

    def forward(self, inputs: Float[Tensor, "batch holed height width"]) -> tuple[Tensor, ...]:
        """The picture once per task, in the scale of the inputs."""
        return (pixel_shuffle(self.decoder(self.encoder(inputs)), self.patch),) * self.num_tasks

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())


class _Block(nn.Module):
    def __init__(self, width: int, frozen: bool):
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = _FrozenNorm(width) if frozen else nn.BatchNorm2d(width)
        self.activation = nn.ReLU()

    def forward(self, inputs: Float[Tensor, "batch width rows columns"]) -> Tensor:
        return inputs + self.activation(self.norm(self.convolution(inputs)))


class _FrozenNorm(nn.BatchNorm2d):
    """BatchNorm in evaluation mode whatever the mode of the network."""

    def forward(self, input: Float[Tensor, "batch width rows columns"]) -> Tensor:
        return batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

"""A convolutional encoder and a few transformer blocks that fill in pictures."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pixel_shuffle

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._convnext import convnext_tiny
from gradsurgery.networks._mobile import mobilenet_v3_small

PATCH = 32  # pixels of a patch's side, and the stride of both encoders
_ENCODERS = {"mobilenet_v3_small": (mobilenet_v3_small, 576), "convnext_tiny": (convnext_tiny, 768)}


class MaskedAutoencoder(Network):
    """From a picture with holes and the map of its holes to the whole picture, and where asked for to its class.

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2): an encoder of MobileNetV3-Small (main
    result) or ConvNeXt-tiny, and a decoder of two transformer blocks of 256. Neither weights from elsewhere nor how the
    encoder is masked is stated there: weights are drawn, the encoder sees hidden patches as the problem fills them, and
    the decoder gets a learned token in the place of their features.

    The encoder's features, one for each patch of 32 x 32, become tokens of `width` with learned places; the decoder's
    become the pixels of their patch. A class is read from the mean of the encoder's features.

    Args:
        num_tasks: 2: the picture twice; 3: and the class.
        num_classes: outputs of the class; used with 3 tasks only.
        encoder: "mobilenet_v3_small" or "convnext_tiny".
        size: height and width of the pictures, a multiple of 32.
        width: of the tokens, a multiple of `heads`.
        depth: number of transformer blocks.
        heads: of their attention.
        channels: 3, or 1 for grey pictures: of three equal channels the first is read, and what is made stands in all.

    Departures:
        1. Blocks have no dropout, as its draws would come from no generator of the run, and no biases: that of the keys
           has no gradient but rounding, of which Adam makes steps.
    """

    def __init__(
        self, num_tasks: int = 2, num_classes: int = 1000,
        encoder: Literal["mobilenet_v3_small", "convnext_tiny"] = "mobilenet_v3_small", size: int = 256,
        width: int = 256, depth: int = 2, heads: int = 8, channels: int = 3,
    ):  # fmt: skip
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 2), "num_classes": (num_classes, 1), "size": (size, PATCH),
                     "width": (width, 1), "depth": (depth, 0), "heads": (heads, 1)})  # fmt: skip
        if num_tasks > 3:
            raise ValueError(f"`num_tasks` must be 2 or 3, found num_tasks = {num_tasks}.")
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3, found channels = {channels}.")
        if size % PATCH:
            raise ValueError(f"`size` must be a multiple of {PATCH}, found size = {size}.")
        if width % heads:
            raise ValueError(f"`width` must be a multiple of heads = {heads}, found width = {width}.")
        make, features = _ENCODERS[encoder]
        self.encoder, self._channels = make(channels), channels
        self.tokens = nn.Linear(features, width)
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.places = nn.Parameter(0.02 * torch.randn((size // PATCH) ** 2, width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True, bias=False
            )
            for _ in range(depth)
        )
        self.pixels = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels * PATCH**2))
        self.classes = nn.Linear(features, num_classes) if num_tasks == 3 else None

    def forward(self, inputs: Float[Tensor, "batch 4 size size"]) -> tuple[Tensor, ...]:
        """Pictures in the scale of the inputs, whose fourth channel is 1 on a hole and 0 elsewhere."""
        features = self.encoder(inputs[:, : self._channels])
        holes: Bool[Tensor, "batch places 1"] = max_pool2d(inputs[:, 3:], PATCH).flatten(2).transpose(1, 2) > 0.5
        own = self.tokens(features.flatten(2).transpose(1, 2))
        tokens = torch.where(holes, self.hidden.to(own.dtype), own) + self.places
        for block in self.blocks:
            tokens = block(tokens)
        grid = self.pixels(tokens).transpose(1, 2).unflatten(2, features.shape[2:])
        picture = pixel_shuffle(grid, PATCH).expand(-1, 3, -1, -1)
        if self.classes is None:
            return picture, picture
        return picture, picture, self.classes(features.mean(dim=(2, 3)))

    def shared_parameters(self) -> list[nn.Parameter]:
        """All but what the class alone trains: as in the official code, which has no heads of pictures."""
        heads = set() if self.classes is None else {id(p) for p in self.classes.parameters()}
        return [p for p in self.parameters() if id(p) not in heads]

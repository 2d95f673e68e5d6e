"""Cross-stitch networks: a SegNet for each task, and between all their stages a weighted sum of what they found."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.networks.segnet import SegNet


class CrossStitch(Network):
    """K SegNets whose stages read one trained combination of what the K stages before them made.

    Source: Misra et al. 2016, arXiv 1604.03539, on SegNet as in the code of Liu et al. 2019, arXiv 1803.10704, from
    whose tables PCGrad and CAGrad copy the rows "Cross-Stitch": with x_k,j what stage j of task k's network found,
    stage j + 1 of every task reads

        sum_k a_k,j x_k,j        a trained, 1 at the start

    for all stages but the first. Every task unpools by its own network's places. Every stage but the last of each
    network and all a are trained by every task. Weights are drawn by Xavier's uniform rule, biases are 0.

    Args:
        outputs: channels of each task's map: (13, 1, 3) for NYUv2, (7, 1) for Cityscapes.
        width: channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.

    Departures:
        1. Misra et al. give every task a combination of its own, and start it near the task's own features; as above in
           the code.
        2. Those of SegNet.
    """

    def __init__(self, outputs: tuple[int, ...] = (13, 1, 3), width: int = 64):
        super().__init__()
        if not outputs:
            raise ValueError(f"`outputs` must name at least one channel for each task, found outputs = {outputs}.")
        self.networks = nn.ModuleList(SegNet((channels,), width) for channels in outputs)
        stages = len(self._net(0).encoder) + len(self._net(0).decoder)
        self.stitches = nn.Parameter(torch.ones(stages - 1, len(outputs)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        K = len(self.networks)
        found, places = [inputs] * K, list[list[tuple[Tensor, Tensor]]]()
        stitched = 0
        for stage in range(len(self._net(0).encoder)):
            if stage > 0:
                found, stitched = [self._stitch(found, stitched)] * K, stitched + 1
            full = [self._net(k).encoder[stage](found[k]) for k in range(K)]
            pooled = [self._net(k).pool(full[k]) for k in range(K)]
            found = [x for x, _ in pooled]
            places.append([(indices, full[k]) for k, (_, indices) in enumerate(pooled)])
        for stage, own in enumerate(reversed(places)):
            both, stitched = self._stitch(found, stitched), stitched + 1
            found = [self._net(k).decoder[stage](self._net(k).unpool(both, *own[k])) for k in range(K)]
        return tuple(self._net(k).heads[0](found[k]) for k in range(K))

    def shared_parameters(self) -> list[nn.Parameter]:
        stages = [s for k in range(len(self.networks)) for s in (*self._net(k).encoder, *self._net(k).decoder[:-1])]
        return [self.stitches, *(p for stage in stages for p in stage.parameters())]

    def _net(self, k: int) -> SegNet:
        network = self.networks[k]
        assert isinstance(network, SegNet)
        return network

    def _stitch(self, found: list[Tensor], place: int) -> Tensor:
        return torch.stack([a * x for a, x in zip(self.stitches[place], found, strict=True)]).sum(dim=0)

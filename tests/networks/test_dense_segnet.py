"""Dense: every task's own network reads all features of the shared one."""

import torch

from gradsurgery.core.discovery import build


def small(name, field, value, outputs=(5, 1, 3)):
    return build("networks", name, outputs=list(outputs), **{field: value} | {"width": 2})


def test_own_networks_read_the_shared_features():
    network = small("dense_segnet", "width", 2).eval()
    picture = torch.rand(2, 3, 32, 32)
    for stage in (network.shared.encoder[0], network.shared.decoder[-1]):
        with torch.no_grad():
            before = network(picture)
            stage[0].bias.add_(1.0)
            after = network(picture)
        assert all(not torch.allclose(a, b) for a, b in zip(before, after, strict=True))

"""ConvNeXt-tiny's trunk: the published size, normalisation over channels, and branches that begin next to nothing."""

import torch

from gradsurgery.networks._convnext import _Block, _Norm, convnext_tiny


def test_the_trunk_has_the_published_size_and_stride():
    with torch.device("meta"):
        trunk = convnext_tiny()
        assert trunk(torch.empty(1, 3, 64, 96)).shape == (1, 768, 2, 3)
    assert sum(p.numel() for p in trunk.parameters()) == 27_818_592


def test_normalisation_is_over_the_channels_of_every_place():
    x = torch.randn(2, 5, 3, 4)
    found = _Norm(5)(x)
    wanted = (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, correction=0, keepdim=True)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)  # it adds 1e-6 to the variance


def test_a_block_begins_as_almost_nothing_and_is_its_branch_times_its_scale():
    block, x = _Block(6), torch.randn(2, 6, 8, 8)
    torch.testing.assert_close(block(x), x, atol=1e-4, rtol=0)
    branch = block.places(block.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    with torch.no_grad():
        block.scale.copy_(torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(block(x)[:, 0], x[:, 0] + 2.0 * branch[:, 0])
    assert torch.equal(block(x)[:, 1:], x[:, 1:])

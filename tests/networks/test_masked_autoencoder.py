"""The masked autoencoder: its trunks' published sizes, and what hidden patches can reach."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.networks._convnext import convnext_tiny
from gradsurgery.networks._mobile import mobilenet_v2, mobilenet_v3_small


def _size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("make", "size", "channels"),
    [(mobilenet_v3_small, 927_008, 576), (mobilenet_v2, 1_811_712, 320), (convnext_tiny, 27_818_592, 768)],
)
def test_trunks_have_the_published_size_and_stride(make, size, channels):
    """Their outputs were equal to torchvision's to the bit with its weights; torchvision is not among our packages."""
    with torch.device("meta"):
        trunk = make()
        assert trunk(torch.empty(2, 3, 96, 64)).shape == (2, channels, 3, 2)
    assert _size(trunk) == size
    # with the classifiers that torchvision puts behind them, its published totals
    behind = {576: 576 * 1024 + 1024 + 1024 * 1000 + 1000, 320: 320 * 1280 + 2 * 1280 + 1281 * 1000,
              768: 2 * 768 + 769 * 1000}[channels]  # fmt: skip
    assert size + behind == {576: 2_542_856, 320: 3_504_872, 768: 28_589_128}[channels]


def test_outputs_and_what_trains_them():
    network = build("networks", "masked_autoencoder", num_tasks=3, num_classes=5, size=64, width=16, heads=4, depth=1)
    first, second, scores = network(torch.rand(2, 4, 64, 64))
    assert first is second
    assert (tuple(first.shape), tuple(scores.shape)) == ((2, 3, 64, 64), (2, 5))
    shared = {id(p) for p in network.shared_parameters()}
    assert {id(p) for p in network.parameters()} - shared == {id(p) for p in network.classes.parameters()}
    plain = build("networks", "masked_autoencoder", size=64, width=16, heads=4, depth=1)
    assert len(plain(torch.rand(2, 4, 64, 64))) == 2
    assert len(plain.shared_parameters()) == len(list(plain.parameters()))


def test_a_hidden_patch_is_the_same_token_whatever_was_there():
    """Without attention a patch is its own token's alone, so that the picture at a hole forgets its features."""
    network = build("networks", "masked_autoencoder", size=64, width=16, heads=4, depth=0)
    inputs = torch.rand(2, 4, 64, 64)
    inputs[:, 3] = 0
    inputs[:, 3, :32, 32:] = 1
    found = network(inputs)[0]
    torch.testing.assert_close(found[0, :, :32, 32:], found[1, :, :32, 32:])
    assert (found[0, :, 32:] - found[1, :, 32:]).abs().max() > 1e-2
    gradient = torch.autograd.grad(found[:, :, :32, 32:].sum(), network.hidden)[0]
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_tasks": 4}, "`num_tasks` must be 2 or 3, found num_tasks = 4"),
        ({"size": 100}, "`size` must be a multiple of 32, found size = 100"),
        ({"width": 30}, "`width` must be a multiple of heads = 8, found width = 30"),
    ],
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", "masked_autoencoder", **fields)


@pytest.mark.parametrize("encoder", ["mobilenet_v3_small", "convnext_tiny"])
def test_of_one_channel_the_first_is_read_and_all_three_are_made_alike(encoder):
    torch.manual_seed(0)
    settings = {"encoder": encoder, "size": 64, "width": 8, "heads": 2, "depth": 1}
    network, coloured = (build("networks", "masked_autoencoder", **settings, channels=n).eval() for n in (1, 3))
    inputs = torch.randn(2, 4, 64, 64)
    inputs[:, 3] = 0
    made = network(inputs)[0]
    assert made.shape == (2, 3, 64, 64)
    assert torch.equal(made[:, 0], made[:, 2])
    inputs[:, 1:3] = 0
    assert torch.equal(network(inputs)[0], made)
    assert not torch.equal(*coloured(inputs)[0][:, :2].unbind(1))
    with pytest.raises(ValueError, match="`channels` must be 1 or 3, found channels = 2"):
        build("networks", "masked_autoencoder", channels=2)

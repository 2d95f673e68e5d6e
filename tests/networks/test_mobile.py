"""MobileNet trunks: a smaller output stride dilates what comes behind."""

import torch

from gradsurgery.networks._mobile import _Squeeze, mobilenet_v2, mobilenet_v3_small


def _size(module):
    return sum(p.numel() for p in module.parameters())


def test_a_smaller_output_stride_dilates_instead():
    trunk = mobilenet_v2(16).eval()
    assert _size(trunk) == 1_811_712
    assert trunk(torch.zeros(1, 3, 64, 96)).shape == (1, 320, 4, 6)
    dilated = [m for m in trunk.modules() if isinstance(m, torch.nn.Conv2d) and m.dilation == (2, 2)]
    assert [(m.in_channels, m.padding, m.stride) for m in dilated] == [(960, (2, 2), (1, 1))] * 3


def test_trunks_have_the_published_parameters_and_stride():
    for make, size, channels in ((mobilenet_v3_small, 927_008, 576), (mobilenet_v2, 1_811_712, 320)):
        trunk = make().eval()
        assert _size(trunk) == size
        assert trunk(torch.zeros(1, 3, 64, 96)).shape == (1, channels, 2, 3)


def test_squeeze_and_excitation_scales_a_channel_by_one_share_for_all_places():
    squeeze = _Squeeze(72)
    assert squeeze.shares[1].out_channels == 24  # a quarter is 18: 16 would be a tenth too few, 24 is the next
    assert _Squeeze(16).shares[1].out_channels == 8
    x = torch.rand(2, 72, 3, 3) + 0.1
    shares = squeeze(x) / x
    torch.testing.assert_close(shares, shares[:, :, :1, :1].expand_as(shares))

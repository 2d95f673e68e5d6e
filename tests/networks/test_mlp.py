"""The perceptron: its size by hand, pictures that are flattened, and widths that are refused."""

import pytest
import torch

from gradsurgery.networks.mlp import MLP


def _size(parameters):
    return sum(p.numel() for p in parameters)


def test_the_size_by_hand():
    network = MLP(num_tasks=3, num_classes=4, in_features=6, hidden=(5, 2))
    assert _size(network.shared_parameters()) == 7 * 5 + 6 * 2
    assert [_size(head.parameters()) for head in network.heads] == [3 * 4] * 3


def test_a_picture_is_read_as_its_numbers_in_a_row():
    network, picture = MLP(in_features=6, hidden=(3,)), torch.randn(2, 1, 2, 3)
    first = network.trunk[1]
    for output, head in zip(network(picture), network.heads, strict=True):
        torch.testing.assert_close(output, head((picture.reshape(2, 6) @ first.weight.T + first.bias).relu()))


@pytest.mark.parametrize(
    ("hidden", "message"),
    [((), "`hidden` must name at least one shared layer, found hidden"), ((4, 0), r"`hidden\[1\]` must be at least 1")],
)
def test_wrong_widths_are_refused(hidden, message):
    with pytest.raises(ValueError, match=message):
        MLP(hidden=hidden)

"""Who trains what, found by differentiating."""

import torch
from torch import nn

from gradsurgery.core.ownership import owners


def test_a_dead_unit_still_has_its_owner():
    p = nn.Parameter(torch.tensor([-1.0]))
    q = nn.Parameter(torch.tensor([1.0]))
    assert owners([torch.relu(p).sum(), q.sum()], {"p": p, "q": q}) == {"p": (0,), "q": (1,)}

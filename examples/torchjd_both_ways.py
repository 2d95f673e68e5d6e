"""torchjd both ways: its aggregator in our engine, and our method in its engine. pip install 'gradsurgery[peers]'"""

import torch
from torch import nn
from torchjd.aggregation import UPGrad
from torchjd.autojac import backward, jac_to_grad

from gradsurgery import GradientSurgery, as_torchjd, build, from_torchjd

torch.manual_seed(0)
trunk = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
heads = nn.ModuleList(nn.Linear(16, 1) for _ in range(2))
x = torch.randn(64, 8)


def losses():
    features = trunk(x)
    return [(head(features)[:, 0] - (1 - 2 * k) * x[:, 0]).square().mean() for k, head in enumerate(heads)]


def shared_gradient():
    gradient = torch.cat([p.grad.flatten() for p in trunk.parameters()])
    trunk.zero_grad(), heads.zero_grad()
    return gradient


for name, theirs, ours in (
    ("UPGrad in both engines", UPGrad(), from_torchjd(UPGrad())),
    ("PCGrad in both engines", as_torchjd("pcgrad"), build("pcgrad")),
):
    backward(losses(), inputs=list(trunk.parameters()))  # torchjd's engine
    jac_to_grad(trunk.parameters(), theirs)
    there = shared_gradient()
    GradientSurgery(trunk.parameters(), ours).backward(losses())  # ours
    here = shared_gradient()
    print(f"{name}: |d| = {here.norm():.4f}, apart by {(here - there).norm() / here.norm():.1e}")

"""An ordinary loop: two lines change. Two tasks on one trunk, whose gradients oppose each other at first."""

import torch
from torch import nn

from gradsurgery import GradientSurgery, build, diagnose

torch.manual_seed(0)
trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
heads = nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 1)])
optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=3e-3)
surgery = GradientSurgery(trunk.parameters(), build("cagrad", preset="paper"), seed=0)  # new

for step in range(301):
    x = torch.randn(64, 8)
    targets = x[:, :1] * x[:, 1:2], 3 * (x[:, 2:3] - x[:, :1])
    losses = [(head(trunk(x)) - y).square().mean() for head, y in zip(heads, targets, strict=True)]
    optimizer.zero_grad()
    taken = surgery.backward(losses)  # instead of sum(losses).backward()
    if taken:
        optimizer.step()
    if step % 100 == 0:
        cosine = diagnose(surgery.jacobian).mean_cosine
        print(f"step {step:3d}  losses {losses[0].item():.3f} {losses[1].item():.3f}  cosine {cosine:+.2f}")

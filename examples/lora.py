"""LoRA: the tasks share adapters only, so J has the columns of the adapters only. pip install peft"""

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from gradsurgery import GradientSurgery, build

torch.manual_seed(0)
base = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
trunk = get_peft_model(base, LoraConfig(r=4, target_modules=["0", "2"]))
heads = nn.ModuleList(nn.Linear(64, 1) for _ in range(2))
surgery = GradientSurgery(trunk.parameters(), build("cagrad", c=0.4))  # frozen ones are dropped
shared = sum(p.numel() for p in surgery.parameters)
print(f"J has {shared} columns of the {sum(p.numel() for p in trunk.parameters())} parameters of the trunk")

optimizer = torch.optim.Adam([*surgery.parameters, *heads.parameters()], lr=1e-2)
for step in range(201):
    x = torch.randn(64, 8)
    features = trunk(x)
    losses = [(head(features)[:, 0] - x[:, k].sin()).square().mean() for k, head in enumerate(heads)]
    optimizer.zero_grad()
    if surgery.backward(losses):
        optimizer.step()
    if step % 100 == 0:
        print(f"step {step:3d}  losses", *(f"{loss.item():.3f}" for loss in losses))

"""Mixed precision and micro-batches: float16 with a GradScaler on a GPU, bfloat16 without one on a CPU."""

import torch
from torch import nn

from gradsurgery import GradientSurgery, build

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
half = torch.float16 if device == "cuda" else torch.bfloat16
trunk = nn.Sequential(nn.Linear(8, 64), nn.ReLU()).to(device)
heads = nn.ModuleList(nn.Linear(64, 1) for _ in range(3)).to(device)
parameters = [*trunk.parameters(), *heads.parameters()]
optimizer = torch.optim.SGD(parameters, lr=0.05)
scaler = torch.amp.GradScaler(device, enabled=half == torch.float16)
surgery = GradientSurgery(trunk.parameters(), build("pcgrad"), heads=heads.parameters())
MICRO_BATCHES = 4

for step in range(101):
    optimizer.zero_grad()
    for _ in range(MICRO_BATCHES):
        x = torch.randn(32, 8, device=device)
        with torch.autocast(device, half):
            features = trunk(x)
            losses = [(head(features)[:, 0] - x[:, k]).square().mean() for k, head in enumerate(heads)]
        surgery.accumulate([scaler.scale(loss / MICRO_BATCHES) for loss in losses])
    taken = surgery.aggregate(scaler.get_scale())
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(parameters, 5.0)
    if taken or scaler.is_enabled():  # a scaler leaves such a step out by itself, and learns from it
        scaler.step(optimizer)
    scaler.update()
    if step % 50 == 0:
        print(f"step {step:3d}  losses", *(f"{loss.item():.3f}" for loss in losses))

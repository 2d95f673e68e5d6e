"""accelerate: one function in the place of `accelerator.backward`. pip install accelerate"""

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.accelerate import backward

torch.manual_seed(0)
accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
model = nn.ModuleDict(
    {"trunk": nn.Sequential(nn.Linear(8, 32), nn.ReLU()), "a": nn.Linear(32, 1), "b": nn.Linear(32, 1)}
)
model.to(accelerator.device)  # and not through `prepare`, which wraps it where there are several processes
optimizer, loader = accelerator.prepare(
    torch.optim.Adam(model.parameters(), lr=1e-2), DataLoader(torch.randn(4096, 8), batch_size=32)
)
surgery = GradientSurgery(model["trunk"].parameters(), build("sam_gs", preset="data"))

for step, x in enumerate(loader):
    with accelerator.accumulate(model):
        features = model["trunk"](x)
        losses = [(model[head](features)[:, 0] - x[:, k]).square().mean() for k, head in enumerate("ab")]
        backward(accelerator, surgery, losses, model)
        optimizer.step()
        optimizer.zero_grad()
    if step % 32 == 0:
        print(f"step {step:3d}  losses", *(f"{loss.item():.3f}" for loss in losses))

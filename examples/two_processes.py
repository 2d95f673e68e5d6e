"""Several processes: torchrun --nproc-per-node 2 examples/two_processes.py

The engine averages J over processes before the method sees it, so that all of them take the same step. The network
stays bare: DistributedDataParallel allows one backward pass a step, and averages what comes after the surgery.
"""

import torch
import torch.distributed as dist
from torch import nn

from gradsurgery import GradientSurgery, build

dist.init_process_group("gloo")
torch.manual_seed(0)  # the same start everywhere
trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
heads = nn.ModuleList(nn.Linear(32, 1) for _ in range(2))
optimizer = torch.optim.SGD([*trunk.parameters(), *heads.parameters()], lr=0.05)
surgery = GradientSurgery(trunk.parameters(), build("pcgrad"), seed=0, heads=heads.parameters())

torch.manual_seed(1 + dist.get_rank())  # other data everywhere
for _ in range(100):
    x = torch.randn(32, 8)
    features = trunk(x)
    losses = [(head(features)[:, 0] - x[:, k]).square().mean() for k, head in enumerate(heads)]
    optimizer.zero_grad()
    if surgery.backward(losses):
        optimizer.step()

weights = [torch.empty_like(trunk[0].weight) for _ in range(dist.get_world_size())]
dist.all_gather(weights, trunk[0].weight.detach())
if dist.get_rank() == 0:
    apart = max(float((other - weights[0]).abs().max()) for other in weights)
    print(f"{len(weights)} processes, weights {apart} apart, losses", *(f"{loss.item():.3f}" for loss in losses))
dist.destroy_process_group()

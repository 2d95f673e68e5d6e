"""DRGrad: the first task has two towers, one of which is fed with what the second task reads; a router joins them."""

import torch
from torch import nn

from gradsurgery.epochs import Network, Towers, learner


class Routed(Network, Towers):
    def __init__(self):
        super().__init__()
        self.own, self.common = nn.Linear(8, 16), nn.Linear(8, 16)
        self.towers = nn.ModuleList(nn.Linear(16, 1) for _ in range(3))  # T'_1, T''_1, T_2, all of one shape
        self.register_buffer("mu", torch.tensor([0.5, 0.5]))  # weights of the first two, which the rule moves

    def forward(self, x):
        own, common = self.own(x).relu(), self.common(x).relu()
        first, lent, other = (tower(v) for tower, v in zip(self.towers, (own, common, common), strict=True))
        return self.mu[0] * first + self.mu[1] * lent, other

    def shared_parameters(self):
        return list(self.common.parameters())


def losses(model, batch):
    x, clicked, bought = batch
    cross = nn.functional.binary_cross_entropy_with_logits
    first, second = model(x)
    return {"click": cross(first[:, 0], clicked), "buy": cross(second[:, 0], bought)}


torch.manual_seed(0)
x = torch.randn(64, 32, 8)
loader = [(batch, (batch[:, 0] > 0).float(), (batch[:, 0] + batch[:, 1] > 1).float()) for batch in x]
model = Routed()
training = learner("drgrad", model, losses, loader, torch.optim.Adam(model.parameters(), lr=3e-3), epochs=4)
for _ in range(4):
    row = training.epoch()
    print(f"click {row['train.click.loss']:.3f}  buy {row['train.buy.loss']:.3f}  mu' {model.mu[0]:.3f}")

"""Recon: find the layers in which two tasks conflict, give each task a copy of those, train the rest by PCGrad."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradsurgery import GradientSurgery, build, recon


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        first = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.trunk = nn.Sequential(*first, nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten())
        self.digit, self.parity = nn.Linear(256, 10), nn.Linear(256, 2)

    def forward(self, x):
        return self.digit(self.trunk(x)), self.parity(self.trunk(x))


def losses(model, batch):
    return [nn.functional.cross_entropy(*pair) for pair in zip(model(batch[0]), batch[1:], strict=True)]


torch.manual_seed(0)
images, digit = map(torch.tensor, load_digits(return_X_y=True))
data = TensorDataset(images.float().unflatten(1, (1, 8, 8)) / 16, digit, digit % 2)
model, loader, adam = Net(), DataLoader(data, batch_size=32, shuffle=True), torch.optim.Adam
print(ranking := recon.score(model, losses, loader, optimizer=adam, epochs=2))
network = recon.split(model, ranking, k=2)
surgery, optimizer = GradientSurgery(network.shared_parameters(), build("pcgrad")), adam(network.parameters())
for step, batch in enumerate(loader):
    optimizer.zero_grad()
    if surgery.backward(found := losses(network, batch)):
        optimizer.step()
    if step % 28 == 0:
        print(f"step {step:2d}  losses", *(f"{loss.item():.3f}" for loss in found))

"""DR-MGF: each task trains the network for an epoch, then what they changed is fused. An epoch is one call."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradsurgery.epochs import learner

torch.manual_seed(0)
data = load_digits()
images, digit = torch.tensor(data.images[:, None] / 16, dtype=torch.float32), torch.tensor(data.target)
train = DataLoader(TensorDataset(images[300:], digit[300:], digit[300:] % 2), batch_size=64, shuffle=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.digit, self.parity = nn.Linear(144, 10), nn.Linear(144, 2)

    def losses(self, batch):
        x, *labels = batch
        outputs = zip(("digit", "parity"), (self.digit, self.parity), labels, strict=True)
        return {name: nn.functional.cross_entropy(head(self.trunk(x)), label) for name, head, label in outputs}


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [4], gamma=0.3)
training = learner("dr_mgf", model, Net.losses, train, optimizer, epochs=6, auxiliary=0.4, importance_lr=1e-2)
for _ in range(6):
    row = training.epoch()  # three passes over `train`
    schedule.step()
    right = (model.digit(model.trunk(images[:300])).argmax(dim=1) == digit[:300]).float().mean()
    print(
        f"epoch {row['epoch']}  losses {row['train.digit.loss']:.3f} {row['train.parity.loss']:.3f}  digits {right:.1%}"
    )

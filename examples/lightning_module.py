"""Lightning: one base class, and `training_step` returns the losses as a tensor (K,). pip install lightning"""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.lightning import LightningSurgery


class Net(LightningSurgery, lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(32, 1) for _ in range(2))

    def configure_optimizers(self):
        self.surgery = GradientSurgery(self.trunk.parameters(), build("cagrad"))
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def training_step(self, x):
        features = self.trunk(x)
        return torch.stack([(head(features)[:, 0] - x[:, k]).square().mean() for k, head in enumerate(self.heads)])

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx % 16 == 0:
            print(f"batch {batch_idx:2d}  losses", *(f"{loss:.3f}" for loss in outputs["loss"].tolist()))


torch.manual_seed(0)
trainer = lightning.Trainer(
    max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    gradient_clip_val=5.0,
)  # fmt: skip
trainer.fit(Net(), DataLoader(torch.randn(4096, 8), batch_size=64))

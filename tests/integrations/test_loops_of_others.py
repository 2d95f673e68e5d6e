"""In the loops of Lightning, transformers and accelerate the parameters move as in the plain loop, to rounding.

All three are optional: what is not installed is skipped. Run with lightning 2.6.6, transformers 5.24.0 and accelerate
1.15.0.
"""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradsurgery import GradientSurgery, build

BATCHES = 6
pytestmark = pytest.mark.filterwarnings("default")  # other people's packages warn of what they like


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(8, 1) for _ in range(2))

    def losses(self, x, y):
        features = self.trunk(x)
        return [(head(features)[:, 0] - y[:, k]).square().mean() for k, head in enumerate(self.heads)]


def _engine(model, method="sam_gs"):
    """A method with memory, so that accumulation and checkpoints show."""
    return GradientSurgery(model.trunk.parameters(), build(method))


def _data(bad=None):
    torch.manual_seed(1)
    x, y = torch.randn(8 * BATCHES, 4), torch.randn(8 * BATCHES, 2)
    if bad is not None:
        y[8 * bad, 0] = torch.inf
    return TensorDataset(x, y)


def _plain(accumulate=1, clip=None, epochs=1, bad=None):
    """The loop written out."""
    model = Net()
    optimizer, surgery = torch.optim.SGD(model.parameters(), lr=0.05), _engine(model)
    batches = list(DataLoader(_data(bad), 8))
    for _ in range(epochs):
        for start in range(0, BATCHES, accumulate):
            group = batches[start : start + accumulate]
            optimizer.zero_grad()
            for x, y in group:
                surgery.accumulate([loss / accumulate for loss in model.losses(x, y)])
            if surgery.aggregate():
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
    return model, surgery


def _same(model, plain):
    for (name, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=name)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning", reason="lightning is not installed")


def _lightning_module(lightning):
    from gradsurgery.integrations.lightning import LightningSurgery

    class Module(LightningSurgery, lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def configure_optimizers(self):
            self.surgery = _engine(self.net)
            return torch.optim.SGD(self.parameters(), lr=0.05)

        def training_step(self, batch):
            return torch.stack(self.net.losses(*batch))

    return Module()


def _trainer(lightning, tmp_path, **given):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return lightning.Trainer(**{"max_epochs": 1, "default_root_dir": tmp_path, "enable_checkpointing": False, **quiet,
                                **given})  # fmt: skip


@pytest.mark.parametrize("given", [{}, {"accumulate": 3}, {"accumulate": 4, "clip": 0.1}, {"bad": 2}], ids=str)
def test_lightning(lightning, tmp_path, given):
    module = _lightning_module(lightning)
    trainer = _trainer(
        lightning, tmp_path, accumulate_grad_batches=given.get("accumulate", 1), gradient_clip_val=given.get("clip")
    )
    trainer.fit(module, DataLoader(_data(given.get("bad")), 8))
    plain, surgery = _plain(**given)
    _same(module.net, plain)
    assert module.surgery.skipped_steps == surgery.skipped_steps == (1 if "bad" in given else 0)


def test_lightning_ends_an_epoch_early(lightning, tmp_path):
    module = _lightning_module(lightning)
    _trainer(lightning, tmp_path, accumulate_grad_batches=4, limit_train_batches=5).fit(module, DataLoader(_data(), 8))
    assert module.surgery.state["t"] == 2


def test_lightning_goes_on_from_its_checkpoint_with_the_methods_memory(lightning, tmp_path):
    first = _lightning_module(lightning)
    trainer = _trainer(lightning, tmp_path)
    trainer.fit(first, DataLoader(_data(), 8))
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    module = _lightning_module(lightning)
    _trainer(lightning, tmp_path, max_epochs=2).fit(module, DataLoader(_data(), 8), ckpt_path=tmp_path / "half.ckpt")
    plain, surgery = _plain(epochs=2)
    _same(module.net, plain)
    assert module.surgery.state["t"] == surgery.state["t"] == 2 * BATCHES


def test_lightning_is_told_when_the_losses_come_as_one_number(lightning, tmp_path):
    module = _lightning_module(lightning)
    module.training_step = lambda batch: sum(module.net.losses(*batch))
    with pytest.raises(ValueError, match=r"`training_step` must return the K losses as a tensor \(K,\), found \(\)"):
        _trainer(lightning, tmp_path).fit(module, DataLoader(_data(), 8))


@pytest.mark.parametrize("given", [{}, {"accumulate": 3}, {"accumulate": 4}, {"bad": 2}], ids=str)
def test_accelerate(given):
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    from gradsurgery.integrations.accelerate import backward

    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=given.get("accumulate", 1))
    model = Net()
    surgery = _engine(model)
    optimizer, loader = accelerator.prepare(
        torch.optim.SGD(model.parameters(), lr=0.05), DataLoader(_data(given.get("bad")), 8)
    )
    for x, y in loader:
        with accelerator.accumulate(model):
            backward(accelerator, surgery, model.losses(x, y), model)
            optimizer.step()
            optimizer.zero_grad()
    _same(model, _plain(**given)[0])


@pytest.fixture
def hf_trainer(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from gradsurgery.integrations.transformers import TrainerSurgery

    class Trainer(TrainerSurgery, transformers.Trainer):
        def compute_losses(self, model, inputs):
            return dict(zip("ab", model.losses(inputs["x"], inputs["y"]), strict=True))

        def create_optimizer(self, *args, **kwargs):
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.args.learning_rate)
            return self.optimizer

        def _get_train_sampler(self, *args, **kwargs):
            return None  # in order

    def build_trainer(**given):
        model = Net()
        rows = [{"x": x, "y": y} for x, y in _data(given.pop("bad", None))]
        args = transformers.TrainingArguments(**{
            "output_dir": str(tmp_path), "use_cpu": True, "per_device_train_batch_size": 8, "num_train_epochs": 1,
            "learning_rate": 0.05, "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "report_to": [],
            "save_strategy": "no", "disable_tqdm": True, "remove_unused_columns": False, **given,
        })  # fmt: skip
        trainer = Trainer(model=model, args=args, train_dataset=rows)
        trainer.surgery = _engine(model)
        return trainer

    return build_trainer


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"gradient_accumulation_steps": 3}, {"accumulate": 3}),
        ({"max_grad_norm": 0.1}, {"clip": 0.1}),
        ({"bad": 2}, {"bad": 2}),
    ],
    ids=str,
)
def test_transformers(hf_trainer, theirs, ours):
    trainer = hf_trainer(**theirs)
    trainer.train()
    _same(trainer.model, _plain(**ours)[0])


def test_transformers_goes_on_from_its_checkpoint_with_the_methods_memory(hf_trainer, tmp_path):
    hf_trainer(save_strategy="epoch").train()
    trainer = hf_trainer(num_train_epochs=2)
    trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{BATCHES}"))
    plain, surgery = _plain(epochs=2)
    _same(trainer.model, plain)
    assert trainer.surgery.state["t"] == surgery.state["t"] == 2 * BATCHES

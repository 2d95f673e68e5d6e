"""The Trainer's hooks without transformers: a base class that has what the hooks read and call."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.transformers import TrainerSurgery


class Base:
    """Saves nothing of its own; its loop is two micro-batches a step, of which the second is the last."""

    current_gradient_accumulation_steps = 2
    compute_loss_context_manager = staticmethod(contextlib.nullcontext)
    accelerator = SimpleNamespace(scaler=None, gradient_accumulation_steps=1, sync_gradients=False)

    def _prepare_inputs(self, inputs):
        return {name: torch.tensor(value) for name, value in inputs.items()}

    def _save_optimizer_and_scheduler(self, output_dir):
        Path(output_dir, "optimizer.pt").touch()

    def _load_optimizer_and_scheduler(self, checkpoint):
        self.loaded = checkpoint


class Trainer(TrainerSurgery, Base):
    def __init__(self, method="pcgrad"):
        self.model = nn.Linear(2, 1, bias=False)
        nn.init.ones_(self.model.weight)
        self.surgery = GradientSurgery(self.model.parameters(), build(method))

    def compute_losses(self, model, inputs):
        return {"a": model(inputs["a"])[0], "b": model(inputs["b"])[0], "c": None}


BATCH = {"a": [3.0, 0.0], "b": [-3.0, 3.0]}


def test_a_micro_batch_gives_its_share_of_the_summed_loss_and_of_the_gradient():
    trainer = Trainer()
    trainer.model.eval()
    for due in (False, True):
        trainer.accelerator.sync_gradients = due
        assert trainer.training_step(trainer.model, BATCH).item() == 1.5  # (3 + 0) / 2
    assert trainer.model.training
    assert trainer.model.weight.grad.tolist() == [pytest.approx([1.5, 4.5])]


def test_a_trainer_that_defines_no_losses_is_told():
    class Empty(TrainerSurgery, Base):
        pass

    with pytest.raises(NotImplementedError, match="`compute_losses` must be defined by the trainer's class"):
        Empty().training_step(nn.Linear(1, 1), {})


def test_memory_lies_beside_the_optimiser_in_a_checkpoint(tmp_path):
    first, other = Trainer("sam_gs"), Trainer("sam_gs")
    first.accelerator.sync_gradients = True
    for _ in range(3):
        first.training_step(first.model, BATCH)
    first._save_optimizer_and_scheduler(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"optimizer.pt", "gradsurgery.pt"}
    other._load_optimizer_and_scheduler(str(tmp_path))
    assert other.loaded == str(tmp_path)
    assert other.surgery.state["t"] == 3


def test_a_start_without_a_checkpoint_or_with_one_of_before_keeps_a_fresh_memory(tmp_path):
    trainer = Trainer("sam_gs")
    for checkpoint in (None, str(tmp_path)):
        trainer._load_optimizer_and_scheduler(checkpoint)
        assert trainer.surgery.state is None

"""Lightning's hooks without Lightning: a module that has what the hooks read of its trainer."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.lightning import LightningSurgery


class Module(LightningSurgery, nn.Module):
    """Task gradients (3, 0) and (-3, 3); every step is the last of two micro-batches if it has an odd number."""

    def __init__(self, method="pcgrad"):
        super().__init__()
        self.shared = nn.Parameter(torch.zeros(2))
        self.surgery = GradientSurgery([self.shared], build(method))
        self.trainer = SimpleNamespace(
            is_last_batch=False, accumulate_grad_batches=2, fit_loop=SimpleNamespace(batch_idx=0),
            precision_plugin=SimpleNamespace(),
        )  # fmt: skip

    def losses(self):
        return torch.tensor([[3.0, 0.0], [-3.0, 3.0]]) @ self.shared


def test_the_direction_comes_with_the_last_of_the_micro_batches():
    module = Module()
    for batch in range(2):
        module.trainer.fit_loop.batch_idx = batch
        module.backward(module.losses() / 2)
        assert module.surgery.skipped_steps == 0
        assert (module.surgery.gram is None) == (batch == 0)
    assert module.shared.grad.tolist() == pytest.approx([1.5, 4.5])


def test_an_epochs_last_batch_ends_a_step_early():
    module = Module()
    module.trainer.is_last_batch = True
    module.backward(module.losses())
    assert module.shared.grad.tolist() == pytest.approx([1.5, 4.5])


def test_losses_that_come_as_one_number_are_refused():
    module = Module()
    with pytest.raises(ValueError, match=r"`training_step` must return the K losses as a tensor \(K,\), found \(\)"):
        module.backward(module.losses().sum())


def test_memory_is_saved_and_given_back_at_the_first_step():
    first, other, checkpoint = Module("sam_gs"), Module("sam_gs"), {}
    for module in (first, other):
        module.trainer.is_last_batch = True
    for _ in range(3):
        first.backward(first.losses())
    first.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.backward(other.losses())
    assert other.surgery.state["t"] == 4
    other.backward(other.losses())
    assert other.surgery.state["t"] == 5  # given back once


def test_a_checkpoint_without_memory_starts_anew():
    module = Module("sam_gs")
    module.trainer.is_last_batch = True
    module.on_load_checkpoint({})
    module.backward(module.losses())
    assert module.surgery.state["t"] == 1

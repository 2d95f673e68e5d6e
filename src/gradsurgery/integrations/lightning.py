"""Gradient surgery in a `LightningModule` under automatic optimisation. Lightning itself is not imported here."""

from typing import Any

from torch import Tensor, nn

from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.integrations.micro_batches import differentiate


class LightningSurgery:
    """Beside `LightningModule`, and before it; `training_step` then returns the K losses as one tensor (K,).

        class Net(LightningSurgery, lightning.LightningModule):
            def configure_optimizers(self):
                self.surgery = GradientSurgery(self.trunk.parameters(), build("pcgrad"))
                return torch.optim.Adam(self.parameters())

            def training_step(self, batch):
                return torch.stack([loss_a, loss_b])

    Accumulation, clipping, mixed precision, schedules and checkpoints stay Lightning's; the method's memory is saved
    with them (call `super()` where you have `on_save_checkpoint` or `on_load_checkpoint` of your own). A step whose
    losses or gradients are not finite is left out. Not for strategies that wrap the module, such as "ddp": the engine
    averages task gradients over processes itself.

    Attributes:
        surgery: the engine; set it in `configure_optimizers`.
    """

    surgery: GradientSurgery
    _restored: Any = None  # a checkpoint is read before `configure_optimizers` is called

    def backward(self: Any, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Called by Lightning with what `training_step` returned, divided and scaled as its settings say."""
        if loss.ndim != 1:
            raise ValueError(f"`training_step` must return the K losses as a tensor (K,), found {tuple(loss.shape)}.")
        if self._restored is not None:
            self.surgery.load_state_dict(self._restored)
            self._restored = None
        trainer = self.trainer
        last = trainer.is_last_batch or (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches == 0
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        differentiate(self.surgery, loss, nn.Module.parameters(self), last=last, scaler=scaler)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the engine's state beside Lightning's."""
        checkpoint["gradsurgery"] = self.surgery.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps it until the first step."""
        self._restored = checkpoint.get("gradsurgery")

"""Gradient surgery in transformers' `Trainer`. transformers itself is not imported here."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.integrations.accelerate import backward

_FILE = "gradsurgery.pt"  # in a checkpoint's folder


class TrainerSurgery:
    """Beside `transformers.Trainer`, and before it; `compute_losses` then takes the place of `compute_loss`.

        class MyTrainer(TrainerSurgery, transformers.Trainer):
            def compute_losses(self, model, inputs):
                outputs = model(**inputs)
                return {"a": loss_a, "b": loss_b}

        trainer = MyTrainer(model=model, args=..., train_dataset=...)
        trainer.surgery = GradientSurgery(model.encoder.parameters(), build("pcgrad"))

    The loss that is logged is the sum. Accumulation divides by the number of micro-batches and not by tokens. Clipping,
    mixed precision, schedules and checkpoints stay the Trainer's; the method's memory is saved with them. Evaluation
    still calls `compute_loss`. Not with DeepSpeed, FSDP or several GPUs in one process.

    Attributes:
        surgery: the engine; set it before `train()`.
    """

    surgery: GradientSurgery

    def compute_losses(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """The K task losses of a batch, as `GradientSurgery.backward` takes them."""
        raise NotImplementedError("`compute_losses` must be defined by the trainer's class.")

    def training_step(self: Any, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Called by the Trainer for every micro-batch; returns the sum of the losses, as its share of the step's."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            losses = self.compute_losses(model, inputs)
        count = self.current_gradient_accumulation_steps  # the Trainer's, as the accelerator's is 1 here
        names = list(losses) if isinstance(losses, dict) else range(len(losses))
        shares = {name: None if losses[name] is None else losses[name] / count for name in names}
        backward(self.accelerator, self.surgery, shares, model)
        return torch.stack([share.detach() for share in shares.values() if share is not None]).sum()

    def _save_optimizer_and_scheduler(self: Any, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]
        torch.save(self.surgery.state_dict(), Path(output_dir) / _FILE)

    def _load_optimizer_and_scheduler(self: Any, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None and (saved := Path(checkpoint) / _FILE).is_file():
            self.surgery.load_state_dict(torch.load(saved, weights_only=True))

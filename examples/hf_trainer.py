"""transformers' Trainer: one base class, and `compute_losses`. pip install 'transformers[torch]'

A tiny BERT, made here and not downloaded, reads four symbols: does 1 or does 2 come up more often than 3?
"""

import torch
from torch import nn
from transformers import BertConfig, BertModel, Trainer, TrainingArguments

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.transformers import TrainerSurgery


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        shape = BertConfig(vocab_size=4, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
        self.encoder = BertModel(shape, add_pooling_layer=False)
        self.heads = nn.ModuleList(nn.Linear(32, 2) for _ in range(2))


class MyTrainer(TrainerSurgery, Trainer):
    def compute_losses(self, model, inputs):
        hidden = model.encoder(input_ids=inputs["input_ids"]).last_hidden_state.mean(dim=1)
        return [nn.functional.cross_entropy(head(hidden), inputs["y"][:, k]) for k, head in enumerate(model.heads)]


torch.manual_seed(0)
sequences = torch.randint(4, (1024, 12))
labels = torch.stack([((sequences == k).sum(1) > (sequences == 3).sum(1)).long() for k in (1, 2)], dim=1)
rows = [{"input_ids": row, "y": label} for row, label in zip(sequences, labels, strict=True)]
arguments = TrainingArguments(
    "scratch", num_train_epochs=3, per_device_train_batch_size=32, learning_rate=2e-3, logging_steps=16, use_cpu=True,
    remove_unused_columns=False, report_to=[], save_strategy="no", disable_tqdm=True,
)  # fmt: skip
trainer = MyTrainer(model=Model(), args=arguments, train_dataset=rows)
trainer.surgery = GradientSurgery(trainer.model.encoder.parameters(), build("pcgrad"))
trainer.train()
print("loss at the end", trainer.state.log_history[-2]["loss"])

"""What problems with binary tasks on a table of numbers and categories have in common: settings, rows, losses, metrics.

`prepare` of such a problem returns, for each of train, val and test, `<split>_continuous` (N, c), `<split>_nominal`
(N, n) and `<split>_labels` (N, K), and `cardinalities` (n,). A network reads one row as c + n numbers, in that order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.ranking import delong_components, roc_auc, roc_auc_thresholds
from gradsurgery.core.settings import check_rows
from gradsurgery.core.training import Declared, Training

Rows = tuple[Float[Tensor, "n features"], Float[Tensor, "n K"]]  # inputs and labels


@dataclass(frozen=True, kw_only=True)
class TableTraining(Training):
    """Adam at a constant rate, in torch's fused form: layers are small here."""

    lr: float = 1e-3

    def optimizer_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)


class Tabular(Declared):
    """Binary tasks on the rows of a table; metric: `<task>.auc`. Raises ValueError as `rows_of` does."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray], tasks: Sequence[str], network: Mapping[str, Any],
        own: Mapping[str, Any], training: Training,
    ) -> None:  # fmt: skip
        self.tasks = tuple(tasks)
        self.metrics = {f"{task}.auc": True for task in self.tasks}
        super().__init__(network, own, training)
        self._splits = {split: rows_of(arrays, split, count) for split, count in training.sizes.items() if arrays}
        if arrays:
            check_rows({split: len(labels) for split, (_, labels) in self._splits.items()}, training.batch_size)
        self.test_rows = len(self._splits["test"][1]) if arrays else None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Rows]:
        """One epoch in a fresh order. Nothing is augmented."""
        return batches_of(self._splits["train"], self._training.batch_size, order)

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        return binary_losses(network, batch, torch.ones(len(self.tasks)))

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Exact AUCs, AUCs at 200 thresholds, and mean losses."""
        return judge(network, self._splits[split], self.tasks)


def rows_of(arrays: Mapping[str, np.ndarray], split: str, size: int) -> Rows:
    """The first `size` rows of one split; 0 means all. Refuses labels and categories out of their range."""
    continuous, nominal, labels = (
        np.asarray(arrays[f"{split}_{part}"]) for part in ("continuous", "nominal", "labels")
    )
    if size > len(labels):
        raise ValueError(f"`{split}_size` must be at most {len(labels)}, found {size}.")
    if len(wrong := np.setdiff1d(labels, [0, 1])):
        raise ValueError(f"`{split}_labels` must be 0 or 1, found {wrong[0]}.")
    for column, (highest, values) in enumerate(zip(nominal.max(axis=0), arrays["cardinalities"], strict=True)):
        if highest >= values:
            raise ValueError(f"`{split}_nominal` must be below {values} in column {column}, found {highest}.")
    chosen = slice(None, size or None)
    inputs = np.concatenate([continuous[chosen], nominal[chosen].astype(np.float32)], axis=1)
    return torch.from_numpy(inputs), torch.from_numpy(labels[chosen].astype(np.float32))


def batches_of(rows: Rows, size: int, order: np.random.Generator) -> Iterator[Rows]:
    """One epoch in a fresh order; the last, smaller batch is left out."""
    inputs, labels = rows
    permutation = torch.from_numpy(order.permutation(len(inputs)))
    for start in range(0, len(inputs) - size + 1, size):
        chosen = permutation[start : start + size]
        yield inputs[chosen], labels[chosen]


def binary_losses(network: Network, batch: Rows, positive_weights: Float[Tensor, " K"]) -> list[Float[Tensor, ""]]:
    """Mean cross-entropy of every task, its positives counted `positive_weights` times."""
    inputs, labels = batch
    weights = positive_weights.to(labels.device)
    return [
        binary_cross_entropy_with_logits(logits, labels[:, k], pos_weight=weights[k])
        for k, logits in enumerate(network(inputs))
    ]


def judge(network: Network, rows: Rows, tasks: Sequence[str]) -> Evaluation:
    """`<task>.auc` (exact), `<task>.auc_200` (at 200 thresholds) and `<task>.loss` (positives counted once)."""
    inputs, labels = rows
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    with torch.no_grad():
        parts = [torch.stack(network(part.to(device))).double().cpu() for part in inputs.split(4096)]
    network.train(was_training)
    metrics, examples, strata = dict[str, float](), dict[str, np.ndarray](), dict[str, np.ndarray]()
    for task, scores, truth in zip(tasks, torch.cat(parts, dim=1), labels.T, strict=True):
        integers = truth.long().numpy()
        metrics[f"{task}.auc"] = roc_auc(integers, scores.numpy())
        examples[f"{task}.auc"], strata[f"{task}.auc"] = delong_components(integers, scores.numpy()), integers
        metrics[f"{task}.auc_200"] = roc_auc_thresholds(integers, scores.sigmoid().numpy())
        metrics[f"{task}.loss"] = binary_cross_entropy_with_logits(scores, truth.double()).item()
    return Evaluation(metrics, examples, strata)

"""Pictures of which few are labelled: classes, and two losses that need no label."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from gradsurgery.core.capabilities import Indivisible
from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import CIFAR_MEAN, CIFAR_SD, coloured, device_of, splits_of
from gradsurgery.core.settings import OneSet, check, check_sizes
from gradsurgery.core.training import Declared, Stepped
from gradsurgery.networks.wide_resnet import WideResNet
from gradsurgery.problems._auxiliary import reweigh, statistics_kept
from gradsurgery.problems._few_labels import divided, endless, labelled_places, moved, pierce

DATA_CARD = """\
CIFAR-10 (Krizhevsky 2009), the user's own copy: 50,000 training and 10,000 test pictures of 32 x 32 in 10 classes. A
tenth of the training pictures of every class validates; of the others the first few of every class keep their label,
500, 1,000 or 2,000 in all, and the rest is seen without. CIFAR-100 with most of its labels hidden is ours: no paper has
it, and its numbers are not those of CIFAR-10. The real CIFAR-10 has never been trained on here."""

TASKS = ("main", "rotation", "exemplar")
_EVERY, _RATE = 20, 0.05  # steps between two of ARML's own, and their length


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """Of Adam; half of a batch is labelled."""

    batch_size: int = 256
    lr: float = 5e-3
    gamma: float = 0.2


class SemiSupervised(Declared, Indivisible):
    """Tasks "main", the classes of the labelled half of a batch; "rotation", by which quarter turn a picture was
    turned; "exemplar", features that should be those of a running mean of the network on another view of the picture.

    Source: section 5.4 and appendix B.4 of Liu et al., CAGrad, NeurIPS 2021, arXiv 2110.14048: WRN-28-2, Adam at 5e-3,
    1e-3 after 160,000 of 200,000 steps, batches of 256, running mean of 0.95, on top of ARML (Shi et al. 2020, arXiv
    2010.08244), whose code says the rest: S4L's two losses, halved; every 20 steps a gradient step of length 0.05 on
    |g_main - a_1 g_rotation - a_2 g_exemplar|^2 in the weights a, which then are moved to the sum 2 and kept from
    falling below 0.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network, `wide_resnet`, and its fields, but for the number of classes.
        training: data, rate and schedule, whose fields are settings beside the others.
        labelled: number of training pictures with a label, as many of every class.
        num_classes: number of classes.
        steps: of an epoch, which has no end of its own: labelled pictures come round far sooner than the others.
        reweighting: "arml", or "none": the weights stay at 1.
        memory: what the running mean keeps in a step.
        strength: factor on the two losses without labels.

    Departures:
        1. Pictures are standardised by CIFAR-100's channels; ARML's code normalises contrast and whitens.
        2. Shifts and mirrorings are drawn for each picture and once a step, not for a batch and in every pass, and no
           noise is added. The hole of the other view (black, half as wide and high as the picture) is drawn likewise.
        3. The step in which the weights move trains the network too; ARML's leaves that out.
        4. CAGrad's code for this was not released, so that the rest is ARML's.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        network: dict,
        training: _Training,
        labelled: int = 500,
        num_classes: int = 10,
        steps: int = 1000,
        reweighting: Literal["arml", "none"] = "arml",
        memory: float = 0.95,
        strength: float = 0.5,
    ):
        check_sizes({"num_classes": (num_classes, 2)})
        check({"labelled": (labelled, num_classes), "steps": (steps, 1)}, {"memory": memory, "strength": strength})
        if labelled % num_classes:
            raise ValueError(f"`labelled` must be a multiple of {num_classes} classes, found labelled = {labelled}.")
        if not memory < 1:
            raise ValueError(f"`memory` must be less than 1, found memory = {memory}.")
        if training.batch_size % 2:
            raise ValueError(f"`batch_size` must be even, found batch_size = {training.batch_size}.")
        self.tasks: tuple[str, ...] = TASKS
        self.metrics = {"main.accuracy": True}
        super().__init__(network, {"num_classes": num_classes}, training, WideResNet)
        self._steps, self._memory, self._strength = steps, memory, strength
        self._reweighting = reweighting
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None
        if arrays:
            self._places = labelled_places(self._splits["train"][1], labelled // num_classes, num_classes)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "n 32 32 3"], UInt8[Tensor, "n 32 32 3"], Int64[Tensor, " n"]]]:
        """`steps` batches: pictures, another view of each, and classes, which are -1 in the second half."""
        images, labels = self._splits["train"]
        half = self._training.batch_size // 2
        streams = [endless(order, places, half) for places in self._places]
        for _ in range(self._steps):
            chosen = np.concatenate([next(stream) for stream in streams])
            truth = labels[chosen].astype(np.int64)
            truth[half:] = -1
            views = [moved(images[chosen], augmentation) for _ in range(2)]
            pierce(views[1], augmentation)
            yield torch.from_numpy(views[0]), torch.from_numpy(views[1]), torch.from_numpy(truth)

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        """The teacher moves first, by the step that was taken before."""
        assert isinstance(network, WideResNet)
        network.remember(self._memory)
        images, changed, labels = batch
        pictures, others = _shown(network, images), _shown(network, changed)
        scores, _, _ = network(pictures)
        # The mean over the whole batch, as in ARML's code: a picture without a label has no loss.
        main = cross_entropy(scores, labels.to(scores.device), ignore_index=-1, reduction="sum") / len(labels)
        with torch.no_grad():
            wanted = network.teacher(pictures)
        with statistics_kept(network.trunk):
            _, _, found = network(others)
        free = [_turned(network, pictures), -cosine_similarity(found, wanted, dim=1).mean()]
        free = [self._strength * loss for loss in free]
        if self._reweighting == "arml" and int(network.steps) % _EVERY == 0:
            reweigh(network, main, free, _RATE)
        return [main, *(weight * loss for weight, loss in zip(network.weights.clone(), free, strict=True))]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracy of the classes in [0, 1], and the three losses without weights, on pictures as they are; the other
        view of an exemplar is its mirror image."""
        assert isinstance(network, WideResNet)
        images, labels = self._splits[split]
        right, totals = list[np.ndarray](), np.zeros(len(TASKS))
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for start in range(0, len(images), 500):
                pictures = _shown(network, torch.from_numpy(images[start : start + 500].copy()))
                truth = torch.from_numpy(labels[start : start + 500].astype(np.int64)).to(pictures.device)
                scores, _, _ = network(pictures)
                alike = cosine_similarity(network(pictures.flip(3))[2], network.teacher(pictures), dim=1)
                parts = [cross_entropy(scores, truth), _turned(network, pictures), -alike.mean()]
                # Of the batch all at once, as every look makes the host wait for the device.
                hits = scores.argmax(dim=1) == truth
                numbers = torch.cat([hits.double(), torch.stack(parts).double()]).cpu().numpy()
                right.append(numbers[: len(truth)] == 1.0)
                totals += len(truth) * numbers[len(truth) :]
        network.train(was_training)
        bits, losses = np.concatenate(right), totals / len(images)
        accuracy = float(bits.mean()) if np.isfinite(losses[0]) else float("nan")  # argmax takes NaN for the largest
        metrics = {f"{task}.loss": float(loss) for task, loss in zip(TASKS, losses, strict=True)}
        return Evaluation({"main.accuracy": accuracy, **metrics}, {"main.accuracy": bits})


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps a tenth of every class for validation; see `DATA_CARD`. Labels are hidden by the problem.

    Args:
        raw: data set -> {train,test}_images (N, 32, 32, 3) and {train,test}_labels (N,).
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{images, labels}, uint8, in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    return divided(raw[own.left], own.seed)


def _shown(network: Network, images: UInt8[Tensor, "n 32 32 3"]) -> Float[Tensor, "n 3 32 32"]:
    return coloured(images, device_of(network), CIFAR_MEAN, CIFAR_SD)


def _turned(network: WideResNet, pictures: Float[Tensor, "n 3 32 32"]) -> Float[Tensor, ""]:
    """Cross entropy of by which of four quarter turns pictures were turned, each by all four."""
    turns = torch.cat([pictures.rot90(k, (2, 3)) for k in range(4)])
    return cross_entropy(network(turns)[1], torch.arange(4, device=turns.device).repeat_interleave(len(pictures)))

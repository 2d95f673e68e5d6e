"""Pictures in which every pixel has answers: what is seen there, how far it is, which way it faces."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import device_of, first, whole_batches
from gradsurgery.core.settings import OneSet, check, check_rows
from gradsurgery.core.training import Declared, Stepped
from gradsurgery.dense.augment import ZOOMS, changed, draw
from gradsurgery.dense.maps import prepared
from gradsurgery.dense.scenes import SCENES, Scene

DATA_CARD = """\
CamVid (Brostow et al. 2009), in the split of the SegNet tutorial: 367, 101 and 233 pictures of streets, here 120 x 160,
with 11 classes. Its other two tasks are *derived from those labels* and no measurements: whether a pixel lies on a
boundary between classes, and how far it is from the nearest one (up to 20 pixels). NYUv2 (795 and 654 pictures of
rooms, 288 x 384, 13 classes, depth, surface normals) and Cityscapes (2,975 and 500 of streets, 128 x 256, 7 classes,
inverse depth) as prepared for MTAN come from the user. Neither has a validation set: as published, all training
pictures are trained on, and the `val` numbers are of training pictures, so that no epoch may be chosen by them. The
twins of both are rendered (`dense/rooms.py`), with a validation set of their own, and are no real pictures."""


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    batch_size: int = 8
    lr: float = 1e-3


class Dense(Declared):
    """A network with one map per task, on pictures of one kind of scene.

    Source: section 5.2 and appendix B.2 of Liu et al., CAGrad, NeurIPS 2021, arXiv 2110.14048, for NYUv2 and
    Cityscapes: SegNet or MTAN, Adam at 1e-4, halved after 100 of 200 epochs, batches of 2 and 8, pictures in [0, 1],
    the losses and metrics of MTAN (`dense/tasks.py`), its augmentation (`dense/augment.py`). Recon, DR-MGF and SAM-GS
    follow it.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        scene: which tasks there are: "camvid" (segmentation, boundary, distance), "nyuv2" (segmentation, depth, normal)
            or "cityscapes" (segmentation, depth).
        network: `name` of the network and its fields, but for `outputs`.
        training: data, rate and schedule, whose fields are settings beside the others.
        augment: "swap" left and right every second time; "zoom" too; or "none".
        test_batch: pictures of a batch in evaluation. The published errors of depth and normals are means over batches
            and depend on it.
        twin: whether the pictures are rendered, which tables then say. A number of a twin says nothing of the data set
            that it stands for, but at most which of two methods is ahead.

    Departures:
        1. The last, smaller batch of an epoch is left out for every method, as Recon does; CAGrad trains on it.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        scene: Literal["camvid", "nyuv2", "cityscapes"],
        network: dict,
        training: _Training,
        augment: Literal["none", "swap", "zoom"] = "none",
        test_batch: int = 8,
        twin: bool = False,
    ):
        if augment == "zoom" and not SCENES[scene].zooms:
            raise ValueError(f"`augment` must be none or swap for scene {scene!r}, found augment = {augment!r}.")
        if twin and scene == "camvid":
            raise ValueError(f"`twin` must be false for scene {scene!r}, whose pictures can be had, found true.")
        self._show(SCENES[scene], arrays, network, training, augment, test_batch)

    def _show(
        self, scene: Scene, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, augment: str,
        test_batch: int, kind: type[Network] = Network,
    ) -> None:  # fmt: skip
        """What every constructor does once it knows what is seen."""
        check({"test_batch": (test_batch, 1)}, {})
        self._scene, self._augment, self._test_batch = scene, augment, test_batch
        self.tasks: tuple[str, ...] = tuple(scene.tasks)
        self.metrics = {f"{name}.{key}": up for name, task in scene.tasks.items() for key, up in task.metrics.items()}
        super().__init__(network, {"outputs": [task.channels for task in scene.tasks.values()]}, training, kind)
        sizes = training.sizes if arrays else {}
        self._arrays = {
            split: {name: first(arrays, f"{split}_{name}", size) for name in ("images", *self.tasks)}
            for split, size in sizes.items()
        }
        if arrays:
            check_rows({split: len(own["images"]) for split, own in self._arrays.items()}, training.batch_size)
        self.test_rows = len(self._arrays["test"]["images"]) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[Shaped[Tensor, "batch height width 3"], list[Tensor]]]:
        """One epoch in a fresh order; pictures stay as they are on the disk until the device has them."""
        own = self._arrays["train"]
        size = self._training.batch_size
        zooms = ZOOMS if self._augment == "zoom" else (1.0,)
        for places in whole_batches(order, len(own["images"]), size):
            chosen = np.sort(places)  # ascending: on the disk, one way
            if self._augment == "none":
                images, *truths = (torch.from_numpy(values[chosen]) for values in own.values())
            else:
                changes = draw(augmentation, size, zooms)
                images, *truths = (
                    torch.stack([changed("image" if name == "images" else name, values[row], change)
                                 for row, change in zip(chosen, changes, strict=True)])
                    for name, values in own.items()
                )  # fmt: skip
            yield images, truths

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, truths = batch
        outputs = network(_shown(images, network))
        parts = zip(self._scene.tasks.values(), outputs, truths, strict=True)
        return [task.loss(output.float(), truth) for task, output, truth in parts]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Every metric, and mean losses over pictures; all numbers of a task are NaN where its loss is."""
        own, tasks = self._arrays[split], self._scene.tasks.values()
        tallied: list[list[np.ndarray]] = [[] for _ in tasks]
        losses, count = np.zeros(len(tasks)), len(own["images"])
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for start in range(0, count, self._test_batch):
                images, *truths = (torch.tensor(values[start : start + self._test_batch]) for values in own.values())
                outputs = [output.float() for output in network(_shown(images, network))]
                parts = [*zip(tasks, outputs, (t.to(outputs[0].device) for t in truths), strict=True)]
                rows = [task.tally(output, truth) for task, output, truth in parts]
                lost = torch.stack([task.loss(output, truth) for task, output, truth in parts])
                # Of the batch all at once, as every look makes the host wait for the device.
                whole = torch.cat([lost.double(), *(own.flatten() for own in rows)]).cpu().numpy()
                means, *numbers = np.split(whole, np.cumsum([len(parts), *(own.numel() for own in rows[:-1])]))
                losses += means * len(images)
                for kept, values, like in zip(tallied, numbers, rows, strict=True):
                    kept.append(values.reshape(like.shape))
        network.train(was_training)
        metrics, examples = dict[str, float](), dict[str, np.ndarray]()
        for name, task, kept, loss in zip(self.tasks, tasks, tallied, losses / count, strict=True):
            found, pulls = task.conclude(np.concatenate(kept))
            metrics[f"{name}.loss"] = float(loss)
            # an output that is NaN makes the loss so, and argmax takes it for the largest
            metrics |= {f"{name}.{key}": value if np.isfinite(loss) else float("nan") for key, value in found.items()}
            examples |= {f"{name}.{key}": values for key, values in pulls.items()}
        return Evaluation(metrics, examples)


@dataclass(frozen=True, kw_only=True)
class _Preparation(OneSet):
    """What `prepare` reads.

    Args:
        scene: as for the problem.
    """

    scene: Literal["camvid", "nyuv2", "cityscapes"]


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The pictures of every split in random order, so that any first n are a fair sample, and their maps.

    Args:
        raw: data set -> {train,val,test}_images and the maps that `dense/maps.py` makes the tasks' of.
        settings: `left`, the data set; `scene`; `seed`, of the order.

    Returns:
        {train,val,test}_images and {train,val,test}_<task> of every task.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    return prepared(raw[own.left], own.scene, own.seed)


def _shown(images: Shaped[Tensor, "batch height width 3"], network: Network) -> Float[Tensor, "batch 3 height width"]:
    """Pictures of bytes or of numbers in [0, 1] as the network takes them, on its device."""
    moved = images.to(device_of(network))
    numbers = moved.float().div(255.0) if moved.dtype == torch.uint8 else moved.float()
    return numbers.permute(0, 3, 1, 2).contiguous()

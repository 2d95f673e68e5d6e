"""The dense problem: tasks and metrics, batches and augmentation, sizes of the published networks, wrong settings."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Network
from gradsurgery.core.seeding import Generators

RNG = np.random.default_rng(0)
SMALL = {"network": {"name": "segnet", "width": 1}, "epochs": 1, "batch_size": 2}
KINDS = {
    "segmentation": lambda n: RNG.integers(-1, 7, (n, 32, 32)).astype(np.int8),
    "boundary": lambda n: RNG.integers(-1, 2, (n, 32, 32)).astype(np.int8),
    "distance": lambda n: RNG.integers(-1, 201, (n, 32, 32)).astype(np.int16),
    "depth": lambda n: RNG.uniform(0.5, 9, (n, 32, 32, 1)).astype(np.float32),
    "normal": lambda n: RNG.standard_normal((n, 32, 32, 3)).astype(np.float32),
}
TASKS = {
    "camvid": ("segmentation", "boundary", "distance"),
    "nyuv2": ("segmentation", "depth", "normal"),
    "cityscapes": ("segmentation", "depth"),
}


def arrays(scene, train=6, val=3, test=5):
    made = {}
    for split, n in (("train", train), ("val", val), ("test", test)):
        kind = np.uint8 if scene == "camvid" else np.float32
        made[f"{split}_images"] = RNG.uniform(0, 255 if scene == "camvid" else 1, (n, 32, 32, 3)).astype(kind)
        made |= {f"{split}_{task}": KINDS[task](n) for task in TASKS[scene]}
    return made


def problem(scene, given=None, **settings):
    return build("problems", "dense", arrays=given or {}, scene=scene, **{**SMALL, **settings})


@pytest.mark.parametrize("scene", TASKS)
def test_one_loss_per_task_and_all_metrics_with_what_pictures_contribute(scene):
    own = problem(scene, arrays(scene), test_batch=2)
    network = own.network(torch.Generator().manual_seed(0))
    generators = Generators(0)
    batches = list(own.batches(generators.order, generators.augmentation))
    assert len(batches) == 3
    losses = own.losses(network, batches[0])
    assert len(losses) == len(own.tasks) == len(TASKS[scene])
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses)
    found = own.evaluate(network, "test")
    assert set(found.metrics) == {*own.metrics, *(f"{task}.loss" for task in own.tasks)}
    assert own.test_rows == 5
    for name, pulls in found.examples.items():
        assert pulls.shape == (5,)
        assert pulls.mean() == pytest.approx(found.metrics[name])
    whole = {"camvid": {"boundary.error", "distance.mae"}}.get(scene, set())
    assert set(found.examples) == {"segmentation.pixel_accuracy", *whole}


def test_metrics_over_the_set_do_not_depend_on_the_batches_they_are_measured_in():
    given = arrays("camvid")
    one, four = (problem("camvid", given, test_batch=size) for size in (1, 4))
    network = one.network(torch.Generator().manual_seed(0))
    found, other = (own.evaluate(network, "test").metrics for own in (one, four))
    for name in one.metrics:
        assert found[name] == pytest.approx(other[name])


def test_losses_of_a_split_are_means_over_its_pictures():
    given = arrays("camvid")
    own = problem("camvid", given, test_batch=4)
    network = own.network(torch.Generator().manual_seed(0)).eval()
    found = own.evaluate(network, "test").metrics
    parts = []
    for rows in (slice(0, 4), slice(4, 5)):
        images, *truths = (torch.from_numpy(given[f"test_{name}"][rows]) for name in ("images", *own.tasks))
        with torch.no_grad():
            parts.append(own.losses(network, (images, truths)))
    for task, most, last in zip(own.tasks, *parts, strict=True):
        assert found[f"{task}.loss"] == pytest.approx((4 * float(most) + float(last)) / 5, rel=1e-5)


def test_published_errors_of_depth_depend_on_the_batches_they_are_measured_in():
    given = arrays("nyuv2")
    given["test_depth"][0, :, :30] = 0.0
    found = [
        problem("nyuv2", given, test_batch=size).evaluate(problem("nyuv2", given).network(torch.Generator()), "test")
        for size in (1, 2)
    ]
    assert found[0].metrics["depth.absolute_error"] != found[1].metrics["depth.absolute_error"]
    assert found[0].metrics["segmentation.miou"] == found[1].metrics["segmentation.miou"]


@pytest.mark.parametrize(
    ("scene", "network", "size"),
    # the published counts less three loss weights that those networks hold and never use
    [("nyuv2", "segnet", 25_055_188 - 3), ("nyuv2", "mtan", 44_229_076 - 3), ("cityscapes", "segnet", 25_017_675 - 3),
     ("cityscapes", "mtan", 41_206_987 - 3)],
)  # fmt: skip
def test_full_networks_have_the_published_numbers_of_parameters(scene, network, size):
    own = problem(scene, network={"name": network})
    with torch.device("meta"):
        whole = build("networks", network, **own._own)
    assert sum(p.numel() for p in whole.parameters()) == size


@pytest.mark.parametrize("augment", ["none", "swap", "zoom"])
def test_batches_depend_on_the_generators_alone_and_cover_an_epoch(augment):
    given = arrays("nyuv2", train=7)
    own = problem("nyuv2", given, augment=augment)

    def epoch(seed):
        generators = Generators(seed)
        return list(own.batches(generators.order, generators.augmentation))

    first, again, other = epoch(0), epoch(0), epoch(1)
    assert len(first) == 3  # the seventh picture is left out
    for (images, truths), (same, maps) in zip(first, again, strict=True):
        assert torch.equal(images, same)
        assert all(torch.equal(a, b) for a, b in zip(truths, maps, strict=True))
        assert images.shape == (2, 32, 32, 3)
        assert truths[0].dtype == torch.int8
    assert not torch.equal(first[0][0], other[0][0])
    rows = {tuple(row) for row in given["train_images"].reshape(7, -1)[:, :3].tolist()}
    kept = {tuple(image.reshape(-1)[:3].tolist()) for images, _ in first for image in images}
    assert (kept <= rows) == (augment == "none")


class _Right(Network):
    """Says the truth that it was given, whatever it sees."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return self.outputs

    def shared_parameters(self):
        return [self.unused]


def test_the_truth_scores_best_on_every_metric():
    given = arrays("nyuv2")
    own = problem("nyuv2", given, test_batch=5)
    labels = torch.from_numpy(given["test_segmentation"]).long()
    classes = torch.nn.functional.one_hot(labels.clamp(min=0), 13).permute(0, 3, 1, 2).float()
    normals = given["test_normal"]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    maps = (torch.from_numpy(values).permute(0, 3, 1, 2) for values in (given["test_depth"], normals))
    found = own.evaluate(_Right((classes, *maps)), "test").metrics
    best = {f"segmentation.{name}": 1.0 for name in ("miou", "pixel_accuracy")}
    best |= {f"depth.{name}_error": 0.0 for name in ("absolute", "relative")}
    best |= {f"normal.within_{bound}": 1.0 for bound in (11, 22, 30)}
    assert {name: found[name] for name in best} == best
    assert found["normal.mean"] < 0.05


@pytest.mark.parametrize(
    ("scene", "settings", "said"),
    [
        ("camvid", {"augment": "zoom"}, "`augment` must be none or swap for scene 'camvid', found augment = 'zoom'"),
        ("camvid", {"twin": True}, "`twin` must be false for scene 'camvid'"),
        ("nyuv2", {"test_batch": 0}, "`test_batch` must be at least 1, found test_batch = 0"),
        ("rooms", {}, "`dense.scene` must be one of 'camvid', 'nyuv2', 'cityscapes', found 'rooms'"),
        ("nyuv2", {"network": {"name": "segnet", "outputs": [1]}}, "`network.outputs` must be left to the problem"),
    ],
)
def test_wrong_settings_are_told_before_any_work(scene, settings, said):
    with pytest.raises(ValueError, match=said):
        problem(scene, **settings)


def test_a_split_that_is_too_small_is_told():
    with pytest.raises(ValueError, match="`batch_size` must be at most the 6 training rows, found batch_size = 9"):
        problem("camvid", arrays("camvid"), batch_size=9)

"""Overlaid pictures: the construction, its splits, and what a batch depends on."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems.overlay import prepare
from pipelines._workspace import prepared

_ROOT = Path(__file__).parents[2]


def _source(seed, n_train=200, n_test=40):
    """Pictures whose first and last pixel tell their number: the overlay shows both corners unchanged."""
    rng = np.random.default_rng(seed)
    source = {}
    for split, n in (("train", n_train), ("test", n_test)):
        images = rng.integers(0, 200, (n, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = images[:, -1, -1] = np.arange(n)
        source |= {f"{split}_images": images, f"{split}_labels": (np.arange(n) % 10).astype(np.uint8)}
    return source


@pytest.fixture
def raw():
    return {"a": _source(1), "b": _source(2)}


@pytest.fixture
def arrays(raw):
    return prepare(raw, {"left": "a", "right": "b", "seed": 0})


def _settings(**changes):
    return {"network": {"name": "lenet"}, "epochs": 1, "batch_size": 16} | changes


def test_shapes_and_sizes(arrays):
    shapes = {name: values.shape for name, values in arrays.items()}
    assert shapes == {
        "val_index": (40,),
        "train_images": (360, 36, 36), "train_labels": (360, 2),
        "val_images": (40, 36, 36), "val_labels": (40, 2),
        "test_images": (80, 36, 36), "test_labels": (80, 2),
    }  # fmt: skip
    assert all(v.dtype == np.uint8 for name, v in arrays.items() if name != "val_index")
    assert (np.diff(arrays["val_index"]) > 0).all()
    assert arrays["val_index"].max() < 400


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_picture_is_the_brighter_of_its_two_sources(raw, arrays, split):
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    source = "test" if split == "test" else "train"
    left, right = images[:, 0, 0], images[:, 35, 35]
    canvas = np.zeros((2, len(images), 36, 36), np.uint8)
    canvas[0, :, :28, :28] = raw["a"][f"{source}_images"][left]
    canvas[1, :, 8:, 8:] = raw["b"][f"{source}_images"][right]
    assert (images == canvas.max(axis=0)).all()
    assert (labels[:, 0] == raw["a"][f"{source}_labels"][left]).all()
    assert (labels[:, 1] == raw["b"][f"{source}_labels"][right]).all()


def test_every_source_picture_is_used_twice_in_its_corner(arrays):
    corners = np.concatenate([arrays["train_images"], arrays["val_images"]])
    for row, column in ((0, 0), (35, 35)):
        assert (np.bincount(corners[:, row, column], minlength=200) == 2).all()
        assert (np.bincount(arrays["test_images"][:, row, column], minlength=40) == 2).all()


def test_validation_shares_no_source_picture_with_training(raw):
    # The same set in both corners: a picture held out on the left must not be trained on at the right.
    arrays = prepare(raw, {"left": "a", "right": "a", "seed": 3})
    seen = {split: set(arrays[f"{split}_images"][:, [0, 35], [0, 35]].ravel().tolist()) for split in ("train", "val")}
    assert len(seen["val"]) == 20
    assert not seen["train"] & seen["val"]


def test_the_construction_is_a_function_of_the_seed(raw, arrays):
    again = prepare(raw, {"left": "a", "right": "b", "seed": 0})
    other = prepare(raw, {"left": "a", "right": "b", "seed": 1})
    assert all((arrays[name] == again[name]).all() for name in arrays)
    assert not (arrays["train_images"] == other["train_images"]).all()


def test_the_construction_is_pinned(arrays):
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    assert digest == "e8995ce26487558c14709bc404ccda1753e146c3eb31b82255e2b1dfb33503ef"


def test_sources_of_different_size_are_refused(raw):
    with pytest.raises(ValueError, match="`right` must have as many train pictures"):
        prepare({"a": raw["a"], "b": _source(2, n_train=100)}, {"left": "a", "right": "b", "seed": 0})


def test_batches_depend_on_the_order_generator_alone(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings())

    def epoch(order, augmentation):
        return list(problem.batches(np.random.default_rng(order), np.random.default_rng(augmentation)))

    torch.manual_seed(0)
    first = epoch(1, 2)
    torch.manual_seed(1)
    second = epoch(1, 3)
    assert len(first) == 360 // 16
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, epoch(2, 2), strict=True))


def test_a_batch_keeps_pictures_and_labels_together(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings())
    for images, labels in problem.batches(np.random.default_rng(0), np.random.default_rng(0)):
        assert torch.equal(labels, torch.stack([images[:, 0, 0] % 10, images[:, 35, 35] % 10], dim=1).long())


def test_train_size_takes_the_first_pictures(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings(train_size=32))
    seen = torch.cat([images for images, _ in problem.batches(np.random.default_rng(0), np.random.default_rng(0))])
    first = torch.from_numpy(arrays["train_images"][:32])
    assert sorted(map(bytes, seen.flatten(1).numpy())) == sorted(map(bytes, first.flatten(1).numpy()))


def test_the_network_comes_from_its_generator_and_leaves_the_global_one_alone(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings())
    before = torch.get_rng_state()
    nets = [problem.network(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    first, same, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_losses_and_metrics_agree_with_a_plain_count(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings())
    network = problem.network(torch.Generator().manual_seed(0))
    scaled = (torch.from_numpy(arrays["val_images"])[:, None].float() / 255 - 0.1307) / 0.3081
    labels = torch.from_numpy(arrays["val_labels"]).long()
    found = problem.evaluate(network, "val").metrics
    assert network.training
    assert set(found) == {"left.accuracy", "right.accuracy", "left.loss", "right.loss"}
    losses = problem.losses(network, (torch.from_numpy(arrays["val_images"]), labels))
    for k, (task, output) in enumerate(zip(problem.tasks, network(scaled), strict=True)):
        assert found[f"{task}.accuracy"] == pytest.approx((output.argmax(1) == labels[:, k]).float().mean().item())
        log_p = output.log_softmax(1)[torch.arange(len(labels)), labels[:, k]]
        assert found[f"{task}.loss"] == pytest.approx(-log_p.mean().item(), rel=1e-5)
        assert losses[k].item() == pytest.approx(-log_p.mean().item(), rel=1e-5)


def test_the_schedule_and_the_optimiser_are_the_settings(arrays):
    changes = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "milestones": [1], "gamma": 0.1}
    problem = build("problems", "overlay", arrays={}, **_settings(**changes))
    optimizer = problem.optimizer(list(problem.network(torch.Generator()).parameters()))
    assert isinstance(optimizer, torch.optim.SGD)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 0.01)
    scheduler = problem.scheduler(optimizer)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"train_size": -1}, "`train_size` must be at least 0, found train_size = -1"),
        ({"train_size": 8}, "`batch_size` must be at most train_size = 8, found batch_size = 16"),
        ({"lr": 0.0}, "`lr` must be positive, found lr = 0.0"),
        ({"clip": -1.0}, "`clip` must be positive, found clip = -1.0"),
        ({"momentum": 0.9}, "`momentum` must be 0 unless optimizer = 'sgd'"),
        ({"optimizer": "lion"}, "`overlay.optimizer` must be one of 'adam', 'sgd', found 'lion'"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"network": {"name": "lenet", "variant": "x"}}, "`lenet.variant` must be one of"),
        ({"network": {"name": "nonesuch"}}, "`networks` must name one of"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "overlay", arrays={}, **_settings(**changes))


def test_more_pictures_than_there_are_is_refused(arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 40, found 41"):
        build("problems", "overlay", arrays=arrays, **_settings(val_size=41))


def test_real_data_has_the_papers_sizes():
    folder = prepared(_ROOT, "multi_fashion_mnist")
    if not folder.is_dir():
        pytest.skip("data/processed/multi_fashion_mnist is not there: run `make repro`")
    sizes = {split: np.load(folder / f"{split}_labels.npy", mmap_mode="r").shape for split in ("train", "val", "test")}
    assert sizes == {"train": (108_000, 2), "val": (12_000, 2), "test": (20_000, 2)}


def test_without_holding_out_every_picture_is_trained_on(arrays):
    problem = build("problems", "overlay", arrays=arrays, **_settings(hold_out=False, batch_size=400))
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    built = [np.concatenate([arrays[f"{split}_{of}"] for split in ("train", "val")]) for of in ("images", "labels")]
    assert len(batches) == 1
    assert _rows(*(part.numpy() for part in batches[0])) == _rows(*built)
    network = problem.network(torch.Generator().manual_seed(0))
    kept = build("problems", "overlay", arrays=arrays, **_settings())
    assert problem.evaluate(network, "val").metrics == kept.evaluate(network, "val").metrics, "it stays what it was"


def test_a_share_of_the_pictures_and_all_of_them_is_refused(arrays):
    with pytest.raises(ValueError, match="`train_size` must be 0, all, where hold_out = False, found 64"):
        build("problems", "overlay", arrays=arrays, **_settings(hold_out=False, train_size=64))


def _rows(images, labels):
    return sorted((picture.tobytes(), tuple(map(int, label))) for picture, label in zip(images, labels, strict=True))

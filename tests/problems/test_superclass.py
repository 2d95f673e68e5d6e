"""CIFAR-100's superclasses as tasks: the map, the splits, who sees what in a step. On made pictures."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner
from gradsurgery.problems.superclass import RANK, SUPERCLASS, TASKS, prepare

NETWORK = {"name": "cnn", "width": 2, "hidden": 4}
PER_CLASS = {"train": 20, "test": 6}

# As the data set's page lists them; a class's number is its place in the alphabet.
MEMBERS = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "electrical_devices": "clock keyboard lamp telephone television",
    "furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_outdoor_things": "bridge castle house road skyscraper",
    "large_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}


@pytest.fixture(scope="module")
def raw():
    """Pictures whose first two pixels hold their number; labels in blocks, as in the data set's canonical order."""
    rng = np.random.default_rng(0)
    source = {}
    for split, count in PER_CLASS.items():
        images = rng.integers(0, 255, (100 * count, 32, 32, 3), dtype=np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = np.divmod(np.arange(100 * count), 256)
        source |= {f"{split}_images": images, f"{split}_labels": np.repeat(np.arange(100, dtype=np.uint8), count)}
    return {"cifar100": source}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "cifar100", "seed": 0})


def _numbers(images):
    return images[..., 0, 0, 0].astype(int) * 256 + images[..., 0, 0, 1]


def _settings(**changes):
    return {"network": NETWORK, "epochs": 2, "batch_size": 4, "train_size": 12, "lr": 0.01} | changes


def test_the_map_is_that_of_the_data_set():
    assert len(SUPERCLASS) == 100
    assert np.bincount(SUPERCLASS).tolist() == [5] * 20
    for task in range(20):
        assert RANK[task == SUPERCLASS].tolist() == [0, 1, 2, 3, 4]
    classes = sorted(name for members in MEMBERS.values() for name in members.split())
    found = {task: " ".join(classes[fine] for fine in np.flatnonzero(k == SUPERCLASS)) for k, task in enumerate(TASKS)}
    assert found == MEMBERS


def test_the_remainder_by_five_numbers_no_superclass():
    # what a published loader does; the map's ranks are there because of it
    remainders = [sorted(np.flatnonzero(task == SUPERCLASS) % 5) for task in range(20)]
    assert [0, 1, 2, 3, 4] not in remainders


def test_every_task_has_its_pictures_and_a_tenth_of_every_class_is_kept(raw, arrays):
    assert {name: (values.shape, values.dtype) for name, values in arrays.items()} == {
        "train_images": ((90, 20, 32, 32, 3), np.uint8), "train_labels": ((90, 20, 2), np.uint8),
        "val_images": ((10, 20, 32, 32, 3), np.uint8), "val_labels": ((10, 20, 2), np.uint8),
        "test_images": ((30, 20, 32, 32, 3), np.uint8), "test_labels": ((30, 20, 2), np.uint8),
        "val_index": ((10, 20), np.int64),
    }  # fmt: skip
    seen = {}
    for split, each in (("train", 18), ("val", 2), ("test", 6)):
        source = raw["cifar100"]["test_labels" if split == "test" else "train_labels"]
        numbers, labels = _numbers(arrays[f"{split}_images"]), arrays[f"{split}_labels"]
        fine = source[numbers]
        np.testing.assert_array_equal(labels[..., 0], np.broadcast_to(np.arange(20), labels.shape[:2]))
        np.testing.assert_array_equal(labels[..., 0], SUPERCLASS[fine])
        np.testing.assert_array_equal(labels[..., 1], RANK[fine])
        assert np.bincount(fine.ravel()).tolist() == [each] * 100
        seen[split] = numbers
    np.testing.assert_array_equal(seen["val"], arrays["val_index"])
    assert not set(seen["train"].ravel()) & set(seen["val"].ravel())
    assert set(seen["train"].ravel()) | set(seen["val"].ravel()) == set(range(2000))
    assert len(set(arrays["train_labels"][:20, 0, 1])) == 5  # in random order within a task


def test_the_splits_are_a_function_of_the_seed(raw, arrays):
    same, other = (prepare(raw, {"left": "cifar100", "seed": seed}) for seed in (0, 1))
    assert all((arrays[name] == same[name]).all() for name in arrays)
    assert not (arrays["val_index"] == other["val_index"]).all()


def test_every_step_sees_each_task_equally_and_an_epoch_each_picture_once(arrays):
    problem = build("problems", "superclass", arrays=arrays, **_settings(train_size=0))
    own = dict(zip(_numbers(arrays["train_images"]).ravel(), arrays["train_labels"].reshape(-1, 2), strict=True))
    batches = list(problem.batches(np.random.default_rng(1), np.random.default_rng(2)))
    assert len(batches) == 90 // 4
    numbers = []
    for images, labels in batches:
        assert images.shape == (20, 4, 32, 32, 3)
        numbers.append(_numbers(images.numpy()))
        truth = np.array([[own[n] for n in row] for row in numbers[-1]])
        np.testing.assert_array_equal(truth[..., 0], np.repeat(np.arange(20)[:, None], 4, axis=1))
        np.testing.assert_array_equal(truth[..., 1], labels.numpy())
    assert len(set(np.array(numbers).ravel())) == 88 * 20
    first = np.concatenate(numbers, axis=1)
    again, other = (
        np.concatenate(
            [_numbers(x.numpy()) for x, _ in problem.batches(np.random.default_rng(s), np.random.default_rng(s + 9))],
            axis=1,
        )
        for s in (1, 3)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    columns = _numbers(arrays["train_images"])
    places = [[columns[:, k].tolist().index(number) for number in first[k]] for k in (0, 1)]
    assert places[0] != places[1]  # each task in an order of its own


def test_losses_and_metrics_agree_with_a_plain_count(arrays):
    problem = build("problems", "superclass", arrays=arrays, **_settings(test_size=7))
    assert problem.tasks == TASKS
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test").metrics
    assert network.training
    assert set(found) == {f"{task}.{metric}" for task in TASKS for metric in ("accuracy", "loss")}
    mean, sd = torch.tensor([0.50708, 0.48655, 0.44092]), torch.tensor([0.26733, 0.25644, 0.27615])
    images = torch.from_numpy(arrays["test_images"][:7])
    labels = torch.from_numpy(arrays["test_labels"][:7, :, 1]).long()
    losses = problem.losses(network, (images.swapaxes(0, 1), labels.T))
    for k, task in enumerate(TASKS):
        output = network.heads[k](network.trunks[0](((images[:, k].float() / 255 - mean) / sd).permute(0, 3, 1, 2)))
        expected = torch.nn.functional.cross_entropy(output, labels[:, k]).item()
        assert losses[k].item() == pytest.approx(expected, rel=1e-4)
        assert found[f"{task}.loss"] == pytest.approx(expected, rel=1e-4)
        assert found[f"{task}.accuracy"] == pytest.approx((output.argmax(1) == labels[:, k]).float().mean().item())


def _declaration(**changes):
    return {
        "problem": "cifar100_superclass", "module": "superclass", "settings": _settings(),
        "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": "joint"},
        "aggregator": {"name": "sum"},
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregator": {"name": "pcgrad"}}, {"aggregator": {"name": "cagrad", "c": 0.5}},
        {"aggregator": {"name": "sam_gs"}}, {"aggregator": {"name": "gcond", "output": "raw"}},
        {"balancer": {"name": "random_weights"}}, {"balancer": {"name": "uncertainty"}},
        {"settings": _settings(network=NETWORK | {"trunk": "separate"})},
    ],
    ids=["pcgrad", "cagrad", "sam_gs", "gcond", "random_weights", "uncertainty", "independent"],
)  # fmt: skip
def test_methods_train_it(arrays, changes):
    learner = build_learner(_declaration(**changes), arrays, 0)
    row = learner.epoch()
    assert learner.step_count == 3
    assert learner.skipped_steps == 0
    assert np.isfinite([row[f"{split}.{task}.loss"] for split in ("train", "val", "test") for task in TASKS]).all()
    assert len(learner.diagnostics) == 1


def test_the_same_seed_gives_the_same_numbers(arrays):
    rows = [build_learner(_declaration(aggregator={"name": "pcgrad"}), arrays, seed).epoch() for seed in (3, 3, 4)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"weight_decay": -1.0}, "`weight_decay` must be at least 0, found weight_decay = -1.0"),
        ({"batch_size": 13}, "`batch_size` must be at most train_size = 12, found batch_size = 13"),
        ({"lr": 0.0}, "`lr` must be positive, found lr = 0.0"),
        ({"clip": 0.0}, "`clip` must be positive, found clip = 0.0"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"network": {**NETWORK, "width": 0}}, "`width` must be at least 1, found width = 0"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "superclass", arrays={}, **_settings(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.repeat(np.arange(1, 101, dtype=np.uint8), 20)},
         "`train_labels` must be from 0 to 99, found 100"),
        ({"test_labels": np.zeros(600, np.uint8)}, "`test_labels` must hold all classes equally, found 0 to 600"),
        ({"test_labels": np.zeros(5, np.uint8)}, r"`test_images` must be \(N, 32, 32, 3\) with N labels"),
        ({"train_images": np.zeros((2000, 28, 28), np.uint8)}, r"`train_images` must be \(N, 32, 32, 3\)"),
    ],
)  # fmt: skip
def test_wrong_data_is_refused(raw, changes, message):
    with pytest.raises(ValueError, match=message):
        prepare({"cifar100": raw["cifar100"] | changes}, {"left": "cifar100", "seed": 0})


def test_what_does_not_fit_the_arrays_is_refused(arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 10, found 11"):
        build("problems", "superclass", arrays=arrays, **_settings(val_size=11))
    for place, value, message in (
        ((0, 0, 1), 5, "`train_labels` must be less than 5, found 5"),
        ((0, 3, 0), 4, "`train_labels` must hold each of 20 tasks in its column"),
    ):
        labels = arrays["train_labels"].copy()
        labels[place] = value
        with pytest.raises(ValueError, match=message):
            build("problems", "superclass", arrays=arrays | {"train_labels": labels}, **_settings())
    with pytest.raises(ValueError, match="`test_labels` must hold each of 20 tasks in its column"):
        build("problems", "superclass", arrays=arrays | {"test_labels": arrays["test_labels"][:, :19]}, **_settings())

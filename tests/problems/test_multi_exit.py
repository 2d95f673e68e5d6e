"""The multi-exit problem: its splits, its augmentation, and a network's exits as tasks. On made pictures."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner
from gradsurgery.problems.multi_exit import prepare, shifted

NETWORK = {"name": "sdn_resnet", "depth": 14, "width": 2}


@pytest.fixture(scope="module")
def raw():
    """Pictures whose first pixel tells their number; labels in blocks, as in the data set's canonical order."""
    rng = np.random.default_rng(0)
    source = {}
    for split, n in (("train", 200), ("test", 40)):
        images = rng.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)
        images[:, 0, 0, 0] = np.arange(n)
        source |= {f"{split}_images": images, f"{split}_labels": np.repeat(np.arange(4), n // 4).astype(np.uint8)}
    return {"cifar100": source}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "cifar100", "seed": 0})


def _settings(**changes):
    return {"network": NETWORK, "epochs": 2, "exits": 3, "num_classes": 4, "batch_size": 16, "lr": 0.01} | changes


def test_a_tenth_of_every_class_is_kept_for_validation(raw, arrays):
    source = raw["cifar100"]
    assert {name: values.shape for name, values in arrays.items()} == {
        "val_index": (20,),
        "train_images": (180, 32, 32, 3), "train_labels": (180,),
        "val_images": (20, 32, 32, 3), "val_labels": (20,),
        "test_images": (40, 32, 32, 3), "test_labels": (40,),
    }  # fmt: skip
    assert np.bincount(arrays["val_labels"]).tolist() == [5] * 4
    assert np.bincount(arrays["train_labels"]).tolist() == [45] * 4
    for split in ("train", "val", "test"):
        index = arrays[f"{split}_images"][:, 0, 0, 0]
        part = "test" if split == "test" else "train"
        assert (arrays[f"{split}_images"] == source[f"{part}_images"][index]).all()
        assert (arrays[f"{split}_labels"] == source[f"{part}_labels"][index]).all()
    assert (arrays["val_images"][:, 0, 0, 0] == arrays["val_index"]).all()
    assert not set(arrays["val_index"]) & set(arrays["train_images"][:, 0, 0, 0].tolist())
    assert (np.diff(arrays["train_labels"].astype(int)) != 0).mean() > 0.5  # in random order


def test_the_splits_are_a_function_of_the_seed(raw, arrays):
    same, other = (prepare(raw, {"left": "cifar100", "seed": seed}) for seed in (0, 1))
    assert all((arrays[name] == same[name]).all() for name in arrays)
    assert not (arrays["val_index"] == other["val_index"]).all()


def test_shifts_and_mirrors_by_hand():
    images = np.arange(2 * 32 * 32 * 3, dtype=np.uint64).reshape(2, 32, 32, 3).astype(np.uint8) | 1
    still = shifted(images, np.array([[4, 4], [4, 4]]), np.array([False, False]))
    assert (still == images).all()
    moved = shifted(images, np.array([[6, 4], [4, 1]]), np.array([False, True]))
    assert (moved[0, :30] == images[0, 2:]).all()
    assert (moved[0, 30:] == 0).all()
    assert (moved[1, :, ::-1][:, 3:] == images[1, :, :29]).all()
    assert (moved[1, :, ::-1][:, :3] == 0).all()


def test_batches_depend_on_their_generators_alone(arrays):
    turning, plain = (
        build("problems", "multi_exit", arrays=arrays, **_settings(augment=augment)) for augment in (True, False)
    )

    def epoch(problem, order, augmentation):
        return list(problem.batches(np.random.default_rng(order), np.random.default_rng(augmentation)))

    def same(a, b):
        return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

    first, again, turned = epoch(turning, 1, 2), epoch(turning, 1, 2), epoch(turning, 1, 3)
    assert len(first) == 180 // 16
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a[1], b[1]) and not torch.equal(a[0], b[0]) for a, b in zip(first, turned, strict=True))
    still = epoch(plain, 1, 2)
    assert all(same(a, b) for a, b in zip(still, epoch(plain, 1, 3), strict=True))
    number = dict(zip(arrays["train_images"][:, 0, 0, 0].tolist(), arrays["train_labels"].tolist(), strict=True))
    for images, labels in still:
        assert [number[i] for i in images[:, 0, 0, 0].tolist()] == labels.tolist()


def test_losses_and_metrics_agree_with_a_plain_count(arrays):
    problem = build("problems", "multi_exit", arrays=arrays, **_settings())
    assert problem.tasks == ("exit1", "exit2", "exit3")
    network = problem.network(torch.Generator().manual_seed(0))
    images, labels = torch.from_numpy(arrays["val_images"]), torch.from_numpy(arrays["val_labels"]).long()
    found = problem.evaluate(network, "val").metrics
    assert network.training
    network.eval()
    mean, sd = torch.tensor([0.50708, 0.48655, 0.44092]), torch.tensor([0.26733, 0.25644, 0.27615])
    outputs = network(((images.float() / 255 - mean) / sd).permute(0, 3, 1, 2))
    losses = problem.losses(network, (images, labels))
    for task, output, loss in zip(problem.tasks, outputs, losses, strict=True):
        expected = torch.nn.functional.cross_entropy(output, labels).item()
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        assert found[f"{task}.loss"] == pytest.approx(expected, rel=1e-5)
        assert found[f"{task}.accuracy"] == pytest.approx((output.argmax(1) == labels).float().mean().item())


@pytest.mark.parametrize(("rule", "aggregator"), [("dr_mgf", "sum"), ("joint", "pcgrad")])
@pytest.mark.parametrize("network", [NETWORK, {"name": "msdnet", "base": 1, "step": 1, "growth": 2, "width": 2}])
def test_rules_train_it(arrays, rule, aggregator, network):
    declaration = {
        "problem": "cifar100_exits", "module": "multi_exit", "settings": _settings(network=network, train_size=64),
        "transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": rule},
        "aggregator": {"name": aggregator},
    }  # fmt: skip
    learner = build_learner(declaration, arrays, 0)
    row = learner.epoch()
    assert np.isfinite([row[f"{split}.exit{k}.loss"] for split in ("train", "val", "test") for k in (1, 2, 3)]).all()


def test_more_passes_stretch_the_schedule(arrays):
    rates = {}
    for passes in (1, 4):
        settings = _settings(passes=passes, epochs=4, milestones=[3], lr=0.1)
        problem = build("problems", "multi_exit", arrays=arrays, **settings)
        assert problem.epochs == 4 * passes
        optimizer = problem.optimizer([torch.nn.Parameter(torch.zeros(1))])
        scheduler = problem.scheduler(optimizer)
        rates[passes] = []
        for _ in range(problem.epochs):
            rates[passes].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    assert rates[1] == pytest.approx([0.1] * 3 + [0.01])
    assert rates[4] == pytest.approx([0.1] * 12 + [0.01] * 4)


def test_a_scale_may_set_fields_of_the_network(arrays):
    fields = {"depth": 14, "width": 2}
    split = _settings(network={"name": "sdn_resnet", "width": 3}, network_fields=fields)
    whole = _settings(network={"name": "sdn_resnet", "depth": 14, "width": 3})
    built = [
        build("problems", "multi_exit", arrays=arrays, **settings).network(torch.Generator().manual_seed(0))
        for settings in (split, whole)
    ]
    for a, b in zip(*(network.state_dict().values() for network in built), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"passes": 0}, "`passes` must be at least 1, found passes = 0"),
        ({"network_fields": {"num_tasks": 3}}, "`network.num_tasks` must be left to the problem"),
        ({"exits": 1}, "`exits` must be at least 2, found exits = 1"),
        ({"exits": 7}, "`num_tasks` must be at most the number of blocks, 6, found num_tasks = 7"),
        ({"train_size": 8}, "`batch_size` must be at most train_size = 8, found batch_size = 16"),
        ({"lr": 0.0}, "`lr` must be positive, found lr = 0.0"),
        ({"momentum": 0.9, "optimizer": "adam"}, "`momentum` must be 0 unless optimizer = 'sgd'"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"network": {**NETWORK, "num_tasks": 3}}, "`network.num_tasks` must be left to the problem"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "multi_exit", arrays={}, **_settings(**changes))


def test_what_does_not_fit_the_data_is_refused(raw, arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 20, found 21"):
        build("problems", "multi_exit", arrays=arrays, **_settings(val_size=21))
    with pytest.raises(ValueError, match="`train_labels` must be less than 3, found 3"):
        build("problems", "multi_exit", arrays=arrays, **_settings(num_classes=3))
    short = raw["cifar100"] | {"test_labels": raw["cifar100"]["test_labels"][:5]}
    with pytest.raises(ValueError, match="`test_images` must be"):
        prepare({"cifar100": short}, {"left": "cifar100", "seed": 0})

"""Conflict that can be dialled: the data, the objective, and what the dial does to the gradients."""

import hashlib

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.experiment import build_learner
from gradsurgery.problems.dial import prepare


@pytest.fixture(scope="module")
def raw():
    """Pictures whose first pixel tells their number."""
    rng = np.random.default_rng(0)
    source = {}
    for split, n in (("train", 200), ("test", 40)):
        images = rng.integers(0, 200, (n, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(n)
        source |= {f"{split}_images": images, f"{split}_labels": (np.arange(n) % 10).astype(np.uint8)}
    return {"a": source}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "a", "seed": 0})


def _settings(**changes):
    return {"network": {"name": "fixed_heads", "width": 2}, "epochs": 1, "batch_size": 16} | changes


def _problem(arrays, **changes):
    return build("problems", "dial", arrays=arrays, **_settings(**changes))


def test_shapes_sizes_and_a_tenth_of_every_class_for_validation(raw, arrays):
    assert {name: values.shape for name, values in arrays.items()} == {
        "val_index": (20,),
        "train_images": (180, 28, 28), "train_labels": (180,),
        "val_images": (20, 28, 28), "val_labels": (20,),
        "test_images": (40, 28, 28), "test_labels": (40,),
    }  # fmt: skip
    assert np.bincount(arrays["val_labels"]).tolist() == [2] * 10
    for split in ("train", "val", "test"):
        numbers = arrays[f"{split}_images"][:, 0, 0]
        part = "test" if split == "test" else "train"
        assert (arrays[f"{split}_labels"] == raw["a"][f"{part}_labels"][numbers]).all()
        assert (arrays[f"{split}_images"] == raw["a"][f"{part}_images"][numbers]).all()
    assert (arrays["val_images"][:, 0, 0] == arrays["val_index"]).all()
    seen = np.concatenate([arrays["train_images"], arrays["val_images"]])[:, 0, 0]
    assert sorted(seen.tolist()) == list(range(200))
    assert (np.diff(seen[:180].astype(int)) < 0).any()  # in random order


def test_the_construction_is_a_function_of_the_seed_and_pinned(raw, arrays):
    other = prepare(raw, {"left": "a", "seed": 1})
    assert not (arrays["val_index"] == other["val_index"]).all()
    digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    assert digest == "988b7e2ee68195c7a9efc4599f9fa5ea88b381cac407afd2b973ea8758d3f94f"


def test_batches_depend_on_the_order_generator_alone_and_keep_pictures_with_labels(arrays):
    problem = _problem(arrays)

    def epoch(order, augmentation):
        return list(problem.batches(np.random.default_rng(order), np.random.default_rng(augmentation)))

    first, second, other = epoch(1, 2), epoch(1, 3), epoch(2, 2)
    assert len(first) == 180 // 16
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    for images, labels in first:
        assert torch.equal(labels, (images[:, 0, 0] % 10).long())


def test_losses_weigh_the_last_task_and_metrics_agree_with_a_plain_count(arrays):
    problem = _problem(arrays, num_tasks=3, cosine=-0.4, ratio=4.0)
    assert problem.tasks == ("head_1", "head_2", "head_3")
    network = problem.network(torch.Generator().manual_seed(0))
    images, labels = torch.from_numpy(arrays["val_images"]), torch.from_numpy(arrays["val_labels"]).long()
    outputs = network((images[:, None].float() / 255 - 0.1307) / 0.3081)
    losses, found = problem.losses(network, (images, labels)), problem.evaluate(network, "val").metrics
    assert network.training
    assert set(found) == {f"{task}.{what}" for task in problem.tasks for what in ("accuracy", "loss")}
    for k, (task, output) in enumerate(zip(problem.tasks, outputs, strict=True)):
        plain = torch.nn.functional.cross_entropy(output, labels).item()
        assert losses[k].item() == pytest.approx((4.0 if k == 2 else 1.0) * plain, rel=1e-5)
        assert found[f"{task}.loss"] == pytest.approx(plain, rel=1e-5)
        assert found[f"{task}.accuracy"] == pytest.approx((output.argmax(1) == labels).float().mean().item())


@pytest.mark.parametrize(("permuted", "moved"), [(0, {}), (2, {0: 1, 1: 0}), (5, {0: 1, 1: 2, 2: 3, 3: 4, 4: 0})])
def test_permuted_classes_have_other_labels_in_the_second_task(arrays, permuted, moved):
    problem = _problem(arrays, network={"name": "tied_head", "width": 2}, permuted=permuted)
    network = problem.network(torch.Generator().manual_seed(0))
    images, labels = torch.from_numpy(arrays["val_images"]), torch.from_numpy(arrays["val_labels"]).long()
    other = torch.tensor([moved.get(int(label), int(label)) for label in labels])
    outputs = network((images[:, None].float() / 255 - 0.1307) / 0.3081)
    losses, found = problem.losses(network, (images, labels)), problem.evaluate(network, "val").metrics
    for k, truth in enumerate((labels, other)):
        assert losses[k].item() == pytest.approx(torch.nn.functional.cross_entropy(outputs[k], truth).item(), rel=1e-5)
        assert found[f"head_{k + 1}.accuracy"] == pytest.approx((outputs[k].argmax(1) == truth).float().mean().item())


def test_permuting_turns_the_cosine_too(arrays):
    tied = {"network": {"name": "tied_head", "width": 2}}
    found = [_cosine(arrays, **tied, permuted=n) for n in (0, 2, 5, 10)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.5
    assert found[-1] < 0.1


def _cosine(arrays, **changes):
    problem = _problem(arrays, **changes)
    network = problem.network(torch.Generator().manual_seed(0))
    batch = next(problem.batches(np.random.default_rng(0), np.random.default_rng(0)))
    losses, parameters = problem.losses(network, batch), network.shared_parameters()
    gradients = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    rows = [torch.cat([part.flatten() for part in gradient]) for gradient in gradients]
    return torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=0).item()


def test_the_dial_turns_the_cosine_of_the_gradients(arrays):
    found = [_cosine(arrays, cosine=c) for c in (1.0, 0.5, 0.0, -0.5, -0.95)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1.0, abs=1e-5)
    assert found[-1] < -0.8


def _epoch(arrays, seed=0, aggregator="sum", balancer=None, **changes):
    declaration = {
        "problem": "dial", "module": "dial", "settings": _settings(**changes), "transform": {"name": "identity"},
        "balancer": balancer or {"name": "equal"}, "rule": {"name": "joint"}, "aggregator": {"name": aggregator},
    }  # fmt: skip
    return build_learner(declaration, arrays, seed).epoch()


def test_static_weights_take_the_ratio_back(arrays):
    """Under SGD to the bit, with the rate that scaling the weights to sum to K asks for."""
    plain = {"cosine": -0.5, "optimizer": "sgd"}
    alone = _epoch(arrays, **plain, ratio=1.0, lr=0.08)
    undone = _epoch(arrays, **plain, ratio=4.0, lr=0.05, balancer={"name": "static", "weights": [0.8, 0.2]})
    for key, value in alone.items():
        if key.startswith(("val.", "test.")):
            assert undone[key] == pytest.approx(value, rel=1e-3), key


@pytest.mark.parametrize("aggregator", ["pcgrad", "cagrad", "sam_gs", "mgda", "gcond"])
def test_methods_train_it(arrays, aggregator):
    row = _epoch(arrays, aggregator=aggregator, num_tasks=3, cosine=-0.45, ratio=4.0)
    assert all(np.isfinite(value) for value in row.values())


def test_the_same_seed_gives_the_same_numbers(arrays):
    rows = [_epoch(arrays, seed, "pcgrad", cosine=-0.5) for seed in (3, 3, 4)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 0.0}, "`ratio` must be positive, found ratio = 0.0"),
        ({"num_tasks": 1}, "`num_tasks` must be at least 2, found num_tasks = 1"),
        ({"cosine": -1.5}, "`cosine` must be from -1 to 1, found cosine = -1.5"),
        ({"num_tasks": 3, "cosine": -0.6}, "`cosine` must be from -0.5 to 1 with these tasks, found cosine = -0.6"),
        ({"num_tasks": 4}, "`features` must be at least 40 with these tasks and classes"),
        (
            {"network": {"name": "fixed_heads", "cosine": 0.5}, "cosine": 0.5},
            "`network.cosine` must be left to the problem",
        ),
        ({"permuted": 1}, "`permuted` must be 0 or from 2 to 10, found permuted = 1"),
        ({"permuted": 11}, "`permuted` must be 0 or from 2 to 10, found permuted = 11"),
        ({"network": {"name": "tied_head"}, "cosine": 0.5}, "`tied_head.cosine` is no field of tied_head"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        _problem({}, **changes)


def test_more_pictures_than_there_are_is_refused(arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 20, found 21"):
        _problem(arrays, val_size=21)

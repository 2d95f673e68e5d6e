"""Few labels: which pictures keep theirs, what the three losses are, and ARML's own step."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradsurgery.core.discovery import build
from gradsurgery.problems.arml import prepare

_NETWORK = {"name": "wide_resnet", "depth": 10, "width": 1}
_SETTINGS = {"network": _NETWORK, "epochs": 1, "num_classes": 4, "labelled": 12, "batch_size": 8, "steps": 6}


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    raw = {}
    for split, n in (("train", 200), ("test", 24)):
        raw[f"{split}_images"] = rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
        raw[f"{split}_labels"] = (np.arange(n) % 4).astype(np.uint8)
    made = prepare({"x": raw}, {"left": "x", "seed": 0})
    known = {image.tobytes(): label for image, label in zip(raw["train_images"], raw["train_labels"], strict=True)}
    for split in ("train", "val"):
        pairs = zip(made[f"{split}_images"], made[f"{split}_labels"], strict=True)
        assert all(known.pop(image.tobytes()) == label for image, label in pairs)
    assert not known
    assert np.bincount(made["val_labels"]).tolist() == [5] * 4
    return made


def _problem(arrays, **changes):
    return build("problems", "arml", arrays=arrays, **_SETTINGS | changes)


def _network(problem):
    return problem.network(torch.Generator().manual_seed(0))


def test_a_batch_is_half_labelled_and_labels_come_round_in_turn(arrays):
    problem = _problem(arrays)
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert len(batches) == 6
    labels = torch.stack([labels for _, _, labels in batches])
    assert (labels[:, 4:] == -1).all()
    assert torch.bincount(labels[:3, :4].flatten()).tolist() == [3] * 4  # 12 pictures in 3 batches of 4, and again
    assert torch.bincount(labels[3:, :4].flatten()).tolist() == [3] * 4
    kept, rest = problem._places
    assert [np.flatnonzero(arrays["train_labels"] == k)[:3].tolist() for k in range(4)] == kept.reshape(4, 3).tolist()
    assert sorted([*kept, *rest]) == list(range(180))


def test_views_are_moved_swapped_and_one_has_a_hole(arrays):
    bright = {**arrays, "train_images": np.maximum(arrays["train_images"], 1)}
    problem = _problem(bright, steps=12)
    own = bright["train_images"][problem._places[0]]
    padded = np.pad(own, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    cuts = {
        cut.tobytes() for picture in padded for r in range(5) for c in range(5)
        for cut in (picture[r : r + 32, c : c + 32], np.ascontiguousarray(picture[r : r + 32, c : c + 32][:, ::-1]))
    }  # fmt: skip
    plain, black = 0, []
    for images, changed, _ in problem.batches(np.random.default_rng(0), np.random.default_rng(1)):
        for image in images[:4].numpy():
            assert image.tobytes() in cuts
            plain += image.tobytes() in {picture.tobytes() for picture in own}
        black += [int((other == 0).all(axis=2).sum()) for other in changed.numpy()]
    assert plain < 12  # of 48, one in 50 is as it was
    assert max(black) == 256
    assert min(black) == 64 or 64 < min(black) < 256  # cut at a corner to no less than a quarter


def test_losses_are_those_of_their_definitions(arrays):
    problem = _problem(arrays, strength=0.3)
    network = _network(problem)
    batch = next(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    twin = copy.deepcopy(network)
    main, rotation, exemplar = (float(loss.detach()) for loss in problem.losses(network, batch))
    with torch.no_grad():
        mean, sd = torch.tensor([0.50708, 0.48655, 0.44092]), torch.tensor([0.26733, 0.25644, 0.27615])
        first, second = (((own / 255 - mean) / sd).permute(0, 3, 1, 2) for own in batch[:2])
        scores, _, features = twin(first)
        assert main == pytest.approx(float(functional.cross_entropy(scores[:4], batch[2][:4])) / 2, rel=1e-4)
        turned = np.concatenate([np.rot90(first.numpy(), k, (2, 3)) for k in range(4)])
        said = torch.log_softmax(twin(torch.from_numpy(turned))[1], dim=1)
        assert rotation == pytest.approx(-0.3 * float(said[torch.arange(32), torch.arange(32) // 8].mean()), rel=1e-4)
        found = functional.normalize(twin(second)[2], dim=1)
        wanted = functional.normalize(features, dim=1)  # the teacher starts where the trunk stands
        assert exemplar == pytest.approx(-0.3 * float((found * wanted).sum(dim=1).mean()), rel=1e-4)
    norm = network.trunk[1].before[0]
    assert int(norm.num_batches_tracked) == 2  # the other view leaves the statistics alone
    assert int(network.steps) == 1
    assert not any(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("reweighting", ["arml", "none"])
def test_every_twentieth_step_the_weights_take_armls_step(arrays, reweighting):
    problem = _problem(arrays, reweighting=reweighting)
    network = _network(problem)
    batch = next(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    network.steps.fill_(18)
    problem.losses(network, batch)
    assert network.weights.tolist() == [1.0, 1.0]
    twin = copy.deepcopy(network)
    found = problem.losses(network, batch)
    if reweighting == "none":
        assert network.weights.tolist() == [1.0, 1.0]
        return
    twin.steps.fill_(0)  # so that the teacher of both is the trunk's and no step of ARML comes
    twin.remember(0.95)
    for name, _ in twin.trunk.named_parameters():
        twin.teacher.get_buffer(name).copy_(network.teacher.get_buffer(name))
    twin.steps.fill_(5)
    losses = problem.losses(twin, batch)
    alpha = torch.ones(2, requires_grad=True)
    gap = torch.autograd.grad(losses[0] - alpha[0] * losses[1] - alpha[1] * losses[2], twin.shared_parameters(),
                              create_graph=True)  # fmt: skip
    sum(own.square().sum() for own in gap).backward()
    expected = (alpha - 0.05 * alpha.grad).detach()
    expected = (expected + (2 - expected.sum()) / 2).clamp(min=0)
    torch.testing.assert_close(network.weights, expected, rtol=2e-3, atol=2e-3)
    assert abs(float(network.weights[0]) - 1.0) > 1e-3
    for k in (0, 1):
        assert float(found[1 + k].detach()) == pytest.approx(float(expected[k] * losses[1 + k].detach()), rel=1e-2)


def test_evaluation_counts_right_answers_and_leaves_the_network_as_it_was(arrays):
    problem = _problem(arrays)
    network = _network(problem)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = problem.evaluate(network, "test")
    assert network.training
    assert all((network.state_dict()[name] == value).all() for name, value in before.items())
    mean, sd = torch.tensor([0.50708, 0.48655, 0.44092]), torch.tensor([0.26733, 0.25644, 0.27615])
    with torch.no_grad():
        pictures = (torch.from_numpy(arrays["test_images"]) / 255 - mean) / sd
        scores, _, features = network.eval()(pictures.permute(0, 3, 1, 2))
        mirrored = network(pictures.flip(2).permute(0, 3, 1, 2))[2]
    truth = torch.from_numpy(arrays["test_labels"].astype(np.int64))
    assert found.metrics["main.accuracy"] == pytest.approx(float((scores.argmax(1) == truth).float().mean()))
    assert found.examples["main.accuracy"].mean() == pytest.approx(found.metrics["main.accuracy"])
    assert found.metrics["main.loss"] == pytest.approx(float(functional.cross_entropy(scores, truth)), rel=1e-5)
    alike = functional.cosine_similarity(mirrored, features, dim=1).mean()
    assert found.metrics["exemplar.loss"] == pytest.approx(-float(alike), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labelled": 10}, "`labelled` must be a multiple of 4 classes, found labelled = 10"),
        ({"labelled": 400}, "`labelled` must leave 100 training pictures to each of the 4 classes, found 45 of one"),
        ({"labelled": 180}, "`labelled` must leave pictures without a label, found 180 of 180"),
        ({"batch_size": 7}, "`batch_size` must be even, found batch_size = 7"),
        ({"memory": 1.0}, "`memory` must be less than 1, found memory = 1.0"),
        ({"network": {"name": "sdn_resnet"}}, "`network.name` must be wide_resnet, found 'sdn_resnet'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(arrays, changes, message):
    with pytest.raises(ValueError, match=message):
        _problem(arrays, **changes)

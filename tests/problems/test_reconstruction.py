"""Masked reconstruction: splits, holes, losses against a plain count. On made pictures."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Network
from gradsurgery.experiment import build_learner
from gradsurgery.problems._holes import judge
from gradsurgery.problems.reconstruction import prepare

NETWORK = {"name": "autoencoder", "width": 6, "depth": 1}
MEAN, SD = ([0.50708, 0.48655, 0.44092], [0.26733, 0.25644, 0.27615])


@pytest.fixture(scope="module")
def raw():
    """Smooth pictures whose first pixel tells their number; labels in blocks, as in the canonical order."""
    rng = np.random.default_rng(0)
    source = {}
    for split, n in (("train", 200), ("test", 40)):
        images = rng.integers(0, 255, (n, 4, 4, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
        images[:, 0, 0, 0] = np.arange(n)
        source |= {f"{split}_images": images, f"{split}_labels": np.repeat(np.arange(4), n // 4).astype(np.uint8)}
    return {"cifar100": source}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "cifar100", "seed": 0})


def _settings(**changes):
    return {"network": NETWORK, "epochs": 2, "batch_size": 16} | changes


def _problem(arrays, **changes):
    return build("problems", "reconstruction", arrays=arrays, **_settings(**changes))


def test_a_tenth_of_every_class_is_kept_for_validation(raw, arrays):
    source = raw["cifar100"]
    assert {name: (values.shape, values.dtype.name) for name, values in arrays.items()} == {
        "val_index": ((20,), "int64"),
        "train_images": ((180, 32, 32, 3), "uint8"),
        "val_images": ((20, 32, 32, 3), "uint8"),
        "test_images": ((40, 32, 32, 3), "uint8"),
        "val_patches": ((20, 64), "uint8"),
        "test_patches": ((40, 64), "uint8"),
    }
    for split in ("train", "val", "test"):
        index = arrays[f"{split}_images"][:, 0, 0, 0]
        part = "test" if split == "test" else "train"
        assert (arrays[f"{split}_images"] == source[f"{part}_images"][index]).all()
    val = arrays["val_images"][:, 0, 0, 0]
    assert (val == arrays["val_index"]).all()
    assert np.bincount(source["train_labels"][val]).tolist() == [5] * 4
    assert sorted([*val, *arrays["train_images"][:, 0, 0, 0]]) == list(range(200))
    order = source["train_labels"][arrays["train_images"][:, 0, 0, 0]].astype(int)
    assert (np.diff(order) != 0).mean() > 0.5  # in random order


def test_holes_of_validation_and_test_are_drawn_once(raw, arrays):
    for split in ("val", "test"):
        patches = arrays[f"{split}_patches"]
        assert (np.sort(patches, axis=1) == np.arange(64)).all()
        assert len({row.tobytes() for row in patches}) == len(patches)
        hidden = np.bincount(patches[:, :48].ravel(), minlength=64) / len(patches)
        assert abs(hidden - 0.75).max() < 0.5  # no patch is always hidden or always seen
    same, other = (prepare(raw, {"left": "cifar100", "seed": seed}) for seed in (0, 1))
    assert all((arrays[name] == same[name]).all() for name in arrays)
    assert not any((arrays[name] == other[name]).all() for name in arrays)


def test_pictures_of_another_size_are_refused(raw):
    short = raw["cifar100"] | {"test_labels": raw["cifar100"]["test_labels"][:5]}
    with pytest.raises(ValueError, match="`test_images` must be"):
        prepare({"cifar100": short}, {"left": "cifar100", "seed": 0})


def test_holes_come_from_the_augmentation_generator_alone(arrays):
    problem = _problem(arrays, hidden=40)

    def epoch(order, augmentation):
        return list(problem.batches(np.random.default_rng(order), np.random.default_rng(augmentation)))

    first, again, other = epoch(1, 2), epoch(1, 2), epoch(1, 3)
    assert len(first) == 180 // 16
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[0], c[0])
        assert not torch.equal(a[1], c[1])
        assert a[1].shape == (16, 8, 8)
        assert (a[1].sum(dim=(1, 2)) == 40).all()
    numbers = torch.cat([images[:, 0, 0, 0] for images, _ in first]).tolist()
    assert len(set(numbers)) == len(numbers) == 176
    assert set(numbers) <= set(arrays["train_images"][:, 0, 0, 0].tolist())


class Constant(Network):
    """Paints every pixel in one colour, of which the tasks see two versions; keeps what it was shown."""

    def __init__(self, first, second):
        super().__init__()
        self.colours = torch.nn.Parameter(torch.tensor([first, second]))

    def forward(self, inputs):
        self.seen = inputs
        return tuple(c.expand(len(inputs), 3, 32, 32) for c in self.colours)

    def shared_parameters(self):
        return [self.colours]


def test_judged_are_hidden_pixels_only_and_the_network_sees_only_the_others(arrays):
    images = torch.from_numpy(arrays["val_images"][:3])
    holes = torch.zeros(3, 8, 8, dtype=torch.bool)
    holes[0, 0, 1] = holes[1, 2:4, 5] = holes[2] = True
    network = Constant(0.5, -0.25)
    error, similarity, scores = judge(network, images, holes, MEAN, SD)
    assert scores is None
    mean, sd = (np.array(v).reshape(1, 1, 3) for v in (MEAN, SD))
    for i in range(3):
        pixels = np.kron(holes[i].numpy(), np.ones((4, 4))).astype(bool)
        truth = arrays["val_images"][i] / 255.0
        z = (truth - mean) / sd
        assert error[i].item() == pytest.approx(np.abs(0.5 - z)[pixels].mean(), rel=1e-5)
        painted = np.where(pixels[..., None], -0.25 * sd + mean, truth)
        a, b = (torch.from_numpy(v).permute(2, 0, 1)[None].float() for v in (painted, truth))
        _, full = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
        assert similarity[i].item() == pytest.approx(full[0].permute(1, 2, 0).numpy()[pixels].mean(), abs=1e-4)
        seen = network.seen[i].permute(1, 2, 0).numpy()
        assert (seen[..., 3] == pixels).all()
        assert (seen[pixels][:, :3] == 0.0).all()
        np.testing.assert_allclose(seen[~pixels][:, :3], z[~pixels], atol=1e-5)


def test_a_perfect_picture_is_judged_perfect(arrays):
    problem = _problem(arrays)
    images, holes = next(problem.batches(np.random.default_rng(0), np.random.default_rng(0)))
    truth = (images.float() / 255 - torch.tensor(MEAN)) / torch.tensor(SD)

    class Oracle(Constant):
        def forward(self, inputs):
            return (truth.permute(0, 3, 1, 2),) * 2

    l1, ssim = problem.losses(Oracle(0.0, 0.0), (images, holes))
    assert l1.item() == pytest.approx(0.0, abs=1e-6)
    assert ssim.item() == pytest.approx(0.0, abs=1e-5)


def test_losses_and_metrics_agree(arrays):
    problem = _problem(arrays)
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "val").metrics
    assert network.training
    network.eval()
    holes = torch.zeros(20, 64, dtype=torch.bool)
    holes[torch.arange(20)[:, None], torch.from_numpy(arrays["val_patches"][:, :48].astype(int))] = True
    l1, ssim = problem.losses(network, (torch.from_numpy(arrays["val_images"]), holes.view(20, 8, 8)))
    assert found["l1.mae"] == found["l1.loss"] == pytest.approx(l1.item(), rel=1e-5)
    assert found["ssim.loss"] == pytest.approx(ssim.item(), rel=1e-5)
    assert found["ssim.ssim"] == pytest.approx(1 - ssim.item(), rel=1e-5)
    assert problem.metrics == {"l1.mae": False, "ssim.ssim": True}


def test_the_optimiser_and_its_schedule(arrays):
    problem = _problem(arrays, epochs=5, lr=0.4, lr_end=0.04, warmup=1, betas=(0.0, 0.5))
    network = problem.network(torch.Generator().manual_seed(0))
    optimizer = problem.optimizer(network.shared_parameters())
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["betas"] == (0.0, 0.5)
    scheduler, rates = problem.scheduler(optimizer), []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    half = 0.04 + 0.36 * (1 + np.cos(np.pi / 3)) / 2, 0.04 + 0.36 * (1 + np.cos(2 * np.pi / 3)) / 2
    assert rates == pytest.approx([0.2, 0.4, *half, 0.04])
    constant = _problem(arrays, schedule="constant", epochs=3)
    assert constant.scheduler(constant.optimizer(network.shared_parameters())).lr_lambdas[0](2) == 1.0


def _declare(aggregator, accumulation="exact", **settings):
    return {
        "problem": "cifar100_reconstruction", "module": "reconstruction", "settings": _settings(**settings),
        "transform": {"name": "identity"}, "balancer": {"name": "static", "weights": [0.85, 0.15]},
        "rule": {"name": "joint", "micro_batches": 4, "accumulation": accumulation}, "aggregator": aggregator,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("aggregator", "accumulation"),
    [
        ({"name": "sum"}, "exact"), ({"name": "pcgrad"}, "exact"), ({"name": "gcond"}, "exact"),
        ({"name": "gcond"}, "stochastic"), ({"name": "gcond", "output": "lion"}, "stochastic"),
        ({"name": "gcond", "max_iters": 0}, "exact"),
    ],
)  # fmt: skip
def test_methods_train_it_and_resume(arrays, aggregator, accumulation):
    declaration = _declare(aggregator, accumulation, lr=1e-2)
    learner = build_learner(declaration, arrays, 0)
    first, second = learner.epoch(), learner.epoch()
    assert learner.step_count == 4  # eleven micro-batches an epoch: two steps and a rest
    assert second["train.l1.loss"] < first["train.l1.loss"]
    other = build_learner(declaration, arrays, 0)
    other.epoch()
    resumed = build_learner(declaration, arrays, 0)
    resumed.load_state_dict(other.state_dict())
    assert resumed.epoch() == second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"hidden": 65}, "`hidden` must be at most 64, found hidden = 65"),
        ({"hidden": 0}, "`hidden` must be at least 1, found hidden = 0"),
        ({"warmup": 3}, "`warmup` must be at most 2, found warmup = 3"),
        ({"train_size": 8}, "`batch_size` must be at most train_size = 8, found batch_size = 16"),
        ({"lr": 0.0}, "`lr` must be positive, found lr = 0.0"),
        ({"clip": -1.0}, "`clip` must be positive, found clip = -1.0"),
        ({"betas": [0.9]}, "`betas` must be two numbers from 0 to below 1"),
        ({"betas": [0.9, 1.0]}, "`betas` must be two numbers from 0 to below 1"),
        ({"schedule": "linear"}, "`reconstruction.schedule` must be one of 'constant', 'cosine', found 'linear'"),
        ({"network": {}}, "`network` must have a `name`"),
        ({"network": {**NETWORK, "num_tasks": 2}}, "`network.num_tasks` must be left to the problem"),
        ({"network": {**NETWORK, "depth": -1}}, "`depth` must be at least 0"),
    ],
)
def test_wrong_settings_are_refused_without_data(changes, message):
    with pytest.raises(ValueError, match=message):
        _problem({}, **changes)


def test_what_does_not_fit_the_data_is_refused(arrays):
    with pytest.raises(ValueError, match="`val_size` must be at most 20, found 21"):
        _problem(arrays, val_size=21)

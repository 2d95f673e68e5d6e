"""QM9: splits, scaling, and what is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems._molecules import molecules
from gradsurgery.problems.qm9 import TASKS, prepare
from pipelines._workspace import prepared
from tests.problems.molecules import file_of

_ROOT = Path(__file__).parents[2]
_NETWORK = {"name": "mlp", "hidden": [8]}


@pytest.fixture(scope="module")
def raw():
    return {"qm9": {"part1": file_of(101, 40, 0), "part2": file_of(1, 100, 1), "part3": file_of(141, 60, 2)}}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "qm9", "seed": 0})


def test_every_molecule_lands_in_one_split_with_its_properties(arrays, raw):
    mean, sd = arrays["target_moments"]
    numbers = {
        s: (arrays[f"{s}_targets"][:, 0] * sd[0] + mean[0]).round().astype(int) for s in ("train", "val", "test")
    }
    assert {split: len(own) for split, own in numbers.items()} == {"train": 160, "val": 20, "test": 20}
    assert sorted(np.concatenate(list(numbers.values()))) == list(range(1, 201))
    read = [molecules(raw["qm9"][part]) for part in ("part2", "part1", "part3")]  # in the order of their numbers
    targets = np.concatenate([own[2] for own in read])
    for split, own in numbers.items():
        np.testing.assert_allclose(arrays[f"{split}_targets"] * sd + mean, targets[own - 1], atol=1e-4)


def test_scales_are_those_of_the_training_molecules(arrays):
    np.testing.assert_allclose(arrays["train_targets"].mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(arrays["train_targets"].std(axis=0), 1.0, atol=1e-5)
    assert np.abs(arrays["train_features"]).max() == 5.0
    assert np.abs(arrays["train_features"].mean(axis=0)).max() < 0.2  # not 0: rare distances are cut


def test_the_order_of_the_files_does_not_matter(raw, arrays):
    parts = raw["qm9"]
    other = {"qm9": {"part1": parts["part2"], "part2": parts["part3"], "part3": parts["part1"]}}
    for name, values in prepare(other, {"left": "qm9", "seed": 0}).items():
        np.testing.assert_allclose(values, arrays[name], atol=1e-5)


def test_errors_are_in_standard_deviations_and_the_examples_add_up_to_them(arrays):
    problem = build("problems", "qm9", arrays=arrays, network=_NETWORK, epochs=1, batch_size=32)
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test")
    with torch.no_grad():
        outputs = torch.cat(network(torch.from_numpy(arrays["test_features"])), dim=1).double().numpy()
    errors = np.abs(outputs - arrays["test_targets"])
    assert set(found.metrics) == {f"{task}.{word}" for task in TASKS for word in ("mae", "loss")}
    for k, task in enumerate(TASKS):
        assert found.metrics[f"{task}.mae"] == pytest.approx(errors[:, k].mean(), rel=1e-5)
        assert found.metrics[f"{task}.loss"] == pytest.approx((errors[:, k] ** 2).mean(), rel=1e-5)
        assert found.examples[f"{task}.mae"].mean() == pytest.approx(found.metrics[f"{task}.mae"])
    assert not any(problem.metrics.values())


def test_losses_are_squared_errors_of_the_batch(arrays):
    problem = build("problems", "qm9", arrays=arrays, network=_NETWORK, epochs=1, batch_size=32)
    network = problem.network(torch.Generator().manual_seed(0))
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert [len(y) for _, y in batches] == [32] * 5
    x, y = batches[0]
    expected = ((torch.cat(network(x), dim=1) - y) ** 2).mean(dim=0)
    torch.testing.assert_close(torch.stack(problem.losses(network, (x, y))), expected)


def test_arrays_of_another_width_are_refused(arrays):
    wrong = {**arrays, "val_features": arrays["val_features"][:, :-1]}
    with pytest.raises(
        ValueError, match=r"`val_features` must be \(n, 305\) with \(n, 11\) targets, found \(20, 304\)"
    ):
        build("problems", "qm9", arrays=wrong, network=_NETWORK, epochs=1, batch_size=32)


def test_the_real_set_is_the_one_of_the_literature():
    folder = prepared(_ROOT, "qm9")
    if not folder.is_dir():
        pytest.skip("data/processed/qm9 is not there: run `make repro`")
    sizes = [len(np.load(folder / f"{split}_targets.npy", mmap_mode="r")) for split in ("train", "val", "test")]
    assert sizes == [110_831, 10_000, 10_000]
    mean, sd = np.load(folder / "target_moments.npy")
    assert mean[[0, 2, 3]] == pytest.approx([2.67, -0.240, 0.012], abs=0.01)  # debye, hartree
    assert sd[6] == pytest.approx(39.8, abs=0.1)

"""Yeast: reading, the dealing of rare classes, scaling, and what is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gradsurgery.core.discovery import build
from gradsurgery.problems.yeast import TASKS, prepare
from pipelines._workspace import prepared

_ROOT = Path(__file__).parents[2]
_NETWORK = {"name": "recommender", "variant": "shared_bottom", "equal_capacity": False, "width": 8, "tower": 4}


def _table(n=400, seed=0):
    """Class 14 is rare, class 12 frequent; the first number of a gene is its row."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 14)) < np.array([0.3] * 8 + [0.1] * 3 + [0.75, 0.75, 0.0])
    labels[rng.choice(n, 20, replace=False), 13] = True
    return np.concatenate([np.arange(n)[:, None], rng.standard_normal((n, 102)), labels], axis=1)


def _raw(table):
    header = ",".join([f"Att{i}" for i in range(1, 104)] + [f"Class{i}" for i in range(1, 15)])
    lines = [",".join([*(repr(float(v)) for v in row[:103]), *(f"{v:g}" for v in row[103:])]) for row in table]
    return {"yeast": {"table": np.frombuffer("\n".join([header, *lines, ""]).encode(), np.uint8)}}


@pytest.fixture(scope="module")
def table():
    return _table()


@pytest.fixture(scope="module")
def arrays(table):
    return prepare(_raw(table), {"left": "yeast", "seed": 0})


def _genes(arrays, table):
    """Row numbers of every split, from the scaled first column."""
    scaled = {split: arrays[f"{split}_continuous"][:, 0].astype(float) for split in ("train", "val", "test")}
    low, high = min(map(np.min, scaled.values())), max(map(np.max, scaled.values()))
    return {split: ((x - low) / (high - low) * (len(table) - 1)).round().astype(int) for split, x in scaled.items()}


def test_every_gene_lands_once_with_its_labels(arrays, table):
    found = _genes(arrays, table)
    assert {split: len(rows) for split, rows in found.items()} == {"train": 200, "val": 80, "test": 120}
    assert sorted(np.concatenate(list(found.values()))) == list(range(len(table)))
    for split, rows in found.items():
        np.testing.assert_array_equal(arrays[f"{split}_labels"], table[rows, 103:])
        assert not (np.diff(rows) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_is_dealt_out_in_proportion(table, seed):
    arrays = prepare(_raw(table), {"left": "yeast", "seed": seed})
    counts = [int(arrays[f"{split}_labels"][:, 13].sum()) for split in ("train", "val", "test")]
    assert counts == [10, 4, 6]


def test_numbers_are_scaled_on_the_training_rows_alone(arrays):
    np.testing.assert_allclose(arrays["train_continuous"].mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(arrays["train_continuous"].std(axis=0), 1.0, atol=1e-5)
    assert abs(arrays["test_continuous"].mean(axis=0)).max() > 0.05


def test_wrong_files_are_refused(table):
    wrong = table.copy()
    wrong[5, 110] = 2
    with pytest.raises(ValueError, match="`raw` must label a class with 0 or 1, found 2"):
        prepare(_raw(wrong), {"left": "yeast", "seed": 0})
    with pytest.raises(ValueError, match="`raw` must hold 117 numbers a line, found 116"):
        prepare(_raw(table[:, 1:]), {"left": "yeast", "seed": 0})
    cut = {"yeast": {"table": _raw(table)["yeast"]["table"][:-200]}}
    with pytest.raises(ValueError, match="`raw` must hold 117 numbers a line, found"):
        prepare(cut, {"left": "yeast", "seed": 0})


def test_an_epoch_is_its_passes(arrays):
    problem = build("problems", "yeast", arrays=arrays, network=_NETWORK, epochs=1, batch_size=50, passes=3)
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert len(batches) == 3 * 4
    assert not torch.equal(batches[0][0], batches[4][0])
    one = torch.cat([labels for _, labels in batches[:4]]).sum(dim=0)
    np.testing.assert_array_equal(one, arrays["train_labels"].sum(axis=0))
    with pytest.raises(ValueError, match="`passes` must be at least 1, found passes = 0"):
        build("problems", "yeast", arrays={}, network=_NETWORK, epochs=1, passes=0)


def test_areas_are_scikit_learns_and_the_examples_add_up_to_them(arrays):
    problem = build("problems", "yeast", arrays=arrays, network=_NETWORK, epochs=1, batch_size=50)
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test")
    assert set(problem.metrics) == {f"{task}.auc" for task in TASKS} == set(found.examples)
    assert set(found.metrics) == {f"{task}.{word}" for task in TASKS for word in ("auc", "loss")}
    scores = torch.stack(network(torch.from_numpy(arrays["test_continuous"]))).detach().numpy()
    for k, task in enumerate(TASKS):
        truth = arrays["test_labels"][:, k]
        assert found.metrics[f"{task}.auc"] == pytest.approx(roc_auc_score(truth, scores[k]))
        own = found.examples[f"{task}.auc"]
        assert own[truth == 1].mean() == pytest.approx(found.metrics[f"{task}.auc"])


def test_the_real_set():
    folder = prepared(_ROOT, "yeast")
    if not folder.is_dir():
        pytest.skip("data/processed/yeast is not there: run `make repro`")
    arrays = {name: np.load(folder / f"{name}.npy") for name in ("train_labels", "val_labels", "test_labels")}
    labels = np.concatenate(list(arrays.values()))
    assert labels.shape == (2417, 14)
    assert labels.sum(axis=0).tolist() == [762, 1038, 983, 862, 722, 597, 428, 480, 178, 253, 289, 1816, 1799, 34]
    assert [int(arrays[f"{split}_labels"][:, 13].sum()) for split in ("train", "val", "test")] == [17, 7, 10]

"""QM9: reading, what the histograms see and do not, splits, scaling, and what is judged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems._molecules import COLUMNS, ELEMENTS, FEATURES, KNOTS, histograms, molecules
from gradsurgery.problems.qm9 import TASKS, prepare
from pipelines._workspace import prepared

_ROOT = Path(__file__).parents[2]
_NETWORK = {"name": "mlp", "hidden": [8]}


def _file(first, n, seed):
    """n molecules in the package's own form, numbered from `first`; mu is the number of the molecule."""
    rng = np.random.default_rng(seed)
    lines = [f"XYZ_file,Index,SMILES,N_atoms,Elements,XYZ_Ang,{','.join(COLUMNS)}"]
    for index in range(first, first + n):
        atoms = int(rng.integers(2, 6))
        letters = ",".join(f"'{ELEMENTS[k]}'" for k in rng.integers(0, 5, atoms))
        places = ",".join(f"[{x:.10f},{y:.10f},{z:.10f}]" for x, y, z in rng.normal(0, 2, (atoms, 3)))
        values = ",".join(f"{v:.6f}" for v in [index, *rng.normal(5, 3, 10)])
        lines.append(f'"m{index}.xyz",{index},"C",{atoms},"[{letters}]","[{places}]",{values}')
    return np.frombuffer("\n".join([*lines, ""]).encode(), np.uint8)


@pytest.fixture(scope="module")
def raw():
    return {"qm9": {"part1": _file(101, 40, 0), "part2": _file(1, 100, 1), "part3": _file(141, 60, 2)}}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "qm9", "seed": 0})


def _one(letters, places):
    kinds = np.array([ELEMENTS.index(letter) for letter in letters])
    return histograms(np.array([len(letters)]), kinds, np.array(places, float))[0]


def test_a_pair_is_shared_out_between_the_knots_on_either_side():
    # H and C are pair 1 of HH, HC, HN, .. ; 1.125 lies a quarter of the way from 1.1 to 1.2
    found = _one("HC", [[0, 0, 0], [0, 1.125, 0]])
    expected = np.zeros(FEATURES)
    expected[[0, 1]] = 1
    expected[5 + len(KNOTS) + 2 : 5 + len(KNOTS) + 4] = 0.75, 0.25
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("distance", "knot"), [(0.1, 0), (0.9, 0), (8.0, 19), (30.0, 19)])
def test_distances_beyond_the_knots_count_at_the_last(distance, knot):
    found = _one("FF", [[0, 0, 0], [distance, 0, 0]])
    assert np.flatnonzero(found[5:]).tolist() == [14 * len(KNOTS) + knot]
    assert found[5:].sum() == 1


def test_turning_moving_and_renumbering_change_nothing_and_stretching_does():
    rng = np.random.default_rng(0)
    places, letters = rng.normal(0, 2, (9, 3)), "HHCCNOHFC"
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(9)
    before = _one(letters, places)
    after = _one([letters[k] for k in order], (places @ turn + [3, -1, 7])[order])
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert before[5:].sum() == pytest.approx(36)
    assert abs(_one(letters, 1.1 * places) - before).max() > 0.1


def test_molecules_of_other_sizes_do_not_mix():
    a, b = ("HCO", np.eye(3)), ("NNFFC", 2 * np.arange(15.0).reshape(5, 3))
    kinds = np.array([ELEMENTS.index(letter) for letter in a[0] + b[0]])
    both = histograms(np.array([3, 5]), kinds, np.concatenate([a[1], b[1]]))
    np.testing.assert_array_equal(both, [_one(*a), _one(*b)])


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


def _changed(file, old, new):
    return np.frombuffer(file.tobytes().replace(old, new, 1), np.uint8)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"HOMO_au", b"homo", "`raw` must be CSV files with the columns of qm9pack, found"),
        (b"'H'", b"'Xe'", "`raw` must give an element of HCNOF and three coordinates"),
        (b"'H'", b"'H','H'", "atoms and finite properties, found"),
        (b"]]", b",1.0]]", r"found \d+ elements and \d+ coordinates"),
    ],
)
def test_wrong_files_are_refused(old, new, said):
    with pytest.raises(ValueError, match=said):
        molecules(_changed(_file(1, 30, 0), old, new))


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

"""Masked reconstruction of slices of CT: a split by patient, one channel, slices through a window."""

import numpy as np
import pytest
import torch

from gradsurgery.core import extras
from gradsurgery.core.discovery import build
from gradsurgery.problems._holes import holes_of, judge
from gradsurgery.problems._slices import hounsfield, identity
from gradsurgery.problems.ct_mae import MEAN, SD, check_apart, prepare

_NETWORK = {"name": "masked_autoencoder", "width": 16, "heads": 4, "depth": 1, "channels": 1}
_SETTINGS = {"network": _NETWORK, "epochs": 1, "size": 64, "batch_size": 4}
_SHARES = {"test_share": 0.25, "val_share": 0.2}


def _raw(patients):
    return _named([f"{row}.dcm" for row in range(len(patients))], patients)


def _named(names, patients):
    files = np.array(names, "S").view(np.uint8).reshape(len(names), -1)
    return {"ct": {"files": files, "patients": patients.astype(np.int32)}}


def test_every_slice_is_in_one_split_and_every_patient_too():
    rng = np.random.default_rng(0)
    patients = np.repeat(rng.permutation(40), rng.integers(1, 30, 40))
    arrays = prepare(_raw(patients), {"left": "ct", "seed": 3, "patches": 4, **_SHARES})
    names = [row.tobytes() for split in ("train", "val", "test") for row in arrays[f"{split}_files"]]
    assert len({*names}) == len(patients) == len(names)
    sides = [{*arrays[f"{split}_labels"].tolist()} for split in ("train", "val", "test")]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 40
    for split in ("train", "val", "test"):
        numbers = [int(row.tobytes().rstrip(b"\0").removesuffix(b".dcm")) for row in arrays[f"{split}_files"]]
        np.testing.assert_array_equal(arrays[f"{split}_labels"], patients[numbers])
        assert numbers != sorted(numbers)
    for split, share in (("test", 0.25), ("val", 0.2)):
        assert abs(len(arrays[f"{split}_labels"]) - share * len(patients)) < 30  # to within a patient
    assert arrays["test_patches"].shape == (len(arrays["test_files"]), 4)
    again = prepare(_raw(patients), {"left": "ct", "seed": 3, "patches": 4, **_SHARES})
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
    other = prepare(_raw(patients), {"left": "ct", "seed": 4, "patches": 4, **_SHARES})
    assert {*other["test_labels"].tolist()} != sides[2]


def test_too_few_patients_or_shared_ones_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`patients` must be enough for every split, found none of 1 for val"):
        prepare(_raw(np.zeros(9)), {"left": "ct", "seed": 0})
    arrays = prepare(_raw(np.arange(20).repeat(3)), {"left": "ct", "seed": 0, "patches": 4, **_SHARES})
    build("problems", "ct_mae", arrays=arrays, folder=str(tmp_path), **_SETTINGS)
    arrays["val_labels"][2] = arrays["train_labels"][5]
    with pytest.raises(ValueError, match=r"`val_labels` must name no patient of train, found patient \d+ in both\."):
        build("problems", "ct_mae", arrays=arrays, folder=str(tmp_path), **_SETTINGS)
    check_apart({"train": np.array([1, 2]), "val": np.array([3])})


@pytest.mark.parametrize("window", [[-1000.0], [100.0, 100.0], [0.0, 1e9]])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match="`window` must be two Hounsfield units that rise, found window = "):
        build("problems", "ct_mae", arrays={}, window=window, **_SETTINGS)


def test_slices_are_read_while_it_trains_and_judged_in_one_channel(tmp_path):
    from tests.dicoms import folder

    folder(tmp_path, ["a"], patients=8, slices=3)
    places = sorted((tmp_path / "a").rglob("*.dcm"))
    raw = _named([str(path.relative_to(tmp_path)) for path in places], np.arange(8).repeat(3))
    arrays = prepare(raw, {"left": "ct", "seed": 0, "patches": 4, **_SHARES})
    problem = build("problems", "ct_mae", arrays=arrays, folder=str(tmp_path), **_SETTINGS)
    assert (problem.tasks, problem.test_rows) == (("l1", "ssim"), 6)
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    images = batches[0][0]
    assert images.shape == (4, 64, 64, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    network = problem.network(torch.Generator().manual_seed(0))
    assert next(network.encoder.parameters()).shape[1] == 1
    losses = problem.losses(network, batches[0])
    torch.autograd.backward(losses)
    assert [bool(loss.isfinite()) for loss in losses] == [True, True]
    found = problem.evaluate(network, "test")
    assert found.metrics["l1.loss"] == pytest.approx(found.examples["l1.loss"].mean())
    shown = next(problem._albums["test"].whole(6, problem._whole))[1]
    with torch.no_grad():
        error, similar, _ = judge(
            network.eval(), torch.from_numpy(shown), holes_of(arrays["test_patches"], 3), (MEAN,) * 3, (SD,) * 3
        )
    assert found.metrics["l1.loss"] == pytest.approx(float(error.mean()), rel=1e-4)
    assert found.metrics["ssim.loss"] == pytest.approx(1 - float(similar.mean()), rel=1e-4)
    assert places[4].parent.name == "p1"
    places[4].write_bytes(places[4].read_bytes()[:-99])
    split = next(s for s in ("train", "val", "test") if 1 in arrays[f"{s}_labels"])
    with pytest.raises(ValueError, match=r"1\.dcm must be a whole slice in DICOM, found "):
        list(problem._albums[split].whole(6, problem._whole))


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    for read in (hounsfield, identity):
        with pytest.raises(ValueError, match=r"^`pydicom` must be installed, .*: pip install 'gradsurgery\[ct\]'\.$"):
            read(tmp_path / "a.dcm")

"""The three sets of head-and-neck CT, made small: what is listed, and what is said of a folder that is not whole."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines import _ct, _laid_out, _sizes, fetch
from pipelines._download import SourceError
from pipelines._params import load
from tests.dicoms import folder, save
from tests.pipelines.test_paper_only import ROOT

PIXELS = np.full((32, 40), 7)


def _read(root, split="all", what="files", count=18):
    return _ct.read(root, split, what, count)


@pytest.fixture
def root(tmp_path):
    folder(tmp_path / "own", _ct.SETS)
    return tmp_path / "own"


def test_names_and_patients_are_listed_in_order(root, capsys):
    names = [row.tobytes().rstrip(b"\0").decode() for row in _read(root)]
    assert names == [f"{name}/p{patient}/{k}.dcm" for name in sorted(_ct.SETS) for patient in (0, 1) for k in range(3)]
    patients = _read(root, what="patients")
    assert patients.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]  # P0 of two sets are two
    assert (_read(root).dtype, patients.dtype) == (np.uint8, np.int32)
    (root / "radcure/p0").rename(root / "radcure/another")  # it is the file that says whose it is
    assert sorted(_read(root, what="patients")[:6].tolist()) == [0, 0, 0, 1, 1, 1]
    assert capsys.readouterr().err == ""


def test_a_set_may_be_a_link_and_hidden_files_do_not_count(root):
    (root / "radcure").rename(root.parent / "elsewhere")
    (root / "radcure").symlink_to(root.parent / "elsewhere")
    (root / "radcure/.DS_Store").touch()
    (root / _laid_out.ACCEPTED).touch()
    assert len(_read(root)) == 18
    assert _ct.ALLOWED == _laid_out.ACCEPTED


def test_another_number_of_slices_is_said_and_one_far_off_refused(root, capsys):
    told = r"\(6 in radcure, 6 in rsna_cervical_spine, 6 in rsna_hemorrhage\)"
    with pytest.raises(SourceError, match=rf"must hold 2,199,444 slices, to one in a hundred, found 18 {told}"):
        _ct.read(root, "all", "files")
    (root / "radcure/p0/0.dcm").unlink()
    with pytest.raises(SourceError, match="must hold 18 slices, to one in a hundred, found 17"):
        _read(root)
    folder(root, _ct.SETS, slices=17)
    assert len(_read(root, count=103)) == 102
    assert capsys.readouterr().err.endswith("holds 102 slices (34 in radcure, 34 in rsna_cervical_spine, "
                                            "34 in rsna_hemorrhage), not the paper's 103\n")  # fmt: skip


def test_what_is_wrong_is_said_in_one_sentence(root):
    path = root / "radcure/p1/2.dcm"
    body = path.read_bytes()

    def refused(message, what="files"):
        with pytest.raises(SourceError, match=message) as caught:
            _read(root, what=what)
        assert "\n" not in str(caught.value)

    path.write_bytes(body[:-40])
    refused(r"p1/2\.dcm must be a whole slice in DICOM, found \w+: ")
    path.write_bytes(body[:20])
    refused(r"p1/2\.dcm must be a whole slice in DICOM, found InvalidDicomError: ", "patients")
    save(path, PIXELS[:12])
    refused(r"p1/2\.dcm must be one slice of at least 16 x 16 pixels, found \(12, 40\)$")
    save(path, PIXELS, Modality="RTSTRUCT", PixelData=None)
    refused(r"p1/2\.dcm must be a slice of CT, found RTSTRUCT$")
    other = root / "rsna_hemorrhage/p1/0.dcm"
    kept = other.read_bytes()
    other.write_bytes(kept[:-40])
    refused(r"p1/2\.dcm must be a slice of CT, found RTSTRUCT; likewise 0\.dcm$")
    other.write_bytes(kept)
    save(path, PIXELS, "")
    refused(r"p1/2\.dcm must say its PatientID, found none", "patients")
    path.write_bytes((root / "rsna_hemorrhage/p0/1.dcm").read_bytes())
    refused(r"rsna_hemorrhage/p0/1\.dcm must be a slice of its own, found the slice of .*radcure/p1/2\.dcm", "patients")
    (root / "radcure/notes.csv").write_text("x")
    refused(r"radcure must hold slices \(\.dcm\) and nothing else, found .*notes\.csv")
    (root / "radcure/notes.csv").rename(root / "notes.csv")
    refused(r"must hold radcure, rsna_cervical_spine and rsna_hemorrhage, each with .* found notes\.csv")
    (root / "notes.csv").unlink()
    path.write_bytes(body)
    long = path.with_name(f"{'x' * 245}.dcm")
    path.rename(long)
    refused(r"must have a name of at most 255 bytes from .* on, found 260")
    long.rename(path)
    (root / "radcure").rename(root / ".radcure")
    refused("found no radcure")
    (root / "radcure").mkdir()
    refused(r"radcure must hold slices \(\.dcm\), found none")


def test_without_a_licence_or_without_room_nothing_is_written(root, tmp_path, monkeypatch):
    monkeypatch.setitem(_laid_out.READERS, "ct", _read)
    target = tmp_path / "files.npy"
    with pytest.raises(SourceError, match=r"must hold a file LICENCE\.accepted, by which you say that you accept"):
        _laid_out.save(root, "ct", "all", "files", target)
    (root / _laid_out.ACCEPTED).touch()
    monkeypatch.setattr(_laid_out.shutil, "disk_usage", lambda place: SimpleNamespace(free=17))
    with pytest.raises(SourceError, match=r"must have 0\.0 GB of room for files of all, which are kept 3 times, found"):
        _laid_out.save(root, "ct", "all", "files", target)
    assert not target.exists()


def test_fetch_shows_the_licences_and_brings_all_or_nothing(root, tmp_path, monkeypatch, capsys):
    own = {**load(ROOT / "params.yaml", "paper").datasets["ct"], "sources": [{"kind": "file", "path": str(root)}]}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setitem(_laid_out.READERS, "ct", _read)
    folder(root, _ct.SETS)
    assert "LICENCE.accepted" in str(fetch.bring({"ct": own}, None))
    assert "Licence: RSNA's two for non-commercial" in capsys.readouterr().out
    (root / _laid_out.ACCEPTED).touch()
    save(root / "radcure/p0/0.dcm", PIXELS, Modality="MR")
    assert "found MR" in str(fetch.bring({"ct": own}, None))
    assert not list((tmp_path / "data/raw").glob("*"))
    folder(root, _ct.SETS)
    assert fetch.bring({"ct": own}, None) == {}
    assert sorted(path.name for path in (tmp_path / "data/raw/ct").iterdir()) == ["files.npy", "patients.npy"]


def test_the_sizes_that_the_plan_counts_by_are_the_papers():
    params = load(ROOT / "params.yaml", "paper")
    entry = _sizes.of(params.problems["ct_mae"], params.datasets)
    assert sum(entry["rows"].values()) == _ct.COUNT
    assert params.problems["ct_mae"].settings["folder"] == params.datasets["ct"]["sources"][0]["path"]

"""A user's own data: files of any sort, functions of installed packages, and what can be wrong with either."""

import hashlib
import sys

import numpy as np
import pytest

import pipelines._own
from pipelines._download import SourceError
from pipelines._knock import unreachable
from pipelines.fetch import fetch

X, Y = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An installed package of the user's, and the checkout as the current folder."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/lab_of_mine.py").write_text(
        "import numpy as np\nX, Y = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6)\n"
        "def pair(n=6): return X[:n], Y[:n]\n"
        "def table(): return {'X': X, 'targets': Y, 'about': 'numbers'}\n"
        "def lone(): return X\n"
        "def words(): return {'X': X, 'targets': ['a', 'b']}\n"
        "def objects(): return X, np.array([None, 1])\n"
        "def broken(): raise OSError('the disk is away')\n"
        "def endless():\n    while True: pass\n"
        "class Holder:\n    @staticmethod\n    def pair(): return X, Y\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("lab_of_mine", None)


def _block(source, **pins):
    return {"arrays": pins or {"X": {}, "y": {"entry": "targets"}}, "sources": [source]}


def _fetched(root, block):
    fetch("mine", block, root / "data/raw", root / "cache", None)
    return {path.stem: np.load(path) for path in (root / "data/raw/mine").iterdir()}


def _right(found, rows=6):
    assert sorted(found) == ["X", "y"]
    np.testing.assert_array_equal(found["X"], X[:rows])
    np.testing.assert_array_equal(found["y"], Y[:rows])
    assert found["X"].dtype == np.float64


@pytest.mark.parametrize("function", ["lab_of_mine:pair", "lab_of_mine:table", "lab_of_mine:Holder.pair"])
def test_a_function_returns_a_mapping_or_arrays_in_order(lab, function):
    block = _block({"kind": "python", "function": function})
    assert unreachable({"mine": block}, None) == {}
    _right(_fetched(lab, block))


def test_a_function_takes_arguments(lab):
    _right(_fetched(lab, _block({"kind": "python", "function": "lab_of_mine:pair", "arguments": {"n": 4}})), 4)


def test_scikit_learns_digits_are_three_lines(lab):
    block = {
        "arrays": {"images": {}, "labels": {"entry": "target"}},
        "sources": [{"kind": "python", "function": "sklearn.datasets:load_digits"}],
    }
    found = _fetched(lab, block)
    assert found["images"].shape == (1797, 8, 8)
    assert np.bincount(found["labels"].astype(int)).min() == 174


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("lab_of_yours:pair", "`function` must be of an installed package, found lab_of_yours:pair and no package"),
        ("lab_of_mine:trio", "`function` must be one that can be imported, found lab_of_mine:trio"),
        ("lab_of_mine:X", "`function` must be a function, found lab_of_mine:X, which is a ndarray"),
        ("lab_of_mine:lone", r"must return 2 arrays \(X, y\), found 1"),
        ("lab_of_mine:words", "targets of lab_of_mine:words must be an array of numbers, found list"),
        ("lab_of_mine:objects", "y of lab_of_mine:objects must be an array of numbers, found an array of dtype object"),
        ("lab_of_mine:broken", "lab_of_mine:broken failed with OSError: the disk is away"),
    ],
)
def test_a_function_that_gives_no_arrays_is_told(lab, function, said):
    with pytest.raises(SourceError, match=said):
        _fetched(lab, _block({"kind": "python", "function": function}))
    assert not (lab / "data/raw/mine").exists()


def test_a_function_without_an_entry_is_told(lab):
    with pytest.raises(SourceError, match="lab_of_mine:table must hold z, found only X, targets, about"):
        _fetched(lab, _block({"kind": "python", "function": "lab_of_mine:table"}, X={}, y={"entry": "z"}))


def test_a_function_that_does_not_end_is_left(lab, monkeypatch):
    monkeypatch.setattr(pipelines._own, "_CALL_S", 0.1)
    (lab / "packages/lab_of_mine.py").write_text("import threading\ndef endless(): threading.Event().wait(9)\n")
    with pytest.raises(SourceError, match=r"did not end within 0\.1 seconds"):
        _fetched(lab, _block({"kind": "python", "function": "lab_of_mine:endless"}))


@pytest.mark.parametrize("form", ["npz", "folder"])
def test_files_lie_relative_to_the_checkout_also_from_a_workspace(lab, monkeypatch, form):
    if form == "npz":
        np.savez(lab / "mine.npz", X=X, targets=Y)
    else:
        (lab / "mine").mkdir()
        np.save(lab / "mine/X.npy", X)
        np.save(lab / "mine/targets.npy", Y)
    block = _block({"kind": "file", "path": "mine.npz" if form == "npz" else "mine"})
    assert unreachable({"mine": block}, None) == {}
    _right(_fetched(lab, block))
    other = lab / "workspaces/smoke"
    other.mkdir(parents=True)
    monkeypatch.chdir(other)
    _right(_fetched(other, block))


def test_a_missing_or_damaged_file_is_told(lab):
    block = _block({"kind": "file", "path": "mine.npz"})
    said = rf"`path` must be an \.npz, a folder or a package, found nothing at {lab}/mine\.npz"
    with pytest.raises(SourceError, match=said):
        _fetched(lab, block)
    assert "found nothing at" in unreachable({"mine": block}, None)["mine"][0]
    (lab / "mine.npz").write_bytes(b"PK no")
    with pytest.raises(SourceError, match=r"mine\.npz is no \.npz of arrays"):
        _fetched(lab, block)
    np.savez(lab / "mine.npz", X=X)
    with pytest.raises(SourceError, match=r"mine\.npz must hold targets, found only X"):
        _fetched(lab, block)


def test_what_is_not_pinned_is_told_and_what_is_pinned_is_checked(lab, capsys):
    source = {"kind": "python", "function": "lab_of_mine:pair"}
    right = hashlib.sha256(Y.tobytes()).hexdigest()
    _fetched(lab, _block(source, X={}, y={"sha256": right}))
    said = capsys.readouterr().err
    assert "data/pins.yaml holds no sha256 of `datasets.mine.X`, so nothing was checked" in said
    assert hashlib.sha256(X.tobytes()).hexdigest() in said
    assert "arrays.y" not in said
    with pytest.raises(SourceError, match=r"y has sha256 .* decoded, not 0000"):
        _fetched(lab, _block(source, X={}, y={"sha256": "0" * 64}))

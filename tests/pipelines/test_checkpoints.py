"""A checkpoint is data of this very run, or it is not loaded; what is damaged is removed, said and made again."""

import functools
import hashlib
import io
import json
import os
import pickle
import types

import numpy as np
import pytest
import torch

from gradsurgery.experiment import build_learner
from pipelines._checkpoints import finished, keep, resume, save
from pipelines._files import UnwritableError

RAN = []


class Learner:
    """As much of one as a checkpoint asks for."""

    device = torch.device("cpu")

    def __init__(self, epochs=0):
        self.epochs, self.weight = [{"epoch": e + 1} for e in range(epochs)], torch.zeros(3)
        self.problem = types.SimpleNamespace(epochs=4)

    def state_dict(self):
        return {"weight": self.weight, "epochs": self.epochs}

    def load_state_dict(self, state):
        self.weight = state["weight"]
        self.epochs = state["epochs"]


class Evil:
    def __reduce__(self):
        return RAN.append, ("run by a checkpoint",)


def _kept(path, **head):
    """The checkpoint of a learner after two epochs, its first line changed."""
    learner = Learner(2)
    learner.weight = torch.arange(3.0)
    save(path, "f", 1.5, learner)
    first, body = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps({**json.loads(first), **head}).encode() + b"\n" + body)


def _with_body(path, body):
    _kept(path, sha256=hashlib.sha256(body).hexdigest())
    path.write_bytes(path.read_bytes().split(b"\n", 1)[0] + b"\n" + body)


def _saved(state, **options):
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


def test_a_checkpoint_is_continued(tmp_path, capsys):
    path = tmp_path / "seed-0.pt"
    assert resume(path, "f", Learner)[1] == 0.0
    _kept(path)
    learner, spent = resume(path, "f", Learner)
    assert (learner.weight.tolist(), len(learner.epochs), spent) == ([0.0, 1.0, 2.0], 2, 1.5)
    assert list(tmp_path.iterdir()) == [path]
    assert capsys.readouterr().err == ""


def test_what_follows_the_first_line_of_another_run_is_not_read(tmp_path, monkeypatch, capsys):
    path = tmp_path / "seed-0.pt"
    _kept(path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    learner, spent = resume(path, "g", Learner)
    assert (learner.epochs, spent) == ([], 0.0)
    assert path.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("protocol", [None, pickle.HIGHEST_PROTOCOL])
def test_a_checkpoint_runs_no_code(protocol, tmp_path, capsys):
    path = tmp_path / "seed-0.pt"
    _with_body(path, _saved(Evil()) if protocol is None else pickle.dumps(Evil(), protocol))
    assert resume(path, "f", Learner)[0].epochs == []
    assert RAN == []
    assert "it cannot be read as data alone" in capsys.readouterr().err
    path.write_bytes(_saved({"fingerprint": "f", "learner": Evil()}))  # as earlier versions wrote it
    assert resume(path, "f", Learner)[0].epochs == []
    assert RAN == []
    assert "it is none, or of an earlier version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: p.write_bytes(b""), "earlier version"),
        (lambda p: p.write_bytes(p.read_bytes()[:-5]), "its contents are not what was written"),
        (lambda p: p.write_bytes(p.read_bytes() + b"x"), "its contents are not what was written"),
        (lambda p: p.write_bytes(p.read_bytes()[:40]), "earlier version"),
        (lambda p: p.write_bytes(os.urandom(3000)), "earlier version"),
        (lambda p: _kept(p, checkpoint=99), "it is of version 99"),
        (lambda p: _kept(p, spent=None), "`spent` must be seconds, found None"),
        (lambda p: _kept(p, spent=-1.0), "`spent` must be seconds, found -1.0"),
        (lambda p: _kept(p, spent=float("nan")), "numbers must be finite"),
        (lambda p: _with_body(p, _saved({"weight": torch.zeros(3)})), "it does not fit this run: KeyError"),
        (lambda p: _with_body(p, _saved([])), "it does not fit this run: TypeError"),
        (lambda p: _with_body(p, _saved({"weight": torch.zeros(3), "epochs": [1] * 5})), "5 epochs of 4"),
    ],
)
def test_a_damaged_checkpoint_is_removed_and_said(damage, said, tmp_path, capsys):
    path = tmp_path / "seed-0.pt"
    _kept(path)
    damage(path)
    learner, spent = resume(path, "f", Learner)
    assert (learner.epochs, learner.weight.tolist(), spent) == ([], [0.0] * 3, 0.0)
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {path} is damaged (")
    assert said in err
    assert err.endswith("removed, its seed is trained again.\n")
    assert not path.exists()


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_machine_without_memory_costs_no_checkpoint(error, tmp_path, monkeypatch):
    path = tmp_path / "seed-0.pt"
    _kept(path)

    def short(*_, **__):
        raise error

    for owner, name in ((Learner, "load_state_dict"), (torch, "load")):
        monkeypatch.setattr(owner, name, short)
        with pytest.raises(error):
            resume(path, "f", Learner)
    assert path.exists()


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "seed-0.pt"
    _kept(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UnwritableError, match=r"seed-0\.pt cannot be written \(No space left on device\)"):
        save(path, "f", 9.0, Learner(3))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_checkpoint_of_another_seed_is_not_continued(tmp_path, capsys):
    _kept(tmp_path / "seed-1.pt")
    (tmp_path / "seed-1.pt").rename(tmp_path / "seed-0.pt")
    assert resume(tmp_path / "seed-0.pt", "f", Learner)[0].epochs == []
    assert "seed-0.pt is damaged (it is 'seed-1.pt'): removed" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["none", "fingerprint", "value", "cut", "seed", "experiment"])
def test_a_result_is_that_of_its_seed_as_it_was_written(change, tmp_path, capsys):
    run, path = tmp_path / "p-sum", tmp_path / "p-sum/seed-0.json"
    whole = {"history": {"experiment": "p-sum", "seed": 0, "x": 0.5}, "cost": {"steps": 3}, "environment": {}}
    wrong = {"seed": {"seed": 1}, "experiment": {"experiment": "p-mean"}}.get(change, {})
    keep(run, 0, "g" if change == "fingerprint" else "f", {**whole, "history": {**whole["history"], **wrong}})
    if change == "value":
        path.write_text(path.read_text().replace("0.5", "0.6"))
    if change == "cut":
        path.write_text(path.read_text()[:-9])
    assert finished(run, 0, "f") == (whole if change == "none" else None)
    assert path.exists() == (change in ("none", "fingerprint"))
    assert ("is damaged" in capsys.readouterr().err) != path.exists()


def test_a_real_run_goes_on_to_the_same_numbers(tmp_path, capsys):
    declaration = {
        "problem": "cagrad_toy", "module": "landscape", "transform": {"name": "identity"}, "rule": {"name": "descent"},
        "balancer": {"name": "equal"}, "aggregator": {"name": "pcgrad"},
        "settings": {"landscape": "cagrad_toy", "steps": 40, "epochs": 2, "lr": 1e-3, "network": {"name": "point"}},
    }  # fmt: skip
    arrays = {"starts": np.array([[-8.5, 7.5], [0.0, 0.0]])}
    make = functools.partial(build_learner, declaration, arrays, 0)
    whole, begun = make(), make()
    whole.epoch()
    whole.epoch()
    begun.epoch()
    save(tmp_path / "seed-0.pt", "f", 1.0, begun)
    resumed, _ = resume(tmp_path / "seed-0.pt", "f", make)
    assert capsys.readouterr().err == ""
    assert len(resumed.epochs) == 1
    resumed.epoch()
    assert resumed.epochs == whole.epochs
    assert resumed.rule_state.get("trajectory") == whole.rule_state.get("trajectory")

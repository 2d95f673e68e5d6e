"""What a run's fingerprint covers: the files that it executes, its settings, data and evidence, each by its name."""

import dataclasses
from pathlib import Path

import pytest

from pipelines import _fingerprint, _run
from pipelines._fingerprint import changes, digest, parts_of, sources
from pipelines._params import load
from pipelines.train import train_one

ROOT = Path(__file__).parents[2]
DATA = "d" * 64


@pytest.fixture(scope="module")
def lines():
    return load(ROOT / "params.yaml").experiments


def _names(line):
    return {str(path.relative_to(ROOT)) for path in sources(line)}


def test_a_run_depends_on_its_own_method_and_on_no_other(lines):
    own, other = (_names(lines[f"multi_fashion_mnist-{key}"]) for key in ("pcgrad", "cagrad-c0_5"))
    assert "src/gradsurgery/aggregators/pcgrad.py" in own - other
    assert "src/gradsurgery/aggregators/cagrad.py" in other - own
    assert {"pipelines/_run.py", "src/gradsurgery/experiment.py", "src/gradsurgery/core/learner.py"} <= own & other
    assert not [name for name in own if name.startswith("pipelines/") and name != "pipelines/_run.py"]


def test_what_a_covered_file_imports_is_covered_too(lines):
    for line in lines.values():
        covered = set(sources(line))
        for path in covered - {_fingerprint.LOOP}:
            assert set(_fingerprint._imported(path)) <= covered, f"{path} imports what nobody counts"


def test_the_part_that_changed_is_named(lines, monkeypatch):
    line = lines["multi_mnist-pcgrad"]
    old = parts_of(line, "laptop", DATA, None)
    settings = {**line.declaration["settings"], "lr": 0.5}
    edited = dataclasses.replace(line, declaration={**line.declaration, "settings": settings})
    cases = {
        "data changed": parts_of(line, "laptop", "e" * 64, None),
        "evidence changed": parts_of(line, "laptop", DATA, {"scores": {}}),
        "setting `settings.lr` changed": parts_of(edited, "laptop", DATA, None),
    }
    monkeypatch.setattr(_fingerprint, "_hash", _other(_fingerprint._hash_of))
    cases["source file src/gradsurgery/aggregators/pcgrad.py changed"] = parts_of(line, "laptop", DATA, None)
    for why, new in cases.items():
        after = edited.declaration if "setting" in why else line.declaration
        assert changes(old, new, line.declaration, after) == [why]
        assert digest(old) != digest(new)


def _other(hashed):
    return lambda path: "0" * 64 if path.stem == "pcgrad" else hashed(path, path.stat().st_mtime_ns)


def test_a_run_whose_files_were_edited_since_is_refused(lines, monkeypatch):
    line = lines["multi_mnist-pcgrad"]
    fingerprint = digest(parts_of(line, "laptop", DATA, None))
    run = _run.Run(line, 0, "laptop", (), DATA, fingerprint, None)
    monkeypatch.setattr(_run, "train", lambda run, device, tell: tell("begin", {}))
    told = []
    train_one(run, "cpu", lambda name, content: told.append(name))
    assert told == ["begin"]
    monkeypatch.setattr(_fingerprint, "_hash", _other(_fingerprint._hash_of))
    with pytest.raises(_run.RefusedError, match="its source files changed since"):
        train_one(run, "cpu", lambda name, content: told.append(name))

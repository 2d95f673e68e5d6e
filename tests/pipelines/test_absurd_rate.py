"""An absurd learning rate, from params.yaml to the page: a diverged run is a result, and nothing on the way fails."""

import copy
import json
from unittest.mock import Mock

import numpy as np
import pytest
import yaml

from gradsurgery.problems.landscape import STARTS
from pipelines import evaluate, report, train

OWN = {"arrays": {"train_images": {}}, "sources": [{"kind": "file", "path": "digits.npz"}]}


@pytest.fixture
def folder(tmp_path, monkeypatch, params, arrays):
    """A folder with the small params.yaml and the arrays of its two problems, entered."""
    document = {**copy.deepcopy(params), "datasets": {"digits": OWN}}
    document["problems"]["cagrad_toy"]["smoke"] |= {"steps": 200, "epochs": 2}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    made = {"multi_mnist": arrays, "cagrad_toy": {"starts": np.array(STARTS["cagrad_toy"])}}
    for problem, own in made.items():
        (tmp_path / "data/processed" / problem).mkdir(parents=True)
        for name, array in own.items():
            np.save(tmp_path / "data/processed" / problem / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "Tracker", lambda root: Mock())
    return tmp_path


def _strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what numpy says of a landscape that overflows
def test_train_evaluate_and_report_end_well_and_say_who_diverged(folder, capsys):
    run = lambda name: train.main([name, "--jobs", "1"])  # noqa: E731
    assert run("multi_mnist-sum") == 0
    assert run("cagrad_toy-mean") == 0
    assert "diverged" not in capsys.readouterr().err
    document = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    document["problems"]["multi_mnist"]["smoke"]["lr"] = 1e30
    document["problems"]["cagrad_toy"]["smoke"]["lr"] = 1e200
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for name in ("multi_mnist-pcgrad", "cagrad_toy-pcgrad"):
        assert run(name) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "diverged" in line]
        lines = [
            _strict(line) for line in (folder / f"reports/history/smoke/pcgrad/{name}.jsonl").read_text().splitlines()
        ]
        assert len(told) == len(lines)
        for line, sentence in zip(lines, told, strict=True):
            assert f"{name} seed {line['seed']} diverged in epoch {line['diverged']}" in sentence
            assert line["diverged"] == len(line["epochs"]) == 1, "it stopped there"
            assert None in line["epochs"][-1].values()
        _strict((folder / f"reports/costs/smoke/pcgrad/{name}.json").read_text())
        assert run(name) == 0
        assert "0 runs trained now" in capsys.readouterr().out, "a diverged run is finished"
    assert evaluate.main([]) == 0
    metrics = _strict((folder / "reports/metrics.json").read_text())
    assert metrics["multi_mnist-pcgrad"]["diverged"] == {"0": 1, "1": 1}
    assert "diverged" not in metrics["multi_mnist-sum"]
    assert metrics["multi_mnist-sum"]["left.accuracy"]["n"] == 2
    assert report.main([]) == 0
    page = (folder / "reports/problems/multi_mnist.html").read_text()
    assert "PCGrad diverged (seed 0, epoch 1; seed 1, epoch 1)" in page
    assert "landscape of CAGrad" in (folder / "reports/tables/diverged.csv").read_text()

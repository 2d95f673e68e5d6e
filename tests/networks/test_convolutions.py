"""Every convolution of every network is right on 1, 2 and 3 threads, and none is of the kind that oneDNN gets wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradsurgery.core.discovery import available, build
from gradsurgery.core.pointwise import Pointwise, reroute
from gradsurgery.core.seeding import Generators
from pipelines import _params
from tests.onednn import CASES, NETWORKS, Faulty, batch_of

ROOT = Path(__file__).resolve().parents[2]


def test_every_network_is_here():
    assert sorted(NETWORKS) == available("networks")


def faulty(name, fields, shape):
    with torch.device("meta"):
        network = build("networks", name, **fields)
        with Faulty() as mode:
            network(torch.empty(batch_of(name, 4, shape)))
    return mode.calls


@pytest.mark.parametrize(("name", "fields", "shape"), CASES, ids=str)
def test_no_network_meets_the_fault(name, fields, shape):
    assert faulty(name, fields, shape) == []


def test_they_would_without_our_layer(monkeypatch):
    """What the test above looks for is there to be found."""
    monkeypatch.delattr(Pointwise, "forward")
    met = {name for name, fields, shape in CASES if faulty(name, fields, shape)}
    assert met == {"celeba_resnet", "resnet", "sdn_resnet"}


@pytest.mark.parametrize("scale", _params.SCALES)
def test_no_network_of_params_yaml_holds_a_layer_that_could(scale, tmp_path, monkeypatch):
    """At the widths that are trained: there is nothing left to turn."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("\nscale: laptop", f"\nscale: {scale}"), encoding="utf-8")
    monkeypatch.setenv(_params.CHECKED, _params.sha256_of(path))  # every line's parts are built elsewhere
    params = _params.load(path)
    assert params.scale == scale
    seen = {}
    for experiment in params.experiments.values():
        declared = experiment.declaration
        if NETWORKS[declared["settings"]["network"]["name"]]:
            own = {key: declared["settings"].get(key) for key in ("network", "network_fields", "exits")}
            seen[json.dumps([declared["problem"], own])] = declared
    assert {json.loads(key)[1]["network"]["name"] for key in seen} >= {"resnet", "msdnet"}
    for declared in seen.values():
        network = build("problems", declared["module"], arrays={}, **declared["settings"]).network(Generators(0).init)
        kinds = [type(module) for module in network.modules()]
        assert [type(module) for module in reroute(network).modules()] == kinds


@pytest.mark.parametrize("isa", ["DEFAULT", "AVX2"])
def test_every_convolution_agrees_with_float64(isa):
    """Forward and weight gradient; AVX2 stands in for a CPU without AVX-512, for its kernels at least."""
    command = [sys.executable, "-m", "tests.onednn"]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) > 50
    assert max(errors.values()) < 2e-5, {name: error for name, error in errors.items() if error >= 2e-5}

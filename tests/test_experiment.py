"""Declarations: what is built, what is refused, and what a run leaves behind."""

import json

import numpy as np
import pytest
import torch

from gradsurgery.core import declaration as declared
from gradsurgery.core.declaration import validate
from gradsurgery.core.interfaces import ModelTransform
from gradsurgery.core.layers import shared_layers
from gradsurgery.experiment import build_learner, evidence_of, history

ROLE = {"role": {"kind": "placebo", "of": "pcgrad"}, "family": "controls"}


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


def test_a_declaration_becomes_a_run_that_repeats_to_the_bit(declare, arrays):
    runs = [build_learner(declare(), arrays, seed) for seed in (3, 3, 4)]
    for run in runs:
        run.epoch()
    assert runs[0].epochs == runs[1].epochs != runs[2].epochs
    assert torch.equal(parameters(runs[0]), parameters(runs[1]))


def test_building_needs_no_global_seed_and_leaves_none(declare, arrays):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    build_learner(declare("pcgrad", "random_weights"), arrays, 0).epoch()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_threads_and_kernels_are_fixed(declare, arrays):
    torch.set_num_threads(2)
    build_learner(declare(), arrays, 0)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def without(declaration, key):
    return {k: v for k, v in declaration.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"aggregator": {"name": "pgrad"}}, "`aggregators` must name one of .*pcgrad.*, found 'pgrad'"),
        (lambda d: d | {"aggregator": {"name": "pcgrad", "oder": "fixed"}}, "`pcgrad.oder` is no field of pcgrad"),
        (lambda d: d | {"aggregator": {"name": "cagrad", "c": "much"}}, "`cagrad.c` must be a number, found 'much'"),
        (lambda d: d | {"aggregator": {"name": "cagrad", "c": -1.0}}, "`c` must be non-negative, found c = -1.0"),
        (lambda d: d | {"aggregator": {}}, "`aggregator.name` must name one, found {}"),
        (lambda d: d | {"aggregator": "pcgrad"}, "`aggregator` must be a block of named values, found 'pcgrad'"),
        (lambda d: d | {"balancer": {"name": "no"}}, "`balancers` must name one of"),
        (lambda d: d | {"balancer": {"name": "static", "weights": [1.0]}}, "one entry for each of 2 tasks"),
        (lambda d: d | {"rule": {"name": "joint", "micro_batches": 0}}, "`micro_batches` must be at least 1"),
        (lambda d: d | {"transform": {"name": "no"}}, "`transforms` must name one of identity"),
        (lambda d: d | {"module": "no"}, "`problems` must name one of"),
        (lambda d: d | {"settings": d["settings"] | {"lr": "big"}}, "`overlay.lr` must be a number, found 'big'"),
        (lambda d: d | {"settings": d["settings"] | {"sed": 1}}, "`overlay.sed` is no field of overlay"),
        (lambda d: d | {"settings": d["settings"] | {"network": {"name": "no"}}}, "`networks` must name one of"),
        (lambda d: d | {"learner": {"precision": "int4"}}, "`precision` must be one of"),
        (lambda d: d | {"learner": {"speed": 2}}, "`learner.speed` is no field of the learner"),
        (lambda d: d | {"agregator": {}}, "`agregator` is no entry of a declaration"),
        (lambda d: without(d, "rule"), "`rule` must be declared, found only"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line_before_any_work(declare, change, message):
    with pytest.raises(ValueError, match=message) as error:
        validate(change(declare()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", {"name": "cagrad", "c": 0.2}, "sam_gs"])
def test_a_right_declaration_needs_no_data(declare, aggregator):
    assert validate(declare(aggregator)) is None


def test_a_history_is_complete_and_free_of_clock_and_machine(declare, arrays):
    declaration = declare("cagrad")
    lines = []
    for _ in range(2):
        learner = build_learner(declaration, arrays, 0)
        learner.epoch()
        line = history(
            learner,
            declaration,
            experiment="x-cagrad",
            seed=0,
            scale="smoke",
            track="controlled",
            **ROLE,
            data_sha256="ab",
        )
        lines.append(json.dumps(line, sort_keys=True, allow_nan=False))
    assert lines[0] == lines[1]
    line = json.loads(lines[0])
    assert set(line) == {
        "experiment", "problem", "seed", "scale", "track", "role", "family", "declaration", "tasks", "metrics",
        "data_sha256", "epochs", "diagnostics", "skipped_steps", "trajectory", "observed", "layers", "test_rows",
        "diverged", "examples", "activity",
    }  # fmt: skip
    assert {name: line[name] for name in ROLE} == ROLE
    assert line["tasks"] == ["left", "right"]
    assert line["declaration"] == json.loads(json.dumps(declaration))
    assert line["epochs"][0]["epoch"] == 1


def test_the_transform_is_what_is_trained(declare, arrays, monkeypatch):
    original = declared.build

    class ZeroFirstHead(ModelTransform):
        def check(self, build):
            pass

        def __call__(self, network, evidence, generator):
            network.heads[0].weight.data.zero_()
            return network

    monkeypatch.setattr(
        declared,
        "build",
        lambda kind, name, **f: ZeroFirstHead() if kind == "transforms" else original(kind, name, **f),
    )
    assert build_learner(declare(), arrays, 0).network.heads[0].weight.abs().sum() == 0


@pytest.mark.parametrize("k", [2, 5])
def test_a_recon_that_leaves_nothing_shared_is_refused_before_any_work(declare, k):
    declaration = declare("cagrad") | {"transform": {"name": "recon", "k": k, "selection": "first"}}
    with pytest.raises(ValueError, match=f"`k` must be less than the number of shared layers, 2, .* found k = {k}"):
        validate(declaration)


def test_every_run_draws_layers_and_copies_of_its_own(declare, arrays):
    """Their spread is part of the spread over seeds: what all seeds share is no sample of it."""
    transform = {"name": "recon", "k": 1, "selection": "random"}
    declaration = declare("sum") | {"transform": transform}
    declaration["settings"] = declaration["settings"] | {"network": {"name": "resnet", "width": 2}}
    shared = [tuple(shared_layers(build_learner(declaration, arrays, seed).network)) for seed in (0, 0, 1, 2)]
    assert shared[0] == shared[1]
    assert len(set(shared)) == 3


def test_layer_scores_go_into_the_history_with_the_size_of_every_layer(declare, arrays):
    declaration = declare("cagrad") | {"learner": {"score_layers": [0.0, -0.5]}}
    learner = build_learner(declaration, arrays, 0)
    learner.epoch()
    line = history(
        learner, declaration, experiment="x-cagrad", seed=0, scale="smoke", track="controlled", **ROLE, data_sha256="ab"
    )
    layers = line["layers"]
    assert sum(layers["sizes"]) == sum(p.numel() for p in learner.network.shared_parameters())
    assert len(layers["names"]) == len(layers["sizes"]) == len(layers["scores"][0])
    assert layers["thresholds"] == [0.0, -0.5]
    assert layers["steps"] == 4
    assert evidence_of([line])["scores"].keys() == set(layers["names"])

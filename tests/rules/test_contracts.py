"""What every rule promises. A new file in `rules/` is tested here unasked, and needs a line in `RUNS`."""

import copy
import io
import json

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available
from gradsurgery.core.plain import to_plain
from gradsurgery.experiment import build_learner
from tests.arms import SETTINGS as ARMS
from tests.arms import goals, skip_without_package
from tests.conftest import SETTINGS

CENSUS = {"network": {"name": "recommender", "width": 4}, "epochs": 3, "batch_size": 16}
SPLIT = CENSUS | {"network": {"name": "recommender", "variant": "split", "width": 8, "tower": 6, "embedding": 2}}
LENET = SETTINGS | {"network": {"name": "lenet", "variant": "cagrad"}, "batch_size": 32, "epochs": 3}
RUNS = {
    "joint": ("overlay", SETTINGS, {"micro_batches": 2}, "cagrad"),
    "split_batches": ("overlay", SETTINGS, {}, "gcond"),
    "joint-watched": ("overlay", SETTINGS, {}, "pcgrad"),
    "descent": ("landscape", {"landscape": "sam_gs_toy1", "steps": 60, "epochs": 3}, {}, "sam_gs"),
    "dr_mgf": ("overlay", LENET, {}, "sum"),
    "dr_mgf-all": ("overlay", LENET, {"aux_policy": "line_scan", "gate_epochs": 2, "compat": ["renormalise_private"]},
                   "sum"),
    "drgrad": ("census", SPLIT, {}, "sum"),
    "drgrad_code": ("census", CENSUS, {}, "sum"),
    "floor": ("census", CENSUS, {}, "sum"),
    "sac": ("metaworld", ARMS, {}, "sam_gs"),
}  # fmt: skip
LEARNER = {"diagnose_every": 3}


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    made = {"cardinalities": np.full(32, 5)}
    for split, n in (("train", 64), ("val", 24), ("test", 24)):
        made[f"{split}_continuous"] = rng.standard_normal((n, 7)).astype(np.float32)
        made[f"{split}_nominal"] = rng.integers(0, 5, (n, 32)).astype(np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 2, (n, 2)).astype(np.uint8)
    return made


@pytest.fixture
def run(arrays, tables):
    starts = {"starts": np.array([[0.3, 0.1], [-2.0, 1.0]])}
    data = {"overlay": arrays, "census": tables, "landscape": starts, "metaworld": goals()}

    def learner(label):
        module, settings, fields, aggregator = RUNS[label]
        skip_without_package(module == "metaworld")
        slots = {"transform": "identity", "balancer": "equal", "aggregator": aggregator}
        declaration = {
            "problem": module,
            "module": module,
            "settings": settings,
            "rule": {"name": label.partition("-")[0]} | fields,
            "learner": LEARNER | ({"observe_layers": True, "half_batches": True} if label == "joint-watched" else {}),
        }
        return build_learner(declaration | {slot: {"name": name} for slot, name in slots.items()}, data[module], 0)

    return learner


def file(learner):
    stream = io.BytesIO()
    torch.save(learner.state_dict(), stream)
    return stream.getvalue()


def outcome(learner):
    rows = [learner.epochs, learner.diagnostics, learner.instruments.rows, learner.rule_state.get("trajectory")]
    return json.dumps([*rows, learner.step_count, learner.skipped_steps])


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_every_rule_is_here():
    assert {label.partition("-")[0] for label in RUNS} == set(available("rules"))


@pytest.mark.parametrize("label", RUNS)
def test_a_killed_run_goes_on_from_what_torch_loads_by_default(run, label):
    straight, killed = run(label), run(label)
    straight.epoch()
    killed.epoch()
    snapshot = killed.state_dict()
    state, kept = file(killed), copy.deepcopy(snapshot)
    killed.epoch()
    assert equal(snapshot, kept)  # what came after did not reach it
    resumed, again = run(label), run(label)
    resumed.load_state_dict(torch.load(io.BytesIO(state)))
    again.load_state_dict(snapshot)
    for learner in (straight, resumed, again):
        learner.epoch()
    assert equal(snapshot, kept)  # nor what came after loading it
    assert outcome(resumed) == outcome(again) == outcome(straight)
    for mine, theirs, wanted in zip(*(to_plain(list(x.network.parameters())) for x in (resumed, again, straight)),
                                    strict=True):  # fmt: skip
        assert torch.equal(mine, wanted)
        assert torch.equal(theirs, wanted)

"""What test examples contribute: on every problem they average to its metrics, within what 8 bits can hold."""

import io
import json

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, build
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.examples import MOST, Examples, pack, unpack
from gradsurgery.core.interfaces import Problem
from gradsurgery.core.ranking import delong_components, roc_auc
from gradsurgery.evidence.history import parse
from gradsurgery.evidence.selection import RULES
from gradsurgery.experiment import history
from tests.arms import skip_without_package
from tests.problems.test_nan_outputs import PROBLEMS


def packed(values, strata=None):
    made = pack(Evaluation({}, {"a.m": values}, {} if strata is None else {"a.m": strata}), {"a.m": True})
    return unpack(json.loads(json.dumps(made))["a.m"])


# Metrics that are no means over examples; a mIoU is one where pictures are judged one by one.
POOLED = {
    "dense_by_picture": (".absolute_error", ".relative_error"),
    "pascal_context": ("segmentation.miou", "parts.miou", "normal."),
}


@pytest.mark.parametrize("name", sorted(set(available("problems")) - {"landscape"}))
def test_the_contributions_to_every_metric_average_to_it(name):
    skip_without_package(name.startswith("metaworld"))
    settings, arrays = PROBLEMS[name]
    problem = build("problems", name, arrays=arrays, **settings)
    with torch.no_grad():
        found = problem.evaluate(problem.network(torch.Generator().manual_seed(0)), "test")
    made = pack(found, problem.metrics) or {}
    assert [m for m in problem.metrics if not any(part in m for part in POOLED.get(name, (".miou", ".f1")))] == list(
        made
    )
    for metric, record in made.items():
        own = unpack(record)
        rows = problem.test_rows[metric.split(".")[0]] if isinstance(problem.test_rows, dict) else problem.test_rows
        assert len(own.values) == len(found.examples[metric]) == sum(of for of, _, _ in own.cells) == rows
        step = (record["high"] - record["low"]) / 510 if "bytes" in record else 0.0
        assert abs(own.mean - found.metrics[metric]) <= step + 1e-6
        assert ("bits" in record) == metric.endswith((".accuracy", ".success"))


def test_a_landscape_has_none():
    settings, arrays = PROBLEMS["landscape"]
    problem = build("problems", "landscape", arrays=arrays, **settings)
    network = problem.network(torch.Generator().manual_seed(0))
    assert pack(problem.evaluate(network, "test"), problem.metrics) is None
    kept = Examples(problem, problem.metrics)
    kept.evaluate(network, 1)
    assert kept.history() is None


@pytest.mark.parametrize("n", [1, 7, 8, 20_000])
def test_bits_are_kept_of_all_examples(n):
    bits = np.random.default_rng(n).random(n) < 0.9
    own = packed(bits)
    assert own.values.dtype == bool
    assert np.array_equal(own.values, bits)
    assert own.cells == ((n, n, 0),)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_other_numbers_are_off_by_at_most_a_510th_of_their_range(scale):
    values = scale * np.random.default_rng(0).standard_exponential(1000)
    off = np.abs(packed(values).values - values).max()
    assert 0.4 * np.ptp(values) / 510 < off <= np.ptp(values) / 510 * (1 + 1e-4)


def test_equal_numbers_are_kept_as_they_are():
    assert packed(np.full(5, 0.3)).values == pytest.approx(0.3)


def test_a_sample_is_the_same_whatever_the_values_and_stands_for_its_cell():
    n = 30_000
    rng = np.random.default_rng(0)
    labels = {"a.auc": (rng.random(n) < 0.1).astype(int), "b.auc": (rng.random(n) < 0.5).astype(int)}
    numbered = {name: np.arange(n, dtype=float) for name in labels}
    first = pack(Evaluation({}, numbered, labels), dict.fromkeys(labels, True))
    moved = {name: own + 1.0 for name, own in numbered.items()}
    again = pack(Evaluation({}, moved, labels), dict.fromkeys(labels, True))
    for name, truth in labels.items():
        own = unpack(first[name])
        assert first[name]["bytes"] == again[name]["bytes"]
        assert [kept for _, kept, _ in own.cells] == [min(of, MOST) for of, _, _ in own.cells]
        assert sum(of for of, _, stratum in own.cells if stratum == 1) == truth.sum()
        for stratum in (0, 1):
            assert sum(kept for _, kept, s in own.cells if s == stratum) <= 4096
        assert abs(own.values.mean() - n / 2) < 0.05 * n, "from the whole of the split"


def test_numbers_that_are_not_finite_are_not_kept():
    assert pack(Evaluation({}, {"a.m": np.array([0.1, np.nan])}), {"a.m": True}) is None


@pytest.mark.parametrize("n", [4, 60])
def test_delongs_components_by_their_definition(n):
    """Over all pairs of a positive and a negative, with ties."""
    rng = np.random.default_rng(n)
    labels, scores = np.arange(n) % 2, rng.integers(0, n // 2, n).astype(float)
    pairs = scores[labels == 1][:, None], scores[labels == 0]
    wins = np.greater(*pairs) + 0.5 * np.equal(*pairs)
    found = delong_components(labels, scores)
    assert found[labels == 1] == pytest.approx(wins.mean(axis=1))
    assert found[labels == 0] == pytest.approx(wins.mean(axis=0))
    assert found[labels == 1].mean() == pytest.approx(roc_auc(labels, scores))


class _Scripted(Problem):
    """Validation accuracies as told, and test examples that say which epoch it is."""

    tasks, metrics = ("a",), {"a.accuracy": True}

    def __init__(self, val):
        self.val = val
        self.calls = 0

    def evaluate(self, network, split):
        if split == "val":
            return Evaluation({"a.accuracy": self.val[self.calls]})
        self.calls += 1
        return Evaluation({"a.accuracy": 0.0}, {"a.accuracy": np.arange(8) < self.calls})

    def network(self, generator): ...
    def optimizer(self, parameters): ...
    def scheduler(self, optimizer): ...
    def batches(self, order, augmentation): ...
    def losses(self, network, batch): ...


@pytest.mark.parametrize(
    ("val", "kept"), [([0.5, 0.7, 0.7, 0.6], [2, 4]), ([0.1, 0.2], [2]), ([0.5, float("nan")], [1, 2]), ([0.5], [1])]
)
def test_the_first_of_the_best_epochs_and_the_last_are_kept(val, kept):
    own, network = Examples(_Scripted(val), {"a.accuracy": True}), build("networks", "mlp", hidden=[2])
    for epoch in range(1, len(val) + 1):
        own.evaluate(network, epoch)
    found = own.history()
    assert [entry["epoch"] for entry in found] == kept
    assert [int(unpack(entry["metrics"]["a.accuracy"]).values.sum()) for entry in found] == kept


def line_of(learner, declaration):
    return history(
        learner, declaration, experiment="multi_mnist-pcgrad", seed=0, scale="smoke", track="controlled",
        role={"kind": "study"}, family="pcgrad", data_sha256="0" * 64,
    )  # fmt: skip


def test_the_epochs_that_fair_rules_pick_are_in_the_history_and_survive_a_kill(make, declare):
    straight, killed = make("pcgrad"), make("pcgrad")
    for _ in range(4):
        straight.epoch()
    for _ in range(2):
        killed.epoch()
    buffer = io.BytesIO()
    torch.save(killed.state_dict(), buffer)
    resumed = make("pcgrad")
    resumed.load_state_dict(torch.load(io.BytesIO(buffer.getvalue())))
    for _ in range(2):
        resumed.epoch()
    text = json.dumps(line_of(straight, declare("pcgrad")))
    assert json.dumps(line_of(resumed, declare("pcgrad"))) == text
    [run] = parse([text], "h.jsonl")
    kept = [entry["epoch"] for entry in run.examples]
    assert set(kept) == {run.epochs[i]["epoch"] for rule in ("best-val", "last") for i in RULES[rule](run)}


def test_a_run_of_one_task_keeps_its_own_metrics_and_is_picked_by_them(make):
    learner = make("sum", {"name": "single_task", "task": 1})
    learner.epoch()
    assert list(learner.examples.history()[0]["metrics"]) == ["right.accuracy"]

"""The 20 superclasses in the report, on made-up histories whose answer is known."""

import json

import numpy as np
import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.report.blocks.superclasses import part
from gradsurgery.report.style import png
from tests.histories import evidence_of, with_examples

TASKS = [f"task_{k}" for k in range(20)]
METRICS = {f"{task}.accuracy": True for task in TASKS}


def _run(method, seed, level, problem="cifar100_superclass", test_size=500):
    """Task k is right in `level` + k / 100 of its test pictures, but for a wobble that seeds share."""
    wobble = np.random.default_rng(seed).normal(0, 0.004, 20)
    values = {task: float(level + 0.01 * k + wobble[k]) for k, task in enumerate(TASKS)}
    splits = ("val", "test")
    epoch = {"epoch": 1} | {f"{split}.{task}.accuracy": v for split in splits for task, v in values.items()}
    settings = {"network": {"name": "cnn", "width": 16, "hidden": 64}, "train_size": 1000, "val_size": 100}
    settings |= {"test_size": test_size, "batch_size": 8, "epochs": 1}
    record = {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": seed, "scale": "laptop", "track": "controlled",
        "family": "baselines", "role": {"kind": "baseline"},
        "declaration": {"settings": settings, "balancer": {"name": "equal"}}, "tasks": TASKS, "metrics": METRICS,
        "data_sha256": "0", "epochs": [epoch], "diagnostics": [{"step": 0, "conflict_share": 0.25}], "skipped_steps": 0,
        "trajectory": None, "layers": None,
    }  # fmt: skip
    return with_examples(parse([json.dumps(record)], "made up")[0], test_size)


def _evidence(levels, seeds=(0, 1, 2), problem="cifar100_superclass", **changes):
    groups = {
        f"{problem}-{method}": [_run(method, seed, level + 0.001 * (seed % 2) * place, problem, **changes)
                                for seed in seeds]
        for place, (method, level) in enumerate(levels.items())
    }  # fmt: skip
    costs = {f"{problem}-sum": {"seeds": {str(s): {"steps": 0, "step_ms": 40.0 + s} for s in seeds}}}
    return evidence_of(groups, costs)


def test_nothing_without_its_histories():
    assert part("pcgrad", _evidence({"sum": 0.4}, problem="multi_mnist")) is None


def test_means_differences_and_counts():
    section = part("pcgrad", _evidence({"sum": 0.40, "pcgrad": 0.45, "independent": 0.30}))
    table = section.sheets[0].frame.set_index("method")
    assert list(table.index) == ["PCGrad", "sum", "independent networks"]
    levels = {"sum": 0.40, "PCGrad": 0.45, "independent networks": 0.30}
    wobble = np.mean([np.random.default_rng(s).normal(0, 0.004, 20).mean() for s in (0, 1, 2)])
    steps = {"sum": 0, "PCGrad": 1, "independent networks": 2}
    for name, level in levels.items():
        expected = 100 * (level + 0.095 + wobble + 0.001 * steps[name] / 3)
        assert float(table.loc[name, "mean of tasks (%)"].split()[0]) == pytest.approx(expected, abs=0.006)
    assert table.loc["PCGrad", "minus sum"].startswith("+5.03 [")
    assert table.loc["PCGrad", "minus independent networks"].startswith("+14.97 [")
    assert table.loc["sum", "minus sum"] == "-"
    assert table.loc["PCGrad", "tasks above independent"] == 20
    assert table.loc["sum", "step (ms)"] == "41.0"
    assert list(table["n"]) == [3, 3, 3]
    tasks = section.sheets[1].frame
    assert len(tasks) == 20
    assert set(tasks.columns) == {"task", "sum", "PCGrad", "independent networks"}
    assert tasks["task"][3] == "task 3"
    assert "PCGrad minus sum (the control that its table lacks): +5.03 [" in section.found
    assert "sum minus independent networks (sharing without surgery): +9.93 [" in section.found
    for text in ("20 tasks", "1000 training and 500 test pictures", "Scale laptop, track controlled, n = 3"):
        assert text in section.ran


@pytest.mark.parametrize(
    ("pcgrad", "words"),
    [(0.45, "better"), (0.35, "worse"), (0.4002, "inconclusive")],
)
def test_the_sentence_says_what_the_numbers_say(pcgrad, words):
    found = part("pcgrad", _evidence({"independent": 0.40, "pcgrad": pcgrad})).found
    assert f"n = 3: {words}." in found
    assert "PCGrad minus independent networks (the paper's comparison)" in found
    assert "the control" not in found  # the sum was not run


def test_a_difference_that_the_test_pictures_alone_explain_is_none():
    levels = {"independent": 0.40, "pcgrad": 0.42}
    assert "inconclusive" in part("pcgrad", _evidence(levels, test_size=20)).found
    assert "better" in part("pcgrad", _evidence(levels, test_size=500)).found


def test_one_seed_has_no_interval_and_one_line_no_comparison():
    found = part("pcgrad", _evidence({"sum": 0.4, "pcgrad": 0.5, "independent": 0.3}, seeds=(0,))).found
    assert found.count("not run (one repeat has no interval)") == 3
    alone = part("pcgrad", _evidence({"sum": 0.4}))
    assert (
        alone.found
        == "No two of the lines that the claim compares were run. On the sum's way 25 % of the pairs of tasks conflict."
    )
    assert alone.sheets[0].frame["tasks above independent"].tolist() == ["-"]
    assert "conflict" not in part("pcgrad", _evidence({"cagrad-c0_5": 0.4})).found


def test_figures_are_drawn_and_repeat():
    levels = {"sum": 0.4, "pcgrad": 0.42, "independent": 0.3, "cagrad-c0_5": 0.39}
    first, again = (part("pcgrad", _evidence(levels)) for _ in range(2))
    assert [d.name for d in first.drawings] == ["superclass-methods", "superclass-tasks"]
    for one, other in zip(first.drawings, again.drawings, strict=True):
        assert png(one.figure) == png(other.figure)
    assert [text.get_text() for text in first.drawings[0].figure.axes[0].get_yticklabels()] == [
        "PCGrad", "sum", "CAGrad, c = 0.5", "independent networks",
    ]  # fmt: skip
    rows = first.drawings[1].figure.axes[0]
    assert len(rows.get_lines()) == 4  # three methods and the line of chance
    np.testing.assert_allclose(np.diff(rows.get_lines()[0].get_xdata()) <= 0, True)

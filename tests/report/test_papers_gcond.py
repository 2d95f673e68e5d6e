"""GCond's section on made-up histories: what it says must follow the numbers, whichever way they fall."""

import numpy as np
import pytest

from gradsurgery.evidence.history import Role, Run
from gradsurgery.report.papers.gcond import section
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import svg
from tests.histories import evidence_of, with_examples

PROBLEM = "cifar100_reconstruction"


def _run(problem, method, seed, metrics, values, resolutions=None, cosine=0.5):
    """One seed whose test metrics end at `values`; seeds share a shift, so that pairing has something to remove."""
    shift = 0.05 * np.random.default_rng(seed).standard_normal()
    row = {"epoch": 1, "train.l1.loss": 1.0}
    for (name, higher), value in zip(metrics.items(), values, strict=True):
        row |= {f"{split}.{name}": value + (shift if higher else -shift) for split in ("val", "test")}
    diagnostics = [{"step": s, "conflict_share": float(cosine < 0), "mean_cosine": cosine} for s in (0, 8)]
    if resolutions is not None:
        diagnostics = [row | {"method.resolutions": resolutions} for row in diagnostics]
    balancer = {"name": "single_task", "task": 0} if method == "single_task-l1" else {"name": "equal"}
    tasks = [name.split(".")[0] for name in metrics]
    return Run(
        f"{problem}-{method}", problem, seed, "laptop", "controlled" if method == "sum" else "as-published",
        "gcond", Role("study"),
        {"settings": {"train_size": 4096, "batch_size": 16, "test_size": 2000}, "balancer": balancer,
         "rule": {"name": "joint", "micro_batches": 4}},
        tasks, metrics, "", [row], diagnostics, 0, None,
    )  # fmt: skip


def _reconstruction(seeds=3, **methods):
    """Runs by method: `gcond=(error, similarity)`, with a little noise of each run's own."""
    groups = {}
    for method, (error, similarity) in methods.items():
        name = method.replace("__", "-")
        noise = [0.0005 * np.random.default_rng([seed, len(name)]).standard_normal() for seed in range(seeds)]
        metrics = {"l1.mae": False, "ssim.ssim": True}
        resolutions = 0.0 if name.startswith("gcond") else None
        groups[f"{PROBLEM}-{name}"] = [
            _run(PROBLEM, name, seed, metrics, (error + noise[seed], similarity + noise[seed]), resolutions)
            for seed in range(seeds)
        ]
    return groups


def _overlay(shift, seeds=3):
    metrics = {"left.accuracy": True, "right.accuracy": True}
    return {
        f"multi_mnist-{method}": [
            with_examples(
                _run("multi_mnist", method, seed, metrics, (0.9 + up + 1e-4 * seed * up,) * 2, resolutions, -0.1), 2000
            )
            for seed in range(seeds)
        ]
        for method, up, resolutions in (("sum", 0.0, None), ("gcond-raw", shift, 3.0))
    }


def _costs(groups, **step_ms):
    return {
        name: {"seeds": {str(r.seed): {"step_ms": step_ms.get(runs[0].method.replace("-", "__"), 10.0) + r.seed / 10,
                                       "steps": 0, "backward_passes_per_step": 4} for r in runs}}
        for name, runs in groups.items()
    }  # fmt: skip


def _section(groups, costs=None):
    return section(evidence_of(groups, _costs(groups) if costs is None else costs))


def test_nothing_is_said_where_nothing_was_run():
    assert section(Evidence({}, {}, {})) is None
    assert _section(_reconstruction(gcond=(0.4, 0.45))) is None  # nothing to hold it against
    alone = _overlay(0.0)
    assert _section({name: runs for name, runs in alone.items() if "gcond" not in name}) is None


def test_a_gain_that_the_control_has_too_is_not_put_down_to_the_method():
    found = _section(_reconstruction(sum=(0.42, 0.41), sum__ema=(0.40, 0.45), gcond=(0.40, 0.45))).found
    assert "GCond against the weighted sum: L1 error -0.0" in found
    assert "better" in found
    assert "is not shown to come from resolving conflicts" in found
    assert "; none of its diagnosed steps had a conflict to resolve (mean cosine +0.50)" in found


def test_a_gain_beyond_the_control_is_granted():
    found = _section(_reconstruction(sum=(0.42, 0.41), sum__ema=(0.42, 0.41), gcond=(0.38, 0.47))).found
    assert "the resolution of conflicts adds to what the smoothing does" in found


def test_a_loss_is_called_one():
    found = _section(_reconstruction(sum=(0.40, 0.45), sum__ema=(0.40, 0.45), gcond=(0.44, 0.40))).found
    assert found.count("worse") == 4  # two metrics, against the weighted sum and against the control
    assert "not shown to come" not in found
    assert "adds to" not in found


def test_without_the_control_the_cause_stays_open():
    found = _section(_reconstruction(sum=(0.42, 0.41), gcond=(0.38, 0.47))).found
    assert "the cause cannot be told" in found


def test_differences_of_rounding_are_none():
    groups = _reconstruction(sum=(0.42, 0.41), gcond=(0.42, 0.41))
    for run, base in zip(groups[f"{PROBLEM}-gcond"], groups[f"{PROBLEM}-sum"], strict=True):
        run.epochs[0].update({k: v + 1e-7 for k, v in base.epochs[0].items() if k != "epoch"})
    given = evidence_of(groups, margin=0.002)
    assert "practically equal" in section(given).found


def test_one_seed_has_no_interval_and_no_finding():
    made = _section(_reconstruction(1, sum=(0.42, 0.41), sum__ema=(0.40, 0.45), gcond=(0.38, 0.47)))
    assert "better" not in made.found
    assert "not run (one repeat has no interval)" in made.found
    assert svg(made.drawings[0].figure)


def test_every_row_says_track_scale_and_n_and_every_number_its_interval():
    lines = {"sum": (0.42, 0.41), "sum__ema": (0.4, 0.45), "gcond": (0.4, 0.45), "pcgrad": (0.42, 0.41),
             "gcond__stochastic": (0.41, 0.44), "single_task__l1": (0.39, 0.1)}  # fmt: skip
    groups = _reconstruction(**lines)
    made = _section(groups, _costs(groups, gcond=14.0, gcond__stochastic=9.0))
    frame = made.sheets[0].frame.set_index("method")
    assert set(frame["scale"]) == {"laptop"}
    assert set(frame["n"]) == {3}
    assert frame.loc["weighted sum", "track"] == "controlled"
    assert all("[" in cell for cell in frame["L1 error (test)"])
    assert frame.loc["weighted sum", "L1 error minus the weighted sum's"] == "-"
    assert frame.loc["weighted sum", "GCond has the lower L1 error"] == "better"
    assert frame.loc["L1 error alone", "SSIM (test)"] == "-"  # an untrained task's metric means nothing
    assert frame.loc["L1 error alone", "GCond's L1 error minus this one's"] == "-"
    costs = made.sheets[1].frame.set_index("method")
    assert costs.loc["GCond", "times the weighted sum's"].startswith("1.40 (")
    assert costs.loc["GCond", "diagnosed steps with a resolution (%)"] == "0.0"
    assert costs.loc["PCGrad", "diagnosed steps with a resolution (%)"] == "-"
    assert "a step takes 0.65 times that of exact accumulation and 0.90 times that of the weighted sum" in made.found
    assert "3 seeds" in made.ran
    assert "scale laptop" in made.ran


def test_the_figure_has_a_point_for_every_method_and_costs_may_be_missing():
    lines = {"sum": (0.42, 0.41), "sum__ema": (0.4, 0.45), "gcond": (0.4, 0.45), "single_task__l1": (0.39, 0.1)}
    groups = _reconstruction(**lines)
    for costs in (None, {}):
        made = _section(groups, costs)
        axes = made.drawings[0].figure.axes
        assert [label.get_text() for label in axes[0].get_yticklabels()] == [
            "GCond",
            "weighted sum (smoothed)",
            "weighted sum",
        ]
        assert all(sum(line.get_marker() == "o" for line in panel.lines) == 2 for panel in axes[:2])
        assert len(axes[2].patches) == (3 if costs is None else 0)
        assert svg(made.drawings[0].figure) == svg(_section(groups, costs).drawings[0].figure)


@pytest.mark.parametrize(
    ("shift", "word", "verdict"),
    [
        (0.05, "better", "better"),
        (-0.05, "worse", "worse"),
        (0.001, "inconclusive", "inconclusive"),  # within what 2,000 pictures can explain
    ],
)
def test_other_problems_are_held_against_the_test_sets_size(shift, word, verdict):
    made = _section(_overlay(shift))
    assert word in made.found.lower()
    assert "resolving on 100 % of diagnosed steps" in made.found
    frame = made.sheets[0].frame
    assert frame["verdict"].tolist() == [verdict]
    assert frame["n"].tolist() == [3]
    assert made.drawings == []
    both = _section(_overlay(shift) | _reconstruction(sum=(0.42, 0.41), gcond=(0.40, 0.45)))
    assert len(both.sheets) == 3


def test_names_start_with_the_papers_key():
    made = _section(_overlay(0.0) | _reconstruction(sum=(0.42, 0.41), gcond=(0.40, 0.45)))
    assert all(part.name.startswith("gcond-") for part in [*made.drawings, *made.sheets])

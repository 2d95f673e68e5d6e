"""Shares, and two runs compared at equal step and at equal training loss, on histories whose answer is known."""

import numpy as np
import pytest

from gradsurgery.core.discovery import build
from gradsurgery.core.layers import shared_layers
from gradsurgery.evidence.history import Role, Run
from gradsurgery.evidence.layer_conflict import (
    Split,
    compare,
    contrasts,
    layer_shares,
    scored,
    split,
    splits,
    threshold,
    training_loss,
    whole_share,
)
from gradsurgery.evidence.lines import Line

SIZES = {"a": 10, "b": 20, "c": 30}


def made(share, losses, names=("a", "b", "c"), seed=0, steps=100, tasks=("left", "right"), grid=(0.0, -0.1)):
    """A run whose share of conflicts at training loss x is `share(x)`: 0 at S = 0 excepted, where all conflict."""
    pairs = len(tasks) * (len(tasks) - 1) // 2
    counts = [round(share(x) * steps * pairs) for x in losses]
    row = [[steps * pairs if S == 0.0 else n for S in grid] for n in counts]
    return Run(
        experiment="p-m", problem="p", seed=seed, scale="laptop", track="controlled",
        family="pcgrad", role=Role("study"), declaration={}, tasks=list(tasks),
        metrics={}, data_sha256="", skipped_steps=0, trajectory=None, diagnostics=[],
        epochs=[{f"train.{t}.loss": x + d for t, d in zip(tasks, (-0.1, 0.1, 0.0), strict=False)} for x in losses],
        layers={
            "names": list(names), "sizes": [SIZES[n] for n in names], "steps": steps * len(losses),
            "thresholds": list(grid), "scores": [[r for _ in names] for r in row], "whole": row,
        },
    )  # fmt: skip


def line(x):
    return 0.5 * x


def test_shares_are_of_the_steps_and_pairs_of_an_epoch():
    run = made(line, [1.0, 0.5])
    np.testing.assert_allclose(whole_share(run, -0.1), [0.5, 0.25])
    np.testing.assert_allclose(layer_shares(run, -0.1)["b"], [0.5, 0.25])
    np.testing.assert_allclose(whole_share(run, 0.0), [1.0, 1.0])
    np.testing.assert_allclose(training_loss(run), [1.0, 0.5])
    three = made(line, [1.0, 0.5], tasks=("x", "y", "z"))
    np.testing.assert_allclose(whole_share(three, -0.1), [0.5, 0.25])


def test_a_run_that_only_learns_faster_differs_at_equal_step_and_not_at_equal_loss():
    slow = [made(line, [1.6, 1.2, 0.8, 0.4], seed=s) for s in range(3)]
    fast = [made(line, [1.4, 0.8, 0.4, 0.2], seed=s) for s in range(3)]
    found = compare(fast, slow, -0.1)
    assert found.whole_step.mean == pytest.approx(0.5 * np.mean([-0.2, -0.4, -0.4, -0.2]))
    assert found.whole_loss is not None
    assert found.whole_loss.mean == pytest.approx(0.0, abs=1e-9)
    assert found.layers_loss is not None
    assert found.layers_loss.mean == pytest.approx(0.0, abs=1e-9)
    assert (found.seeds, found.layers) == (3, 3)


def test_a_run_with_less_conflict_at_every_loss_differs_at_equal_loss_by_that_much():
    base = [made(line, [1.6, 1.2, 0.8, 0.4], seed=s) for s in (0, 1)]
    less = [made(lambda x: 0.5 * x - 0.1, [1.5, 1.0, 0.5], seed=s) for s in (1, 2)]
    found = compare(less, base, -0.1)
    assert found.seeds == 1  # only seed 1 is in both
    assert found.whole_loss is not None
    assert found.whole_loss.mean == pytest.approx(-0.1, abs=1e-9)
    assert found.whole_loss.low is None


def test_only_layers_that_both_share_enter_their_mean():
    base = made(line, [1.0, 0.5])
    base.layers["scores"] = [[[100, 90], [100, 20], [100, 40]] for _ in range(2)]
    less = made(line, [1.0, 0.5], names=("b", "c"))
    less.layers["scores"] = [[[100, 10], [100, 10]] for _ in range(2)]
    found = compare([less], [base], -0.1)
    assert found.layers == 2
    assert found.layers_step.mean == pytest.approx(0.1 - 0.3)
    assert compare([base], [less], -0.1).layers_step.mean == pytest.approx(0.3 - 0.1)


def test_every_seed_may_have_drawn_layers_of_its_own():
    """As with Recon's random layers: what is in common is asked seed by seed, and parameters are a mean."""
    base = [made(line, [1.0, 0.5], seed=seed) for seed in (0, 1)]
    drawn = [made(line, [1.0, 0.5], names=names, seed=seed) for seed, names in enumerate((("b", "c"), ("a", "c")))]
    found = compare(drawn, base, -0.1)
    assert (found.seeds, found.layers) == (2, 2)
    assert found.layers_step.mean == pytest.approx(0.0)
    assert split(drawn, base) == Split(1, 15, 60)


def test_runs_that_never_meet_the_same_loss_are_not_compared_there():
    found = compare([made(line, [0.4, 0.3])], [made(line, [1.0, 0.5])], -0.1)
    assert found.whole_loss is None
    assert found.layers_loss is None
    courses = [([0.4, 0.3], [1.0, 0.5]), ([1.0, 0.5], [1.0, 0.5])]
    runs, base = ([made(line, pair[i], seed=s) for s, pair in enumerate(courses)] for i in (0, 1))
    assert compare(runs, base, -0.1).whole_loss is None, "not the seeds that happen to meet"
    with pytest.raises(ValueError, match="`base` must share a seed with `runs`, found none"):
        compare([made(line, [1.0], seed=1)], [made(line, [1.0])], -0.1)


def test_the_threshold_is_that_of_the_network_among_those_that_all_runs_counted():
    runs = [made(line, [1.0], grid=(0.0, -0.1, -0.2)), made(line, [1.0], grid=(-0.2, -0.1))]
    assert threshold([runs]) == -0.1, "without a network that was made by one: nearest to 0"
    runs[0].declaration["transform"] = {"threshold": -0.25}
    assert threshold([runs]) == -0.2
    assert scored(runs[0])
    runs[0].layers["steps"] = 0
    assert not scored(runs[0])


def test_two_lines_become_contrasts_in_which_less_conflict_is_better():
    base = [made(line, [1.6, 1.2, 0.8, 0.4], seed=s) for s in range(3)]
    less = [made(lambda x: 0.5 * x - 0.1, [1.6, 1.2, 0.8, 0.4], names=("b", "c"), seed=s) for s in range(3)]
    mine, theirs = Line(less, "best-val"), Line(base, "best-val")
    found = contrasts("recon-conflict", mine, theirs, -0.1)
    assert [c.metric for c in found] == [
        f"{what}.conflict_at_{when}" for what in ("whole_vector", "common_layers") for when in ("loss", "step")
    ]
    assert all(c.difference.mean == pytest.approx(-0.1, abs=0.01) and c.verdict == "better" for c in found)
    assert splits({"sum": theirs, "recon": mine}, "sum") == {"recon": Split(1, 10, 60)}
    assert splits({"recon": mine}, "sum") == {}
    for run in less:
        run.layers["steps"] = 0
    assert contrasts("recon-conflict", mine, theirs, -0.1) == []
    assert splits({"sum": theirs, "recon": mine}, "sum") == {}


def test_the_published_ranking_adds_the_published_number():
    """160,192 parameters for two tasks and 25 of 41 layers of ResNet-18, counted from the histories' layer sizes."""
    layers = {n: sum(p.numel() for p in own) for n, own in shared_layers(build("networks", "resnet")).items()}
    whole_stage = [n for n in layers if n.startswith(("trunk.4.", "trunk.5."))]
    norms = [n for n, m in build("networks", "resnet", width=1).named_modules() if type(m).__name__ == "BatchNorm2d"]
    top = {"trunk.0", *whole_stage, *norms}
    assert len(top) == 25
    base, less = made(line, [1.0]), made(line, [1.0])
    base.layers.update(names=list(layers), sizes=list(layers.values()))
    less.layers.update(names=[n for n in layers if n not in top])
    assert split([less], [base]) == Split(25, 160_192, 11_221_540)

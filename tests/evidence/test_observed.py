"""Layers, curvature and nulls on made-up histories: words follow the numbers, and silence where nothing was seen."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.observed import (
    CURVATURE,
    conflicting,
    excess,
    layers,
    observing,
    over_training,
    principal,
    random_sd,
    trained,
    values,
)
from gradsurgery.evidence.observed_methods import against, movement, observe
from gradsurgery.report import observatory, observed_figures, observed_tables
from gradsurgery.report.output import Output
from gradsurgery.report.style import svg
from pipelines import evaluate, report
from tests.histories import evidence_of, keep

REPOSITORY = Path(__file__).parents[2]
SIZES = [100, 2500, 400]
Runs = dict[str, list[Run]]
See = Callable[..., Runs]


def watch(record: dict[str, Any], cosine: float, null: float | None = None, sizes: list[int] = SIZES) -> None:
    """Adds nine steps of layers: cosines around `cosine`, shares of a curvature that grows by 1 a step, maybe nulls."""
    rng = np.random.default_rng([record["seed"], 7])
    L, rows = len(sizes), []
    record["diagnostics"] = record["diagnostics"][:9]
    for step, diagnosed in enumerate(record["diagnostics"]):
        noise = 0.01 * rng.standard_normal(L)
        shares = (1.0 + step) * np.arange(1, L + 1) / (L * (L + 1) / 2)
        row = {
            "step": diagnosed["step"], "mean_cosine": (cosine + noise).tolist(),
            "magnitude_similarity": [0.9] * L, "curvature": shares.tolist(),
        }  # fmt: skip
        if null is not None:
            row["null.same_task"] = (0.2 + 0.01 * rng.standard_normal(L)).tolist()
            row["null.cross_task"] = (0.2 + null * np.arange(L) + 0.01 * rng.standard_normal(L)).tolist()
        rows.append(row)
        diagnosed |= {"mean_cosine": cosine + float(noise.mean()), "curvature": float(shares.sum()) + record["seed"]}
    record["observed"] = {"names": [f"layer{i}" for i in range(L)], "sizes": sizes, "rows": rows}


@pytest.fixture
def see(made_up: Callable[..., dict]) -> See:
    """Runs by method from the cosine of each; `null` goes to lines of half batches, `edit` changes every record."""

    def build(
        cosines: dict[str, float], seeds: int = 4, null: float = 0.0, sizes: list[int] = SIZES,
        edit: Callable[[dict], Any] | None = None,
    ) -> Runs:  # fmt: skip
        made = {}
        for method, cosine in cosines.items():
            records = [made_up("p", method, seed, 0.0) for seed in range(seeds)]
            for record in records:
                watch(record, cosine, null if method.endswith("half_batches") else None, sizes)
                if edit is not None:
                    edit(record)
            made[method] = parse([json.dumps(record) for record in records], method)
        return made

    return build


def test_only_lines_that_recorded_layers_are_used(see: See, made_up: Callable[..., dict]) -> None:
    runs = see({"sum": 0.0, "sum-half_batches": 0.0})
    runs["pcgrad"] = parse([json.dumps(made_up("p", "pcgrad", 0, 0.0))], "pcgrad")
    assert list(observing(runs)) == ["sum", "sum-half_batches"]
    assert list(trained(observing(runs))) == ["sum"]
    assert principal(observing(runs)) == "sum-half_batches"
    assert principal(see({"pcgrad": 0.0, "sum": 0.0})) == "sum"


def test_parts_of_training_are_means_of_neighbouring_steps(see: See) -> None:
    group = see({"sum": 0.0}, seeds=2)["sum"]
    means = over_training(group, lambda run: values(run, CURVATURE), 3)
    assert means.shape == (2, 3, 3)
    assert means[0, :, 0] == pytest.approx(np.array([2.0, 5.0, 8.0]) / 6)
    assert over_training(group, lambda run: values(run, CURVATURE), 50).shape == (2, 9, 3)


@pytest.mark.parametrize("K", [2, 4])
def test_the_null_of_random_directions_is_that_of_random_directions(see: See, K: int) -> None:
    run = see({"sum": 0.0}, 1, sizes=[40], edit=lambda record: record.update(tasks=[f"t{k}" for k in range(K)]))["sum"][
        0
    ]
    g = np.random.default_rng(0).standard_normal((20_000, K, 40))
    g /= np.linalg.norm(g, axis=2, keepdims=True)
    cosines = np.einsum("skp,slp->skl", g, g)[:, *np.triu_indices(K, k=1)].mean(axis=1)
    assert random_sd(run)[0] == pytest.approx(cosines.std(), rel=0.02)


def test_a_layer_conflicts_where_tasks_agree_less_than_halves_of_one_task(see: See) -> None:
    found = layers(see({"sum-half_batches": 0.0}, null=-0.1)["sum-half_batches"])
    assert conflicting(found) == ["layer1", "layer2"]
    assert found[2].tested.difference.mean == pytest.approx(-0.2, abs=0.02)
    more = see({"sum-half_batches": 0.0}, null=0.1)["sum-half_batches"]
    assert conflicting(layers(more)) == []
    assert excess(more[0])[:, 2].mean() == pytest.approx(0.2, abs=0.02)


def test_without_halves_the_cosine_itself_is_held_against_zero(see: See) -> None:
    found = layers(see({"sum": -0.3})["sum"])
    assert conflicting(found) == ["layer0", "layer1", "layer2"]
    assert [layer.below.mean for layer in found] == [1.0, 1.0, 1.0], "2 sd are 0.2, 0.04 and 0.1"
    assert [layer.below.mean for layer in layers(see({"sum": -0.15})["sum"])] == [0.0, 1.0, 1.0]
    assert (found[0].first.mean, found[0].last.mean) == pytest.approx((2 / 6, 8 / 6))


def test_methods_are_held_against_the_sum_by_seed(see: See) -> None:
    entries = against(see({"sum": -0.3, "pcgrad": -0.1, "cagrad-c0_5": -0.3, "sum-half_batches": -0.3}))
    assert list(entries) == ["sum", "pcgrad", "cagrad-c0_5"]
    assert entries["sum"].cosine_minus is None
    raised, same = entries["pcgrad"].cosine_minus, entries["cagrad-c0_5"].cosine_minus
    assert raised is not None
    assert same is not None
    assert (raised.separates(), same.separates()) == (True, False)
    assert raised.difference.sd == pytest.approx(0.0, abs=1e-12), "seeds share their noise"
    assert (entries["pcgrad"].changed, entries["pcgrad"].layers) == (["layer0", "layer1", "layer2"], 3)
    assert (entries["cagrad-c0_5"].changed, entries["cagrad-c0_5"].layers) == ([], 3)
    # one seed adds 1 to the whole vector's curvature, which its change over training does not feel
    assert entries["sum"].curvature.mean == pytest.approx(5.0 + 1.5)
    assert movement(see({"sum": 0.0})["sum"]).mean == pytest.approx(6.0)


def said(runs: Runs) -> str:
    found = observe(runs)
    assert found is not None
    return observed_tables.sentence(found, runs)


def test_the_sentence_follows_the_numbers(see: See) -> None:
    told = said(see({"sum": -0.3, "pcgrad": -0.1, "sum-half_batches": -0.3}, null=-0.1))
    assert told.startswith(
        "Scale smoke, track controlled, n = 4, 2 tasks, 3 shared layers. Trained with the sum, two tasks"
    )
    assert "agree less than two halves of one task's batch in 2 of 3 layers (layer1 -0." in told
    assert "], layer2 -0." in told
    assert "]) (95 %, Holm over 3). Curvature" in told
    assert "in the last: it rises (+6.000 [+6.000, +6.000])" in told
    quiet = said(see({"sum": 0.3, "pcgrad": 0.3}))
    assert "no layer was found in which the cosine between tasks lies below that of random directions (0)" in quiet

    def flatten(record: dict) -> None:
        for row in record["diagnostics"]:
            row["curvature"] = -float(row["step"])

    assert "in the last: it falls" in said(see({"sum": 0.0}, edit=flatten))


def test_of_many_layers_some_are_named_and_all_are_counted(see: See) -> None:
    told = said(see({"sum": -0.3, "pcgrad": 0.0}, sizes=[50] * 9))
    assert "in 9 of 9 layers (layer0 -0." in told


def test_one_seed_has_no_interval_and_breaks_nothing(see: See) -> None:
    runs = see({"sum": -0.3, "pcgrad": -0.1, "sum-half_batches": -0.3}, seeds=1, null=-0.1)
    assert "one seed has no interval" in said(runs)
    groups = {f"p-{method}": group for method, group in runs.items()}
    assert len(observed_tables.layer_table(evidence_of(groups))) == 3
    assert svg(observed_figures.over_layers(runs["sum-half_batches"]))


def test_tables_name_their_histories_and_shares_stay_shares(see: See) -> None:
    runs = see({"sum": -0.19, "pcgrad": 0.0})
    groups = {f"p-{method}": group for method, group in runs.items()}
    by_layer = observed_tables.layer_table(evidence_of(groups))
    assert [cell.target for cell in by_layer["trained with"]] == ["history/p-sum.jsonl"] * 3
    share = by_layer["steps below -2 sd of random directions (%)"][0]
    low, high = (float(number) for number in share.split("[")[1].rstrip("]").split(", "))
    assert 0.0 <= low < high <= 100.0
    assert by_layer["curvature, first third"][0] == "0.333 [0.333, 0.333]"
    by_method = observed_tables.method_table(evidence_of(groups))
    assert [cell.target for cell in by_method["method"]] == ["history/p-pcgrad.jsonl", "history/p-sum.jsonl"]
    assert by_method["cosine minus sum"][0].startswith("+0.190 [")
    assert list(by_method["n"]) == [4, 4]


def test_many_layers_are_drawn_as_groups_that_leave_none_out() -> None:
    names = [f"l{i}" for i in range(41)]
    groups = observed_figures.grouped(names)
    assert len(groups) == observed_figures.LINES
    assert [i for group in groups for i in group.members] == list(range(41))
    assert groups[0].text == "l0 to l5"
    assert [group.text for group in observed_figures.grouped(names[:3])] == ["l0", "l1", "l2"]


def test_a_groups_curvature_is_the_sum_and_its_cosine_the_mean_of_its_layers(see: See) -> None:
    group = see({"sum": -0.2}, sizes=[50] * 16)["sum"]
    figure = observed_figures.over_layers(group)
    cosine, _, bend = figure.axes
    lines = [line for line in bend.lines if len(np.atleast_1d(line.get_ydata())) == observed_figures.PARTS]
    total = np.sum([line.get_ydata() for line in lines], axis=0)
    shares = over_training(group, lambda run: values(run, CURVATURE), observed_figures.PARTS)
    assert total == pytest.approx(shares.mean(axis=0).sum(axis=1))
    drawn = [line for line in cosine.lines if len(np.atleast_1d(line.get_ydata())) == observed_figures.PARTS]
    assert len(drawn) == observed_figures.LINES
    assert all(-0.25 < y < -0.15 for line in drawn for y in np.asarray(line.get_ydata()))


def test_the_observatory_is_silent_where_nothing_was_recorded(see: See, made_up: Callable[..., dict]) -> None:
    plain = {"p-sum": parse([json.dumps(made_up("p", "sum", 0, 0.0))], "sum")}
    out = Output()
    assert observatory.conflict(evidence_of(plain), out)[0]["layers"] is None
    assert [sheet["title"][:6] for sheet in observatory.sheets(evidence_of(plain), out)] == ["PCGrad"]
    watched = see({"sum": 0.0, "sum-half_batches": 0.0}, seeds=2)
    groups = {f"p-{method}": group for method, group in watched.items()}
    out = Output()
    entry = observatory.conflict(evidence_of(groups), out)[0]["layers"]
    assert entry is not None
    assert "two halves of one task's batch" in entry["first"]["caption"]
    assert len(observatory.sheets(evidence_of(groups), out)) == 3
    assert "figures/p-layers.svg" in out.files
    again = copy.deepcopy(watched["sum-half_batches"])
    assert svg(observed_figures.over_layers(again)) == out.finish()["figures/p-layers.svg"]


def test_the_pages_show_the_layers(checkout: Path) -> None:
    for name in ("sum", "pcgrad"):
        path = next(checkout.glob(f"reports/history/*/*/multi_fashion_mnist-{name}.jsonl"))
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            watch(record, -0.1)
        keep(checkout, records)
    shutil.copytree(REPOSITORY / "data/published", checkout / "data/published")
    (checkout / "README.md").write_text((REPOSITORY / "README.md").read_text())
    assert evaluate.main(["--root", str(checkout)]) == 0
    assert report.main(["--root", str(checkout)]) == 0
    text = (checkout / "reports/problems/multi_fashion_mnist.html").read_text()
    assert text.count('<figure id="multi-fashion-mnist-layers">') == 1
    text = (checkout / "reports/conflict.html").read_text()
    assert "Curvature along the step" in text
    assert "PCGrad&#39;s three-part condition (stated for two tasks; 1 problem" in text

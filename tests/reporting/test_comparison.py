"""metrics.json: what is compared with what."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gradsurgery.reporting.comparison import evaluate
from gradsurgery.reporting.history import parse
from pipelines.evaluate import main, read_histories


def test_pairing_removes_what_the_seeds_share(checkout: Path) -> None:
    record = evaluate(read_histories(checkout / "reports/history"), {})["multi_fashion_mnist-sam_gs"]
    paired, alone = record["minus_sum"]["left.accuracy"], record["left.accuracy"]
    assert paired["sd"] < alone["sd"] / 2
    assert paired["mean"] == pytest.approx(-0.004, abs=0.002)
    assert record["minus_sum"]["all"]["ci95"][1] < 0


def test_delta_m_uses_our_single_task_runs_of_the_same_seed(checkout: Path) -> None:
    records = evaluate(read_histories(checkout / "reports/history"), {})
    expected = {"sum": 1.1, "sam_gs": 1.5}
    for method, value in expected.items():
        assert records[f"multi_fashion_mnist-{method}"]["delta_m_metric"]["mean"] == pytest.approx(value, abs=0.4)
    assert "delta_m_metric" not in records["multi_fashion_mnist-single_task-left"]
    assert list(records["multi_fashion_mnist-single_task-left"]["rules"]["last"]) == ["left.accuracy"]


def test_ranks_and_corrections_are_taken_among_lines_that_keep_the_contract(checkout: Path) -> None:
    path = checkout / "reports/history/multi_fashion_mnist-sam_gs.jsonl"
    path.write_text(path.read_text().replace('"max_norm":null', '"max_norm":1.0'))
    records = evaluate(read_histories(checkout / "reports/history"), {})
    images = {r["method"]: r for r in records.values() if r["problem"] != "cagrad_toy"}
    ranked = {m: r["mean_rank"]["mean"] for m, r in images.items() if "mean_rank" in r}
    assert set(ranked) == {"sum", "mean", "pcgrad", "cagrad-c0_5", "static-30", "static-70"}, "no single-task run"
    assert sum(ranked.values()) == pytest.approx(6 * 7 / 2, rel=1e-4)
    assert "clips for itself" in images["sam_gs"]["excluded"][0]
    assert "p_holm" not in images["sam_gs"]["minus_sum"]["all"]
    assert "p_holm" in images["pcgrad"]["minus_sum"]["all"]
    assert "p_holm" not in images["pcgrad"]["minus_sum"]["left.accuracy"]


def test_a_seed_that_only_one_side_has_is_left_out(made_up: Callable[..., dict]) -> None:
    runs = {
        f"p-{m}": parse([json.dumps(made_up("p", m, s, 0.0)) for s in seeds], m)
        for m, seeds in {"sum": (0, 1, 2), "pcgrad": (1, 2, 3)}.items()
    }
    assert evaluate(runs, {})["p-pcgrad"]["minus_sum"]["all"]["n"] == 2


def test_every_kind_of_metric_is_compared_in_its_own_direction(others: Path) -> None:
    records = evaluate(read_histories(others / "reports/history"), {})
    better, worse = (records[f"cifar100_reconstruction-{m}"] for m in ("pcgrad", "cagrad-c0_5"))
    assert "all" not in better["minus_sum"], "an error and a similarity have no mean"
    assert (better["minus_sum"]["all.mae"]["mean"], better["minus_sum"]["all.mae"]["higher"]) == (
        pytest.approx(-0.009, abs=0.002), False,
    )  # fmt: skip
    assert better["minus_sum"]["ssim.ssim"]["mean"] == pytest.approx(0.03, abs=0.005)
    assert better["delta_m_sum"]["ci95"][1] < 0 < worse["delta_m_sum"]["ci95"][0], "lower is better"
    assert better["all.ssim"] == better["ssim.ssim"]


def test_means_over_twenty_tasks_and_the_noise_of_their_test_set(others: Path) -> None:
    record = evaluate(read_histories(others / "reports/history"), {})["cifar100_superclass-pcgrad"]
    tasks = [record[f"task{k}.accuracy"]["mean"] for k in range(20)]
    assert record["all.accuracy"]["mean"] == pytest.approx(sum(tasks) / 20, rel=1e-4)
    assert record["minus_sum"]["all"] == record["minus_sum"]["all.accuracy"]
    # 2,000 test rows, both shares near 0.4, tasks taken as fully dependent
    assert record["minus_sum"]["all"]["test_noise"] == pytest.approx(1.96 * (2 * 0.24 / 2000) ** 0.5, rel=0.05)


def test_areas_have_no_test_noise_of_accuracies(others: Path) -> None:
    record = evaluate(read_histories(others / "reports/history"), {})["census-pcgrad"]
    assert "test_noise" not in record["minus_sum"]["all"]
    assert record["all.auc"]["n"] == 5


def test_a_base_of_zero_gives_no_relative_change(made_up: Callable[..., dict]) -> None:
    records = {m: made_up("p", m, 0, 0.0) for m in ("sum", "pcgrad")}
    for row in records["sum"]["epochs"]:
        row["test.left.accuracy"] = 0.0
    runs = {f"p-{m}": parse([json.dumps(r)], m) for m, r in records.items()}
    record = evaluate(runs, {})["p-pcgrad"]
    assert "delta_m_sum" not in record
    assert record["minus_sum"]["left.accuracy"]["mean"] > 0.5


def test_landscapes_are_judged_where_they_end(checkout: Path) -> None:
    record = evaluate(read_histories(checkout / "reports/history"), {"cagrad_toy": "best-val"})["cagrad_toy-mean"]
    assert record["selection"] == "last"
    assert (record["landscape"]["solved"], record["landscape"]["stuck"]) == (3, 2)


def test_stage_writes_the_same_bytes_twice(checkout: Path) -> None:
    assert main(["--root", str(checkout)]) == 0
    first = {p.name: p.read_bytes() for p in (checkout / "reports").glob("*.*")}
    assert main(["--root", str(checkout)]) == 0
    assert first == {p.name: p.read_bytes() for p in (checkout / "reports").glob("*.*")}
    assert set(first) == {"metrics.json", "results.csv"}


def test_malformed_history_leaves_nothing_behind(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkout / "reports/history/multi_fashion_mnist-pcgrad.jsonl"
    path.write_text(path.read_text()[:-500])
    assert main(["--root", str(checkout)]) == 2
    assert f"{path}:3: a line must be one JSON object" in capsys.readouterr().err
    assert not (checkout / "reports/metrics.json").exists()


def test_unknown_selection_rule_in_params_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "params.yaml").write_text("protocols: {multi_mnist: {selection: luckiest}}\n")
    assert main(["--root", str(checkout)]) == 2
    assert (
        "`protocols.multi_mnist.selection` must be one of best-val, last, last10, best-test" in capsys.readouterr().err
    )

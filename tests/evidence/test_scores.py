"""metrics.json: what is compared with what."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.selection import select
from pipelines._evidence import read_histories
from pipelines._files import write
from pipelines.evaluate import main
from tests.histories import scores_of, with_examples


def test_pairing_removes_what_the_seeds_share(checkout: Path) -> None:
    record = scores_of(read_histories(checkout / "reports/history"), {})["multi_fashion_mnist-sam_gs"]
    paired, alone = record["minus_sum"]["left.accuracy"], record["left.accuracy"]
    assert paired["sd"] < alone["sd"] / 2
    assert paired["mean"] == pytest.approx(-0.004, abs=0.002)
    assert record["minus_sum"]["all"]["ci95"][1] < 0


def test_delta_m_uses_our_single_task_runs_of_the_same_seed(checkout: Path) -> None:
    records = scores_of(read_histories(checkout / "reports/history"), {})
    expected = {"sum": 1.1, "sam_gs": 1.5}
    for method, value in expected.items():
        assert records[f"multi_fashion_mnist-{method}"]["delta_m_metric"]["mean"] == pytest.approx(value, abs=0.4)
    assert "delta_m_metric" not in records["multi_fashion_mnist-single_task-left"]
    assert list(records["multi_fashion_mnist-single_task-left"]["rules"]["last"]) == ["left.accuracy"]


def test_ranks_are_taken_among_lines_that_keep_the_contract(checkout: Path) -> None:
    path = next(checkout.glob("reports/history/*/*/multi_fashion_mnist-sam_gs.jsonl"))
    path.write_text(path.read_text().replace('"settings":{', '"settings":{"clip":1.0,'))
    records = scores_of(read_histories(checkout / "reports/history"), {})
    images = {r["method"]: r for r in records.values() if r["problem"] != "cagrad_toy"}
    ranked = {m: r["mean_rank"]["mean"] for m, r in images.items() if "mean_rank" in r}
    assert set(ranked) == {"sum", "mean", "pcgrad", "cagrad-c0_5", "static-30", "static-70"}, "no single-task run"
    assert sum(ranked.values()) == pytest.approx(6 * 7 / 2, rel=1e-4)
    assert "sets clip to 1.0" in images["sam_gs"]["excluded"][0]


def test_a_seed_that_only_one_side_has_is_left_out(made_up: Callable[..., dict]) -> None:
    runs = {
        f"p-{m}": parse([json.dumps(made_up("p", m, s, 0.0)) for s in seeds], m)
        for m, seeds in {"sum": (0, 1, 2), "pcgrad": (1, 2, 3)}.items()
    }
    assert scores_of(runs, {})["p-pcgrad"]["minus_sum"]["all"]["n"] == 2


def test_every_kind_of_metric_is_compared_in_its_own_direction(others: Path) -> None:
    records = scores_of(read_histories(others / "reports/history"), {})
    better, worse = (records[f"cifar100_reconstruction-{m}"] for m in ("pcgrad", "cagrad-c0_5"))
    assert "all" not in better["minus_sum"], "an error and a similarity have no mean"
    assert (better["minus_sum"]["all.mae"]["mean"], better["minus_sum"]["all.mae"]["higher"]) == (
        pytest.approx(-0.009, abs=0.002), False,
    )  # fmt: skip
    assert better["minus_sum"]["ssim.ssim"]["mean"] == pytest.approx(0.03, abs=0.005)
    assert better["delta_m_sum"]["ci95"][1] < 0 < worse["delta_m_sum"]["ci95"][0], "lower is better"
    assert better["all.ssim"] == better["ssim.ssim"]


def test_means_over_twenty_tasks_and_the_noise_of_their_test_set(others: Path) -> None:
    read = read_histories(others / "reports/history")
    groups = {f"cifar100_superclass-{m}": read[f"cifar100_superclass-{m}"] for m in ("sum", "pcgrad")}
    groups = {name: [with_examples(run, 2000) for run in runs] for name, runs in groups.items()}
    record = scores_of(groups, {})["cifar100_superclass-pcgrad"]
    tasks = [record[f"task{k}.accuracy"]["mean"] for k in range(20)]
    assert record["all.accuracy"]["mean"] == pytest.approx(sum(tasks) / 20, rel=1e-4)
    assert record["minus_sum"]["all"] == record["minus_sum"]["all.accuracy"]
    # 2,000 test rows, both shares near 0.4, every task and both lines with errors of their own
    assert record["minus_sum"]["all"]["test_noise"] == pytest.approx(1.96 * (2 * 0.24 / 2000 / 20) ** 0.5, rel=0.1)


def test_where_a_history_holds_no_examples_nothing_is_said_of_their_noise(others: Path) -> None:
    record = scores_of(read_histories(others / "reports/history"), {})["census-pcgrad"]
    assert "test_noise" not in record["minus_sum"]["all"]
    assert record["all.auc"]["n"] == 5


def test_a_base_of_zero_gives_no_relative_change(made_up: Callable[..., dict]) -> None:
    records = {m: made_up("p", m, 0, 0.0) for m in ("sum", "pcgrad")}
    for row in records["sum"]["epochs"]:
        row["test.left.accuracy"] = 0.0
    runs = {f"p-{m}": parse([json.dumps(r)], m) for m, r in records.items()}
    record = scores_of(runs, {})["p-pcgrad"]
    assert "delta_m_sum" not in record
    assert record["minus_sum"]["left.accuracy"]["mean"] > 0.5


def test_landscapes_are_judged_where_they_end(checkout: Path) -> None:
    record = scores_of(read_histories(checkout / "reports/history"), {"cagrad_toy": "best-val"})["cagrad_toy-mean"]
    assert record["selection"] == "last"
    assert (record["landscape"]["solved"], record["landscape"]["stuck"]) == (3, 2)


def test_stage_writes_the_same_bytes_twice(checkout: Path) -> None:
    assert main(["--root", str(checkout)]) == 0
    first = {p.name: p.read_bytes() for p in (checkout / "reports").glob("*.*")}
    assert main(["--root", str(checkout)]) == 0
    assert first == {p.name: p.read_bytes() for p in (checkout / "reports").glob("*.*")}
    assert set(first) == {
        "metrics.json",
        "results.csv",
        "contrasts.json",
        "measured.json",
        "verdict.json",
        "scales.json",
        "summary.json",
    }
    text = first["metrics.json"].decode()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(OSError, match="taken"):
        write({tmp_path / "first.json": b"1", tmp_path / "taken/second.json": b"2"})
    assert not (tmp_path / "first.json").exists()


def test_a_history_under_another_name_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Renaming a better method's file would make its numbers those of another line."""
    better = next(checkout.glob("reports/history/*/*/multi_fashion_mnist-cagrad-c0_5.jsonl"))
    better.rename(next(checkout.glob("reports/history/*/*/multi_fashion_mnist-pcgrad.jsonl")))
    assert main(["--root", str(checkout)]) == 2
    assert "`experiment` must be 'multi_fashion_mnist-pcgrad'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"),
    [('"batch_size":8', '"batch_size":9'), ('"step":10,', '"step":11,'), ('"skipped_steps":0', '"skipped_steps":1')],
)
def test_a_line_that_is_not_as_it_was_written_is_refused(
    old: str, new: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(checkout.glob("reports/history/*/*/multi_fashion_mnist-pcgrad.jsonl"))
    path.write_text(path.read_text().replace(old, new))
    assert main(["--root", str(checkout)]) == 2
    assert f"{path}: seed 0 must be as it was written, by the hashes in" in capsys.readouterr().err


def test_malformed_history_leaves_nothing_behind(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(checkout.glob("reports/history/*/*/multi_fashion_mnist-pcgrad.jsonl"))
    path.write_text(path.read_text()[:-500])
    assert main(["--root", str(checkout)]) == 2
    assert f"{path}:3: a line must be one JSON object" in capsys.readouterr().err
    assert not (checkout / "reports/metrics.json").exists()


def test_unknown_selection_rule_in_params_is_refused(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "params.yaml").write_text("problems: {multi_mnist: {selection: luckiest}}\n")
    assert main(["--root", str(checkout)]) == 2
    assert (
        "`problems.multi_mnist.selection` must be one of best-val, last, last10, best-test" in capsys.readouterr().err
    )


# By hand: task a has two metrics, the first an error, and task b has one, so that both Delta-m differ. Seed -> value.
KINDS = {"a.mae": False, "a.ssim": True, "b.mae": False}
LINES = {
    "sum": {"a.mae": (0.50, 0.40, 0.60), "a.ssim": (0.50, 0.52, 0.48), "b.mae": (0.20, 0.22, 0.25)},
    "first": {"a.mae": (0.44, 0.37, 0.52), "a.ssim": (0.55, 0.60, 0.50), "b.mae": (0.23, 0.26, 0.27)},
    "second": {"a.mae": (0.50, 0.43, 0.62), "a.ssim": (0.51, 0.50, 0.49), "b.mae": (0.19, 0.18, 0.24)},
    "single_task-a": {"a.mae": (0.40, 0.30, 0.45), "a.ssim": (0.60, 0.65, 0.55)},
    "single_task-b": {"b.mae": (0.16, 0.20, 0.18)},
}


@pytest.fixture
def worked(made_up: Callable[..., dict]) -> Callable[..., dict[str, list[Run]]]:
    """The lines above: epoch 1 validates best and holds the value on test, epoch 2 adds 0.01, epoch 3 takes 0.02."""

    def build(**tracks: str) -> dict[str, list[Run]]:
        made = {}
        for method, values in LINES.items():
            records = [made_up("p", "plain", seed, 0.0, 3) for seed in range(3)]
            for seed, record in enumerate(records):
                record |= {"experiment": f"p-{method}", "tasks": ["a", "b"], "metrics": KINDS, "skipped_steps": seed}
                record["track"] = tracks.get(method, "controlled")
                if method.startswith("single"):
                    record["declaration"]["balancer"] = {"name": "single_task", "task": "ab".index(method[-1])}
                record["epochs"] = [
                    {"epoch": epoch, "train.a.loss": 1.0 / epoch, "train.b.loss": 3.0 / epoch} for epoch in (1, 2, 3)
                ]
                for name, higher in KINDS.items():
                    value = values.get(name, (1.0, 1.0, 1.0))[seed]
                    for row, validated, shift in zip(record["epochs"], (0, 2, 1), (0.0, 0.01, -0.02), strict=True):
                        row[f"val.{name}"] = 0.5 - 0.1 * validated * (1 if higher else -1)
                        row[f"test.{name}"] = value + shift
            made[f"p-{method}"] = parse([json.dumps(record) for record in records], method)
        return made

    return build


def changes(method: str, base: dict[str, tuple[float, ...]]) -> dict[str, np.ndarray]:
    """By metric, per cent of the same seed's base, positive where worse."""
    ours = LINES[method]
    return {
        name: (-100 if higher else 100) * (np.array(ours[name]) / np.array(base[name]) - 1)
        for name, higher in KINDS.items()
    }


def test_delta_m_of_both_conventions_by_hand(worked: Callable[..., dict[str, list[Run]]]) -> None:
    record = scores_of(worked(), {})["p-first"]
    change = changes("first", LINES["single_task-a"] | LINES["single_task-b"])
    by_metric = np.mean(list(change.values()), axis=0)
    by_task = (change["b.mae"] + (change["a.mae"] + change["a.ssim"]) / 2) / 2
    for key, expected in (("delta_m_metric", by_metric), ("delta_m_task", by_task)):
        assert record[key]["mean"] == pytest.approx(expected.mean(), rel=1e-4)
        assert record[key]["sd"] == pytest.approx(expected.std(ddof=1), rel=1e-4), "the base is that of the same seed"
    without = record["delta_m_without_largest"]
    assert without["left_out"] == "b.mae"
    assert without["mean"] == pytest.approx(((change["a.mae"] + change["a.ssim"]) / 2).mean(), rel=1e-4)
    against = changes("first", LINES["sum"])
    assert record["delta_m_sum"]["mean"] == pytest.approx(
        ((against["b.mae"] + (against["a.mae"] + against["a.ssim"]) / 2) / 2).mean(), rel=1e-4
    )


def mean_error(method: str) -> np.ndarray:
    return np.mean([LINES[method]["a.mae"], LINES[method]["b.mae"]], axis=0)


def test_improving_is_that_the_last_epoch_validates_best_on_every_seed(
    worked: Callable[..., dict[str, list[Run]]],
) -> None:
    groups = worked()
    assert not any(record["improving"] for record in scores_of(groups, {}).values())
    groups["p-first"] = [dataclasses.replace(run, epochs=run.epochs[:2]) for run in groups["p-first"]]
    best = {run.seed: select(run, "best-val") == select(run, "last") for run in groups["p-first"]}
    assert scores_of(groups, {})["p-first"]["improving"] == all(best.values())


def test_lines_of_another_track_are_neither_ranked_nor_counted(worked: Callable[..., dict[str, list[Run]]]) -> None:
    records = scores_of(worked(second="reference"), {})
    assert "mean_rank" not in records["p-second"]
    assert records["p-first"]["competitors"] == 2, "the sum and this one; single-task lines are no competitors"


def test_ranks_are_means_over_metrics_and_seeds(worked: Callable[..., dict[str, list[Run]]]) -> None:
    records = scores_of(worked(), {})
    table = {
        m: np.array([np.multiply(LINES[m][n], -1 if h else 1) for n, h in KINDS.items()]) for m in ("sum", "first")
    }
    third = np.array([np.multiply(LINES["second"][n], -1 if h else 1) for n, h in KINDS.items()])
    own = table["first"]
    rank = sum((own > other) + (own == other) / 2 for other in (table["sum"], third)) + 1.0
    assert records["p-first"]["mean_rank"]["mean"] == pytest.approx(rank.mean(), rel=1e-4)
    assert records["p-first"]["mean_rank"]["n"] == 3


def test_rules_stand_side_by_side_and_the_declared_one_decides(worked: Callable[..., dict[str, list[Run]]]) -> None:
    first, error = scores_of(worked(), {})["p-first"], np.mean(LINES["first"]["a.mae"])
    side_by_side = {rule: first["rules"][rule]["a.mae"] - error for rule in first["rules"]}
    expected = {"best-val": 0.0, "last": -0.02, "last10": -0.005, "best-test": -0.02}
    assert side_by_side == pytest.approx(expected, abs=1e-6)
    assert first["a.mae"]["mean"] == pytest.approx(error, rel=1e-5)
    assert scores_of(worked(), {"p": "last"})["p-first"]["a.mae"]["mean"] == pytest.approx(error - 0.02, rel=1e-5)
    assert first["final_train_loss"]["mean"] == pytest.approx((1 / 3 + 3 / 3) / 2, rel=1e-5)
    assert first["skipped_steps"] == 0 + 1 + 2


def test_a_rule_that_looks_at_the_test_set_bars_every_line(worked: Callable[..., dict[str, list[Run]]]) -> None:
    records = scores_of(worked(), {"p": "best-test"})
    assert all("best-test, which looks at the test set" in record["excluded"][0] for record in records.values())
    assert not any("mean_rank" in record for record in records.values())


@pytest.mark.parametrize(("field", "value"), [("scale", "laptop"), ("data_sha256", "1" * 64), ("tasks", ["a", "b"])])
def test_histories_that_do_not_belong_together_are_named(field: str, value: object, checkout: Path, capsys) -> None:
    path = next(checkout.glob("reports/history/*/*/multi_fashion_mnist-pcgrad.jsonl"))
    lines = [json.loads(line) | {field: value} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["--root", str(checkout)]) == 2
    err = capsys.readouterr().err
    assert f"{path}: `{field}` must be that of " in err
    assert "run `python -m pipelines.train multi_fashion_mnist-pcgrad` again" in err
    assert err.count("\n") == 1
